"""The compiled scanner's kinds of columns, and its tables of zones and of layouts of times."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from kpis.catalog.columns import (
    UUID,
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
    UnixTimestamp,
)
from kpis.catalog.columns.layouts import Layout
from kpis.catalog.columns.timestamps import LocalTimestamp
from kpis.catalog.columns.zones import END_OF_TABLE, UTC_ZONE, Zone
from kpis.engine import compiled

KINDS: dict[type[ColumnType], int] = {
    Integer: compiled.INTEGER,
    Decimal: compiled.DECIMAL,
    Text: compiled.TEXT,
    Choice: compiled.CHOICE,
    PostalCode: compiled.POSTAL_CODE,
    UUID: compiled.ID,
    Date: compiled.DATE,
    TimeOfDay: compiled.CLOCK,
    MonthFirst: compiled.MONTH_FIRST,
    Boolean: compiled.BOOLEAN,
    ISOTimestamp: compiled.ISO_TIME,
    FormattedTimestamp: compiled.WRITTEN_TIME,
    UnixTimestamp: compiled.UNIX_TIME,
}
OF_TEXTS = frozenset([compiled.TEXT, compiled.CHOICE, compiled.POSTAL_CODE, compiled.ID, compiled.BOOLEAN])
OF_TIMES = frozenset([compiled.ISO_TIME, compiled.WRITTEN_TIME, compiled.UNIX_TIME])
OF_WHOLE_NUMBERS = frozenset([compiled.INTEGER, compiled.WHOLE])
# Those that JSON may have without quotes, plain whole numbers aside.
OF_BARE_VALUES = frozenset([compiled.DECIMAL, compiled.WHOLE, compiled.BOOLEAN, compiled.UNIX_TIME])
# What one of a column's values is; of a time, the microseconds that it lasts.
MICRO = 1_000_000
UNITS = {compiled.DATE: 86_400 * MICRO, compiled.CLOCK: MICRO, compiled.MONTH_FIRST: MICRO} | dict.fromkeys(OF_TIMES, 1)
# The times that SQL and the scanner read, in microseconds.
_SPAN = tuple(
    (datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01")).total_seconds()
    for text in ("1000-01-01", "9999-12-31 23:59:59")
)
EARLIEST_TIME, LATEST_TIME = int(_SPAN[0]) * MICRO, int(_SPAN[1]) * MICRO + MICRO - 1
_PIECES = {
    "%Y": (compiled.YEAR, 0),
    "%y": (compiled.SHORT_YEAR, 0),
    "%m": (compiled.PART, compiled.MONTH),
    "%d": (compiled.PART, compiled.DAY),
    "%H": (compiled.PART, compiled.HOUR),
    "%I": (compiled.PART, compiled.HOUR),
    "%M": (compiled.PART, compiled.MINUTE),
    "%S": (compiled.PART, compiled.SECOND),
    "%b": (compiled.MONTH_NAME, 0),
    "%B": (compiled.LONG_MONTH_NAME, 0),
    "%p": (compiled.HALF, 0),
    "%f": (compiled.FRACTION, 0),
    "%z": (compiled.OFFSET, 0),
}


def kind_of(type_: ColumnType) -> int | None:
    """Return the kind of a column of that type; None if the scanner does not read it."""
    if isinstance(type_, Integer) and not type_.is_digits:
        return compiled.WHOLE
    if isinstance(type_, FormattedTimestamp) and pieces_of(type_.layout) is None:
        return None
    if isinstance(type_, Boolean) and _words_of(type_) is None:
        return None
    return KINDS.get(type(type_))


def flags_of(type_: ColumnType) -> int:
    """Return the flags that a column has by its type."""
    flags = compiled.BARE if kind_of(type_) in OF_BARE_VALUES else 0
    if isinstance(type_, Integer) and type_.scientific:
        flags |= compiled.SCIENTIFIC
    if isinstance(type_, ISOTimestamp) and type_.days:
        flags |= compiled.DAYS
    return flags


def pieces_of(layout: Layout) -> bytes | None:
    """Return a layout for the scanner, two bytes a piece; None if it is too long, or not of ASCII."""
    if not layout.format.isascii() or len(layout.pieces) > compiled.MOST_PIECES:
        return None
    program = bytearray()
    for piece, is_fixed in zip(layout.pieces, layout.is_fixed, strict=True):
        what, argument = _PIECES.get(piece, (compiled.LITERAL, ord(piece[-1])))
        program += bytes([compiled.FIXED_PART if is_fixed else what, argument])
    return bytes(program)


def words_of(type_: Boolean) -> list[tuple[bytes, str]]:
    """Return the words of a column, in lower case, each with the text of its value."""
    return _words_of(type_) or []


def _words_of(type_: Boolean) -> list[tuple[bytes, str]] | None:
    words = [(word.encode(), str(value).lower()) for word, value in type_.words.items()]
    fits = len(words) <= compiled.MOST_WORDS and all(len(word) <= compiled.LONGEST_WORD for word, _ in words)
    return words if fits else None


def zone_of(type_: ColumnType) -> Zone | None:
    """Return the zone whose local times a column has; None for one whose times are UTC."""
    zone = type_.local_zone if isinstance(type_, LocalTimestamp) else UTC_ZONE
    return None if zone.is_utc else zone


def changes_of(zone: Zone) -> np.ndarray:
    """Return a zone's changes for the scanner, rows of microseconds, the last one where they end."""
    changes = [(one.until, one.since, one.offset) for one in zone.changes]
    return np.array([*changes, (END_OF_TABLE, END_OF_TABLE, 0)], dtype=np.int64) * MICRO


def unit_of(type_: ColumnType) -> int:
    """Return the microseconds of one of a column's numbers; 0 if they are none."""
    return type_.unit if isinstance(type_, UnixTimestamp) else 0
