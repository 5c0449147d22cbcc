"""Percentiles are within their stated error on ten shapes of distribution, and the same in any order and split."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import duckdb
import pytest

from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.measures.percentiles import ERROR, bucket_of, bucket_sql, middle_sql
from kpis.catalog.sql import RECORD_START, quoted
from kpis.engine.aggregate import partial_of_records, results_by_sql
from tests.measures import FEED, KPI_ENTRY, middle, nearest_rank

START = datetime(2026, 3, 2, 22, tzinfo=UTC)
PERCENTS = (1, 5, 25, 50, 75, 90, 95, 99)
VALUES = 1_500
# Each draws a whole number.
SHAPES = {
    "uniform": lambda chance: chance.randint(0, 10**6),
    "normal around zero": lambda chance: round(chance.gauss(0, 10**5)),
    "exponential": lambda chance: round(chance.expovariate(1e-4)),
    "log-normal": lambda chance: round(chance.lognormvariate(10, 3)),
    "pareto": lambda chance: min(round(1000 * chance.paretovariate(0.7)), 2**62),
    "two peaks": lambda chance: round(chance.gauss(chance.choice([1_000, 5_000_000]), 300)),
    "constant": lambda chance: 123_456_789,
    "mostly zero": lambda chance: chance.choice([0] * 9 + [chance.randint(1, 10**9)]),
    "small whole numbers": lambda chance: chance.randint(-127, 127),
    "powers of two and their neighbours": lambda chance: 2 ** chance.randint(0, 62) + chance.choice([-1, 0, 1]),
    "negative and heavy": lambda chance: -round(chance.lognormvariate(20, 2)),
}


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def percentiles(connection, values: list[int], batches: int) -> dict[str, float]:
    entry = f'type = "percentile", name = "size", column = "a", percentiles = {list(PERCENTS)}'
    text = FEED + KPI_ENTRY.format(id=1001, name="OfProbes", measure=entry)
    kpi = parsed([parse(text.encode(), Path("catalog.toml"))], {}, []).kpis[1001]
    tables = []
    for number in range(batches):
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE records AS
            SELECT TIMESTAMP '2026-03-02 22:00:00' AS {quoted(RECORD_START)}, 1::BIGINT AS cell, a
            FROM (SELECT unnest(?::BIGINT[]) AS a)""",
            [values[number::batches]],
        )
        with partial_of_records(connection, kpi, [START]) as table:
            tables.append(f"of_{number}")
            connection.execute(f"CREATE OR REPLACE TEMP TABLE of_{number} AS FROM {table}")
    found = results_by_sql(connection, kpi, FIVE_MINUTES, dict.fromkeys(tables), [START], 10)
    assert found.totals["total"].tolist() == found.rows["size_p1"].tolist()
    return {name: found.rows[name].tolist()[0] for name in kpi.measure.values}


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_are_within_one_per_cent_and_the_same_in_any_order(connection, shape):
    chance = Random(shape)  # noqa: S311
    values = [SHAPES[shape](chance) for _ in range(VALUES)]
    found = percentiles(connection, values, 1)
    assert ERROR == "within 1 %"
    for percent in PERCENTS:
        exact = nearest_rank(values, percent)
        assert abs(found[f"size_p{percent}"] - exact) <= abs(exact) / 100, (percent, exact)
        assert found[f"size_p{percent}"] == float(middle(exact))
    chance.shuffle(values)
    assert percentiles(connection, values, 4) == found


def test_buckets_are_in_order_and_hold_their_middles():
    numbers = sorted({sign * (2**bit + more) for bit in range(63) for more in (-1, 0, 1, 7) for sign in (-1, 1)})
    buckets = [bucket_of(number) for number in numbers]
    assert buckets == sorted(buckets)
    for number in numbers:
        assert abs(middle(number) - number) * 128 <= abs(number)
    # Worked out by hand: 1000 has 10 bits, so it is shifted by 3; 1000 >> 3 is 125, the bucket of 1000 to 1007.
    assert [bucket_of(number) for number in (-1, 0, 127, 128, 129, 1000)] == [-1, 0, 127, 128, 128, 3 * 64 + 125]
    assert middle(1000) == 1003.5


def test_sql_has_the_same_buckets_and_middles(connection):
    numbers = sorted({sign * (2**bit + more) for bit in range(63) for more in (-1, 0, 1, 7) for sign in (-1, 1)})
    numbers += [2**63 - 1, -(2**63), -(2**63) + 1]
    rows = connection.execute(
        f"SELECT {bucket_sql('n')} AS bucket, {middle_sql('bucket')} FROM (SELECT unnest(?::BIGINT[]) AS n)", [numbers]
    ).fetchall()
    for number, (bucket, shown) in zip(numbers, rows, strict=True):
        assert bucket == bucket_of(number)
        assert math.isclose(shown, middle(number), rel_tol=1e-15)
