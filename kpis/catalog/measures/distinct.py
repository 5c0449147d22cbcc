"""Numbers of distinct values."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.result_columns import ResultColumn, WholeNumber
from kpis.catalog.sql import quoted


@dataclass(frozen=True)
class CountDistinct(Measure):
    """The number of distinct values of a column, over the records that have one.

    The partial holds the values themselves, once per group.
    """

    column: str
    adds_up = False

    @property
    def total_words(self) -> str:
        return "in all"

    @property
    def total_of_none(self) -> int:
        return 0

    @property
    def needed(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def partial_keys(self) -> dict[str, str]:
        return {self.column: quoted(self.column)}

    @property
    def partial(self) -> dict[str, str]:
        return {}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total}

    @property
    def merge_one(self) -> dict[str, str]:
        # A partial holds each value once per group, so that they can be counted; a record without one is none.
        return {self.value: f"count({quoted(self.column)})"}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        least = 0 if feed.column(self.column).type.may_be_none else 1
        return (ResultColumn(self.value, WholeNumber(), f"distinct {self.column}", at_least=least),)

    @property
    def total(self) -> str:
        return f"count(DISTINCT {quoted(self.column)})"
