"""The newest closed interval of each of a KPI's lengths, with its groups."""

from __future__ import annotations

from collections.abc import Iterator

from kpis.catalog.kpis import KPI
from kpis.contracts.openmetrics import Group
from kpis.models import IntervalSummary
from kpis.models.result_models import result_model
from kpis.query.rows import stream


def newest_groups(kpi: KPI) -> Iterator[Group]:
    """Yield the groups of the newest interval that is final, of each length, by rank; raises the database's errors."""
    for length in kpi.lengths:
        final = IntervalSummary.objects.filter(
            kpi=kpi.id, interval=length.code, state=IntervalSummary.State.FINAL
        ).order_by("-interval_start_timestamp")
        newest = final.first()
        if newest is None:
            continue
        rows = result_model(kpi).objects.filter(
            interval=length.code, interval_start_timestamp=newest.interval_start_timestamp
        )
        for row in stream(rows.order_by("rank").values(*kpi.columns)):
            yield Group(length, newest.interval_end_timestamp, row)
