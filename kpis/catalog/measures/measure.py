"""The base of measures: what each of them gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kpis.catalog.feeds import Feed
from kpis.catalog.result_columns import ResultColumn

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression


class Combine(StrEnum):
    """How a partial's values of several batches become one: the aggregate of SQL that does it."""

    SUM = "sum"
    LEAST = "min"
    MOST = "max"


@dataclass(frozen=True)
class Measure(ABC):
    """The base of measures; ``value`` names the value's column, by which the groups are ranked, largest first.

    A measure is data: equal ones compute the same, and each can be hashed and pickled. What a partial keeps are whole
    numbers of 64 bits, so that no figure depends on the order of records, batches or partials.
    """

    value: str

    # True if the groups' values sum to the total, so that "Other" is the total less the top list.
    adds_up = True

    @property
    def total_name(self) -> str:
        """What the value over all groups is called."""
        return "total"

    @property
    def total_words(self) -> str:
        """What precedes the value over all groups in a sentence."""
        return self.total_name

    @property
    def total_of_none(self) -> float | None:
        """The value of an interval without a record that counts."""
        return None

    @property
    def is_fraction(self) -> bool:
        """True if values and total are fractions, rather than whole numbers."""
        return False

    @property
    def measured(self) -> tuple[str, ...]:
        """The feed's columns whose values are added up, averaged or compared."""
        return ()

    @property
    def conditions(self) -> tuple[Expression, ...]:
        """Conditions on records, by which some of them count."""
        return ()

    @property
    def needed(self) -> tuple[str, ...]:
        """All columns of the feed that the partial's SQL uses."""
        return (*self.measured, *(column for condition in self.conditions for column in condition.columns))

    @property
    def revealed(self) -> tuple[str, ...]:
        """The columns of which results show values of single records: if one is personal, the KPI must be."""
        return ()

    @property
    def partial_keys(self) -> dict[str, str]:
        """The columns that the partial is grouped by besides the interval and the dimensions, each with its SQL."""
        return {}

    @property
    def note(self) -> str:
        """What readers of the values have to know of them, as a sentence: an error that is theirs by design."""
        return ""

    @property
    def weight(self) -> str:
        """Of a mean, the value column by which a mean of means is weighted; "" for other measures."""
        return ""

    @property
    @abstractmethod
    def partial(self) -> dict[str, str]:
        """The partial's own columns, each with its SQL over the records."""

    @property
    def combine(self) -> dict[str, Combine]:
        """How the partial's own columns of several batches become one; those of the same keys."""
        return dict.fromkeys(self.partial, Combine.SUM)

    @property
    def kept(self) -> str:
        """An SQL condition on a partial's rows that the lake keeps; ``same_group`` is the window of one group's."""
        return ""

    @property
    def windows(self) -> dict[str, str]:
        """Columns that partials have when they are merged, each with its SQL over them.

        ``same_group`` is the window of the rows of one group, and for the total of those of one interval.
        """
        return {}

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
        """Return the result's value columns, for a feed's records and in the KPI's unit, in the order of ``values``.

        Raises BadEntry if the feed's columns are none that the measure can use.
        """

    @property
    @abstractmethod
    def total(self) -> str:
        """SQL for the interval's value: over its groups' values if they add up, else over its partials."""
