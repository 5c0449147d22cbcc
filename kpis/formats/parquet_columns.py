"""The columns of a Parquet file: the kinds of their values, and which of them a feed's column can hold.

A value is read as the text that a CSV file would have for it, by the type of the feed's column: the whole number 5, the
DOUBLE 5.0 and the STRING ``5`` are the same. Dates, times of day and timestamps are read as what they are. What a row
has is given by ``raw``, in SQL, as a value that Python has without loss: days since 1970 for a DATE, microseconds for
a TIME and a TIMESTAMP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context
from decimal import Decimal as Number
from enum import StrEnum
from typing import Any

from kpis.catalog.columns import (
    UUID,
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    Date,
    Decimal,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    MonthFirst,
    PostalCode,
    Text,
    TimeOfDay,
    Timestamp,
    UnixTimestamp,
)

# A longer text is a reject, and is cut before Python has it.
LONGEST_TEXT = 2**16
DAY_MICROSECONDS = 86_400_000_000
# What ``raw`` gives for a time that is infinite.
INFINITE = 2**63 - 1
OUTSIDE = "lies outside the years 1 to 9999"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  UTC, without saying so
_MICROSECOND = timedelta(microseconds=1)
# To how many places a number is written for a column; a float of seconds is exact to less than a microsecond.
_PLACES: dict[tuple[type, type], int] = {(Number, Decimal): 30, (float, UnixTimestamp): 6}
_EXACT = Context(prec=1_500, rounding=ROUND_HALF_EVEN)


class Kind(StrEnum):
    """A kind of values; the logical and physical types of Parquet are several for most of them."""

    BOOLEAN = "BOOLEAN"
    WHOLE = "INT"
    FLOAT = "FLOAT"
    DECIMAL = "DECIMAL"
    TEXT = "STRING"
    BYTES = "BYTE_ARRAY"
    UUID = "UUID"
    DATE = "DATE"
    TIME = "TIME"
    TIMESTAMP = "TIMESTAMP"
    NONE = "NULL"
    OTHER = "OTHER"


_KINDS = {
    r"BOOLEAN": Kind.BOOLEAN,
    r"U?(TINY|SMALL|BIG)?INT(EGER)?": Kind.WHOLE,
    r"FLOAT|DOUBLE": Kind.FLOAT,
    r"DECIMAL\(([12]?[0-9]|3[0-8]),[0-9]+\)": Kind.DECIMAL,
    r"VARCHAR|JSON": Kind.TEXT,
    r"BLOB": Kind.BYTES,
    r"UUID": Kind.UUID,
    r"DATE": Kind.DATE,
    r"TIME(_NS| WITH TIME ZONE)?": Kind.TIME,
    r"TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE|TZ_NS)?": Kind.TIMESTAMP,
    r'"?NULL"?': Kind.NONE,
}
_TEXTS = frozenset([Kind.TEXT, Kind.BYTES, Kind.NONE])
_NUMBERS = frozenset([Kind.WHOLE, Kind.FLOAT, Kind.DECIMAL])


@dataclass(frozen=True)
class Fit:
    """What a type of a feed's columns can hold, by kind, with its name and the type to write it as, for messages."""

    kinds: frozenset[Kind]
    noun: str
    advice: str


_FITS: dict[type[Any], Fit] = {
    Integer: Fit(_TEXTS | _NUMBERS, "a whole number", "INT64"),
    Decimal: Fit(_TEXTS | _NUMBERS, "a decimal number", "DECIMAL or DOUBLE"),
    PostalCode: Fit(_TEXTS | _NUMBERS, "a postal code", "STRING"),
    Text: Fit(_TEXTS | {Kind.BOOLEAN, Kind.WHOLE, Kind.DECIMAL, Kind.UUID}, "text", "STRING"),
    Choice: Fit(_TEXTS | {Kind.BOOLEAN, Kind.WHOLE}, "one of a few words", "STRING"),
    UUID: Fit(_TEXTS | {Kind.UUID}, "a UUID", "UUID or STRING"),
    Date: Fit(_TEXTS | {Kind.DATE, Kind.TIMESTAMP}, "a day", "DATE"),
    TimeOfDay: Fit(_TEXTS | {Kind.TIME}, "a time of day", "TIME"),
    MonthFirst: Fit(_TEXTS | {Kind.TIMESTAMP}, "a time", "TIMESTAMP"),
    Timestamp: Fit(_TEXTS | {Kind.TIMESTAMP}, "a time", "TIMESTAMP"),
    FormattedTimestamp: Fit(_TEXTS | {Kind.TIMESTAMP, Kind.WHOLE}, "a time", "TIMESTAMP"),
    UnixTimestamp: Fit(_TEXTS | _NUMBERS | {Kind.TIMESTAMP}, "a time", "TIMESTAMP or INT64"),
    Boolean: Fit(_TEXTS | {Kind.BOOLEAN, Kind.WHOLE}, "true or false", "BOOLEAN"),
    ColumnType: Fit(_TEXTS | {Kind.WHOLE}, "read from text", "STRING"),
}


