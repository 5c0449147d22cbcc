"""Measures: what a KPI counts, as SQL over three kinds of rows.

A measure is figured in three steps, each an SQL expression, so that every engine that speaks SQL gives the
same answer:

1. *partial*: over the records of one batch, grouped by interval and dimensions: what the lake keeps;
2. *merge*: over the partials of any number of batches, grouped the same way: a group's values;
3. *total*: over the same partials without the dimensions: the interval's value over all groups.

Partials hold sums, counts and the distinct things themselves, never finished figures. That is why an hour
merged from partials is exact, where the sum of its top lists or of its 5-minute user counts is not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure(ABC):
    """What a KPI counts; ``value`` names its column, by which the groups are ranked, largest first."""

    value: str

    @property
    def partial_keys(self) -> tuple[str, ...]:
        """Columns that the partial is grouped by besides the interval and the dimensions."""
        return ()

    @property
    @abstractmethod
    def partial(self) -> dict[str, str]:
        """The partial's own columns, each with its SQL over the records."""

    @property
    @abstractmethod
    def merge(self) -> dict[str, str]:
        """The result's value columns, each with its SQL over the partials of one group."""

    @property
    def merge_one(self) -> dict[str, str]:
        """What ``merge`` gives, where the partials are known to be of one batch and one of its intervals."""
        return self.merge

    @property
    @abstractmethod
    def total(self) -> str:
        """SQL over an interval's partials: its value over all groups."""

    @property
    @abstractmethod
    def adds_up(self) -> bool:
        """Whether the groups' values sum to the total, so that "Other" is the total less the top list."""


@dataclass(frozen=True)
class Sum(Measure):
    """The sum of one or more whole-number columns, in the columns' unit.

    Summed in 128 bits and kept in 64: a sum that does not fit is an error, never a wrapped number.
    """

    columns: tuple[str, ...]
    adds_up = True

    @property
    def partial(self) -> dict[str, str]:
        return {"sum": f"CAST({' + '.join(f'sum({column})' for column in self.columns)} AS BIGINT)"}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total}

    @property
    def total(self) -> str:
        return "CAST(sum(sum) AS BIGINT)"


@dataclass(frozen=True)
class CountDistinct(Measure):
    """How many different values a column has. The partial holds the values themselves, once a group."""

    column: str
    adds_up = False

    @property
    def partial_keys(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def partial(self) -> dict[str, str]:
        return {}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total}

    @property
    def merge_one(self) -> dict[str, str]:
        # A partial holds each value once a group: nothing to tell apart.
        return {self.value: "count(*)"}

    @property
    def total(self) -> str:
        return f"count(DISTINCT {self.column})"
