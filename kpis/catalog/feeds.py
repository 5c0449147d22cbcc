"""Feeds: the kinds of raw records, each with its columns, units, checks and file names.

A row of a feed is a *record* when every column can be read and every check holds, else a *reject* with the
column and the reason. What a column or a check means is said twice, side by side: in Python, which judges a single
row and is the truth, and in SQL, which the engine uses to read rows by the million. The SQL may refuse a row that
Python accepts (the row is then judged singly); it never accepts one that Python refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from fnmatch import translate
from typing import Any

from kpis.catalog.columns import (
    UUID,
    Choice,
    ColumnType,
    Date,
    Decimal,
    Integer,
    MonthFirst,
    PostalCode,
    Text,
    TimeOfDay,
)
from kpis.catalog.intervals import (
    END_OF_TIME_MILLISECONDS,
    EPOCH,
    FIVE_MINUTES,
    LAST_DAY,
    ONE_MINUTE,
    Length,
    from_milliseconds,
)

Record = Mapping[str, Any]

# How files' names end by what is written in them, and how those of packed files do after that.
CSV_ENDINGS = (".csv", ".txt")
JSON_LINES_ENDINGS = (".jsonl", ".json")
PACKED_ENDINGS = (".gz", ".zst")


class BadRow(ValueError):
    """A row that is no record: ``column`` (empty when it is the row as a whole) and ``reason``."""

    def __init__(self, column: str, reason: str):
        super().__init__(f"{column} {reason}" if column else reason)
        self.column = column
        self.reason = reason


class Form(StrEnum):
    """How a feed's rows are written down."""

    CSV = "CSV with a header"
    CSV_WITHOUT_HEADER = "CSV with or without a header"
    JSON_LINES = "one JSON object a line"


@dataclass(frozen=True)
class Column:
    """One column of a feed: its name, its type, its unit ("" for none).

    ``may_lack`` lets a file do without it: its value is then the one that the file's name or the command gives, else
    none. ``source`` says where the range of its values and the numbers that stand for an unknown one come from.
    """

    name: str
    type: ColumnType
    unit: str = ""
    may_lack: bool = False
    source: str = ""

    @property
    def note(self) -> str:
        """Its unit, the values that it takes, which of them mean that the value is unknown, and the source of that."""
        said = "; ".join(part for part in (self.unit, self.type.accepted) if part)
        return f"{said} ({self.source})" if self.source else said


