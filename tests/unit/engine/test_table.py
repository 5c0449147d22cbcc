"""A table of numpy columns, some with missing values, as rows and as a pandas frame."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import numpy as np
import pandas as pd
import pytest

from kpis.engine.table import Texts, constant, frame, held_bytes, one_text, registered, rows, taken

MOMENT = datetime(2021, 7, 18, 0, 5, tzinfo=UTC).replace(tzinfo=None)


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    """DuckDB's columns of two rows: the second has only missing values but for the last column."""
    with duckdb.connect() as connection:
        return connection.execute(
            """
            SELECT * FROM (VALUES (7::BIGINT, 0.5::DOUBLE, TIMESTAMP '2021-07-18 00:05:00', 'a', 1::INTEGER),
                (NULL, NULL, NULL, NULL, 2)) AS of_values(whole, part, moment, text, there)"""
        ).fetchnumpy()


def test_a_missing_value_is_none_in_rows(columns):
    assert list(rows(columns)) == [(7, 0.5, MOMENT, "a", 1), (None, None, None, None, 2)]


def test_a_missing_value_of_a_frame_is_nan_nat_or_none(columns):
    found = frame(columns)
    assert {name: str(type_) for name, type_ in found.dtypes.items() if name != "text"} == {
        "whole": "object",
        "part": "float64",
        "moment": "datetime64[us]",
        "there": "int32",
    }
    assert found.iloc[0].tolist() == [7, 0.5, pd.Timestamp(MOMENT), "a", 1]
    assert found["whole"][1] is None
    assert np.isnan(found["part"][1])
    assert pd.isna(found["text"][1])
    assert found["moment"][1] is pd.NaT


def test_a_table_is_there_for_queries_and_gone_afterwards():
    with duckdb.connect() as connection:
        with registered(connection, "given", {"one": np.array([1, 2]), "other": np.array(["a", "b"], dtype=object)}):
            assert connection.execute("FROM given ORDER BY one").fetchall() == [(1, "a"), (2, "b")]
        with pytest.raises(duckdb.CatalogException, match="given"):
            connection.execute("FROM given")


def test_a_column_of_texts_is_one_of_texts_for_queries():
    column = Texts(["a", "b", ""], np.array([2, 1, 1], dtype=np.uint32))
    with duckdb.connect() as connection, registered(connection, "given", {"text": column}):
        assert connection.execute("FROM given").fetchall() == [("",), ("b",), ("b",)]


def test_a_constant_takes_the_memory_of_one_value():
    column = constant(np.datetime64(MOMENT, "us"), 1_000)
    some = taken(column, np.array([5, 6]))
    assert (len(column), some.tolist()) == (1_000, [MOMENT, MOMENT])
    assert held_bytes({"moment": column, "some": some}) == 16
    assert held_bytes({"number": np.arange(1_000), "text": Texts(["a"], np.zeros(10, dtype=np.uint32))}) == 8_090
    assert taken(constant(np.int64(7), 0), np.empty(0, dtype=np.int64)).tolist() == []
    with duckdb.connect() as connection, registered(connection, "given", {"moment": column}):
        assert connection.execute("SELECT DISTINCT moment FROM given").fetchall() == [(MOMENT,)]


def test_a_column_of_texts_leaves_out_what_no_row_has():
    column = Texts(["a", "b", "c", "d"], np.array([3, 1, 3], dtype=np.uint32))
    used = column.used()
    assert (used.dictionary, used.places.tolist()) == (["b", "d"], [1, 0, 1])
    assert len(column[1:]) == 2
    assert column[1:].used().places.tolist() == [0, 1]
    whole = one_text("key", 2)
    assert (whole.used() is whole, whole.places.tolist()) == (True, [0, 0])
