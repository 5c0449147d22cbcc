"""Feeds: the kinds of raw records, each with its columns, units, checks and file names.

A row of a feed is a *record* if every column can be parsed and every check holds, else a *reject* with the column and
the reason. Columns and checks are defined twice, side by side: in Python, which judges a single row and is the truth,
and in SQL, which the engine uses to read rows by the million. The SQL may refuse a row that Python accepts (the row is
then judged by Python); it never accepts one that Python refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kpis.catalog.columns import BadValue, ColumnType
from kpis.catalog.columns.zones import UTC_ZONE, Zone
from kpis.catalog.formats import CSV, DecodedFormat, Format, Header
from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, EPOCH, LAST_DAY, FixedLength, from_milliseconds
from kpis.catalog.place import Place
from kpis.catalog.result_columns import BadEntry
from kpis.catalog.sql import aliased, quoted

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression
    from kpis.catalog.name_pattern import NamePattern

Record = Mapping[str, Any]

# In characters; the tables that name feeds have columns of this length.
LONGEST_FEED_NAME = 40

# In microseconds.
_SECOND = 1_000_000
_NEVER_SET = "is Unix time 0, as of a clock that was never set"


class BadRow(ValueError):
    """A row that is not a record: ``column`` (empty for the row as a whole) and ``reason``."""

    def __init__(self, column: str, reason: str):
        super().__init__(f"{column} {reason}" if column else reason)
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class Column:
    """One column of a feed: its name, its type, its unit ("" for none).

    A file may lack a column that is not ``required``: its value is then the one that the file's name or the command
    gives, or the type's default, if there is either. ``source`` cites what defines the range of its values and the
    numbers that mean "unknown". ``is_personal`` marks values that identify a person. A column that is ``derived`` is in
    no file: its values are computed from those of the columns before it.
    ``headers`` are its names in files, if these differ from its own: in a header of CSV in any case, and also with a
    unit in brackets, as ``Bytes [kB]`` for ``Bytes``, unless a column has that very name; in JSON they are keys, or
    lead to a value within, as ``a.b``.
    """

    name: str
    type: ColumnType
    unit: str = ""
    required: bool = True
    source: str = ""
    is_personal: bool = False
    derived: Expression | None = None
    headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, header in enumerate(self.headers):
            if not header or header != header.strip() or not header.isprintable():
                raise BadEntry(f"{header!r} cannot be its name in a file", f"Column {self.name}")
            if header.lower() in [other.lower() for other in self.headers[:number]]:
                raise BadEntry(f"{header!r} comes twice among its names in files", f"Column {self.name}")

    @property
    def names_in_files(self) -> tuple[str, ...]:
        """Its possible names in a file."""
        return self.headers or (self.name,)

    @property
    def note(self) -> str:
        """A description of its unit, its values, those that mean "unknown", and the source of that."""
        return self._described(self.type.accepted)

    @property
    def kept_note(self) -> str:
        """The same of the values that records have, which files may write otherwise."""
        return self._described(self.type.kept)

    def _described(self, values: str) -> str:
        computed = f"computed as {self.derived.text}" if self.derived else ""
        missing = "" if self.type.default is None else f"where it is missing: {self.type.default_text}"
        said = "; ".join(part for part in (self.unit, values, missing, computed) if part)
        return f"{said} ({self.source})" if self.source else said


@dataclass(frozen=True)
class Range:
    """The values from ``least`` to ``most`` (None: no bound) that are multiples of ``step``.

    They are values of a column, less those of the column ``less`` if there is one. Of times, the bounds are timedeltas.
    The column is ``of``, or "" for that of the check.
    """

    of: str = ""
    less: str = ""
    least: int | timedelta | None = None
    most: int | timedelta | None = None
    step: int = 1


@dataclass(frozen=True)
class Check:
    """A condition on a row as a whole, in SQL over its typed columns and in Python over its values.

    ``range``, or else ``expression``, is the same for the compiled scanner, which leaves feeds with a check without
    either to the bulk reader.
    """

    column: str
    reason: str
    sql: str
    holds: Callable[[Record], bool]
    range: Range | None = None
    expression: Expression | None = None


class At(StrEnum):
    """Which end of a record's own interval its time is.

    An interval does not contain its end: a record whose interval ends at 12:05 belongs to what ends then, of any
    length, and so to the time just before it.
    """

    START = "start"
    END = "end"

    @property
    def shift(self) -> int:
        """The microseconds from the time that is written to one within the record's interval."""
        return -1 if self is At.END else 0


