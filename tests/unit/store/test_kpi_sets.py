"""Sets of KPIs in the ledger: of any size, and each stored once."""

from __future__ import annotations

import pytest

from kpis.models import KPISet
from kpis.store.kpi_sets import kpi_ids, save_kpi_set, sets_with

pytestmark = pytest.mark.django_db


def test_a_set_of_any_size_is_stored_once():
    ids = frozenset(range(1000, 32768))
    saved = save_kpi_set(ids)
    assert save_kpi_set(ids) == saved
    assert sets_with(ids) == sets_with(ids - {1000}) == {saved.pk}
    assert sets_with(ids | {1}) == set()
    assert kpi_ids(KPISet.objects.get().kpis) == ids


def test_the_empty_set_has_no_row():
    assert save_kpi_set(frozenset()) is None
    assert sets_with(frozenset()) == {None}
    assert kpi_ids(None) == frozenset()
    assert not KPISet.objects.exists()
