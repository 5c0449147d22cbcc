"""Parquet files are reduced some thousand rows at a time, and those that are not plain are left to the bulk reader."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from kpis.catalog.dimensions import Dimension
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Sum
from kpis.engine import parquet_scan
from kpis.engine.parquet_scan import scan_parquet
from kpis.formats.bounds import Bounds
from tests.unit.engine.test_parquet_reader import FEED, GOOD, START, table

BYTES = KPI(
    1, "CellBytes", "k", FEED, (Dimension("cell", "cell"),), Sum("total", columns=("bytes",)), "", (FIVE_MINUTES,)
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "probe_1.parquet"


@pytest.mark.parametrize("group", [100, 10_000])
def test_rows_are_reduced_some_at_a_time_however_many_a_row_group_has(path, monkeypatch, group):
    rows = [(second % 300, 1 + second % 3, 2) for second in range(9_999)]
    pq.write_table(table(*rows), path, row_group_size=group)
    monkeypatch.setattr(parquet_scan, "AT_ONCE", 5_000)
    monkeypatch.setattr(parquet_scan, "VECTORS", 1)
    seen = []
    add = parquet_scan._ParquetScanner._add
    monkeypatch.setattr(
        parquet_scan._ParquetScanner,
        "_add",
        lambda self, chunk, *rest: (seen.append(chunk), add(self, chunk, *rest))[1],
    )
    found = scan_parquet(path, FEED, [BYTES])
    assert found is not None
    assert {name: column.tolist() for name, column in found.partials[1].items() if name != "interval_start"} == {
        "cell": [1, 2, 3],
        "sum": [6_666, 6_666, 6_666],
    }
    lengths = [len(chunk["moment"]) for chunk in seen]
    assert sum(lengths) == 9_999
    assert max(lengths) <= 2_048
    assert found.reading.intervals == {START: 9_999}


def test_rejects_are_those_of_the_bulk_reader(path):
    pq.write_table(table((0, 7, 100), (1, 0, 100), (2, 7, None), (3, 8, 1_001), (4, 8, 1_000)), path)
    found = scan_parquet(path, FEED, [BYTES])
    assert found is not None
    assert [row[:3] for row in found.rejects] == [
        (2, "cell", "is less than 1"),
        (3, "bytes", "is empty"),
        (4, "bytes", "is more than 1000"),
    ]
    assert (found.reading.lines, found.reading.records, found.reading.rejects) == (5, 2, 3)


def test_what_cannot_be_scanned_is_left_to_the_bulk_reader(path):
    path.write_bytes(b"no Parquet")
    assert scan_parquet(path, FEED, [BYTES]) is None
    pq.write_table(table((0, 0, 1), (0, 0, 1)), path)
    assert scan_parquet(path, FEED, [BYTES], bounds=Bounds(rejects=1)) is None
    pq.write_table(GOOD.drop_columns(["CELL"]), path)
    assert scan_parquet(path, FEED, [BYTES]) is None