@dataclass(frozen=True)
class Moment:
    """A record's own time, UTC, from ``column``: in SQL (a TIMESTAMP, NULL if there is none) and in Python.

    In Python it raises BadRow if the record has none, and OverflowError beyond the year 9999. ``parts`` is the same for
    the compiled scanner: columns whose values add up to the time since 1970, each with its unit in microseconds. That
    is local time of the ``zone``; ``shift`` microseconds are added to the UTC time.
    """

    column: str
    sql: str
    of: Callable[[Record], datetime]
    parts: tuple[tuple[str, int], ...] = ()
    zone: Zone = UTC_ZONE
    shift: int = 0


@dataclass(frozen=True)
class Feed:
    """One kind of raw record.

    ``file_names`` are the patterns (as in a shell) of its files' names and ``endings`` how a finished file's name ends,
    see ``FileNames``. ``interval`` is the shortest interval that its records are counted in. ``name_end`` finds in a
    file's name the Unix time in milliseconds at which its interval ends, ``name_date`` the day of its records, as the
    groups ``year``, ``month`` and ``day``. ``is_archived`` says if the lake keeps its records unless the command's
    options say otherwise. ``columns`` are those of its files; a record has those that are ``derived``
    from them as well.
    """

    name: str
    description: str
    format: Format
    file_names: tuple[str, ...]
    endings: tuple[str, ...]
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    moment: Moment
    interval: FixedLength
    name_end: re.Pattern[str] | None = None
    name_date: re.Pattern[str] | NamePattern | None = None
    place: Place | None = None
    is_archived: bool = False
    derived: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        """Raise BadEntry if the entry contradicts itself."""
        if len(self.name) > LONGEST_FEED_NAME:
            raise BadEntry(f"Feed {self.name}: its name has {len(self.name)} characters, and {LONGEST_FEED_NAME} fit.")
        names: dict[str, str] = {}
        folded = str if self.format.has_keys else str.lower
        for column in self.columns:
            for name in column.names_in_files:
                other = names.setdefault(folded(name), column.name)
                if other != column.name:
                    raise BadEntry(f"{name!r} names both {other} and {column.name} in files", f"Feed {self.name}")

    @property
    def title(self) -> str:
        """A short description of the feed's records."""
        return self.description.partition(":")[0]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def record_columns(self) -> tuple[Column, ...]:
        """The columns of a record: those of the files, then the derived ones."""
        return self.columns + self.derived

    def column(self, name: str) -> Column:
        """Return the record's column of that name; raises KeyError."""
        return {column.name: column for column in self.record_columns}[name]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions of derived columns and checks."""
        found = (*(column.derived for column in self.derived), *(check.expression for check in self.checks))
        return tuple(one for one in found if one is not None)

    def with_derived(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a record with its derived columns; raises BadRow if a value is too large."""
        for column in self.derived:
            if column.derived is not None:
                try:
                    record[column.name] = column.derived.of(record)
                except OverflowError as error:
                    raise BadRow(column.name, str(error)) from None
        return record

    def derived_sql(self, table: str) -> str:
        """Return SQL for the rows of a table of records with their derived columns, NULL where a value is too large."""
        for column in self.derived:
            if column.derived is not None:
                table = f"(SELECT *, {aliased({column.name: column.derived.sql})} FROM {table})"
        return table

    def interval_end_in(self, file_name: str) -> datetime | None:
        """Return the interval end (UTC) in a file's name, or None."""
        found = self.name_end.search(file_name) if self.name_end else None
        try:
            return from_milliseconds(int(found[1])) if found else None
        except OverflowError:
            return None

    def date_in(self, file_name: str) -> date | None:
        """Return the date in a file's name, or None."""
        found = self.name_date.search(file_name) if self.name_date else None
        try:
            return date(int(found["year"]), int(found["month"]), int(found["day"])) if found else None
        except (TypeError, ValueError):
            return None

    @property
    def is_streamable(self) -> bool:
        """True if a single row can be parsed, as a message."""
        return self.format.is_streamable

    @cached_property
    def of_messages(self) -> Feed:
        """The same feed with the format that its messages have; not one of the registry's."""
        format = self.format.of_messages
        return self if format == self.format else replace(self, format=format)

    @cached_property
    def as_lines(self) -> Feed:
        """The feed of the lines that its files and messages are decoded into; itself, if these are not decoded."""
        return replace(self, format=self.format.lines) if isinstance(self.format, DecodedFormat) else self

    @property
    def header_line(self) -> bytes:
        """The line at which a file of messages begins, so that none of them is taken for a header; empty for none."""
        if not isinstance(self.format, CSV) or self.format.header is Header.NONE:
            return b""
        delimiter, quote = self.format.delimiter, self.format.quote
        names = (column.names_in_files[0] for column in self.columns)
        shown = (quote + name + quote if delimiter in name else name for name in names)
        return delimiter.join(shown).encode() + b"\n"

    @property
    def needs_date(self) -> bool:
        """True if the day of a file's records may come from elsewhere than the rows."""
        return self.name_date is not None

    @property
    def may_lack_day(self) -> bool:
        """True if a row may be without the day that its time of day needs: as a message it has the message's day."""
        return len(self.moment.parts) > 1 and self.column(self.moment.column).type.optional


