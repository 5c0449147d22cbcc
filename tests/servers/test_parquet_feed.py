"""Parquet files of a declared feed, from catalog to tables: exact KPIs, rejects by row, and files that fail."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpis import pipeline
from kpis.catalog.columns import Integer, ISOTimestamp
from kpis.catalog.feeds import Column, Feed, own_moment
from kpis.catalog.formats import Parquet
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.registry import FEED_FILES, FEEDS
from kpis.sources.places import found_in
from kpis.stages.options import IntervalFrom, Options
from kpis.stages.prepare import prepare
from tests.servers.test_apply_catalog import Work

# Alone: a server's database would keep the declared tables for the tests after it.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

CATALOG = """
[feeds.counters]
description = "Counters: bytes and users per cell"
files = ["counters_*"]
format = {type = "parquet"}
time = {column = "begin"}
archive = true

[feeds.counters.columns]
begin = {type = "time", format = "iso", zone = "Europe/Madrid"}
cell = {type = "integer", minimum = 1, header = ["Cell ID", "CELL"]}
operator = {type = "text", optional = true}
bytes = {type = "integer", unit = "bytes", minimum = 0, header = "Volume"}
signal = {type = "decimal", optional = true, minimum = -140, maximum = 0}

[[feeds.counters.checks]]
holds = "bytes <= 1000"
column = "bytes"
reason = "is more than 1000"

[kpis.CellVolume]
id = 1001
feed = "counters"
description = "Cells by bytes"
by = ["cell"]
measure = {type = "sum", columns = ["bytes"], name = "total_bytes"}
unit = "bytes"

