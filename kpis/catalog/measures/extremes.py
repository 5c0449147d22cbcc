"""Least and largest values."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Combine, Measure
from kpis.catalog.measures.numbers import Number
from kpis.catalog.result_columns import ResultColumn


@dataclass(frozen=True)
class Extreme(Measure, ABC):
    """The least or the largest value of a column of numbers, over the records that have one; NULL if none has."""

    column: Number
    adds_up = False

    # Its name, and how those of several batches become one.
    name = ""
    aggregate = Combine.LEAST

    @property
    def total_name(self) -> str:
        return self.name

    @property
    def total_of_none(self) -> None:
        return None

    @property
    def is_fraction(self) -> bool:
        return self.column.is_decimal

    @property
    def measured(self) -> tuple[str, ...]:
        return (self.column.name,)

    @property
    def revealed(self) -> tuple[str, ...]:
        return self.measured

    @property
    def partial(self) -> dict[str, str]:
        return {self.name: self.column.whole(f"{self.aggregate}({self.column.sql})")}

    @property
    def combine(self) -> dict[str, Combine]:
        return {self.name: self.aggregate}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {self.name: self.column.unit_of_whole(unit)}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        type_ = self.column.type_in(feed, f"{self.value} is the {self.name}")
        help_text = f"{unit}, the {self.name}" + ("; empty where no record has a value" if type_.may_be_none else "")
        return (ResultColumn(self.value, self.column.result_type, help_text, optional=type_.may_be_none),)

    @property
    def total(self) -> str:
        return self.column.shown(f'CAST({self.aggregate}("{self.name}") AS BIGINT)')


@dataclass(frozen=True)
class Minimum(Extreme):
    """The least value of a column."""

    name = "minimum"


@dataclass(frozen=True)
class Maximum(Extreme):
    """The largest value of a column."""

    name = "maximum"
    aggregate = Combine.MOST
