"""One step of pruning deletes whole intervals: as many as have no more rows than it is set to, and at least one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from kpis.catalog.intervals import FIVE_MINUTES
from kpis.models import IntervalSummary, ResultPruning
from kpis.store import retention
from kpis.store.retention import Turns, prune_results
from tests.factories import MIDNIGHT, make_summary

pytestmark = pytest.mark.django_db(transaction=True)

ANTENNA_TRAFFIC_VOLUME = 3  # All of its groups are rows.


def at(minutes: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=minutes)


def test_a_step_deletes_the_oldest_intervals_that_fit_and_at_least_one(monkeypatch):
    monkeypatch.setattr(retention, "ROWS_A_STEP", 4)
    # The third interval alone has more rows than a step, and the last one has not ended before.
    for number, groups in enumerate([2, 2, 9, 1, 1]):
        make_summary(ANTENNA_TRAFFIC_VOLUME, at(5 * number), groups=groups)
    left = [
        (IntervalSummary.objects.count(), ResultPruning.objects.values_list("before", flat=True).first())
        for _ in prune_results([FIVE_MINUTES], at(20), dry_run=False, turns=Turns("results", 0))
    ]
    assert left == [(5, None), (3, at(10)), (2, at(15)), (1, at(20)), (1, at(20))]
