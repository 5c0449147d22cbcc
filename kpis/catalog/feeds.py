"""Feeds: the kinds of raw records, each with its columns, units, checks and file names.

A row of a feed is a *record* if every column can be parsed and every check holds, else a *reject* with the column and
the reason. Columns and checks are defined twice, side by side: in Python, which judges a single row and is the truth,
and in SQL, which the engine uses to read rows by the million. The SQL may refuse a row that Python accepts (the row is
then judged by Python); it never accepts one that Python refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from kpis.catalog.columns import ColumnType
from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, EPOCH, LAST_DAY, Length, from_milliseconds

Record = Mapping[str, Any]


class BadRow(ValueError):
    """A row that is not a record: ``column`` (empty for the row as a whole) and ``reason``."""

    def __init__(self, column: str, reason: str):
        super().__init__(f"{column} {reason}" if column else reason)
        self.column = column
        self.reason = reason


class FileFormat(StrEnum):
    """The format of a feed's rows."""

    CSV = "CSV with a header"
    CSV_WITHOUT_HEADER = "CSV with or without a header"
    JSON_LINES = "one JSON object a line"


@dataclass(frozen=True)
class Column:
    """One column of a feed: its name, its type, its unit ("" for none).

    A file may lack a column that is not ``required``: its value is then the one that the file's name or the command
    gives, else none. ``source`` cites what defines the range of its values and the numbers that mean "unknown".
    """

    name: str
    type: ColumnType
    unit: str = ""
    required: bool = True
    source: str = ""

    @property
    def note(self) -> str:
        """A description of its unit, its values, those that mean "unknown", and the source of that."""
        said = "; ".join(part for part in (self.unit, self.type.accepted) if part)
        return f"{said} ({self.source})" if self.source else said


@dataclass(frozen=True)
class Place:
    """The columns of a record's place, in degrees: if both are exactly 0, the place is unknown.

    A device without a position writes 0,0, a point of the open sea off Africa; one of them alone may well be 0.
    """

    latitude: str
    longitude: str

    @property
    def columns(self) -> tuple[str, str]:
        return (self.latitude, self.longitude)

    def cleared(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record, without its place if that is unknown."""
        is_none = all(record[column] == 0 for column in self.columns)
        return record | dict.fromkeys(self.columns) if is_none else record

    def sql(self, table: str) -> str:
        """Return SQL for a table's rows with the record's columns, without unknown places."""
        is_none = " AND ".join(f'"{column}" = 0' for column in self.columns)
        replaced = ", ".join(
            f'CASE WHEN {is_none} THEN NULL ELSE "{column}" END AS "{column}"' for column in self.columns
        )
        return f"(SELECT * REPLACE ({replaced}) FROM {table})"


@dataclass(frozen=True)
class Check:
    """A condition on a row as a whole, in SQL over its typed columns and in Python over its values."""

    column: str
    reason: str
    sql: str
    holds: Callable[[Record], bool]


@dataclass(frozen=True)
class Moment:
    """A record's own time, UTC, from ``column``: in SQL (a TIMESTAMP, NULL if there is none) and in Python.

    In Python it raises BadRow if the record has none, and OverflowError beyond the year 9999.
    """

    column: str
    sql: str
    of: Callable[[Record], datetime]


@dataclass(frozen=True)
class Feed:
    """One kind of raw record.

    ``file_names`` are the patterns (as in a shell) of its files' names and ``endings`` how a finished file's name ends,
    see ``FileNames``. ``interval`` is the shortest interval that its records are counted in. ``name_end`` finds in a
    file's name the Unix time in milliseconds at which its interval ends, ``name_date`` the day of its records.
    """

    name: str
    description: str
    format: FileFormat
    file_names: tuple[str, ...]
    endings: tuple[str, ...]
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    moment: Moment
    interval: Length
    name_end: re.Pattern[str] | None = None
    name_date: re.Pattern[str] | None = None
    place: Place | None = None

    @property
    def title(self) -> str:
        """A short description of the feed's records."""
        return self.description.partition(":")[0]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError."""
        return {column.name: column for column in self.columns}[name]

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
            return date.fromisoformat(found[1]) if found else None
        except ValueError:
            return None

    @property
    def is_streamable(self) -> bool:
        """True if a single row can be parsed, as a message: its columns need no header."""
        return self.format is not FileFormat.CSV

    @property
    def needs_date(self) -> bool:
        """True if the records' day may come from elsewhere than the rows."""
        return self.name_date is not None


def unix_moment(column: str, a_second: int) -> Moment:
    """Return the time in a column of Unix time with ``a_second`` units per second."""
    limit = END_OF_TIME_MILLISECONDS // 1000 * a_second
    return Moment(
        column,
        f"CASE WHEN {column} < {limit} THEN make_timestamp({column} * {1_000_000 // a_second}) END",
        lambda record: from_milliseconds(record[column] * 1000 // a_second),
    )


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
        raise BadRow(feed.moment.column, "is Unix time 0, as of a clock that was never set")
    return moment
