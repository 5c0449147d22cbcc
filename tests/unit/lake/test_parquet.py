"""Small Parquet files that are written without DuckDB: it reads from them what was written."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from kpis.engine.table import Texts
from kpis.lake.parquet import write_table

START = np.datetime64("2021-07-18T19:00:00", "us")
TYPES = {
    "interval_start": "TIMESTAMP",
    "number": "INTEGER",
    "large": "BIGINT",
    "text": "VARCHAR",
    "batch": "VARCHAR",
}
NUMBERS = [0, -1, 2**31 - 1, -(2**31)]
LARGE = [0, -1, 2**63 - 1, -(2**63)]
WORDS = ["", "a", "Ä", "😀", "x" * 300]


def table(rows: int) -> dict:
    return {
        "interval_start": START + np.arange(rows) * np.timedelta64(300, "s"),
        "number": np.array([NUMBERS[row % 4] for row in range(rows)], dtype=np.int32),
        "large": np.array([LARGE[row % 4] for row in range(rows)], dtype=np.int64),
        "text": np.array([WORDS[row % 5] for row in range(rows)], dtype=object),
        "batch": Texts([f"key {number}" for number in range(300)], np.arange(rows) % 300),
    }


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 300, 10_000])
def test_a_file_has_the_rows_and_types_that_were_written(tmp_path, rows):
    columns = table(rows)
    write_table(tmp_path / "some.parquet", columns, {"batches": "one,two"})
    found = duckdb.sql(f"FROM '{tmp_path}/some.parquet'")
    assert dict(zip(found.columns, map(str, found.types), strict=True)) == TYPES
    places = columns["batch"].places.tolist()
    expected = {name: column.tolist() for name, column in columns.items() if name != "batch"}
    assert found.fetchall() == list(
        zip(*expected.values(), [f"key {place}" for place in places], strict=True),
    )
    metadata = duckdb.sql(f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{tmp_path}/some.parquet')")
    assert metadata.fetchall() == [("batches", "one,two")]


@pytest.mark.parametrize("count", [1, 2, 256, 257, 65_536, 65_537])
def test_a_dictionary_may_have_any_number_of_texts(tmp_path, count):
    places = np.append(np.arange(count)[::-1], 0)
    column = Texts([f"text {number}" for number in range(count)], places)
    write_table(tmp_path / "some.parquet", {"text": column}, {})
    found = duckdb.sql(f"FROM '{tmp_path}/some.parquet'").fetchall()
    assert found == [(f"text {place}",) for place in places.tolist()]


def test_a_file_says_what_its_least_and_largest_values_are(tmp_path):
    write_table(tmp_path / "some.parquet", table(9), {})
    found = duckdb.sql(
        "SELECT path_in_schema, row_group_num_rows, stats_min_value, stats_max_value, stats_null_count "
        f"FROM parquet_metadata('{tmp_path}/some.parquet')"
    ).fetchall()
    assert found == [
        ("interval_start", 9, "2021-07-18 19:00:00", "2021-07-18 19:40:00", 0),
        ("number", 9, str(-(2**31)), str(2**31 - 1), 0),
        ("large", 9, str(-(2**63)), str(2**63 - 1), 0),
        ("text", 9, "", "😀", 0),
        ("batch", 9, "key 0", "key 8", 0),
    ]
    later = duckdb.sql(f"SELECT number FROM '{tmp_path}/some.parquet' WHERE interval_start > '2021-07-18 19:30:00'")
    assert later.fetchall() == [(NUMBERS[3],), (NUMBERS[0],)]


def test_a_file_may_have_many_columns_with_long_names(tmp_path):
    columns = {f"{'n' * 200}_{number}": np.array([number], dtype=np.int64) for number in range(40)}
    write_table(tmp_path / "some.parquet", columns, {})
    found = duckdb.sql(f"FROM '{tmp_path}/some.parquet'")
    assert found.columns == list(columns)
    assert found.fetchall() == [tuple(range(40))]


def test_times_have_no_zone(tmp_path):
    write_table(tmp_path / "some.parquet", {"moment": np.array([START])}, {})
    assert duckdb.sql(f"SELECT moment FROM '{tmp_path}/some.parquet'").fetchall() == [(START.item(),)]
    ((unit,),) = duckdb.sql(
        f"SELECT logical_type FROM parquet_schema('{tmp_path}/some.parquet') WHERE name = 'moment'"
    ).fetchall()
    assert "isAdjustedToUTC=0" in unit
    assert "MICROS" in unit


@pytest.mark.parametrize("rows", [1, 8, 9, 300, 10_000])
@pytest.mark.parametrize("kept", [0, 1, 2, 7])
def test_values_may_be_missing(tmp_path, rows, kept):
    mask = np.array([row % 7 >= kept for row in range(rows)])
    columns = {name: np.ma.array(table(rows)[name], mask=mask) for name in ("interval_start", "number", "large")}
    write_table(tmp_path / "some.parquet", {**columns, "batch": Texts(["key"], np.zeros(rows, dtype=np.int64))}, {})
    written = duckdb.sql(f"FROM '{tmp_path}/some.parquet'")
    expected = [column.tolist() for column in columns.values()]
    assert written.fetchall() == list(zip(*expected, ["key"] * rows, strict=True))
    found = duckdb.sql(
        "SELECT stats_min_value, stats_max_value, stats_null_count, num_values "
        f"FROM parquet_metadata('{tmp_path}/some.parquet') WHERE path_in_schema IN ('number', 'large')"
    ).fetchall()
    there = [[one for one in column if one is not None] for column in expected[1:]]
    assert found == [
        (*([str(min(some)), str(max(some))] if some else [None, None]), rows - len(some), rows) for some in there
    ]
    assert pq.read_table(tmp_path / "some.parquet")["number"].to_pylist() == expected[1]


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.5]),
        np.array([1], dtype=np.uint8),
        np.ma.array(["a"], mask=[True], dtype=object),
        np.array(["2021"], "datetime64[s]"),
    ],
    ids=["fractions", "bytes", "missing texts", "seconds"],
)
def test_another_type_is_refused_and_no_file_is_left(tmp_path, column):
    with pytest.raises(TypeError, match=r"^no column of .* is written$"):
        write_table(tmp_path / "some.parquet", {"column": column}, {})
    assert not list(tmp_path.iterdir())
