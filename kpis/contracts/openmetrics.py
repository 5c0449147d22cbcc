"""OpenMetrics: a gauge for each value of a KPI, with the groups of the newest closed interval of each length.

``/metrics`` has the state of the installation; this has what it measures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Label

PREFIX = "network_analysis_kpi"


@dataclass(frozen=True)
class Group:
    """A group's values, and dimensions, by their names, in an interval of a length that ends at ``end`` (UTC)."""

    length: Length
    end: datetime
    columns: Mapping[str, Any]


GroupsOf = Callable[[KPI], Iterable[Group]]


def document(kpis: Sequence[KPI], groups_of: GroupsOf) -> bytes:
    """Return the metrics of KPIs as OpenMetrics text. ``groups_of`` is not asked for groups of personal KPIs."""
    registry = CollectorRegistry()
    registry.register(_Families(list(_families(kpis, groups_of))))
    return generate_latest(registry)


class _Families(Collector):
    """Metric families that are complete."""

    def __init__(self, families: list[GaugeMetricFamily]):
        self._families = families

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def _families(kpis: Sequence[KPI], groups_of: GroupsOf) -> Iterator[GaugeMetricFamily]:
    taken: set[str] = set()
    for kpi in kpis:
        labels = [*kpi.dimensions, "interval"]
        columns = [column for column in kpi.result_columns if column.name in kpi.measure.values]
        families = {}
        for column in columns:
            if isinstance(column.type, Label):
                continue
            help_text = f"{kpi.description}: {column.help_text}" if column.help_text else kpi.description
            unit = _unit(kpi) if column.name == kpi.value else ""
            found = GaugeMetricFamily(_name(kpi, column.name), help_text, labels=labels, unit=unit)
            if found.name in taken:
                found = GaugeMetricFamily(f"{PREFIX}_{kpi.id}_{column.name}", help_text, labels=labels, unit=unit)
            taken.add(found.name)
            families[column.name] = found
        for group in () if kpi.personal else groups_of(kpi):
            names = [f"{group.columns[name]}" for name in kpi.dimensions]
            for name, family in families.items():
                if group.columns[name] is not None:
                    at = int(group.end.timestamp())
                    family.add_metric([*names, group.length.short_name], group.columns[name], timestamp=at)
        yield from families.values()


def _name(kpi: KPI, value: str) -> str:
    return f"{PREFIX}_{kpi.words.replace(' ', '_').lower()}_{value}"


def _unit(kpi: KPI) -> str:
    """Return the KPI's unit if it can be one of OpenMetrics, a part of a metric's name; else ""."""
    return kpi.unit if re.fullmatch("[a-zA-Z][a-zA-Z0-9]*", kpi.unit) else ""
