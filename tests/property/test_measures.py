"""Each measure equals its twin in plain Python: over any split into batches, in any order, combined in any way."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog.calendar import in_zone
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import FIVE_MINUTES, ONE_DAY, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import RECORD_START, quoted
from kpis.engine.aggregate import combined_partials, partial_of_records, results_by_sql
from kpis.engine.incremental import IncrementalPartials
from kpis.engine.merging import results_of_partials
from tests.effort import times
from tests.measures import FEED, KPI_ENTRY, TWINS, rounded

START = datetime(2026, 3, 2, 22, tzinfo=UTC)
LARGE = 2**40


def kpi_of(entry: str) -> KPI:
    return parsed(
        [parse((FEED + KPI_ENTRY.format(id=1001, name="OfProbes", measure=entry)).encode(), Path("catalog.toml"))],
        {},
        [],
    ).kpis[1001]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(0, 7199),
            "cell": st.integers(1, 3),
            "a": st.none() | st.integers(-9, 9) | st.sampled_from([-LARGE, LARGE, 127, 128, 129, 1000]),
            "b": st.integers(0, 3) | st.sampled_from([LARGE, 191, 192]),
            "d": st.none() | st.decimals(-100, 98, places=6) | st.sampled_from([Decimal("0.5"), Decimal("-0.000001")]),
            "batch": st.integers(0, 2),
        }
    ),
    min_size=1,
    max_size=40,
)


def starts_of(records, length):
    return sorted({length.floor(START + timedelta(seconds=one["at"])) for one in records})


def partials_of(connection, kpi, records) -> dict[str, Any]:
    """Each batch's partial, in columns."""
    found = {}
    for number in range(3):
        own = [one for one in records if one["batch"] == number]
        if not own:
            continue
        types = ", ".join(f"{quoted(one.name)} {one.type.sql_type}" for one in kpi.feed.record_columns)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE records ({quoted(RECORD_START)} TIMESTAMP, {types})")
        rows = []
        for one in own:
            moment = START + timedelta(seconds=one["at"])
            # As files have it: Unix time, of which the feed makes the moment.
            at = int(moment.timestamp()) if "TIMESTAMP" not in kpi.feed.column("at").type.sql_type else moment
            naive = [FIVE_MINUTES.floor(moment), at]
            rows.append([*(value.replace(tzinfo=None) if isinstance(value, datetime) else value for value in naive)])
            rows[-1] += [one[name] for name in ("cell", "a", "b", "d")]
        connection.executemany(f"INSERT INTO records VALUES ({', '.join('?' * len(rows[0]))})", rows)
        with partial_of_records(connection, kpi, starts_of(own, FIVE_MINUTES)) as table:
            found[f"of_batch_{number}"] = connection.execute(f"FROM {table}").fetchnumpy()
    return found


def wanted_of(twin, records, length) -> tuple[list, list]:
    groups, totals = defaultdict(list), defaultdict(list)
    for one in records:
        start = length.floor(START + timedelta(seconds=one["at"]))
        groups[start, one["cell"]].append(one)
        totals[start].append(one)
    rows = defaultdict(list)
    for (start, cell), found in groups.items():
        rows[start].append((cell, *map(rounded, twin.values(found))))
    ranked = []
    for start, found in sorted(rows.items()):
        found.sort(key=lambda row: (row[1] is None, -(row[1] or 0), row[0]))
        ranked += [(start.replace(tzinfo=None), rank, *row) for rank, row in enumerate(found, 1)]
    of_all = [
        (start.replace(tzinfo=None), rounded(twin.values(found)[0]), len(rows[start]))
        for start, found in totals.items()
    ]
    return ranked, sorted(of_all, key=lambda row: row[0])


def shown(kpi, results) -> tuple[list, list]:
    names = ["interval_start", "rank", *kpi.columns]
    rows, totals = (
        [tuple(map(rounded, row)) for row in zip(*(table[name].tolist() for name in of), strict=True)]
        for table, of in ((results.rows, names), (results.totals, ["interval_start", "total", "groups"]))
    )
    return rows, totals


@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=times("MEASURE_EXAMPLES", 8, 1000), deadline=None)
@given(records=RECORDS, is_late=st.booleans())
def test_a_measure_equals_its_twin(connection, name, records, is_late):
    twin = TWINS[name]
    kpi = kpi_of(twin.entry)
    assert kpi.measure.values == twin.columns
    partials = partials_of(connection, kpi, records)
    if is_late:
        partials = dict(reversed(partials.items()))
    with ExitStack() as stack:
        for table, columns in partials.items():
            connection.register(table, columns)
            stack.callback(connection.unregister, table)
        # A day ends in Berlin an hour after the first record.
        stack.enter_context(in_zone("Europe/Berlin"))
        for length in (FIVE_MINUTES, ONE_HOUR, ONE_DAY):
            starts = starts_of(records, length)
            wanted = wanted_of(twin, records, length)
            in_memory = {f"in_memory_{table}": columns for table, columns in partials.items()}
            found = results_of_partials(lambda: connection, kpi, length, in_memory, starts, 10)
            assert shown(kpi, found) == wanted
            assert shown(kpi, results_by_sql(connection, kpi, length, dict.fromkeys(partials), starts, 10)) == wanted
            union = f"({' UNION ALL BY NAME '.join(f'FROM {table}' for table in partials)})"
            combined = f"({combined_partials(kpi, length, union, starts)})"
            assert shown(kpi, results_by_sql(connection, kpi, length, {combined: None}, starts, 10)) == wanted
        # A stream's batches, one after the other.
        incremental = IncrementalPartials(connection)
        tables = {}
        for start in starts_of(records, FIVE_MINUTES):
            for number, table in enumerate(partials):
                before = list(partials)[:number]
                tables[start] = incremental.merge(kpi, start, before, [table], [table], lambda _: nullcontext([]))
        found = results_by_sql(connection, kpi, FIVE_MINUTES, dict.fromkeys(tables.values()), list(tables), 10)
        assert shown(kpi, found) == wanted_of(twin, records, FIVE_MINUTES)
        incremental.clear()