@dataclass(frozen=True)
class Place:
    """The columns of a record's place, in degrees: where both are exactly 0, it is unknown.

    A device without a position writes 0,0, a point of the open sea off Africa; one of them alone may well be 0.
    """

    latitude: str
    longitude: str

    @property
    def columns(self) -> tuple[str, str]:
        return (self.latitude, self.longitude)

    def cleared(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record, without its place where that is none."""
        is_none = all(record[column] == 0 for column in self.columns)
        return record | dict.fromkeys(self.columns) if is_none else record

    def sql(self, table: str) -> str:
        """SQL for the rows of a table with the record's columns, without their places where these are none."""
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
    """A record's own time, UTC: ``column`` tells it, in SQL (a TIMESTAMP, NULL where there is none) and in Python.

    In Python it raises BadRow where the record has none, and OverflowError beyond the year 9999.
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
    form: Form
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
        """What the feed has, in a few words."""
        return self.description.partition(":")[0]

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def interval_end_in(self, file_name: str) -> datetime | None:
        """The interval end (UTC) that a file's name gives, or None."""
        found = self.name_end.search(file_name) if self.name_end else None
        try:
            return from_milliseconds(int(found[1])) if found else None
        except OverflowError:
            return None

    def date_in(self, file_name: str) -> date | None:
        """The day that a file's name gives, or None."""
        found = self.name_date.search(file_name) if self.name_date else None
        try:
            return date.fromisoformat(found[1]) if found else None
        except ValueError:
            return None

    @property
    def needs_date(self) -> bool:
        """Whether the records' day may come from elsewhere than the rows."""
        return self.name_date is not None


_START, _END = "interval_start_timestamp", "interval_end_timestamp"
_FIVE_MINUTES = FIVE_MINUTES.milliseconds


def _from_unix(column: str, a_second: int) -> Moment:
    """The moment in a column of Unix time that has so many units a second."""
    limit = END_OF_TIME_MILLISECONDS // 1000 * a_second
    return Moment(
        column,
        f"CASE WHEN {column} < {limit} THEN make_timestamp({column} * {1_000_000 // a_second}) END",
        lambda record: from_milliseconds(record[column] * 1000 // a_second),
    )


IPFLOW = Feed(
    name="ipflow",
    description="IP flows: bytes up and down per subscriber, service and cell in five minutes",
    form=Form.CSV,
    file_names=("ipflow_data.*",),
    endings=CSV_ENDINGS,
    columns=(
        Column(_START, Integer(), "ms since 1970-01-01T00:00Z"),
        Column(_END, Integer(), "ms since 1970-01-01T00:00Z"),
        Column("msisdn", Integer(minimum=1)),
        Column("bytes_uplink", Integer(), "bytes"),
        Column("bytes_downlink", Integer(), "bytes"),
        Column("service_id", Integer(bits=32, minimum=-(2**31))),
        Column("cell_id", Integer(minimum=-(2**63))),
    ),
    checks=(
        Check(
            _END,
            "is not 5 minutes after interval_start_timestamp",
            f"{_END} - {_START} = {_FIVE_MINUTES}",
            lambda row: row[_END] - row[_START] == _FIVE_MINUTES,
        ),
        Check(
            _START,
            "is not aligned to 5 minutes",
            f"{_START} % {_FIVE_MINUTES} = 0",
            lambda row: row[_START] % _FIVE_MINUTES == 0,
        ),
    ),
    moment=_from_unix(_START, a_second=1000),
    interval=FIVE_MINUTES,
    name_end=re.compile(r"\.ts-([0-9]{1,15})\."),
)

ANTENNA = Feed(
    name="antenna",
    description="Antenna messages: bytes per device, antenna and app",
    form=Form.JSON_LINES,
    file_names=("antenna_data.*",),
    endings=JSON_LINES_ENDINGS,
    columns=(
        Column("timestamp", Integer(), "s since 1970-01-01T00:00Z"),
        Column("id", UUID()),
        Column("antenna_id", UUID()),
        Column("bytes", Integer(), "bytes"),
        Column("app", Text()),
    ),
    checks=(),
    moment=_from_unix("timestamp", a_second=1),
    interval=FIVE_MINUTES,
)


# What a phone gives for a number that it does not know: CellInfo.UNAVAILABLE of Android, the largest of 32 bits.
_UNAVAILABLE = 2**31 - 1
_NO_FIX = (-1, _UNAVAILABLE)


def _moment_of_log(record: Record) -> datetime:
    if record["date"] is None:
        raise BadRow("date", "is empty, and neither the file's name nor --date gives the day")
    return datetime.combine(record["date"], record["hour"], UTC)


COVERAGE = Feed(
    name="coverage",
    description="Coverage logs of phones: signal, GPS precision and network status by place",
    form=Form.CSV,
    file_names=("coverage_data.*",),
    endings=CSV_ENDINGS,
    columns=(
        Column("date", Date(optional=True), may_lack=True),
        Column("hour", TimeOfDay()),
        Column("lat", Decimal(optional=True, minimum=-90, maximum=90, unknown=(_UNAVAILABLE,)), "degrees"),
        Column("long", Decimal(optional=True, minimum=-180, maximum=180, unknown=(_UNAVAILABLE,)), "degrees"),
        Column(
            "signal",
            # -1 is a value of UMTS as well, but nearly always a phone's word for none.
            Decimal(optional=True, minimum=-5, maximum=97, unknown=(-1, 99, 255, _UNAVAILABLE), scale="ASU, not dBm"),
            "ASU",
            source="3GPP TS 27.007 8.5 and 8.69, TS 25.133 9.1.1.3, Android CellSignalStrength",
        ),
        Column("network", Text(optional=True)),
        Column("operator", Text(optional=True)),
        Column(
            "status",
            Integer(maximum=3),
            "0 in service, 1 out of service, 2 emergency only, 3 radio off",
            source="Android ServiceState",
        ),
        Column("description", Text(optional=True)),
        Column("net", Text(optional=True), may_lack=True),
        Column(
            "speed",
            Decimal(optional=True, minimum=0, maximum=2160, unknown=_NO_FIX),
            "km/h",
            source="600 m/s, beyond which civil receivers give no fix: MTCR 11.A.3; CoreLocation's -1",
        ),
        Column(
            "satellites",
            Decimal(optional=True, minimum=0, maximum=99, unknown=_NO_FIX),
            "satellites",
            source="two digits in NMEA 0183 GGA",
        ),
        Column(
            "precission",
            Decimal(optional=True, minimum=0, maximum=20_037_509, unknown=_NO_FIX),
            "m",
            source="half the equator of WGS 84; CoreLocation's -1",
        ),
        Column("provider", Text(optional=True)),
        Column("activity", Text(optional=True)),
        Column("postal_code", PostalCode(optional=True)),
    ),
    checks=(),
    moment=Moment("date", "date + hour", _moment_of_log),
    interval=FIVE_MINUTES,
    name_date=re.compile(r"\.([0-9]{4}-[0-9]{2}-[0-9]{2})\."),
    place=Place("lat", "long"),
)

# Networks end a call after hours; what lasts for weeks is a time that was not known when the record was written.
_LONGEST_CALL = timedelta(days=30)

CDR = Feed(
    name="cdr",
    description="Call detail records: calls and texts by county and operator",
    form=Form.CSV_WITHOUT_HEADER,
    file_names=("cdr_data.*", "cdr_[0-9]*.csv"),
    endings=CSV_ENDINGS,
    columns=(
        Column("SourcePN", Text(longest=32)),
        Column("DestPN", Text(longest=32)),
        Column("Location", Text()),
        Column("StartT", MonthFirst()),
        Column("EndT", MonthFirst()),
        Column("Type", Choice(words=("CALL", "TEXT"))),
        Column("Company", Text()),
    ),
    checks=(
        Check("EndT", "is before StartT", "EndT >= StartT", lambda row: row["EndT"] >= row["StartT"]),
        Check(
            "EndT",
            f"is more than {_LONGEST_CALL.days} days after StartT",
            f"EndT - StartT <= INTERVAL {_LONGEST_CALL.days} DAYS",
            lambda row: row["EndT"] - row["StartT"] <= _LONGEST_CALL,
        ),
    ),
    moment=Moment("StartT", "StartT", lambda row: row["StartT"].replace(tzinfo=UTC)),
    interval=ONE_MINUTE,
)

FEEDS = {feed.name: feed for feed in (IPFLOW, ANTENNA, COVERAGE, CDR)}

FEED_FILES = {pattern: feed.name for feed in FEEDS.values() for pattern in feed.file_names}


class FileNames:
    """Tells by a file's name which feed it belongs to, and whether it is finished.

    ``feed_files`` maps patterns (as in a shell) to feeds' names; the first that fits decides. A pattern that ends in
    ``*`` takes the names that end as the feed's files do (in any case); any other takes just what it says. Both also
    take a name with ``.gz`` or ``.zst`` behind. A name that fits but for its end is that of an unfinished file, such as
    ``NAME.csv.inprogress``; one that begins with a dot belongs to no feed.
    """

    def __init__(self, feed_files: Mapping[str, str] = FEED_FILES):
        self._feeds = [FEEDS[feed] for feed in feed_files.values()]
        # One expression for them all: a folder may hold hundreds of thousands of files.
        self._finished = _any_of(_finished(pattern, FEEDS[feed]) for pattern, feed in feed_files.items())
        self._begun = _any_of(translate(pattern.rstrip("*") + "*") for pattern in feed_files)

    def feed_of(self, file_name: str) -> Feed | None:
        """The feed that a finished file belongs to by its name; None where it belongs to none or is unfinished."""
        return self._feed(self._finished, file_name)

    def unfinished(self, file_name: str) -> Feed | None:
        """The feed that an unfinished file will belong to by its name; None where it is finished or of no feed."""
        return None if self.feed_of(file_name) else self._feed(self._begun, file_name)

    def _feed(self, match: Callable[[str], re.Match[str] | None], file_name: str) -> Feed | None:
        found = None if file_name.startswith(".") else match(file_name)
        return self._feeds[found.lastindex - 1] if found and found.lastindex else None


def _any_of(expressions: Iterable[str]) -> Callable[[str], re.Match[str] | None]:
    """Matches any of the expressions; the match's last index is the expression's number, from 1."""
    return re.compile("|".join(f"({one})" for one in expressions)).match


def _finished(pattern: str, feed: Feed) -> str:
    """A regular expression, without groups, for the names of finished files."""
    if not pattern.endswith("*"):
        return "|".join(translate(pattern + packed) for packed in ("", *PACKED_ENDINGS))
    endings, packed = ("|".join(map(re.escape, some)) for some in (feed.endings, PACKED_ENDINGS))
    return rf"(?={translate(pattern)})(?si:.*(?:{endings})(?:{packed})?)\Z"


def feed_of(file_name: str, feed_files: Mapping[str, str] = FEED_FILES) -> Feed | None:
    """The feed that a finished file belongs to by its name, or None; see ``FileNames``."""
    return FileNames(feed_files).feed_of(file_name)


def moment_of(feed: Feed, record: Record) -> datetime:
    """A record's own time (UTC); raises BadRow where it is Unix time 0, before it, or on the last day of 9999."""
    try:
        moment = feed.moment.of(record)
    except OverflowError:
        moment = LAST_DAY
    if moment >= LAST_DAY:
        raise BadRow(feed.moment.column, "lies beyond 9999-12-30")
    if moment < EPOCH:
        raise BadRow(feed.moment.column, "lies before the year 1970")
    if moment == EPOCH:
        raise BadRow(feed.moment.column, "is Unix time 0, which a clock shows that was never set")
    return moment
