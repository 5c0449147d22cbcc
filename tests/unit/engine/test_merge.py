"""The merge of whole numbers in memory."""

from __future__ import annotations

import pytest

from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.kpis import KPI
from kpis.engine.merge import merge


@pytest.mark.parametrize("kpi", [SERVICE_TRAFFIC_VOLUME, CELL_UNIQUE_USERS], ids=lambda kpi: kpi.name)
def test_an_interval_without_a_row_has_no_groups(kpi: KPI):
    merged = merge(kpi, [])
    assert (merged.dimensions.tolist(), merged.values.tolist(), merged.total) == ([], [], 0)
