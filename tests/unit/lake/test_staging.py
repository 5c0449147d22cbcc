"""How the rows of many hours become files, one an hour, in as few passes as memory allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from kpis import pipeline
from kpis.catalog.registry import KPIS
from kpis.lake import Lake, Rows, staging

KPI = KPIS[1]
START = datetime(2021, 7, 18, tzinfo=UTC)
# The number of rows of each hour; the fourth is not there.
ROWS_OF_HOURS = {0: 2, 1: 1, 2: 4, 4: 1, 5: 1, 6: 2}
QUERY = " UNION ALL ".join(
    f"SELECT TIMESTAMP '2021-07-18' + INTERVAL {hour} HOURS AS interval_start, {hour * 10 + row} AS service_id, "
    f"'key' AS batch"
    for hour, rows in ROWS_OF_HOURS.items()
    for row in range(rows)
)


@pytest.mark.parametrize(
    ("rows_a_pass", "passes"),
    [
        (1_000, [[0, 1, 2, 4, 5, 6]]),
        (4, [[0, 1], [2], [4, 5, 6]]),
        (3, [[0, 1], [2], [4, 5], [6]]),
        (1, [[0], [1], [2], [4], [5], [6]]),
    ],
)
def test_each_hour_has_a_file_of_its_own_rows_in_however_many_passes(tmp_path, monkeypatch, rows_a_pass, passes):
    monkeypatch.setattr(staging, "ROWS_A_PASS", rows_a_pass)
    written = []
    write = Lake.write

    def counted(lake, path, query, *options):
        write(lake, path, query, *options)
        written.append(query)

    monkeypatch.setattr(Lake, "write", counted)
    hours = {START + timedelta(hours=hour): ["key"] for hour in ROWS_OF_HOURS}
    with pipeline.engine(tmp_path) as engine:
        staged = engine.lake.stage("key")
        staged.add_partials(KPI, [Rows(QUERY)], hours)
        files = {file.hour: file.path for file in staged.publish([])}
    assert len(written) == len(passes)
    found = {
        hour: duckdb.sql(f"SELECT hour(interval_start), service_id, batch FROM '{tmp_path / path}'").fetchall()
        for hour, path in files.items()
    }
    assert found == {
        START + timedelta(hours=hour): [(hour, hour * 10 + row, "key") for row in range(rows)]
        for hour, rows in ROWS_OF_HOURS.items()
    }
