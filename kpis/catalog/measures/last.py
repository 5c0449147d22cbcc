"""The newest value."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Combine, Measure
from kpis.catalog.measures.numbers import Number
from kpis.catalog.result_columns import ResultColumn

NEWEST, LAST = "newest", "last"


@dataclass(frozen=True)
class Last(Measure):
    """A column's value in the newest record that has one; of several at the same time the largest. NULL if none has.

    ``moment`` is SQL for a record's time over the columns ``moment_columns``, as ``Moment`` of the feed gives it. A
    partial keeps the time, by which it is grouped, so that partials can be combined in any order.
    """

    column: Number
    moment: str
    moment_columns: tuple[str, ...]
    adds_up = False

    @property
    def total_name(self) -> str:
        return "newest value"

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
    def needed(self) -> tuple[str, ...]:
        return (self.column.name, *self.moment_columns)

    @property
    def revealed(self) -> tuple[str, ...]:
        return self.measured

    @property
    def partial_keys(self) -> dict[str, str]:
        return {NEWEST: f"CASE WHEN {self.column.sql} IS NOT NULL THEN {self.moment} END"}

    @property
    def partial(self) -> dict[str, str]:
        return {LAST: self.column.whole(f"max({self.column.sql})")}

    @property
    def kept(self) -> str:
        return f'"{NEWEST}" IS NOT DISTINCT FROM max("{NEWEST}") OVER same_group'

    @property
    def combine(self) -> dict[str, Combine]:
        return {LAST: Combine.MOST}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {NEWEST: "time of the newest record with a value, UTC", LAST: self.column.unit_of_whole(unit)}

    @property
    def merge(self) -> dict[str, str]:
        return {self.value: self.total}

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        type_ = self.column.type_in(feed, f"{self.value} is the newest value")
        help_text = f"{unit}, the newest value" + ("; empty where no record has one" if type_.may_be_none else "")
        return (ResultColumn(self.value, self.column.result_type, help_text, optional=type_.may_be_none),)

    @property
    def total(self) -> str:
        newest = f'max_by("{LAST}", row("{NEWEST}", "{LAST}")) FILTER (WHERE "{NEWEST}" IS NOT NULL)'
        return self.column.shown(f"CAST({newest} AS BIGINT)")
