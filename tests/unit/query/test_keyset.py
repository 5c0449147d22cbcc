"""The rows after a key, held to Python's comparison of tuples."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.models import ServiceTrafficVolume
from kpis.query.keyset import rows_after
from tests.factories import MIDNIGHT, make_result

KEYSET = ("interval_start_timestamp", "interval", "rank")


@pytest.mark.django_db
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_rows_after_a_key_are_those_with_a_greater_tuple(columns):
    keyset = KEYSET[:columns]
    for hours in range(3):
        for length in (FIVE_MINUTES, ONE_HOUR):
            for rank in (1, 2):
                make_result(KPIS[1], MIDNIGHT + timedelta(hours=hours), rank, length)
    keys = sorted(ServiceTrafficVolume.objects.values_list(*keyset))
    assert len(keys) == 12
    for key in keys:
        after = ServiceTrafficVolume.objects.filter(rows_after(keyset, key)).values_list(*keyset)
        assert sorted(after) == [other for other in keys if other > key]


@pytest.mark.django_db
def test_rows_after_a_key_in_descending_order_have_smaller_keys():
    ranks = [make_result(KPIS[1], MIDNIGHT, rank).rank for rank in (1, 2, 3)]
    after = ServiceTrafficVolume.objects.filter(rows_after(("-rank",), [3])).values_list("rank", flat=True)
    assert sorted(after) == ranks[:2]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "mysql", reason="test_api_pages reads SQLite's plans; PostgreSQL takes tuples")
def test_mysql_and_mariadb_read_the_index_from_the_key_on():
    starts = [MIDNIGHT + step * FIVE_MINUTES.delta for step in range(2000)]
    ServiceTrafficVolume.objects.bulk_create(
        ServiceTrafficVolume(
            interval_start_timestamp=start,
            interval_end_timestamp=start + FIVE_MINUTES.delta,
            interval=1,
            rank=1,
            service_id=7,
            total_bytes=1,
        )
        for start in starts
    )
    rows = ServiceTrafficVolume.objects.filter(rows_after(KEYSET, [starts[-20], 1, 1])).order_by(*KEYSET)
    with connection.cursor() as cursor:
        sql, parameters = rows.query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", parameters)
        plan = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
    assert (plan["type"], plan["key"]) == ("range", "servicetrafficvolume_rank_once")
    assert int(plan["rows"]) < 100
