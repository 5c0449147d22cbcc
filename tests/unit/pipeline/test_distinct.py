"""Distinct values are counted over the records that have one, however the records are split into files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management import call_command

from kpis.catalog.builtin.coverage import COVERAGE, POSTAL_CODE_STATUS
from kpis.catalog.dimensions import Dimension
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.measures import CountDistinct
from kpis.models.result_models import result_model
from tests.catalogs import declared
from tests.unit.catalog.test_unknown_numbers import HEADER, log

NETWORKS = replace(
    POSTAL_CODE_STATUS,
    id=1001,
    name="StatusNetworks",
    by=(Dimension("status", "status"),),
    measure=CountDistinct("networks", column="network"),
    unit="networks",
)
LINES = [
    log("10:00:00", status="0", network="4G"),
    log("10:01:00", status="0", network=""),
    log("10:02:00", status="1", network=""),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sizes", [(3,), (1, 2), (2, 1)])
def test_a_record_without_a_value_is_no_distinct_value(data_dir, sizes):
    assert NETWORKS.feed is COVERAGE
    with declared(kpis=[NETWORKS]):
        first = 0
        for number, size in enumerate(sizes):
            lines = LINES[first : first + size]
            (data_dir / f"coverage_data.2021-07-18.{number}.csv").write_text("\n".join([HEADER, *lines, ""]))
            first += size
        closing = "\n".join([HEADER, log("11:00:00", status="0", network="4G"), ""])
        (data_dir / "coverage_data.2021-07-18.9.csv").write_text(closing)
        call_command("update_network_stats", verbosity=0)
        rows = result_model(NETWORKS).objects.filter(interval_start_timestamp__hour=10)
        for length in (FIVE_MINUTES, ONE_HOUR):
            found = rows.filter(interval=length.code).values_list("status", "networks")
            assert list(found) == [(0, 1), (1, 0)]
