"""The compiled scanner's kinds of columns."""

from __future__ import annotations

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
}
OF_TEXTS = frozenset([compiled.TEXT, compiled.CHOICE, compiled.POSTAL_CODE, compiled.ID])
# What one of a column's values is; of a time, the microseconds that it lasts.
MICRO = 1_000_000
UNITS = {compiled.DATE: 86_400 * MICRO, compiled.CLOCK: MICRO, compiled.MONTH_FIRST: MICRO}


def kind_of(type_: ColumnType) -> int | None:
    """Return the kind of a column of that type; None if the scanner does not read it."""
    if isinstance(type_, Integer) and not type_.is_digits:
        return None
    return KINDS.get(type(type_))
