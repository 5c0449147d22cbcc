"""The kinds of values in expressions, and the kind of a column's values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kpis.catalog.columns import ColumnType, Decimal, Integer
from kpis.catalog.result_columns import Label

# Decimals are kept to six places: as whole numbers of millionths, below 10^18.
PLACES = 6
LARGEST_DECIMAL = 10**18 - 1
SMALLEST, LARGEST = -(2**63), 2**63 - 1


class Kind(StrEnum):
    """A kind of values, in the words of messages."""

    NUMBER = "a number"
    TEXT = "a text"
    BOOLEAN = "true or false"
    DATE = "a date"
    TIME = "a time of day"
    TIMESTAMP = "a time"


TIMES = frozenset([Kind.DATE, Kind.TIME, Kind.TIMESTAMP])


class Type(StrEnum):
    """The type of an expression's values."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time of day"
    TIMESTAMP = "timestamp"


TYPES = {
    Kind.TEXT: Type.TEXT,
    Kind.BOOLEAN: Type.BOOLEAN,
    Kind.DATE: Type.DATE,
    Kind.TIME: Type.TIME,
    Kind.TIMESTAMP: Type.TIMESTAMP,
}
_SQL_KINDS = {
    "VARCHAR": Kind.TEXT,
    "BOOLEAN": Kind.BOOLEAN,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
    "TIMESTAMP": Kind.TIMESTAMP,
}


@dataclass(frozen=True)
class Values:
    """The values of an expression or a part of it.

    Numbers are whole numbers of 10^-``scale``, from ``least`` to ``most``; of texts, ``most`` is the number of
    characters. ``optional`` values may be missing.
    """

    kind: Kind
    scale: int = 0
    least: int = 0
    most: int = 0
    optional: bool = False


def values_of(type_: ColumnType) -> Values | None:
    """Return what a column's values are, or None if no expression can use them."""
    if isinstance(type_, Integer):
        beyond = 1 << (type_.bits - 1)
        most = beyond - 1 if type_.maximum is None else min(type_.maximum, beyond - 1)
        return Values(Kind.NUMBER, 0, max(type_.minimum, -beyond), most, type_.may_be_none)
    if isinstance(type_, Decimal):
        least, most = (
            max(type_.minimum * 10**PLACES, -LARGEST_DECIMAL),
            min(type_.maximum * 10**PLACES, LARGEST_DECIMAL),
        )
        return Values(Kind.NUMBER, PLACES, least, most, type_.may_be_none)
    kind = _SQL_KINDS.get(type_.sql_type)
    if kind is None:
        return None
    longest = type_.result_type.longest if isinstance(type_.result_type, Label) else 0
    return Values(kind, most=longest, optional=type_.may_be_none)
