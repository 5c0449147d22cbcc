"""Results that could not be computed have no rows, and say why: in short for the summaries, in detail for the log."""

from __future__ import annotations

import pytest

from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.registry import KPIS
from kpis.engine.results import kept_results
from tests.factories import MIDNIGHT


@pytest.mark.parametrize(("given", "detail"), [("", "lost"), ("lost on the disk", "lost on the disk")])
def test_what_is_kept_says_why_in_detail_if_there_is_more_to_say(given, detail):
    kept = kept_results(KPIS[1], FIVE_MINUTES, [MIDNIGHT], "lost", given)
    assert (kept.starts, kept.reason, kept.detail, kept.again) == ((MIDNIGHT,), "lost", detail, True)
    assert {name: column.tolist() for name, column in kept.rows.items()} == {
        "interval_start": [],
        "service_id": [],
        "total_bytes": [],
        "rank": [],
    }
