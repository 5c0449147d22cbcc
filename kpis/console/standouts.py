"""Anomalies of every KPI in the newest hour of its feed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console.groups import Group, labels
from kpis.console.interval_groups import newest
from kpis.console.selection import Selection
from kpis.models.result_models import result_model
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW, Verdict
from kpis.query.intervals import default_length
from kpis.query.series import Series

SPAN = timedelta(hours=1)
SHOWN = 12


@dataclass(frozen=True)
class Standout:
    """A group's value that is an anomaly, and the selection that shows it; ``words`` are the group as text."""

    kpi: KPI
    group: Group
    words: str
    start: datetime
    rank: int
    value: float
    verdict: Verdict
    selection: Selection

    @property
    def distance(self) -> float:
        """The number of deviations, without the sign."""
        return float("inf") if self.verdict.z is None else abs(self.verdict.z)


def standouts(hidden: Iterable[int]) -> list[Standout]:
    """Return the anomalies of the newest hour, the farthest first, without those of the hidden KPIs."""
    found = [one for kpi in KPIS.values() if kpi.id not in set(hidden) for one in _of(kpi)]
    return sorted(found, key=lambda one: (-one.distance, one.kpi.id, one.start, one.rank))


def _of(kpi: KPI) -> Iterable[Standout]:
    length = default_length(kpi)
    last = newest(kpi, length)
    if last is None:
        return
    first = min(last.interval_start_timestamp, last.interval_end_timestamp - SPAN)
    rows = result_model(kpi).objects.filter(interval=length.code)
    series = Series(kpi, rows, length, DEFAULT_WINDOW, DEFAULT_THRESHOLD)
    found = list(series.anomalies((first, last.interval_start_timestamp)))
    groups = [(dict(zip(kpi.dimensions, one.row[4:-5], strict=True)), one.key[0]) for one in found]
    for one, (group, start), words in zip(found, groups, labels(kpi, groups), strict=True):
        value, mean, deviation, z, intervals = one.row[-5:]
        shown = Selection(kpi, length, first - 2 * SPAN, last.interval_end_timestamp, group, start)
        yield Standout(kpi, group, words, start, one.key[-1], value, Verdict(mean, deviation, z, intervals), shown)
