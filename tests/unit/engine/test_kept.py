"""The partials that a run keeps for its rollups: those of all batches or none, and not too many."""

from __future__ import annotations

import numpy as np
import pytest

from kpis.engine import kept
from kpis.engine.kept import KeptPartials


def columns(rows: int, hours: int = 1) -> dict[str, np.ndarray]:
    return {"interval_start": np.datetime64(0, "us") + np.arange(rows) * np.timedelta64(hours * 3_600_000_000 // rows)}


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setattr(kept, "MOST_BYTES", 40 * 8)
    monkeypatch.setattr(kept, "MOST_BATCHES", 3)
    monkeypatch.setattr(kept, "MOST_ROWS_AN_HOUR", 10)


def test_partials_are_given_by_kpi_and_batch():
    one, other = columns(1), columns(2)
    partials = KeptPartials()
    partials.add("a", {1: one})
    partials.add("b", {1: other, 2: one})
    assert partials.of(1) == {"a": one, "b": other}
    assert partials.of(2) == {"b": one}
    partials.clear()
    assert partials.of(1) == {}


def test_a_batch_that_is_added_again_counts_once():
    partials = KeptPartials()
    for _ in range(3):
        partials.add("a", {1: columns(9)})
    assert len(partials.of(1)) == 1


def test_those_of_a_kpi_are_dropped_if_an_hour_has_too_many_rows():
    partials = KeptPartials()
    partials.add("a", {1: columns(6), 2: columns(2), 3: columns(30, hours=3)})
    partials.add("b", {1: columns(6), 2: columns(2)})
    assert partials.of(1) == {}
    assert list(partials.of(2)) == ["a", "b"]
    assert list(partials.of(3)) == ["a"]
    partials.add("c", {1: columns(1)})
    assert partials.of(1) == {}


def test_all_are_dropped_if_there_are_too_many():
    partials = KeptPartials()
    for key in "abc":
        partials.add(key, {1: columns(1)})
    assert list(partials.of(1)) == ["a", "b", "c"]
    partials.add("d", {1: columns(1)})
    assert partials.of(1) == {}
    partials.clear()
    partials.add("a", {1: columns(30, hours=10), 2: columns(11, hours=10)})
    assert (partials.of(1), partials.of(2)) == ({}, {})


def test_texts_count_as_well():
    partials = KeptPartials()
    partials.add("a", {1: columns(1) | {"operator": np.array(["O2"], dtype=object)}})
    partials.add("b", {1: columns(1) | {"operator": np.array(["O2"], dtype=object)}})
    assert list(partials.of(1)) == ["a", "b"]
    partials.add("c", {1: columns(1) | {"operator": np.array(["O2"], dtype=object)}})
    assert partials.of(1) == {}
