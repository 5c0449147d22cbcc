"""The columns of a KPI's rows that readers see."""

from __future__ import annotations

from kpis.catalog.kpis import KPI

INTERVAL_COLUMNS = ("interval_start_timestamp", "interval_end_timestamp", "interval")


def row_columns(kpi: KPI) -> list[str]:
    """Return the columns of a KPI's rows, in the order in which they are shown."""
    return ["id", *INTERVAL_COLUMNS, *kpi.columns, "rank"]