def check_range(column: str, reason: str, values: Range) -> Check:
    """Return the check that a column's value, less another's if the range names one, is within a range.

    Both columns have a value in every record.
    """
    less, least, most, step = values.less, values.least, values.most, values.step
    value = f"{quoted(column)} - {quoted(less)}" if less else quoted(column)
    conditions = [
        f"{value} {sign} {_literal(bound)}" for sign, bound in ((">=", least), ("<=", most)) if bound is not None
    ]
    if least is not None and least == most:
        conditions = [f"{value} = {_literal(least)}"]
    if step > 1:
        conditions.append(f"({value}) % {step} = 0")

    def holds(record: Record) -> bool:
        value = record[column] - record[less] if less else record[column]
        return (
            (least is None or value >= least) and (most is None or value <= most) and (step == 1 or value % step == 0)
        )

    return Check(column, reason, " AND ".join(conditions) or "true", holds, values)


def _literal(bound: int | timedelta) -> str:
    if isinstance(bound, timedelta):
        return f"to_microseconds({bound // timedelta(microseconds=1)})"
    return str(bound)


def unix_moment(column: str, a_second: int) -> Moment:
    """Return the time in a column of Unix time with ``a_second`` units per second, 1000 at most."""
    limit = END_OF_TIME_MILLISECONDS // 1000 * a_second
    unit, name = 1_000_000 // a_second, quoted(column)
    return Moment(
        column,
        f"CASE WHEN {name} < {limit} THEN make_timestamp({name} * {unit}) END",
        lambda record: from_milliseconds(record[column] * 1000 // a_second),
        ((column, unit),),
    )


def own_moment(column: str) -> Moment:
    """Return the time in a column of dates with times, UTC."""
    return Moment(column, quoted(column), lambda record: record[column].replace(tzinfo=UTC), ((column, _SECOND),))


def moment_at(column: str, at: At = At.START) -> Moment:
    """Return the time in a column of ``Timestamp``s, at which the record's own interval starts or ends."""

    def of(record: Record) -> datetime:
        if record[column] is None:
            raise BadRow(column, "is empty")
        return _shifted(column, record[column].replace(tzinfo=UTC), at)

    return Moment(column, _shifted_sql(quoted(column), at), of, ((column, 1),), shift=at.shift)


def day_and_time(day: str, time: str, zone: str = "UTC", at: At = At.START) -> Moment:
    """Return the time in a column of dates and one of times of day, local times of the zone."""
    local_zone = Zone(zone)

    def of(record: Record) -> datetime:
        if record[day] is None:
            raise BadRow(day, "is empty, and neither the file's name nor --date gives the day")
        if record[time] is None:
            raise BadRow(time, "is empty")
        try:
            utc = local_zone.to_utc(datetime.combine(record[day], record[time]))
        except BadValue as error:
            raise BadRow(time, str(error)) from None
        return _shifted(day, utc.replace(tzinfo=UTC), at)

    sql = _shifted_sql(local_zone.utc_sql(f"({quoted(day)} + {quoted(time)})"), at)
    return Moment(day, sql, of, ((day, 86_400 * _SECOND), (time, _SECOND)), local_zone, at.shift)


def _shifted(column: str, moment: datetime, at: At) -> datetime:
    if at is At.END and moment == EPOCH:
        raise BadRow(column, _NEVER_SET)
    return moment + timedelta(microseconds=at.shift)


def _shifted_sql(moment: str, at: At) -> str:
    return f"({moment} + to_microseconds({at.shift}))" if at.shift else moment


def moment_of(feed: Feed, record: Record) -> datetime:
    """Return a record's own time (UTC); raises BadRow if it is Unix time 0, before it, or on the last day of 9999."""
    try:
        moment = feed.moment.of(record)
    except OverflowError:
        moment = LAST_DAY
    if moment >= LAST_DAY:
        raise BadRow(feed.moment.column, "lies beyond 9999-12-30")
    if moment < EPOCH:
        raise BadRow(feed.moment.column, "lies before the year 1970")
    if moment == EPOCH:
        raise BadRow(feed.moment.column, _NEVER_SET)
    return moment
