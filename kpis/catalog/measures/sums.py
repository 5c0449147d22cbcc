"""Sums and counts of records."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.columns import Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber
from kpis.catalog.sql import quoted


@dataclass(frozen=True)
class Sum(Measure):
    """The sum of one or more whole-number columns, in the columns' unit.

    Summed in 128 bits and kept in 64: a sum that does not fit is an error, never a wrapped number. A record without a
    value in a column adds nothing of it.
    """

    columns: tuple[str, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        return self.columns

    @property
    def partial(self) -> dict[str, str]:
        sums = " + ".join(f"coalesce(sum({quoted(column)}), 0)" for column in self.columns)
        return {"sum": f"CAST({sums} AS BIGINT)"}

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
        return (ResultColumn(self.value, WholeNumber(), unit, at_least=least),)

    @property
    def total(self) -> str:
        return f"CAST(sum({quoted(self.value)}) AS BIGINT)"


@dataclass(frozen=True)
class Count(Measure):
    """The number of records; ``share`` names a further column, the group's share of the interval's total (0 to 1)."""

    share: str = ""

    @property
    def partial(self) -> dict[str, str]:
        return {"count": "count(*)"}

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
        return {self.share: f"CAST({value} AS DOUBLE) / sum({value}) OVER same_interval"}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        number = ResultColumn(self.value, WholeNumber(), at_least=1)
        if not self.share:
            return (number,)
        help_text = "of the interval's total, 0 to 1"
        return (number, ResultColumn(self.share, Fraction(), help_text, above=0, at_most=1, check="share_gt_0_lte_1"))

    @property
    def total(self) -> str:
        return f"CAST(sum({quoted(self.value)}) AS BIGINT)"


@dataclass(frozen=True)
class SumOverQuota(Measure):
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

    @property
    def total(self) -> str:
        return f"CAST(sum({quoted(self.value)}) AS BIGINT)"
