"""The tables of versions: only of the keys that are needed, fetched again once the reference has changed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb
import numpy as np
import pytest

from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.registry import FEEDS, KPIS
from kpis.engine import versions
from kpis.engine.table import Texts
from kpis.engine.versions import ReferenceVersions

CATALOG = """\
[references.cells]
description = "Cells"
key = "cell_id"
columns = {cell_id = {type = "integer"}, region = {type = "text", longest = 20}}

[kpis.RegionUsers]
id = 1001
description = "Regions by users"
feed = "ipflow"
by = ["cell_id.region"]
measure = {type = "count_distinct", name = "users", column = "msisdn"}
unit = "users"
"""
KPI = parsed([parse(CATALOG.encode(), Path("c.toml"))], FEEDS, KPIS.values()).kpis[1001]


class Source:
    """Versions of cells 1 to 9, whose regions are named after the state."""

    def __init__(self) -> None:
        self.state = 1
        self.asked: list[list[str] | None] = []

    def reference_state(self, reference) -> object:
        return self.state

    def versions(self, reference, keys: Collection[str] | None):
        self.asked.append(None if keys is None else list(keys))
        found = [key for key in map(str, range(1, 10)) if keys is None or key in keys]
        yield {
            "key": np.array(found, dtype=object),
            "valid_from": np.zeros(len(found), dtype="datetime64[us]"),
            "valid_to": np.full(len(found), np.datetime64("NaT"), dtype="datetime64[us]"),
            "region": np.array([f"{self.state}-{key}" for key in found], dtype=object),
        }


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def cells(*keys: int) -> dict:
    return {"a": {"cell_id": np.array(keys, dtype=np.int64)}}


def held(connection) -> list[tuple]:
    return connection.execute('SELECT key, valid_to, region FROM "versions_of_cells" ORDER BY key').fetchall()


def test_only_the_keys_that_are_needed_are_asked_for_and_each_once(connection):
    source, tables = Source(), ReferenceVersions(connection)
    tables.prepare(KPI, cells(2, 1, 2), source)
    tables.prepare(KPI, cells(2, 3, 77), source)
    tables.prepare(KPI, cells(77), source)
    assert source.asked == [["1", "2"], ["3", "77"]]
    assert held(connection) == [(1, None, "1-1"), (2, None, "1-2"), (3, None, "1-3")]


def test_keys_of_tables_and_of_texts_are_found_too(connection):
    source, tables = Source(), ReferenceVersions(connection)
    connection.execute("CREATE TABLE part AS SELECT 4::BIGINT AS cell_id, 1 AS batch UNION ALL SELECT 5, 2")
    tables.prepare(KPI, {"part WHERE batch = 2": None}, source)
    tables.prepare(KPI, {"a": {"cell_id": Texts(["6", "7"], np.zeros(3, dtype=np.int64))}}, source)
    assert source.asked == [["5"], ["6", "7"]]


def test_a_reference_that_was_loaded_again_is_asked_again(connection):
    source, tables = Source(), ReferenceVersions(connection)
    tables.prepare(KPI, cells(1, 2), source)
    source.state = 2
    tables.prepare(KPI, cells(1), source)
    assert source.asked == [["1", "2"], ["1"]]
    assert held(connection) == [(1, None, "2-1")]


def test_of_many_keys_all_versions_are_fetched_at_once(connection, monkeypatch):
    monkeypatch.setattr(versions, "MOST_KEYS", 3)
    source, tables = Source(), ReferenceVersions(connection)
    tables.prepare(KPI, cells(1), source)
    tables.prepare(KPI, cells(1, 2, 3, 4, 5), source)
    tables.prepare(KPI, cells(6), source)
    assert source.asked == [["1"], None]
    assert [key for key, _, _ in held(connection)] == list(range(1, 10))
