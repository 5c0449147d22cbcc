"""Results of partials in memory, by numpy, are those of the same partials by SQL."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog.folding import fold
from kpis.catalog.registry import KPIS
from kpis.engine.aggregate import results_by_sql
from kpis.engine.array_results import can_use_arrays, results_of_arrays
from kpis.engine.folding import add_fold
from kpis.engine.reductions import Declined
from kpis.engine.scan_columns import INTEGERS
from kpis.engine.table import registered
from tests.effort import times

START = datetime(2021, 7, 18, tzinfo=UTC)
TEXTS = ["", "A", "a", "B", "b", "Ä", "ä", "z", "😀", "ﬀ"]
# The keys of partials, of which some are the smallest and the largest that a column holds.
NUMBERS = {
    "INTEGER": [0, 1, 2, 3, -1, 10**9, -(10**9), 2**31 - 1, -(2**31), 7],
    "BIGINT": [0, 1, 2, 2**31, -1, 2**40, -(2**62), 2**63 - 1, -(2**63), 7],
}
SOME = [kpi for kpi in KPIS.values() if can_use_arrays(kpi)]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


def sql_type(kpi, dimension):
    """The type of a dimension's numbers; of a text it does not matter."""
    return "VARCHAR" if dimension.is_computed else kpi.feed.column(dimension.columns[0]).type.sql_type


def partial_of(kpi, rows):
    """Random numbers as a partial of a KPI, which is sorted by its keys and has each once."""
    found = {}
    for moment, number, value in rows:
        keys = {"interval_start": np.datetime64((START + moment * kpi.feed.interval.delta).replace(tzinfo=None), "us")}
        for place, one in enumerate(kpi.by):
            own = number // 10**place % 10
            keys[one.name] = NUMBERS.get(sql_type(kpi, one), TEXTS)[own]
            if one.folded:
                keys[one.name], keys[one.spelling] = fold(TEXTS[own]), TEXTS[own]
        keys |= dict.fromkeys(kpi.measure.partial_keys, value)
        found[tuple(keys.values())] = (keys, value)
    columns = {name: [] for name in (*next(iter(found.values()))[0], *kpi.partial_values)}
    for _, (keys, value) in sorted(found.items()):
        for name, key in keys.items():
            columns[name].append(key)
        for name in kpi.partial_values:
            of_mean = {"samples": abs(value) // 2, "micro_sum": value if abs(value) > 1 else 0}
            columns[name].append(of_mean.get(name, abs(value) + 1))
    types = {one.name: INTEGERS.get(sql_type(kpi, one)) for one in kpi.by}
    return {
        name: np.array(found, dtype=object if isinstance(found[0], str) else types.get(name))
        for name, found in columns.items()
    }


def as_lists(results):
    rows, totals = (
        {name: column.tolist() for name, column in table.items()} for table in (results.rows, results.totals)
    )
    return rows, totals


ROWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 99), st.integers(-5, 5)), min_size=1, max_size=60)


@pytest.mark.parametrize("kpi", SOME, ids=[kpi.name for kpi in SOME])
@settings(max_examples=times("ARRAY_EXAMPLES", 10, 2000), deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=3), st.sets(st.integers(0, 30), min_size=1), st.integers(1, 3), st.data())
def test_results_of_arrays_are_those_of_sql(connection, kpi, batches, starts, top_n, data):
    length = data.draw(st.sampled_from([length for length in kpi.lengths if length.minutes <= 60]))
    partials = [partial_of(kpi, rows) for rows in batches]
    wanted = sorted({length.floor(START + start * kpi.feed.interval.delta) for start in starts})
    with ExitStack() as stack:
        tables = [
            stack.enter_context(registered(connection, f"partial_{number}", columns))
            for number, columns in enumerate(partials)
        ]
        by_sql = results_by_sql(connection, kpi, length, dict.fromkeys(tables), wanted, top_n)
    try:
        by_arrays = results_of_arrays(kpi, length, partials, wanted, top_n)
    except Declined:
        assert not len(by_sql.totals["total"])
        return
    assert as_lists(by_arrays) == as_lists(by_sql)


def test_numbers_that_lie_far_apart_keep_their_order():
    kpi = next(kpi for kpi in SOME if kpi.name == "ServiceTrafficVolume")
    starts = [START + minutes * kpi.feed.interval.delta for minutes in range(3)]
    moments = np.repeat(np.array([start.replace(tzinfo=None) for start in starts], dtype="datetime64[us]"), 3)
    services = np.tile(np.array([-2_000_000_000, 100_000_000, 300_000_000], dtype=np.int32), 3)
    columns = {"interval_start": moments, "service_id": services, "sum": np.arange(9) + 1}
    found = results_of_arrays(kpi, kpi.feed.interval, [columns], starts, 10)
    assert found.rows["rank"].tolist() == [1, 2, 3] * 3
    assert found.rows["total_bytes"].tolist() == [3, 2, 1, 6, 5, 4, 9, 8, 7]
    assert found.totals["total"].tolist() == [6, 15, 24]


def test_a_sum_that_may_not_fit_is_left_to_sql():
    kpi = next(kpi for kpi in SOME if kpi.name == "ServiceTrafficVolume")
    moment = np.datetime64(START.replace(tzinfo=None), "us")
    columns = {
        "interval_start": np.array([moment, moment]),
        "service_id": np.array([1, 2], dtype=np.int32),
        "sum": np.array([2**61, 2**61 + 2**52]),
    }
    with pytest.raises(Declined):
        results_of_arrays(kpi, kpi.feed.interval, [columns], [START], 10)
    columns["sum"] = np.array([2**61, 2**61 - 1])
    found = results_of_arrays(kpi, kpi.feed.interval, [columns], [START], 10)
    assert found.rows["total_bytes"].tolist() == [2**61, 2**61 - 1]
    with pytest.raises(Declined):
        results_of_arrays(kpi, kpi.feed.interval, [columns], [START + timedelta(hours=1)], 10)
