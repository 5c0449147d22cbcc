"""Records of three other systems become KPIs in the API, as CSV, in the console and in SQL, without Python."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.processes import Place

pytestmark = pytest.mark.sqlite_alone

COUNTERS = """\
Begin;Cell ID;Volume [kB];Calls;Signal [dBm];IMSI
01.03.2026 13:00:00;17;1.234,5;3;-70,5;214010000000001
01.03.2026 13:00:00;18;34,5;1;-80;214010000000002
01.03.2026 13:04:59;17;0,25;2;;214010000000001
01.03.2026 13:35:00;eighteen;7;4;-90;214010000000003
01.03.2026 14:00:00;17;12;1;-75;214010000000003
"""
MESSAGES = [
    {"at": "2026-03-01T13:00:00+01:00", "app": "Maps", "bytes": 7, "radio": {"cell": 5}, "tags": ["x", {"y": 1}]},
    {"at": "2026-03-01T12:04:59Z", "app": "MAPS", "bytes": 8, "radio": {"cell": 6}, "tags": []},
    {"at": "2026-03-01T12:05:00Z", "app": "Mail", "bytes": 1, "radio": {"cell": 5}},
    {"at": "2026-03-01T12:05:00Z", "app": "Mail", "bytes": -1, "radio": {"cell": 5}},
]
LATENCIES = """
    SELECT * FROM (VALUES
        (TIMESTAMPTZ '2026-03-01 12:00:00+00', 'north', 10.5, [1]),
        (TIMESTAMPTZ '2026-03-01 12:04:00+00', 'north', 20.0, [2]),
        (TIMESTAMPTZ '2026-03-01 12:04:00+00', 'south', NULL, []),
        (TIMESTAMPTZ '2026-03-01 12:10:00+00', 'south', 7.25, NULL)
    ) AS t(measured_time, region, latency_ms, hops)
"""

READ = """
import json
from django.test import Client
client = Client(HTTP_HOST="localhost")
def rows(kpi, *columns):
    found = client.get(f"/api/KPIs/{kpi}/", {"interval": 1}).json()
    return [[row["interval_start_timestamp"][11:16], *(row[column] for column in columns)] for row in found]
page = client.get("/kpis/1001/", {"interval": 1, "from": "2026-03-01T12:00Z", "to": "2026-03-01T12:05Z"})
lines = client.get("/api/KPIs/1001/", {"interval": 1, "format": "csv"}).getvalue().decode().splitlines()
print(json.dumps({
    "volume": rows(1001, "cell_id", "total_bytes"),
    "traffic": rows(1002, "app", "total_bytes"),
    "latency": rows(1004, "region", "average_latency_ms", "samples", "empty_values"),
    "csv": lines[1].split(",")[1:],
    "page": [page.status_code, "1,269,250" in page.content.decode()],
}))
"""


def edited(entry: str, *changes: tuple[str, str]) -> str:
    """An entry with what a person changes in it, each of which it has."""
    for old, new in changes:
        assert entry.count(old) == 1, (old, entry)
        entry = entry.replace(old, new)
    lines = [line for line in entry.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 40
    return entry


def test_three_samples_become_kpis_without_python(place: Place, tmp_path: Path):
    (place.data / "counters_20260301.csv").write_bytes(COUNTERS.encode("utf-16"))
    (place.data / "traffic.1.jsonl").write_text("".join(json.dumps(one) + "\n" for one in MESSAGES))
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({LATENCIES}) TO '{place.data / 'latencies-1.parquet'}'")
    catalogs: list[Path] = []

    def described(file: str) -> str:
        done = place.run("describe_feed", f"{place.data / file}", CATALOG=",".join(map(str, catalogs)))
        assert done.code == 0, done.err
        return done.out

    def declare(text: str) -> None:
        catalogs.append(tmp_path / f"catalog{len(catalogs)}.toml")
        catalogs[-1].write_text(text)

    declare(
        edited(
            described("counters_20260301.csv").partition("\n[kpis.CellVolume]")[0],
            ('format = "%d.%m.%Y %H:%M:%S"}', 'format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Madrid"}'),
            ('cell_id = {type = "text",', 'cell_id = {type = "integer", minimum = 1,'),
            ("\n[kpis.Cell", '\n[feeds.counters.derived]\nbytes = {value = "round(volume * 1000)"}\n\n[kpis.Cell'),
            ('description = "Cells by calls"', 'description = "Cells by volume"'),
            ('columns = ["calls"], name = "total_calls"', 'columns = ["bytes"], name = "total_bytes"'),
            ('unit = "calls"', 'unit = "bytes"'),
        )
    )
    declare(
        edited(
            described("traffic.1.jsonl"),
            ('by = ["app"]', 'by = [{name = "app", ignore_case = true}]'),
            ('bytes = {type = "integer",', 'bytes = {type = "integer", minimum = 0,'),
        )
    )
    declare(edited(described("latencies-1.parquet")))
    every = ",".join(map(str, catalogs))
    done = place.run("apply_catalog", CATALOG=every)
    assert (done.code, done.out.splitlines()[-1][:59]) == (
        0,
        "3 files ingested, 0 failed, 11 records, 2 rejects, 6 interv",
    )
    read = place.run("shell", "--no-imports", "-c", READ, CATALOG=every)
    assert read.code == 0, read.err
    assert json.loads(read.out) == {
        "volume": [["12:00", 17, 1_234_750], ["12:00", 18, 34_500], ["13:00", 17, 12_000]],
        "traffic": [["12:00", "MAPS", 15], ["12:05", "Mail", 1]],
        "latency": [
            ["12:00", "north", 15.25, 2, 0],
            ["12:00", "south", None, 0, 1],
            ["12:10", "south", 7.25, 1, 0],
        ],
        "csv": ["2026-03-01T12:00:00Z", "2026-03-01T12:05:00Z", "1", "17", "1234750", "1"],
        "page": [200, True],
    }
    query = 'SELECT file_name, line, "column", reason FROM rejects ORDER BY file_name'
    rejects = place.run("query_lake", query, "--format", "json", CATALOG=every)
    assert [list(row.values()) for row in json.loads(rejects.out)] == [
        ["counters_20260301.csv", 5, "cell_id", "is not a whole number"],
        ["traffic.1.jsonl", 4, "bytes", "is negative"],
    ]
