"""Columns of numbers as measures keep them: as whole numbers of 64 bits, which add up and compare exactly."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.columns import ColumnType, Decimal, Integer
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.result_columns import BadEntry, Fraction, WholeNumber
from kpis.catalog.sql import quoted

MICRO = 1_000_000


@dataclass(frozen=True)
class Number:
    """A column of numbers; those that are decimals are kept in millionths."""

    name: str
    is_decimal: bool = False

    @property
    def sql(self) -> str:
        """The column's value in SQL."""
        return quoted(self.name)

    @property
    def result_type(self) -> WholeNumber | Fraction:
        return Fraction() if self.is_decimal else WholeNumber()

    def whole(self, sql: str) -> str:
        """Return a value of the column, as SQL, as the whole number that is kept, as SQL."""
        # A wider type, as its own has no room for the product.
        return (
            f"CAST(CAST({sql} AS DECIMAL(25, 6)) * {MICRO} AS BIGINT)" if self.is_decimal else f"CAST({sql} AS BIGINT)"
        )

    def shown(self, sql: str) -> str:
        """Return a whole number that is kept, as SQL, as the column's value, as SQL."""
        return f"CAST({sql} AS DOUBLE) / {MICRO}" if self.is_decimal else sql

    def unit_of_whole(self, unit: str) -> str:
        """Return the unit of the whole number that is kept, for the unit of the column's values."""
        return f"millionths of {unit}" if self.is_decimal else unit

    def type_in(self, feed: Feed, what: str) -> ColumnType:
        """Return the column's type in a feed; raises BadEntry, which begins with ``what``, if it has no numbers."""
        type_ = feed.column(self.name).type
        if not isinstance(type_, Integer | Decimal):
            raise BadEntry(f"{what} of {self.name}, which has no numbers")
        if isinstance(type_, Decimal) != self.is_decimal:
            raise BadEntry(f"{what} of {self.name}: is_decimal must be {not self.is_decimal}")
        return type_


def number_of(column: Column) -> Number:
    """Return a feed's column as a number."""
    return Number(column.name, isinstance(column.type, Decimal))
