"""The rows after a key, held to Python's comparison of tuples."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPIS
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
