"""Means and standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.columns import Decimal, Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.measures.numbers import MICRO, Number
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber
from kpis.catalog.sql import quoted

# Sums of squares are kept in two numbers: how often they have this, and the rest.
SQUARES = 10**12


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


@dataclass(frozen=True)
class StandardDeviation(Measure):
    """The sample standard deviation of a column of numbers, over the records that have a value; NULL for less than two.

    For the n values x it is the root of (n * sum(x^2) - sum(x)^2) / (n * (n - 1)), whose parts are whole numbers of
    128 bits: of decimals, x is in millionths. Only the quotient and the root are rounded, so that it depends on no
    order. What does not fit is an error, never a wrapped number. ``samples`` names the column that counts the values.
    """

    column: Number
    samples: str
    adds_up = False

    @property
    def total_name(self) -> str:
        return "standard deviation"

    @property
    def total_of_none(self) -> None:
        return None

    @property
    def is_fraction(self) -> bool:
        return True

    @property
    def measured(self) -> tuple[str, ...]:
        return (self.column.name,)

    @property
    def partial(self) -> dict[str, str]:
        number = f"CAST({self.column.whole(self.column.sql)} AS HUGEINT)"
        squares = f"coalesce(sum({number} * {number}), 0)"
        return {
            "sum": f"CAST(coalesce(sum({number}), 0) AS BIGINT)",
            "squares": f"CAST({squares} // {SQUARES} AS BIGINT)",
            "squares_rest": f"CAST({squares} % {SQUARES} AS BIGINT)",
            "samples": f"count({self.column.sql})",
        }

    def partial_units(self, unit: str) -> dict[str, str]:
        kept = self.column.unit_of_whole(unit)
        return {
            "sum": kept,
            "squares": f"sum of squares of {kept}, in 10^12",
            "squares_rest": "the rest of it, in 1",
            "samples": "records with a value",
        }

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total, self.samples: 'CAST(sum("samples") AS BIGINT)'}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        self.column.type_in(feed, f"{self.value} is a standard deviation")
        help_text = f"{unit}, of the sample (n - 1); empty for less than two values"
        return (
            ResultColumn(self.value, Fraction(), help_text, optional=True, at_least=0),
            ResultColumn(self.samples, WholeNumber(), "records with a value", at_least=0),
        )

    @property
    def total(self) -> str:
        n = 'CAST(sum("samples") AS HUGEINT)'
        total = 'CAST(sum("sum") AS HUGEINT)'
        squares = f'(CAST(sum("squares") AS HUGEINT) * {SQUARES} + CAST(sum("squares_rest") AS HUGEINT))'
        spread = f"CAST({n} * {squares} - {total} * {total} AS DOUBLE)"
        found = f"sqrt({spread} / CAST({n} * ({n} - 1) AS DOUBLE))"
        return f"CASE WHEN {n} > 1 THEN {found + f' / {MICRO}' if self.column.is_decimal else found} END"
