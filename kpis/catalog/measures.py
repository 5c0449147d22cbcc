"""Measures: what a KPI counts, as SQL over three kinds of rows.

A measure is computed in three steps, each an SQL expression, so that every SQL engine gives the same answer:

1. *partial*: over the records of one batch, grouped by interval and dimensions: what the lake keeps;
2. *merge*: over the partials of any number of batches, grouped the same way: a group's values;
3. *total*: the interval's value over all groups: over the same partials without the dimensions, or, if the groups'
   values add up, over those values.

Partials hold sums, counts and the distinct values themselves, not final results. Therefore an hour merged from partials
is exact, unlike the sum of its top lists or of its 5-minute user counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from kpis.catalog.columns import Decimal, Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber
from kpis.catalog.sql import quoted

MICRO = 1_000_000


@dataclass(frozen=True)
class Measure(ABC):
    """The base of measures; ``value`` names the value's column, by which the groups are ranked, largest first."""

    value: str

    # True if the groups' values sum to the total, so that "Other" is the total less the top list.
    adds_up = True
    # True if values and total are fractions, rather than whole numbers.
    is_mean = False

    @property
    def measured(self) -> tuple[str, ...]:
        """The feed's columns whose values are added up or averaged."""
        return ()

    @property
    def partial_keys(self) -> tuple[str, ...]:
        """The columns that the partial is grouped by besides the interval and the dimensions."""
        return ()

    @property
    def weight(self) -> str:
        """Of a mean, the value column by which a mean of means is weighted; "" for other measures."""
        return ""

    @property
    @abstractmethod
    def partial(self) -> dict[str, str]:
        """The partial's own columns, each with its SQL over the records."""

    @abstractmethod
    def partial_units(self, unit: str) -> dict[str, str]:
        """The units of the partial's own columns, where the KPI's values have the unit."""

    @property
    @abstractmethod
    def merge(self) -> dict[str, str]:
        """A group's value columns, each with its SQL over the partials of the group."""

    @property
    def merge_one(self) -> dict[str, str]:
        """The same as ``merge`` for partials that are of one batch and one of its intervals, with no folded names."""
        return self.merge

    @property
    def finish(self) -> dict[str, str]:
        """Further columns, each with its SQL over merged groups; ``same_interval`` is the window of one interval."""
        return {}

    @property
    def having(self) -> str:
        """An SQL condition over a group's merged values: groups that do not satisfy it are left out."""
        return "true"

    @property
    def values(self) -> tuple[str, ...]:
        """All value columns of a result."""
        return (*self.merge, *self.finish)

    @abstractmethod
    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        """Return the result's value columns, for a feed's records and in the KPI's unit, in the order of ``values``."""

    @property
    @abstractmethod
    def total(self) -> str:
        """SQL for the interval's value: over its groups' values if they add up, else over its partials."""


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
class CountDistinct(Measure):
    """The number of distinct values of a column, over the records that have one.

    The partial holds the values themselves, once per group.
    """

    column: str
    adds_up = False

    @property
    def partial_keys(self) -> tuple[str, ...]:
        return (self.column,)

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
    is_mean = True

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
