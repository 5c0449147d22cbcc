"""Defaults of columns: the value of a record whose row has none."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from kpis.catalog.columns import BadValue, ColumnType
from kpis.catalog.file import entries
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source


def with_default(source: Source, at: Keys, entry: entries.AnyColumn, type_: ColumnType) -> ColumnType:
    """Return the type of a column, with the default of its entry if it has one.

    Raises CatalogError unless the column accepts the default.
    """
    default = getattr(entry, "default", None)
    if default is None:
        return type_
    if entry.optional:
        raise source.error(
            (*at, "optional"), "says that a record may have no value, but default gives it one: leave one of them out"
        )
    try:
        value = _value_of(default, type_)
    except BadValue as error:
        raise source.error((*at, "default"), f"is no value of the column: {default!r} {error}") from None
    if value is None:
        raise source.error((*at, "default"), f"is {default}, which means no value by the column's unknown")
    return replace(type_, optional=True, default=value)


def _value_of(default: bool | int | float | str, type_: ColumnType) -> Any:
    """Return a default as a value of the column, None for one that means no value; raises BadValue."""
    if isinstance(default, bool):
        return default
    # Without an exponent, which decimals do not have.
    text = format(Decimal(repr(default)), "f") if isinstance(default, float) else f"{default}"
    if not text:
        raise BadValue("is empty")
    if text != text.strip():
        raise BadValue("begins or ends with a space, which fields are read without")
    return type_.parse_text(text)
