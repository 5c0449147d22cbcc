"""The columns of a KPI's table in lists and files."""

from __future__ import annotations

from kpis.catalog.kpis import KPI
from kpis.models import KPIResult

INTERVAL_COLUMNS = ("interval_start_timestamp", "interval_end_timestamp", "interval")


def value_columns(kpi: KPI, model: type[KPIResult]) -> list[str]:
    """Return the columns that hold a KPI's values: neither the columns that every KPI has nor dimensions."""
    folded = [dimension.folded_column for dimension in kpi.folded]
    others = {"id", *kpi.dimensions, *folded, *(field.name for field in KPIResult._meta.local_fields)}
    return [field.name for field in model._meta.concrete_fields if field.name not in others]


def result_columns(kpi: KPI, model: type[KPIResult]) -> list[str]:
    """Return the columns of a KPI's rows, in the order in which they are shown."""
    return ["id", *INTERVAL_COLUMNS, *kpi.dimensions, *value_columns(kpi, model), "rank"]
