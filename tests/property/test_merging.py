"""Results of partials in memory are those of SQL, whatever merges them, and however many rows are merged at once."""

from __future__ import annotations

from contextlib import ExitStack

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.engine import merging
from kpis.engine.aggregate import results_by_sql
from kpis.engine.array_results import can_use_arrays
from kpis.engine.folding import add_fold
from kpis.engine.merge import can_merge
from kpis.engine.merging import results_of_partials
from kpis.engine.table import registered
from tests.effort import times
from tests.property.test_array_results import ROWS, START, as_lists, partial_of

SOME = [kpi for kpi in KPIS.values() if can_use_arrays(kpi)]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


def no_connection():
    raise AssertionError("SQL merges what is in memory")


@pytest.mark.parametrize("kpi", SOME, ids=[kpi.name for kpi in SOME])
@settings(max_examples=times("MERGING_EXAMPLES", 10, 2000), deadline=None)
@given(
    st.lists(ROWS, min_size=1, max_size=3),
    st.sets(st.integers(0, 30), min_size=1),
    st.sampled_from([(1, 1), (1, 1000), (5, 1), (5, 3), (1000, 1), (1000, 1000)]),
    st.data(),
)
def test_results_in_memory_are_those_of_sql(connection, kpi, batches, starts, bounds, data):
    length = data.draw(st.sampled_from([length for length in kpi.lengths if length.minutes <= 60]))
    partials = {f"partial_{number}": partial_of(kpi, rows) for number, rows in enumerate(batches)}
    wanted = {length.floor(START + start * kpi.feed.interval.delta) for start in starts}
    with ExitStack() as stack:
        for name, columns in partials.items():
            stack.enter_context(registered(connection, name, columns))
        by_sql = results_by_sql(connection, kpi, length, dict.fromkeys(partials), sorted(wanted), 2)
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in zip(("MOST_ROWS", "LONG_INTERVAL_ROWS"), bounds, strict=True):
            patch.setattr(merging, name, bound)
        connect = no_connection if can_merge(kpi) else lambda: connection
        found = results_of_partials(connect, kpi, length, partials, wanted, 2)
    assert as_lists(found) == as_lists(by_sql)


@pytest.mark.parametrize("tables", [[0, 1], [0]])
@settings(max_examples=times("MERGING_EXAMPLES", 10, 2000), deadline=None)
@given(st.lists(ROWS, min_size=2, max_size=2), st.integers(1, 9))
def test_rows_of_tables_are_fetched_a_part_at_a_time(connection, tables, batches, rows):
    kpi = next(kpi for kpi in SOME if kpi.name == "CellUniqueUsers")
    partials = {f"partial_{number}": partial_of(kpi, rows) for number, rows in enumerate(batches)}
    with ExitStack() as stack:
        for number in tables:
            stack.enter_context(registered(connection, f"partial_{number}", partials[f"partial_{number}"]))
        in_part = {name: None if int(name[-1]) in tables else columns for name, columns in partials.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(merging, "ROWS_FETCHED", rows)
            found = results_of_partials(lambda: connection, kpi, ONE_HOUR, in_part, [START], 3)
    in_memory = results_of_partials(no_connection, kpi, ONE_HOUR, partials, [START], 3)
    assert as_lists(found) == as_lists(in_memory)
