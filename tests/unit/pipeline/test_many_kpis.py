"""A feed may have any number of KPIs, and one more is computed over the files that are known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.dimensions import Dimension
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, Sum
from kpis.catalog.registry import partial_kpi_ids
from kpis.models import Batch, IntervalSummary, KPISet
from kpis.models.result_models import result_model
from tests.catalogs import declared
from tests.twin import Flow, moment
from tests.unit.management.test_update_network_stats import START, put, update

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]


def kpi_of_users(id: int) -> KPI:
    return KPI(
        id=id,
        name=f"UserRecords{id}",
        description="Users by records",
        feed=IPFLOW,
        by=(Dimension("msisdn", "msisdn"),),
        measure=Count("number_of_records"),
        unit="records",
        lengths=(FIVE_MINUTES,),
    )


UPLINK = KPI(
    id=32767,
    name="CellUplinkVolume",
    description="Cells by bytes sent",
    feed=IPFLOW,
    by=(Dimension("cell_id", "cell_id"),),
    measure=Sum("total_bytes_uplink", columns=("bytes_uplink",)),
    unit="bytes",
    lengths=(FIVE_MINUTES,),
)
# With those that are built in, 100.
KPIS = [kpi_of_users(id) for id in range(1000, 1100 - len(partial_kpi_ids(IPFLOW)))]


def test_a_kpi_of_a_feed_that_has_100_is_computed_over_known_files(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 1, 1, 7), Flow(START, 2, 5, 1, 1, 7), Flow(START, 2, 2**40, 1, 1, 8)])
    put(data_dir, 2, [Flow(START + 300, 3, 4, 1, 1, 7)], end=START + 600)
    with declared(kpis=KPIS):
        ids = partial_kpi_ids(IPFLOW)
        assert len(ids) == 100
        assert "2 files ingested" in update()
        assert "0 files ingested" in update()
        known = ",".join(map(str, sorted(ids)))
        assert set(Batch.objects.values_list("kpi_set__kpis", flat=True)) == {known}
        with declared(kpis=[UPLINK]):
            assert update(dry_run=True).count("for a new KPI") == 2
            assert "2 files ingested" in update()
            assert "0 files ingested" in update()
            assert set(Batch.objects.values_list("kpi_set__kpis", flat=True)) == {f"{known},32767"}
            rows = result_model(UPLINK).objects.values_list(
                "interval_start_timestamp", "rank", "cell_id", "total_bytes_uplink"
            )
            first, second = moment(START), moment(START) + timedelta(minutes=5)
            assert list(rows) == [(first, 1, 8, 2**40), (first, 2, 7, 15), (second, 1, 7, 4)]
            totals = IntervalSummary.objects.filter(kpi=UPLINK.id).values_list("interval_start_timestamp", "total")
            assert list(totals) == [(first, 2**40 + 15), (second, 4)]
        users = result_model(KPIS[-1]).objects.values_list("interval_start_timestamp", "msisdn", "number_of_records")
        assert list(users) == [(first, 2, 2), (first, 1, 1), (second, 3, 1)]
    assert KPISet.objects.count() == 2
