"""Sets of KPIs in the ledger: of any size, and each stored once."""

from __future__ import annotations

import pytest

from kpis.catalog.file.definitions import Definition, Kind
from kpis.models import Batch, KPISet
from kpis.store.forgetting import forget_kpi
from kpis.store.kpi_sets import kpi_ids, save_kpi_set, sets_with
from tests.factories import make_batch, make_run

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


def test_forgetting_kpis_leaves_the_sets_that_batches_have():
    run = make_run()
    for number, ids in enumerate([range(2001, 2020), [2001, 2002], [5]]):
        make_batch(run, f"{number}.csv", kpi_set=save_kpi_set(frozenset(ids)))
    for kpi in range(2001, 2019):
        forget_kpi(Definition(Kind.KPI, f"{kpi}", f"Kpi{kpi}", "pm", "", "", ""), f"declared_kpi{kpi}")
    sets = {batch.name: batch.kpi_set for batch in Batch.objects.select_related("kpi_set")}
    assert {name: one and one.kpis for name, one in sets.items()} == {"0.csv": "2019", "1.csv": None, "2.csv": "5"}
    assert KPISet.objects.count() == 2
