"""Feeds: the kinds of raw records, each with its columns, units, checks and file names.

A row of a feed is a *record* when every column can be read and every check holds, else a *reject* with the
column and the reason. What a column or a check means is said twice here, side by side: in Python, which
judges a single row and is the truth, and in SQL, which the engine uses to take in rows by the million. The
SQL may refuse a row that Python accepts (the row is then judged singly); it never accepts one that Python
refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from kpis.catalog.intervals import FIVE_MINUTES, ONE_DAY, Length, from_milliseconds

# The end of the year 9999, after which no supported database can keep a moment.
END_OF_TIME_MILLISECONDS = 253_402_300_800_000
# So the day, and the hour, that end then cannot be kept either.
LAST_DAY_MILLISECONDS = END_OF_TIME_MILLISECONDS - ONE_DAY.milliseconds


class BadValue(ValueError):
    """A field's text that its column cannot hold; the message says why, without repeating the text."""


class BadRow(ValueError):
    """A row that is no record: ``column`` (empty when it is the row as a whole) and ``reason``."""

    def __init__(self, column: str, reason: str):
        super().__init__(f"{column} {reason}" if column else reason)
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class Integer:
    """A whole number of ``bits`` bits, signed, of at least ``minimum``, in plain decimal digits."""

    bits: int = 64
    minimum: int = 0
    sql_type = property(lambda self: {32: "INTEGER", 64: "BIGINT"}[self.bits])
    _digits = re.compile(r"-?[0-9]+", re.ASCII)

    def parse(self, text: str) -> int:
        """The number; raises BadValue."""
        if not text:
            raise BadValue("is empty")
        if not self._digits.fullmatch(text):
            raise BadValue("is not a whole number")
        # Twenty digits are beyond 64 bits whatever they are, unless they are zeros.
        digits = text.lstrip("-").lstrip("0") or "0"
        number = int(digits[:20]) * (-1 if text[0] == "-" else 1)
        if not -(2 ** (self.bits - 1)) <= number < 2 ** (self.bits - 1):
            raise BadValue(f"is beyond {self.bits} bits")
        if number < self.minimum:
            raise BadValue("is negative" if self.minimum == 0 else f"is less than {self.minimum}")
        return number

    def holds(self, column: str) -> str:
        """SQL: whether the typed column's value is one that ``parse`` would give."""
        return f"{column} >= {self.minimum}"


@dataclass(frozen=True)
class Column:
    """One column of a feed: its name in the header, its type, its unit ("" for none)."""

    name: str
    type: Integer
    unit: str = ""


@dataclass(frozen=True)
class Check:
    """A condition on a row as a whole, in SQL over its typed columns and in Python over its values."""

    column: str
    reason: str
    sql: str
    holds: Callable[[Mapping[str, int]], bool]


@dataclass(frozen=True)
class Feed:
    """One kind of raw record.

    ``file_names`` are the patterns (as in a shell) of its files' names, ``name_timestamp`` finds in a name the
    Unix time in milliseconds at which its interval ends. ``interval`` is the feed's shortest interval, and
    ``timestamp_sql`` and ``timestamp`` give a record's own time in Unix milliseconds, in SQL and in Python.
    """

    name: str
    description: str
    file_names: tuple[str, ...]
    columns: tuple[Column, ...]
    checks: tuple[Check, ...]
    interval: Length
    timestamp_sql: str
    timestamp: Callable[[Mapping[str, int]], int]
    name_timestamp: re.Pattern[str] | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def interval_end_in(self, file_name: str) -> datetime | None:
        """The interval end (UTC) that a file's name gives, or None."""
        found = self.name_timestamp.search(file_name) if self.name_timestamp else None
        if not found:
            return None
        try:
            return from_milliseconds(int(found[1]))
        except OverflowError:
            return None


_START, _END = "interval_start_timestamp", "interval_end_timestamp"
_FIVE_MINUTES = FIVE_MINUTES.milliseconds

IPFLOW = Feed(
    name="ipflow",
    description="IP flows: bytes up and down per subscriber, service and cell in five minutes",
    file_names=("ipflow_data.*",),
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
            _START,
            "lies beyond 9999-12-30",
            f"{_START} < {LAST_DAY_MILLISECONDS}",
            lambda row: row[_START] < LAST_DAY_MILLISECONDS,
        ),
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
    interval=FIVE_MINUTES,
    timestamp_sql=_START,
    timestamp=lambda row: row[_START],
    name_timestamp=re.compile(r"\.ts-([0-9]{1,15})\."),
)

FEEDS = {feed.name: feed for feed in (IPFLOW,)}

FEED_FILES = {pattern: feed.name for feed in FEEDS.values() for pattern in feed.file_names}

# Names of files that are still being written.
UNFINISHED = (".*", "*.tmp", "*.part")


def feed_of(file_name: str, feed_files: Mapping[str, str] = FEED_FILES) -> Feed | None:
    """The feed that a file belongs to by its name, or None; ``feed_files`` maps patterns to feeds' names."""
    if any(fnmatchcase(file_name, pattern) for pattern in UNFINISHED):
        return None
    for pattern, feed in feed_files.items():
        if fnmatchcase(file_name, pattern):
            return FEEDS[feed]
    return None
