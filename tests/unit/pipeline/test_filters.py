"""A KPI with a filter counts some of the records; intervals and their summaries count all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kpis.catalog import registry
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.checks import column_types
from kpis.catalog.expressions import condition
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.models import CellUniqueUsers, IntervalSummary, ServiceTrafficVolume
from tests.twin import Flow, file_text
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["scanned", "in bulk"])
def large_flows(request, monkeypatch):
    """KPI 1 counts flows of more than 10 bytes alone."""
    text = "bytes_uplink + bytes_downlink > 10"
    if request.param == "in bulk":
        text += " and not is_missing(if(true, 'text', 'other'))"
    filter = condition(text, column_types(IPFLOW.columns))
    monkeypatch.setitem(registry.KPIS, 1, replace(registry.KPIS[1], filter=filter))


def sums(length) -> list[tuple[int, int]]:
    found = ServiceTrafficVolume.objects.filter(interval=length.code).order_by("interval_start_timestamp", "rank")
    return list(found.values_list("service_id", "total_bytes"))


def summaries(length, kpi: int) -> list[tuple[int, int, int]]:
    found = IntervalSummary.objects.filter(interval=length.code, kpi=kpi).order_by("interval_start_timestamp")
    return list(found.values_list("total", "groups", "records"))


def flow(seconds: int, service: int, size: int) -> Flow:
    return Flow(START + seconds, 1, size, 0, service, 7)


def test_the_kpis_page_names_the_filter(client, large_flows):
    page = client.get("/kpis/1/").content.decode()
    assert "It counts only records for which <code>bytes_uplink + bytes_downlink &gt; 10" in page
    assert "It counts only" not in client.get("/kpis/2/").content.decode()


def test_only_records_that_pass_the_filter_count(data_dir, large_flows):
    first = [flow(0, 1, 10), flow(0, 1, 11), flow(0, 2, 5), flow(0, 3, 20)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(first))
    (data_dir / "ipflow_data.2.csv").write_text(file_text([flow(300, 1, 3)]))
    update()
    assert sums(FIVE_MINUTES) == [(3, 20), (1, 11)]
    assert summaries(FIVE_MINUTES, 1) == [(31, 2, 4), (0, 0, 1)]
    assert summaries(FIVE_MINUTES, 2) == [(1, 1, 4), (1, 1, 1)]
    assert CellUniqueUsers.objects.count() == 2
    # What came to nothing counts once there is more, and the hour has all of it.
    (data_dir / "ipflow_data.3.csv").write_text(file_text([flow(300, 1, 30), flow(3_600, 9, 1)]))
    update()
    assert sums(FIVE_MINUTES) == [(3, 20), (1, 11), (1, 30)]
    assert summaries(FIVE_MINUTES, 1) == [(31, 2, 4), (30, 1, 2), (0, 0, 1)]
    assert sums(ONE_HOUR) == [(1, 41), (3, 20)]
    assert summaries(ONE_HOUR, 1) == [(61, 2, 6)]
