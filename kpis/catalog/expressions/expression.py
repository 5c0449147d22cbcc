"""Expressions over a feed's columns: for checks, filters and derived columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kpis.catalog.columns import ColumnType
from kpis.catalog.expressions.errors import ExpressionError
from kpis.catalog.expressions.kinds import LARGEST, LARGEST_DECIMAL, PLACES, SMALLEST, TYPES, Kind, Type, Values

if TYPE_CHECKING:
    from kpis.catalog.expressions.nodes import Node, Record


class TooLarge(OverflowError):
    """An expression's value that does not fit its type; the message gives the reason."""


@dataclass(frozen=True)
class Expression:
    """An expression, parsed over columns; raises ExpressionError if it is wrong.

    ``columns_of`` are all columns that it may use, each with its type. ``of`` is the truth, and ``sql`` the same for
    DuckDB, over columns whose values are within the bounds of their types.
    """

    text: str
    columns_of: tuple[tuple[str, ColumnType], ...]

    def __post_init__(self) -> None:
        values = self.root.values
        if values.kind is Kind.NUMBER and values.scale > PLACES:
            raise ExpressionError(
                1, f"the value has {values.scale} decimal places, and {PLACES} are kept: write round(..., {PLACES})"
            )

        from kpis.catalog.expressions.numbers import bounded

        bounded(replace(values, least=values.least * self._factor, most=values.most * self._factor), 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return Expression, (self.text, self.columns_of)

    @cached_property
    def root(self) -> Node:
        """The expression's parts."""
        # Most processes have no expression.
        from kpis.catalog.expressions.builder import build

        return build(self.text, dict(self.columns_of))

    @property
    def values(self) -> Values:
        return self.root.values

    @property
    def type(self) -> Type:
        if self.values.kind is Kind.NUMBER:
            return Type.DECIMAL if self.values.scale else Type.INTEGER
        return TYPES[self.values.kind]

    @property
    def optional(self) -> bool:
        """True if the value may be missing."""
        return self.values.optional

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that it uses."""
        from kpis.catalog.expressions.nodes import names_in

        return tuple(dict.fromkeys(names_in(self.root)))

    @property
    def is_condition(self) -> bool:
        """True if its values are true and false."""
        return self.values.kind is Kind.BOOLEAN

    def of(self, record: Record) -> Any:
        """Return the value over a record, None if it is missing; raises TooLarge."""
        value = self.root.value(record)
        if value is None or self.values.kind is not Kind.NUMBER:
            return value
        if self.type is Type.INTEGER:
            if not SMALLEST <= value <= LARGEST:
                raise TooLarge("is beyond 64 bits")
            return value
        value *= self._factor
        if abs(value) > LARGEST_DECIMAL:
            raise TooLarge("is 1,000,000,000,000 or more")
        return Decimal(value).scaleb(-PLACES)

    @cached_property
    def sql(self) -> str:
        """The value in SQL; NULL if it is missing or too large."""
        value, limits = self._number
        if self.values.kind is not Kind.NUMBER:
            return self.root.sql
        found = f"TRY_CAST({value} AS BIGINT)"
        if self.type is Type.DECIMAL:
            found = (
                f"CAST({found} * CAST(0.{'0' * (PLACES - 1)}1 AS DECIMAL({PLACES}, {PLACES})) AS DECIMAL(18, {PLACES}))"
            )
        return f"CASE WHEN {limits} THEN {found} END" if limits else found

    @cached_property
    def sql_of_sums(self) -> str:
        """A whole number in SQL, as an aggregate: over the sums of its columns, each an error beyond 64 bits."""
        from kpis.catalog.expressions.sums import over_sums

        return over_sums(self.root).sql

    @property
    def fits_sql(self) -> str:
        """An SQL condition: true where the value is not too large."""
        _, limits = self._number
        return f"coalesce({limits}, true)" if limits else "true"

    @property
    def _factor(self) -> int:
        """What a number is multiplied by to be in millionths, if it is a decimal."""
        return 10 ** (PLACES - self.values.scale) if self.type is Type.DECIMAL else 1

    @property
    def _number(self) -> tuple[str, str]:
        """Return SQL for the value as a whole number of its type's unit, and for its limits, "" for none."""
        sql, values = self.root.sql, self.values
        if values.kind is not Kind.NUMBER:
            return sql, ""
        least, most = (SMALLEST, LARGEST) if self.type is Type.INTEGER else (-LARGEST_DECIMAL, LARGEST_DECIMAL)
        factor = self._factor
        if factor > 1:
            sql = f"({sql} * CAST('{factor}' AS HUGEINT))"
        if values.least * factor >= least and values.most * factor <= most:
            return sql, ""
        return sql, f"{sql} BETWEEN CAST('{least}' AS HUGEINT) AND CAST('{most}' AS HUGEINT)"


def expression(text: str, columns: Mapping[str, ColumnType]) -> Expression:
    """Return the expression of a text over columns with their types; raises ExpressionError."""
    return Expression(text, tuple(columns.items()))


def condition(text: str, columns: Mapping[str, ColumnType]) -> Expression:
    """Return an expression that is true or false; raises ExpressionError."""
    found = expression(text, columns)
    if not found.is_condition:
        raise ExpressionError(
            1, f"this is {found.values.kind}, but a condition is true or false: compare it, as in ... > 0"
        )
    return found
