"""Incremental partials equal the partials of all batches together, also after batches that were lost or another's."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog.registry import KPIS
from kpis.engine import incremental
from kpis.engine.aggregate import TotalTooLarge
from kpis.engine.incremental import IncrementalPartials
from tests.effort import times

KPI = next(kpi for kpi in KPIS.values() if kpi.name == "AntennaTrafficVolume")
START = datetime(2021, 7, 18, tzinfo=UTC)
STARTS = [START + timedelta(minutes=5 * number) for number in range(3)]

# A batch's bytes by interval and antenna, and what becomes of it: committed, lost, or another consumer's.
groups = st.dictionaries(
    st.tuples(st.sampled_from(STARTS), st.sampled_from("abc")), st.integers(0, 1000), min_size=1, max_size=6
)
histories = st.lists(st.tuples(groups, st.sampled_from(["in", "lost", "another's"])), max_size=12)


@contextmanager
def others(keys):
    """A table's name is its batch's key."""
    yield sorted(keys)


def table(connection: duckdb.DuckDBPyConnection, name: str, partial: dict[tuple[datetime, str], int]) -> str:
    connection.execute(f"CREATE OR REPLACE TABLE {name} (interval_start TIMESTAMP, antenna_id VARCHAR, sum BIGINT)")
    rows = [(start.replace(tzinfo=None), antenna, total) for (start, antenna), total in partial.items()]
    connection.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", rows)
    return name


@settings(max_examples=times("INCREMENTAL_HISTORIES", 12, 100))
@given(histories)
def test_an_interval_has_what_its_batches_give(history):
    with duckdb.connect() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "MOST_ROWS", 4)
        patch.setattr(incremental, "MOST_TABLES", 2)
        merged = IncrementalPartials(connection)
        known: dict[str, dict] = {}
        for number, (partial, fate) in enumerate(history):
            key = table(connection, f"batch_{number}", partial)
            if fate != "another's":
                for start in sorted({start for start, _ in partial}):
                    there = [one for one, found in known.items() if start in {moment for moment, _ in found}]
                    name = merged.merge(KPI, start, there, [key], [key], others)
                    wanted = Counter()
                    for one in [*there, key]:
                        found = partial if one == key else known[one]
                        wanted.update({antenna: total for (moment, antenna), total in found.items() if moment == start})
                    rows = connection.execute(f"SELECT antenna_id, sum, interval_start FROM {name}").fetchall()
                    assert sorted(rows) == [
                        (antenna, total, start.replace(tzinfo=None)) for antenna, total in sorted(wanted.items())
                    ]
                merged.trim()
            if fate != "lost":
                known[key] = partial


def test_only_what_is_not_merged_yet_is_read():
    asked = []

    def noted(keys):
        asked.append(set(keys))
        return others(keys)

    with duckdb.connect() as connection:
        merged = IncrementalPartials(connection)
        for key in ("one", "two", "three", "four"):
            table(connection, key, {(START, "a"): 1})
        merged.merge(KPI, START, [], ["one"], ["one"], noted)
        merged.merge(KPI, START, ["one"], ["two"], ["two"], noted)
        merged.merge(KPI, START, ["one", "two", "three"], ["four"], ["four"], noted)
        # The ledger knows nothing of the last one.
        merged.merge(KPI, START, ["one", "two", "three"], ["four"], ["four"], noted)
    assert asked == [set(), set(), {"three"}, {"one", "two", "three"}]


def test_a_total_beyond_64_bits_is_reported():
    with duckdb.connect() as connection:
        table(connection, "one", {(START, "a"): 2**63 - 1})
        table(connection, "two", {(START, "a"): 1})
        with pytest.raises(TotalTooLarge, match="AntennaTrafficVolume"):
            IncrementalPartials(connection).merge(KPI, START, ["one"], ["two"], ["two"], others)