def fit_of(column_type: ColumnType) -> Fit:
    """Return what a type of a feed's columns can hold."""
    fit = next(_FITS[one] for one in type(column_type).__mro__ if one in _FITS)
    if isinstance(column_type, ISOTimestamp) and column_type.days:
        return replace(fit, kinds=fit.kinds | {Kind.DATE})
    return fit


@dataclass(frozen=True)
class FileColumn:
    """A column of a file: its name, its type as DuckDB names it, and its name in DuckDB, where none comes twice."""

    name: str
    type: str
    key: str

    @property
    def kind(self) -> Kind:
        return next((kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, self.type)), Kind.OTHER)

    @property
    def is_utc(self) -> bool:
        """True if a time is UTC, and not local time."""
        return "TZ" in self.type or "ZONE" in self.type

    def raw(self, field: str) -> str:
        """Return SQL for the value that Python gets of a field (an SQL expression)."""
        if self.kind is Kind.FLOAT:
            return f"CAST({field} AS DOUBLE)"
        if self.kind is Kind.TEXT:
            return f"left({field}, {LONGEST_TEXT + 1})"
        if self.kind is Kind.BYTES:
            return f"{field}[1:{4 * LONGEST_TEXT + 1}]"
        if self.kind is Kind.UUID:
            return f"CAST({field} AS VARCHAR)"
        if self.kind is Kind.DATE:
            return self._finite(field, f"date_diff('day', DATE '1970-01-01', {field})")
        if self.kind in (Kind.TIME, Kind.TIMESTAMP):
            return self.microseconds(field)
        return field

    def microseconds(self, field: str) -> str:
        """Return SQL for a time in microseconds: what it has below is cut off, which moves none to another interval."""
        if not self.type.endswith("_NS"):
            return self._finite(field, f"epoch_us({field})")
        number = f"epoch_ns({field})"
        return self._finite(field, f"({number} // 1000 - CAST({number} % 1000 < 0 AS BIGINT))")

    def _finite(self, field: str, number: str) -> str:
        return f"CASE WHEN {field} IS NOT NULL THEN coalesce({number}, {INFINITE}) END"

    def shown(self, raw: Any) -> Any:
        """Return a value as a reject's text shows it: a number as such, anything else as a text."""
        try:
            if isinstance(raw, float):
                return raw if raw - raw == 0 else str(raw)
            if isinstance(raw, bytes):
                return raw.decode("utf-8", "backslashreplace")
            if raw is None or self.kind not in (Kind.DATE, Kind.TIME, Kind.TIMESTAMP):
                return raw
            if self.kind is Kind.DATE:
                return day_of(raw).isoformat()
            if self.kind is Kind.TIME:
                return time_of(raw).isoformat()
            return moment_of(raw).isoformat() + "Z" * self.is_utc
        except BadValue:
            return raw


def text_of(kind: Kind, raw: Any, column_type: ColumnType) -> str:
    """Return the text of a value that is no time; raises BadValue."""
    if raw is None:
        return ""
    if kind is Kind.BYTES and len(raw) <= 4 * LONGEST_TEXT:
        try:
            raw = raw.decode()
        except UnicodeDecodeError:
            raise BadValue("is not valid UTF-8") from None
    if isinstance(raw, (bytes, str)):
        if isinstance(raw, bytes) or len(raw) > LONGEST_TEXT:
            raise BadValue(f"is longer than {LONGEST_TEXT:,} characters")
        return raw.strip(" \t")
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, (float, Number)):
        return _number_text(raw, column_type)
    return str(raw)


def _number_text(raw: float | Number, column_type: ColumnType) -> str:
    """Return a number in decimal digits, exactly, or to as many places as the column reads."""
    number = Number(raw)
    if not number.is_finite():
        return str(raw)
    if number == number.to_integral_value(context=_EXACT):
        return str(int(number))
    places = _PLACES.get((type(raw), type(column_type))) or _PLACES.get((Number, type(column_type)))
    if places:
        number = number.quantize(Number((0, (1,), -places)), context=_EXACT)
    return f"{number:f}".rstrip("0").rstrip(".")


def day_of(days: int) -> date:
    """Return the day that is so many days after 1970-01-01; raises BadValue."""
    try:
        return (_EPOCH + timedelta(days)).date()
    except OverflowError:
        raise BadValue(OUTSIDE) from None


def time_of(microseconds: int) -> time:
    """Return the time of day so many microseconds after midnight; raises BadValue."""
    if not 0 <= microseconds < DAY_MICROSECONDS:
        raise BadValue("is not a time of day")
    return (_EPOCH + timedelta(microseconds=microseconds)).time()


def moment_of(microseconds: int) -> datetime:
    """Return the time, without a zone, so many microseconds after 1970; raises BadValue."""
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        raise BadValue(OUTSIDE) from None
