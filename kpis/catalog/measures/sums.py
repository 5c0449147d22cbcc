"""Sums and counts of records."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kpis.catalog.columns import Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber
from kpis.catalog.sql import quoted

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression


def filtered(where: Expression | None) -> str:
    """Return what makes an SQL aggregate one over the records for which a condition is true."""
    return f" FILTER (WHERE {where.sql})" if where else ""


def summed(columns: tuple[str, ...], where: Expression | None) -> str:
    """Return SQL for the sum of columns over records for which a condition is true; an error beyond 64 bits."""
    sums = " + ".join(f"coalesce(sum({quoted(column)}){filtered(where)}, 0)" for column in columns)
    return f"CAST({sums} AS BIGINT)"


def of_records(where: Expression | None) -> str:
    """Return the end of a description: of which records."""
    return f" of records where {where.text}" if where else ""


@dataclass(frozen=True)
class Adding(Measure, ABC):
    """A measure whose groups' values sum to the total."""

    @property
    def total_words(self) -> str:
        return "in all"

    @property
    def total_of_none(self) -> int:
        return 0

    @property
    def total(self) -> str:
        return f"CAST(sum({quoted(self.value)}) AS BIGINT)"


@dataclass(frozen=True)
class Sum(Adding):
    """The sum of one or more whole-number columns, in the columns' unit, over the records for which ``where`` is true.

    Summed in 128 bits and kept in 64: a sum that does not fit is an error, never a wrapped number. A record without a
    value in a column adds nothing of it.
    """

    columns: tuple[str, ...]
    where: Expression | None = None

    @property
    def conditions(self) -> tuple[Expression, ...]:
        return (self.where,) if self.where else ()

    @property
    def note(self) -> str:
        return f"Only records for which {self.where.text} is true add to it." if self.where else ""

    @property
    def measured(self) -> tuple[str, ...]:
        return self.columns

    @property
    def partial(self) -> dict[str, str]:
        return {"sum": summed(self.columns, self.where)}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {"sum": unit}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: 'CAST(sum("sum") AS BIGINT)'}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        numbers = [of for of in (feed.column(name).type for name in self.columns) if isinstance(of, Integer)]
        if len(numbers) < len(self.columns):
            raise BadEntry(f"{self.value} is a sum of {', '.join(self.columns)}: not all of them are whole numbers")
        least = 0 if all(number.minimum >= 0 for number in numbers) else None
        return (ResultColumn(self.value, WholeNumber(), f"{unit}{of_records(self.where)}", at_least=least),)


@dataclass(frozen=True)
class Count(Adding):
    """The number of records for which ``where`` is true.

    ``share`` names a further column, the group's share of the interval's total (0 to 1); NULL if that is 0.
    """

    share: str = ""
    where: Expression | None = None

    @property
    def conditions(self) -> tuple[Expression, ...]:
        return (self.where,) if self.where else ()

    @property
    def note(self) -> str:
        return f"Only records for which {self.where.text} is true add to it." if self.where else ""

    @property
    def partial(self) -> dict[str, str]:
        return {"count": f"count(*){filtered(self.where)}"}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {"count": "records"}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: 'CAST(sum("count") AS BIGINT)'}

    @property
    def finish(self) -> dict[str, str]:
        if not self.share:
            return {}
        value = quoted(self.value)
        return {self.share: f"CAST({value} AS DOUBLE) / nullif(sum({value}) OVER same_interval, 0)"}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        if self.where:
            number = ResultColumn(self.value, WholeNumber(), f"number{of_records(self.where)}", at_least=0)
        else:
            number = ResultColumn(self.value, WholeNumber(), at_least=1)
        if not self.share:
            return (number,)
        help_text = "of the interval's total, 0 to 1"
        if self.where:
            help_text += "; empty if that is 0"
            return (number, ResultColumn(self.share, Fraction(), help_text, optional=True, at_least=0, at_most=1))
        return (number, ResultColumn(self.share, Fraction(), help_text, above=0, at_most=1, check="share_gt_0_lte_1"))


@dataclass(frozen=True)
class SumOverQuota(Adding):
    """Sums that are larger than their group's quota, from the partials of a ``Sum`` joined with a reference table.

    All rows of the reference table that make one group have the same quota.
    """

    quota: str

    @property
    def partial(self) -> dict[str, str]:
        return {}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: 'CAST(sum("sum") AS BIGINT)', self.quota: f"max({quoted(self.quota)})"}

    @property
    def having(self) -> str:
        # By their SQL: a name may be that of a column of the partials as well.
        return f"{self.merge[self.value]} > {self.merge[self.quota]}"

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        return (
            ResultColumn(self.value, WholeNumber(), unit, above=self.quota),
            ResultColumn(self.quota, WholeNumber(), unit),
        )