[kpis.CarrierSignal]
id = 1002
feed = "counters"
description = "Operators by signal"
by = ["operator"]
measure = {type = "mean", column = "signal", name = "average_signal"}
unit = "dBm"
filter = "operator != ''"
"""
# In Madrid it is 13:00.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIVE, FIVE_LATER, HOUR = "2026-03-01 12:00:00", "2026-03-01 12:05:00", 2


def write(path: Path, rows: list[tuple[int, Any, Any, Any, Any]], local: bool = True, **options: Any) -> None:
    """Write rows: seconds since noon, cell, operator, bytes and signal; times are local ones, or UTC."""
    seconds, cells, operators, amounts, signals = zip(*rows, strict=True)
    hour = timedelta(hours=1) if local else timedelta()
    times = [(NOON + hour + timedelta(seconds=one)).replace(tzinfo=None) for one in seconds]
    columns = {
        "Volume [B]": pa.array(amounts, pa.uint64()),
        "begin": pa.array(times, pa.timestamp("ns", None if local else "UTC")),
        "cell id": pa.array(cells, pa.float64()),
        "OPERATOR": pa.array(operators, pa.dictionary(pa.int8(), pa.string())),
        "signal": pa.array(signals, pa.float32()),
        "neighbours": pa.array([[1, 2]] * len(rows)),
    }
    pq.write_table(pa.table(columns), path, **options)


FIRST = [
    (0, 17, "Telefónica", 100, -70.5),
    (1, 18, None, 300, -80.0),
    (299, 17, "Telefónica", 1_000, None),
    (300, 17, "Otro", 5, -90.25),
    (301, 17.5, "Otro", 5, -90.0),
    (302, 17, "Otro", 1_001, -90.0),
    (303, None, "Otro", 1, -90.0),
]
SECOND = [(10, 18, "Otro", 7, -60.0), (3_600, 18, "Otro", 2, -61.0)]
VOLUMES = [
    (FIVE, 1, 1, 17, 1_100),
    (FIVE, 1, 2, 18, 307),
    (FIVE, HOUR, 1, 17, 1_105),
    (FIVE, HOUR, 2, 18, 307),
    (FIVE_LATER, 1, 1, 17, 5),
    ("2026-03-01 13:00:00", 1, 1, 18, 2),
]


@pytest.fixture
def work(place) -> Work:
    work = Work(place)
    work.declare(CATALOG)
    return work


def statuses(work: Work) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["status"], row["reason"]) for row in work.tables()["kpis_batch"]}


def test_parquet_files_become_exact_kpis_and_rejects_by_row(work):
    data = work.place.data
    write(data / "counters_1.parquet", FIRST, row_group_size=2, compression="zstd")
    write(data / "counters_2.PARQUET", SECOND, local=False, compression="snappy")
    write(data / "counters_3.parquet.part", SECOND)
    write(data / "counters_4.parquet.gz", SECOND)
    lines = work.apply()
    assert lines[-1].startswith("2 files ingested, 0 failed, 6 records, 3 rejects, 3 intervals, 1 rollups")
    assert work.rows("CellVolume") == VOLUMES
    assert [row for row in work.rows("CarrierSignal") if row[1] == HOUR] == [
        (FIVE, HOUR, 1, "Telefónica", -70.5, 1, 1),
        (FIVE, HOUR, 2, "Otro", -75.125, 2, 0),
    ]
    assert [(row["line"], row["column"], row["reason"]) for row in work.tables()["kpis_reject"]] == [
        (5, "cell", "is not a whole number"),
        (6, "bytes", "is more than 1000"),
        (7, "cell", "is empty"),
    ]
    (first,) = (row["text"] for row in work.tables()["kpis_reject"] if row["line"] == 5)
    assert first == (
        '{"begin": "2026-03-01T13:05:01", "cell id": 17.5, "OPERATOR": "Otro", "Volume [B]": 5, "signal": -90.0}'
    )
    archived = work.run("query_lake", "SELECT count(*), sum(bytes), min(begin) FROM counters", "--format", "csv")
    assert archived.out.splitlines()[-1] == "6,1414,2026-03-01T12:00:00Z"


def test_a_copy_counts_once_and_a_replaced_file_replaces_what_it_gave(work):
    data = work.place.data
    write(data / "counters_1.parquet", FIRST)
    work.apply()
    (data / "counters_copy.parquet").write_bytes((data / "counters_1.parquet").read_bytes())
    work.run("update_network_stats")
    assert statuses(work)["counters_copy.parquet"][0] == "duplicate"
    write(data / "counters_1.parquet", SECOND)
    assert work.run("update_network_stats").out.splitlines()[-1].startswith("1 files ingested, 0 failed")
    # The copy has the former content.
    assert statuses(work)["counters_copy.parquet"][0] == "in"
    assert work.rows("CellVolume") == VOLUMES
    (data / "counters_copy.parquet").unlink()
    write(data / "counters_1.parquet", FIRST[:1])
    assert work.run("update_network_stats").out.splitlines()[-1].startswith("1 files ingested, 0 failed")
    assert work.rows("CellVolume")[0] == (FIVE, 1, 1, 17, 1_200)


def test_a_file_that_cannot_be_read_fails_alone_and_is_read_again_when_it_is_whole(work):
    data = work.place.data
    write(data / "counters_1.parquet", FIRST)
    write(data / "counters_2.parquet", SECOND, local=False)
    whole = (data / "counters_2.parquet").read_bytes()
    (data / "counters_2.parquet").write_bytes(whole[:-10])
    (data / "counters_3.parquet").write_text("begin,cell\n")
    ended = work.run("apply_catalog")
    assert ended.out.splitlines()[-1].startswith("1 files ingested, 2 failed, 4 records, 3 rejects")
    assert statuses(work) == {
        "counters_1.parquet": ("in", ""),
        "counters_2.parquet": ("failed", "ends in the middle of its Parquet data: its last bytes are not PAR1"),
        "counters_3.parquet": ("failed", "is no Parquet file: it does not begin with PAR1"),
    }
    (data / "counters_2.parquet").write_bytes(whole)
    work.run("update_network_stats")
    assert statuses(work)["counters_2.parquet"] == ("in", "")
    assert work.rows("CellVolume") == VOLUMES


def test_a_file_of_too_many_rejects_fails(work):
    write(work.place.data / "counters_1.parquet", [(second, 0, "a", 1, -1.0) for second in range(20)])
    work.apply("--no-backfill")
    work.run("update_network_stats", MAX_REJECTS="5")
    assert statuses(work) == {
        "counters_1.parquet": (
            "failed",
            "is the wrong file: it has more than 5 rejects, which is MAX_REJECTS, by line 6",
        )
    }


def test_an_object_of_a_bucket_is_read_whole_into_the_interval_of_its_name(bucket, settings, monkeypatch, tmp_path):
    columns = (Column("cell", Integer()), Column("begin", ISOTimestamp()))
    feed = Feed(
        name="named",
        description="Files named after their interval",
        format=Parquet(),
        file_names=("named-*",),
        endings=(".parquet",),
        columns=columns,
        checks=(),
        moment=own_moment("begin"),
        interval=FIVE_MINUTES,
        name_end=re.compile("named-([0-9]+)"),
    )
    monkeypatch.setitem(FEEDS, "named", feed)
    monkeypatch.setitem(FEED_FILES, "named-*", "named")
    end = NOON + timedelta(minutes=5)
    times = pa.array([NOON - timedelta(hours=1), NOON + timedelta(hours=1), None], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"begin": times, "cell": [1, 2, 3]}), tmp_path / "object")
    name = f"named-{int(end.timestamp()) * 1000}.parquet"
    bucket.upload_file(str(tmp_path / "object"), f"in/{name}")
    (found,) = found_in(settings.DATA_DIR)
    with pipeline.engine(tmp_path / "lake") as engine:
        file = found.fetched(engine.scratch)
        with prepare(file, engine, Options(interval_from=IntervalFrom.FILENAME)) as one:
            assert (one.entry.file.name, one.entry.is_in) == (name, True)
            assert one.entry.intervals == {NOON: 2}
            assert one.first_rejects == [(3, "begin", "is empty", '{"cell": 3, "begin": null}')]
        file.close()
