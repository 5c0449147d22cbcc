"""The tables of the KPIs that catalog files declare: one a KPI, named as the KPI is."""

from __future__ import annotations

from kpis.catalog.registry import DECLARED_KPIS
from kpis.models.result_models import make_result_model

for _kpi in DECLARED_KPIS.values():
    make_result_model(_kpi, __name__)
