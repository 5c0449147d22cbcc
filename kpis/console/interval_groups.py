"""The groups of one interval: the first ones, the rest, and the true total."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.db.models import QuerySet

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.console.groups import labels
from kpis.models import IntervalSummary, KPIResult
from kpis.models.result_models import group_of, result_model

# The number of groups that a chart shows individually.
FIRST = 10


@dataclass(frozen=True)
class IntervalGroups:
    """One interval of a KPI: its summary, and its groups by rank."""

    kpi: KPI
    summary: IntervalSummary

    @property
    def rows(self) -> QuerySet[KPIResult]:
        """The groups that are kept, by rank."""
        there = result_model(self.kpi).objects.filter(
            interval=self.summary.interval, interval_start_timestamp=self.summary.interval_start_timestamp
        )
        return there.order_by("rank")

    @property
    def total(self) -> float | None:
        """The true value over all groups."""
        return self.summary.value

    @cached_property
    def bars(self) -> list[dict]:
        """The first groups, and "Other" if the measure adds up and there are more.

        Each has ``label``, ``value``, ``share`` of the total (None if the measure does not add up) and ``other``.
        """
        bars = []
        rows = list(self.rows[:FIRST])
        words = labels(self.kpi, ((group_of(row), row.interval_start_timestamp) for row in rows))
        for row, text in zip(rows, words, strict=True):
            value = getattr(row, self.kpi.value)
            bars.append({"label": text, "value": value, "share": self.share(value), "other": False})
        if self.total is not None and self.summary.groups > len(bars) and self.kpi.measure.adds_up:
            value = self.total - sum(bar["value"] for bar in bars)
            bars.append({"label": "Other", "value": value, "share": self.share(value), "other": True})
        return bars

    def share(self, value: float) -> float | None:
        """Return a value's share of the total, from 0 to 1; None if values do not add up."""
        return value / self.total if self.kpi.measure.adds_up and self.total else None


def interval_groups(kpi: KPI, length: Length, start: datetime) -> IntervalGroups | None:
    """Return the interval's groups; None if it has no records."""
    summary = IntervalSummary.objects.filter(kpi=kpi.id, interval=length.code, interval_start_timestamp=start).first()
    return IntervalGroups(kpi, summary) if summary else None


def newest(kpi: KPI, length: Length, before: datetime | None = None) -> IntervalSummary | None:
    """Return the newest interval of the length with records; with ``before``, of those that start before it."""
    summaries = IntervalSummary.objects.filter(kpi=kpi.id, interval=length.code)
    if before is not None:
        summaries = summaries.filter(interval_start_timestamp__lt=before)
    return summaries.order_by("-interval_start_timestamp").first()
