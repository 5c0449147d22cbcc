"""The explanation of a value: its batches, its revisions, and the SQL over the lake that computes it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db.models import Sum

from kpis.catalog.intervals import Interval, to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console.figures import Change
from kpis.console.groups import BadGroup, Group, conditions, group_from, labels
from kpis.console.moments import BadMoment, parse
from kpis.models import Batch, BatchInterval, IntervalSummary, KPIResult, ResultPruning
from kpis.models.result_models import group_of, result_model
from kpis.query.figure_sql import figure_sql
from kpis.reference.subscribers import devices_at

# The most entries that a page lists; the API has all of them.
MOST_BATCHES = 100

# For each reference table, a function that returns the rows of a group as they were at a given time (UTC).
_REFERENCE_ROWS: dict[str, Callable[[Group, datetime], list[dict]]] = {
    "subscribers": lambda group, moment: devices_at(str(group["email"]), moment)
}


class BadFigure(ValueError):
    """Parameters that name no value; the message is for the person who wrote them."""


@dataclass(frozen=True)
class Part:
    """A batch, and the number of its records in the interval."""

    batch: Batch
    records: int


@dataclass(frozen=True)
class Figure:
    """A KPI's value in an interval: a group's, or the total without a group."""

    kpi: KPI
    interval: Interval
    group: Group | None

    @cached_property
    def summary(self) -> IntervalSummary | None:
        """The interval's summary; None if it has no records."""
        return IntervalSummary.objects.filter(
            kpi=self.kpi.id,
            interval=self.interval.length.code,
            interval_start_timestamp=self.interval.start,
        ).first()

    @cached_property
    def is_pruned(self) -> bool:
        """True if the interval's results were pruned: it has none, even if it had records."""
        before = ResultPruning.of(self.interval.length.code)
        return self.summary is None and before is not None and self.interval.end <= before

    @cached_property
    def row(self) -> KPIResult | None:
        """The group's row; None if there is none."""
        if self.group is None:
            return None
        rows = result_model(self.kpi).objects.filter(
            interval=self.interval.length.code, interval_start_timestamp=self.interval.start
        )
        return rows.filter(**conditions(self.kpi, self.group)).first()

    @cached_property
    def words(self) -> str:
        """The group in words, as the interval's records spell it, with the names that references have for it."""
        if self.group is None:
            return "All groups"
        spelled = group_of(self.row) if self.row else self.group
        return labels(self.kpi, [(spelled, self.interval.start)])[0]

    @property
    def value(self) -> float | int | None:
        """The value, as the API returns it."""
        if self.group is None:
            return self.total
        return getattr(self.row, self.kpi.value) if self.row else None

    @property
    def total(self) -> float | int | None:
        """The interval's value over all groups."""
        return self.summary.value if self.summary else None

    @property
    def others(self) -> list[tuple[str, object]]:
        """The row's other values, by name."""
        return [(name, getattr(self.row, name)) for name in self.kpi.measure.values[1:]] if self.row else []

    @property
    def is_cut_off(self) -> bool:
        """True if the group may be one that the top list does not keep."""
        return bool(self.group and self.row is None and self.summary and self.kpi.top)

    @property
    def previous(self) -> float | int | None:
        """The interval's value over all groups in the revision before; None if there is none."""
        return self.summary.previous_value if self.summary else None

    @property
    def change(self) -> Change:
        """The interval's value over all groups, compared with that of the revision before."""
        return Change(self.total, self.previous)

    @cached_property
    def parts(self) -> list[Part]:
        """The batches with records in the interval, by name; of more than MOST_BATCHES those with the most records."""
        held = BatchInterval.objects.filter(
            batch__feed=self.kpi.feed.name,
            interval_start_timestamp__gte=self.interval.start,
            interval_start_timestamp__lt=self.interval.end,
        )
        counts = held.order_by().values_list("batch").annotate(count=Sum("records")).order_by("-count", "batch")
        records = dict(counts[:MOST_BATCHES])
        batches = Batch.objects.select_related("run").defer("run__traceback").in_bulk(records)
        parts = [Part(batches[key], int(count)) for key, count in records.items()]
        return sorted(parts, key=lambda part: part.batch.name)

    @property
    def sql(self) -> str:
        """The SQL for ``manage.py query_lake`` that computes this value."""
        rows: list[dict] = []
        if self.group is not None and self.kpi.reference and self.summary:
            rows = _REFERENCE_ROWS[self.kpi.reference.table](self.group, self.summary.first_computed_at)
        return figure_sql(self.kpi, self.interval, self.group, rows)


def kpi_of(parameters: Mapping[str, str]) -> KPI | None:
    """Return the KPI that the parameters name; None if they name none."""
    text = parameters.get("kpi", "")
    return KPIS.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None


def figure_from(parameters: Mapping[str, str]) -> Figure:
    """Return the value named by the parameters: ``kpi``, ``interval``, ``start``, dimensions; raises BadFigure."""
    kpi = kpi_of(parameters)
    if kpi is None:
        raise BadFigure(f"kpi must be the id of a KPI, from {min(KPIS)} to {max(KPIS)}.")
    unknown = [name for name in parameters if name not in ("kpi", "interval", "start", *kpi.dimensions)]
    if unknown:
        raise BadFigure(f"{kpi.name} has no {unknown[0]}; its groups have {' and '.join(kpi.dimensions)}.")
    lengths = {str(length.code): length for length in kpi.lengths}
    length = lengths.get(parameters.get("interval", ""))
    if length is None:
        known = ", ".join(f"{code} ({length})" for code, length in lengths.items())
        raise BadFigure(f"interval must be one of {known}.")
    try:
        start = parse(parameters.get("start", ""))
        group = group_from(kpi, parameters)
    except (BadMoment, BadGroup) as error:
        raise BadFigure(str(error)) from None
    if not length.is_aligned(start):
        raise BadFigure(
            f"No interval of {length} starts then: the one that holds it starts {to_text(length.floor(start))}."
        )
    return Figure(kpi, length.at(start), group)
