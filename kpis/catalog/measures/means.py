"""Means."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.columns import Decimal, Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.measures.numbers import MICRO
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber
from kpis.catalog.sql import quoted


@dataclass(frozen=True)
class Mean(Measure):
    """The mean of a decimal column over the records that have a value; NULL if none has.

    ``samples`` and ``empty`` name the columns that count the records with and without a value. Sums are kept in
    millionths, as whole numbers, so that the mean does not depend on the order of the records.
    """

    column: str
    samples: str
    empty: str
    adds_up = False

    @property
    def total_name(self) -> str:
        return "mean"

    @property
    def total_words(self) -> str:
        return "on average"

    @property
    def is_fraction(self) -> bool:
        return True

    @property
    def weight(self) -> str:
        return self.samples

    @property
    def measured(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def partial(self) -> dict[str, str]:
        column = quoted(self.column)
        return {
            "micro_sum": f"CAST(coalesce(sum({column}), 0) * {MICRO} AS BIGINT)",
            "samples": f"count({column})",
            "empty": f"count(*) - count({column})",
        }

    def partial_units(self, unit: str) -> dict[str, str]:
        return {"micro_sum": f"millionths of {unit}", "samples": "records with a value", "empty": "records without one"}

    @property
    def merge(self) -> dict[str, str]:
        return {
            self.value: self.total,
            self.samples: 'CAST(sum("samples") AS BIGINT)',
            self.empty: 'CAST(sum("empty") AS BIGINT)',
        }

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        if not isinstance(feed.column(self.column).type, Integer | Decimal):
            raise BadEntry(f"{self.value} is a mean of {self.column}, which has no numbers")
        mean = f"{unit}, over the samples; empty where there are none"
        return (
            ResultColumn(self.value, Fraction(), mean, optional=True),
            ResultColumn(self.samples, WholeNumber(), "records with a value", at_least=0),
            ResultColumn(self.empty, WholeNumber(), "records without one, left out of the average", at_least=0),
        )

    @property
    def total(self) -> str:
        return f'CAST(sum("micro_sum") AS DOUBLE) / {MICRO} / nullif(sum("samples"), 0)'
