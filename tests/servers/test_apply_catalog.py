"""Catalogs are applied to databases and lakes that have records: the tables are those of a fresh start on the files."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from kpis.catalog.folding import fold
from tests.databases import empty_database
from tests.effort import LONG
from tests.processes import MANAGE, Ended, Place, end_of, new_place

pytestmark = pytest.mark.django_db(transaction=True)

FEED = """
[feeds.probe]
description = "Probe counters: bytes per cell"
files = ["probe_*.csv"]
format = {type = "csv"}
time = {column = "begin"}

[feeds.probe.columns]
begin = {type = "time", format = "unix_s"}
cell = {type = "integer", minimum = 1, bits = 32}
kind = {type = "choice", words = ["VOICE", "DATA"]}
bytes = {type = "integer", unit = "bytes", minimum = 0}
"""
VOLUME = """
[kpis.CellVolume]
id = 1001
feed = "probe"
description = "Cells by bytes"
by = ["cell"]
measure = {type = "sum", columns = ["bytes"], name = "total_bytes"}
unit = "bytes"
"""
RECORDS = """
[kpis.KindRecords]
id = 1002
feed = "probe"
description = "Kinds by records"
by = ["kind"]
measure = {type = "count", name = "records"}
unit = "records"
"""
CATALOG = FEED + VOLUME + RECORDS
# 2026-03-01T12:00:00Z
START = 1772366400
FILES = {
    "probe_1.csv": [f"{START},1,VOICE,10", f"{START + 1},2,DATA,30", f"{START + 300},1,DATA,5"],
    "probe_2.csv": [f"{START + 3600},1,VOICE,7", f"{START + 10},2,DATA,3", f"{START + 10},x,DATA,3"],
}
CLOSED = "2026-03-01T12:00:00+00:00"
# What has other values in each database, and what counts how often an interval was computed.
LEFT_OUT = {
    *("id", "ingested_at", "run_id", "updated_at", "first_computed_at", "noted_at", "applied_at", "batch_id"),
    *(
        "revision",
        "previous_total",
        "previous_mean",
        "previous_updated_at",
        "mark",
        "modified_ns",
        "kpi_set_id",
        "size",
    ),
}
TABLES = ("kpis_batch", "kpis_batchinterval", "kpis_intervalsummary", "kpis_reject", "kpis_watermark", "kpis_duerollup")


class Work:
    """A place with a catalog file of its own."""

    def __init__(self, place: Place):
        self.place, self.catalog = place, place.folder / "catalog.toml"
        self.catalog.write_text("")

    def declare(self, *parts: str) -> None:
        self.catalog.write_text("\n".join(parts))

    def put(self, **files: list[str]) -> None:
        for name, rows in (files or {name.removesuffix(".csv"): rows for name, rows in FILES.items()}).items():
            (self.place.data / f"{name}.csv").write_text("\n".join(["begin,cell,kind,bytes", *rows, ""]))

    def with_interval(self, name: str) -> Path:
        """A copy of the catalog in which the feed has another interval; its migrations are the same."""
        path = self.catalog.with_name("other.toml")
        path.write_text(self.catalog.read_text().replace("time = {column", f'interval = "{name}"\ntime = {{column', 1))
        return path

    def run(self, *arguments: str, **variables: str) -> Ended:
        return self.place.run(*arguments, **{"CATALOG": str(self.catalog), **variables})

    def apply(self, *arguments: str) -> list[str]:
        """The lines of ``apply_catalog``, which must succeed."""
        ended = self.run("apply_catalog", *arguments)
        assert ended.code == 0, ended.err + ended.out
        return ended.out.splitlines()

    def check(self, *arguments: str) -> tuple[int, list[str]]:
        ended = self.run("check_catalog", *arguments)
        assert ended.err == ""
        return ended.code, ended.out.splitlines()

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of the ledger's tables, and of those of declared KPIs."""
        with self.place.alias() as alias, connections[alias].cursor() as cursor:
            names = connections[alias].introspection.table_names(cursor)
            return {
                name: sorted(_rows(cursor, name), key=json.dumps)
                for name in (*TABLES, *sorted(name for name in names if name.startswith("declared_")))
            }

    def rows(self, kpi: str) -> list[tuple[Any, ...]]:
        """The rows of a KPI: the interval's start and code, the rank, and the KPI's columns."""
        with self.place.alias() as alias, connections[alias].cursor() as cursor:
            found = list(_rows(cursor, f"declared_{kpi.lower()}"))
        return sorted(tuple(value for name, value in row.items() if name != "interval_end_timestamp") for row in found)

    def states(self, kpi: int) -> dict[tuple[str, int], str]:
        """The state and the reason of each of a KPI's summaries, by the interval's start and code."""
        return {
            (row["interval_start_timestamp"], row["interval"]): f"{row['state']} {row['reason']}"
            for row in self.tables()["kpis_intervalsummary"]
            if row["kpi"] == kpi
        }


def _rows(cursor: Any, table: str) -> Iterator[dict[str, Any]]:
    cursor.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    for row in cursor.fetchall():
        yield {name: _plain(value) for name, value in zip(names, row, strict=True) if name not in LEFT_OUT}


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value


@contextmanager
def new_work(folder: Path) -> Iterator[Work]:
    """A catalog with a database of its own, as its tables outlive a test."""
    if connection.vendor == "sqlite":
        yield Work(new_place(folder))
        return
    folder.mkdir()
    with empty_database(folder) as url:
        work = Work(Place(folder, url))
        assert work.run("migrate", "-v", "0").code == 0
        yield work
        work.place.close()


@pytest.fixture
def work(tmp_path, transactional_db) -> Iterator[Work]:
    with new_work(tmp_path / "place") as work:
        yield work
        work.place.close()


def assert_as_fresh(work: Work, folder: Path) -> None:
    """The tables are those of a database that starts with the catalog and the files as they are."""
    with new_work(folder) as other:
        other.catalog.write_text(work.catalog.read_text())
        for path in work.place.data.iterdir():
            (other.place.data / path.name).write_bytes(path.read_bytes())
        other.apply()
        there, fresh = work.tables(), other.tables()
    assert there.keys() == fresh.keys()
    # Only rows that differ, so that a failure names them.
    for name, rows in there.items():
        assert [row for row in rows if row not in fresh[name]] == [row for row in fresh[name] if row not in rows]
        assert len(rows) == len(fresh[name])
    code, lines = work.check()
    # Others may say what was removed.
    assert (code, lines[0]) == (0, "The catalog is applied.")
    assert work.run("update_network_stats").out.startswith("0 files ingested, 0 failed")


def test_a_new_catalog_makes_its_tables_and_computes_the_files_that_are_there(work):
    work.declare(FEED, VOLUME)
    work.put()
    refused = work.run("update_network_stats")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "CommandError: The catalog's feed probe and KPI 1001 (CellVolume) are not applied: run manage.py "
        "apply_catalog. What was ingested before stays; the next run goes on from there.\n"
    )
    news = ["feed probe: new", "KPI 1001 (CellVolume): new", "table declared_cellvolume: new"]
    assert work.check() == (1, news)
    lines = work.apply()
    written = work.catalog.parent / "catalog_migrations" / "0001_initial.py"
    assert lines[:5] == [*news, f"wrote {written}", "The catalog is applied."]
    assert lines[-1].startswith("2 files ingested, 0 failed, 5 records, 1 rejects, 3 intervals, 1 rollups")
    assert written.is_file()
    five, hour = "2026-03-01 12:0{}:00", 2
    assert work.rows("CellVolume") == [
        (five.format(0), 1, 1, 2, 33),
        (five.format(0), 1, 2, 1, 10),
        (five.format(0), hour, 1, 2, 33),
        (five.format(0), hour, 2, 1, 15),
        (five.format(5), 1, 1, 1, 5),
        ("2026-03-01 13:00:00", 1, 1, 1, 7),
    ]
    assert work.check() == (0, ["The catalog is applied."])
    again = work.apply()
    assert again[0] == "The catalog was applied before."
    assert again[1].startswith("0 files ingested, 0 failed")
    assert sorted(path.name for path in written.parent.glob("*.py")) == ["0001_initial.py"]


def test_a_new_kpi_is_computed_from_known_files(work, tmp_path):
    work.declare(FEED, VOLUME)
    work.put()
    work.apply()
    work.declare(FEED, VOLUME, RECORDS)
    assert work.check() == (1, ["KPI 1002 (KindRecords): new", "table declared_kindrecords: new"])
    assert work.run("update_network_stats").code == 1
    lines = work.apply("--no-backfill")
    assert lines[-1] == "The catalog is applied."
    assert work.rows("KindRecords") == []
    assert work.run("update_network_stats", "--dry-run").out.count("for a new KPI") == 2
    assert work.run("update_network_stats").code == 0
    assert len(work.rows("KindRecords")) == 6
    assert_as_fresh(work, tmp_path / "fresh")


@pytest.mark.sqlite_alone
def test_a_catalog_of_which_only_descriptions_changed_stops_no_run(work):
    work.declare(CATALOG)
    work.put()
    work.apply()
    work.declare(
        CATALOG.replace("Cells by bytes", "Bytes of cells").replace('"probe_*.csv"', '"probe_*.csv", "p_*.csv"')
    )
    work.put(p_3=[f"{START + 7200},5,VOICE,2"])
    assert work.run("update_network_stats").out.splitlines()[-1].startswith("1 files ingested, 0 failed")
    assert work.check() == (
        1,
        [
            "feed probe: files changed; no record and no result changes",
            "KPI 1001 (CellVolume): description changed; no record and no result changes",
        ],
    )
    assert work.apply()[2] == "The catalog is applied."
    assert work.check() == (0, ["The catalog is applied."])


@pytest.mark.sqlite_alone
def test_migrations_that_are_there_need_no_folder_that_can_be_written(work, tmp_path):
    work.declare(CATALOG)
    folder = tmp_path / "migrations"
    folder.write_text("not a folder")
    refused = work.run("apply_catalog", CATALOG_MIGRATIONS=str(folder))
    assert refused.code == 1
    assert refused.err == (
        f"CommandError: Cannot write {folder}, the folder of the catalog's migrations: File exists. Make it writable, "
        "or set CATALOG_MIGRATIONS. Run apply_catalog again to continue.\n"
    )
    assert work.check()[0] == 1
    folder.unlink()
    assert work.run("apply_catalog", "--no-backfill", CATALOG_MIGRATIONS=str(folder)).code == 0
    with new_work(tmp_path / "other") as other:
        other.declare(CATALOG)
        before = {path: path.stat().st_mtime_ns for path in folder.glob("*.py")}
        assert other.run("migrate", "-v", "0", CATALOG_MIGRATIONS=str(folder)).code == 0
        assert other.run("apply_catalog", CATALOG_MIGRATIONS=str(folder)).code == 0
        assert {path: path.stat().st_mtime_ns for path in folder.glob("*.py")} == before


@pytest.mark.sqlite_alone
def test_another_folder_without_the_applied_migrations_is_refused_and_left_alone(work, tmp_path):
    work.declare(FEED, VOLUME)
    work.apply()
    before = work.tables()
    work.declare(CATALOG)
    folder = tmp_path / "migrations"
    refused = work.run("apply_catalog", CATALOG_MIGRATIONS=str(folder))
    assert (refused.code, refused.err) == (
        1,
        f"CommandError: {folder} lacks migrations that this database has applied: 0001_initial. Copy them there, or "
        "set CATALOG_MIGRATIONS to their folder. Run apply_catalog again to continue.\n",
    )
    assert (folder.exists(), work.tables()) == (False, before)
    (work.catalog.parent / "catalog_migrations").rename(folder)
    assert work.run("apply_catalog", CATALOG_MIGRATIONS=str(folder)).code == 0
    assert "declared_kindrecords" in work.tables()


def execute(work: Work, *statements: str) -> None:
    with work.place.alias() as alias, connections[alias].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_catalog_whose_migration_failed_can_be_edited_and_applied(work, tmp_path):
    work.declare(FEED, VOLUME)
    work.put()
    work.apply()
    # The table of another, which comes after those that are replaced and made.
    execute(work, "CREATE TABLE declared_kindrecords (other INTEGER)")
    both = VOLUME.replace('["cell"]', '["kind"]'), RECORDS.replace("1002", "1003").replace("Kind", "Found")
    work.declare(FEED, *both, RECORDS)
    refused = work.run("apply_catalog")
    assert (refused.code, "exists" in refused.err) == (1, True), refused.err
    execute(work, "INSERT INTO declared_kindrecords (other) VALUES (7)")
    assert "declared_foundrecords" not in work.tables()
    folder = work.catalog.parent / "catalog_migrations"
    assert [path.name for path in sorted(folder.glob("*.py"))] == ["0001_initial.py"]
    # Other columns than in the first attempt, those of the replaced table as they were.
    work.declare(FEED, VOLUME, both[1].replace('["kind"]', '["cell", "kind"]'))
    assert "table declared_foundrecords: new" in work.apply()
    assert work.tables()["declared_kindrecords"] == [{"other": 7}]
    execute(work, "DROP TABLE declared_kindrecords")
    assert len(list(folder.glob("*.py"))) == 2
    assert_as_fresh(work, tmp_path / "fresh")


def test_a_migration_that_was_there_and_fails_is_named_and_leaves_no_table(work, tmp_path):
    work.declare(CATALOG)
    with new_work(tmp_path / "other") as other:
        other.declare(CATALOG)
        other.apply("--no-backfill")
        folder = other.catalog.parent / "catalog_migrations"
        folder.rename(work.catalog.parent / "catalog_migrations")
    execute(work, "CREATE TABLE declared_kindrecords (other INTEGER)")
    refused = work.run("apply_catalog")
    file = work.catalog.parent / "catalog_migrations" / "0001_initial.py"
    assert refused.err.startswith(f"CommandError: Cannot apply {file}: ")
    assert refused.err.endswith(
        "exists. If no other database has applied it, remove the file. Run apply_catalog again to continue.\n"
    )
    assert [name for name in work.tables() if name.startswith("declared_")] == ["declared_kindrecords"]
    execute(work, "DROP TABLE declared_kindrecords")
    file.unlink()
    work.declare(CATALOG.replace('["cell"]', '["kind"]'))
    work.put()
    work.apply()
    assert_as_fresh(work, tmp_path / "fresh")


def test_the_longest_texts_that_a_catalog_can_have_fit_every_databases_indexes(work):
    chance = random.Random(7)  # noqa: S311
    # Of four bytes each, at random, so that no database packs them; folded, the last are three of four bytes each.
    site, note = ("".join(chr(chance.randrange(0x20000, 0x2A6DF)) for _ in range(longest)) for longest in (500, 168))
    folded = "".join(chr(chance.randrange(0x1D15F, 0x1D165)) for _ in range(223))
    work.declare(
        FEED.replace("\nbytes =", '\nsite = {type = "text", longest = 500}\nnote = {type = "text", longest = 168}\n'
                     'owner = {type = "text", longest = 223}\nbytes ='),
        VOLUME.replace('["cell"]', '["site", "note"]'),
        RECORDS.replace('["kind"]', '[{name = "owner", ignore_case = true}]'),
    )  # fmt: skip
    work.place.data.joinpath("probe_1.csv").write_text(
        f"begin,cell,kind,site,note,owner,bytes\n{START},1,VOICE,{site},{note},{folded},10\n", encoding="utf-8"
    )
    assert work.apply()[-1].startswith("1 files ingested, 0 failed, 1 records, 0 rejects, 1 intervals")
    assert [row[3:] for row in work.rows("CellVolume")] == [(site, note, 10)]
    assert [row[3:] for row in work.rows("KindRecords")] == [(folded, 1, fold(folded))]


ASK = """
import json, sys
import django
django.setup()
from django.test import Client
from django.test.utils import setup_test_environment

setup_test_environment()
client = Client()
answers = [client.get(address) for address in sys.argv[1:]]
print(json.dumps([[one.status_code, one.content.decode()] for one in answers]))
"""


def get(work: Work, *addresses: str) -> list[tuple[int, str]]:
    environment = work.place.environment(CATALOG=str(work.catalog), DJANGO_SETTINGS_MODULE="network_analysis.settings")
    done = subprocess.run(
        [sys.executable, "-c", ASK, *addresses],
        cwd=MANAGE.parent,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(one) for one in json.loads(done.stdout)]


@pytest.mark.sqlite_alone
def test_pages_of_a_kpi_that_is_not_applied_say_so(work):
    work.declare(CATALOG)
    work.put()
    reason = "KPI 1001 (CellVolume) is not applied as this process has it: run manage.py apply_catalog"
    addresses = "/api/KPIs/1001/", "/kpis/1001/", "/kpis/1001/series.json", "/", "/operators/", "/api/KPIs/"
    api, page, chart, *others = get(work, *addresses)
    assert [status for status, _ in (api, page, chart, *others)] == [503] * 3 + [200] * 3
    assert json.loads(api[1])["detail"].startswith("The catalog's feed probe is not applied")
    work.apply()
    assert [status for status, _ in get(work, *addresses)] == [200] * 6
    work.declare(CATALOG.replace('by = ["cell"]', 'by = ["cell", "kind"]'))
    api, page, chart, *others = get(work, *addresses)
    assert [status for status, _ in (api, page, chart, *others)] == [503] * 3 + [200] * 3
    assert all(reason in text for _, text in (api, page, chart))


CHANGES = {
    "a dimension is added": (CATALOG.replace('by = ["cell"]', 'by = ["cell", "kind"]'), CATALOG),
    "a dimension is removed": (CATALOG, CATALOG.replace('by = ["cell"]', 'by = ["cell", "kind"]')),
    "the measure": (CATALOG.replace('"sum", columns = ["bytes"]', '"count"'), CATALOG),
    "a KPI is renamed": (CATALOG.replace("CellVolume", "CellBytes"), CATALOG),
    "a KPI gets another id": (CATALOG.replace("1001", "1003").replace("CellVolume", "CellBytes"), CATALOG),
    "a length less": (CATALOG.replace('unit = "bytes"\n', 'unit = "bytes"\nlengths = ["1h"]\n'), CATALOG),
    "a length more": (CATALOG, CATALOG.replace('unit = "bytes"\n', 'unit = "bytes"\nlengths = ["5m"]\n')),
    "a top list": (CATALOG.replace('unit = "bytes"\n', 'unit = "bytes"\ntop = true\n'), CATALOG),
    "a column of the feed is added": (
        CATALOG.replace("\n[kpis", '\nextra = {type = "integer", required = false, optional = true}\n[kpis', 1),
        CATALOG,
    ),
    "a column's range": (CATALOG.replace("minimum = 0}", "minimum = 0, maximum = 20}"), CATALOG),
    "the feed's interval": (
        CATALOG.replace('"unix_s"}', '"unix_s"}').replace("time = {column", 'interval = "1m"\ntime = {column', 1),
        CATALOG,
    ),
    "a KPI is removed": (FEED + RECORDS, CATALOG),
    "a feed is renamed": (CATALOG.replace("feeds.probe", "feeds.probes").replace('"probe"', '"probes"'), CATALOG),
    "all is removed": ("", CATALOG),
}


# On servers, too: tables that are replaced, all of a feed that is read again, and what is dropped.
ON_SERVERS = {"a dimension is added", "a column's range", "all is removed"}


@pytest.mark.parametrize(
    ("now", "before"),
    [
        pytest.param(*texts, id=name, marks=[] if name in ON_SERVERS else pytest.mark.sqlite_alone)
        for name, texts in CHANGES.items()
    ],
)
def test_the_tables_of_a_changed_catalog_are_those_of_a_fresh_start(work, tmp_path, now, before):
    work.declare(before)
    work.put()
    work.apply()
    work.declare(now)
    code, _ = work.check("--drop")
    assert code == 1
    work.apply("--drop")
    assert_as_fresh(work, tmp_path / "fresh")


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("is_removed_before", [False, True])
def test_a_kpi_takes_the_name_of_a_removed_one_once_that_is_dropped(work, tmp_path, is_removed_before):
    work.declare(FEED, VOLUME)
    work.put()
    work.apply()
    if is_removed_before:
        work.declare(FEED)
        work.apply()
    before = work.tables()
    work.declare(FEED, VOLUME.replace("1001", "1003"))
    ended = work.run("apply_catalog")
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "CommandError: KPI 1001 (CellVolume) is removed, and KPI 1003 would take its table: "
        "run manage.py apply_catalog --drop, or choose another name."
    ]
    assert work.tables() == before
    work.apply("--drop")
    assert_as_fresh(work, tmp_path / "fresh")


def test_rows_of_what_was_removed_stay_until_they_are_dropped_and_disturb_nothing(work, tmp_path):
    work.declare(CATALOG)
    work.put()
    work.apply()
    volume, before = work.rows("CellVolume"), work.tables()
    assert len(volume) == 6
    work.declare("")
    removed = [
        "feed probe: removed; its rows stay until apply_catalog --drop",
        "KPI 1001 (CellVolume): removed; its rows stay until apply_catalog --drop",
        "KPI 1002 (KindRecords): removed; its rows stay until apply_catalog --drop",
    ]
    assert work.check() == (1, removed)
    refused = work.run("update_network_stats")
    assert (refused.code, refused.out) == (1, "")
    assert work.apply()[:4] == [*removed, "The catalog is applied."]
    assert work.tables() == before
    kept = [line.replace(": removed", ": was removed") for line in removed]
    assert work.check() == (0, ["The catalog is applied.", *kept])
    for command in (
        ("update_network_stats", "--rollup-open-hours"),
        ("repair_lake",),
        ("prune", "--older-than", "1d", "--dry-run"),
        ("prune_lake", "--older-than", "9999d"),
        ("show_network_stats",),
    ):
        ended = work.run(*command)
        assert (ended.code, ended.err) == (0, ""), command
    assert "catalog" not in work.run("doctor").out
    pages = "/", "/quality/", "/api/intervals/", "/api/batches/", "/healthz", "/metrics", "/api/KPIs/1001/"
    found = get(work, *pages)
    assert [status for status, _ in found] == [200] * 6 + [404]
    assert json.loads(found[2][1]) == []
    assert work.tables() == before
    # It comes back as it was; what came meanwhile is computed.
    work.put(probe_3=[f"{START},9,VOICE,100"])
    work.declare(CATALOG)
    assert work.check()[1] == [
        "feed probe: back",
        "KPI 1001 (CellVolume): back; its results are computed from the lake again",
        "KPI 1002 (KindRecords): back; its results are computed from the lake again",
    ]
    assert work.apply()[-1].startswith("1 files ingested, 0 failed")
    assert_as_fresh(work, tmp_path / "fresh")
    work.declare("")
    work.apply("--drop")
    left = work.tables()
    assert not any(name.startswith("declared_") for name in left)
    assert {name: rows for name, rows in left.items() if rows} == {}
    assert [path for path in work.place.lake_files() if path.name != "lake.json"] == []
    assert work.check("--drop") == (0, ["The catalog is applied."])


@pytest.mark.sqlite_alone
def test_a_kpi_that_comes_back_has_what_its_feed_got_meanwhile(work, tmp_path):
    work.declare(CATALOG)
    work.put()
    work.put(probe_3=[f"{START + 600},3,DATA,4"])
    work.apply()
    work.declare(FEED, RECORDS)
    work.apply()
    assert len(work.rows("CellVolume")) == 8
    # One file is replaced, so that an interval has no records any more, and one is new.
    work.put(probe_3=[f"{START + 900},3,DATA,4"], probe_4=[f"{START + 300},9,VOICE,100"])
    assert work.run("update_network_stats").code == 0
    assert work.run("update_network_stats").out.startswith("0 files ingested, 0 failed")
    work.declare(CATALOG)
    work.apply()
    assert_as_fresh(work, tmp_path / "fresh")


def test_what_cannot_be_computed_again_is_never_lost_silently(work):
    work.declare(CATALOG)
    work.put()
    work.apply()
    before = work.tables()
    (work.place.data / "probe_2.csv").unlink()
    work.declare(CATALOG.replace('by = ["cell"]', 'by = ["cell", "kind"]'))
    loss = (
        "KPI 1001 (CellVolume): 1 batch cannot be read again, with records in 2 intervals from 2026-03-01T12:00:00Z to "
        "2026-03-01T13:00:00Z"
    )
    assert work.check()[1][-1] == loss
    refused = work.run("apply_catalog")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"CommandError: {loss}. Nothing was changed. Bring the files back, or run manage.py apply_catalog "
        "--drop, which marks intervals that cannot be computed as incomplete.\n"
    )
    assert work.tables() == before
    lines = work.apply("--drop")
    reason = "a batch's source was gone when the catalog changed, so that it could not be read again"
    assert (
        "KPI 1001 (CellVolume): 2 intervals of 5 minutes from 2026-03-01T12:00:00Z to 2026-03-01T13:00:00Z are "
        f"incomplete: {reason}"
    ) in lines
    assert [row[:2] + row[3:] for row in work.rows("CellVolume")] == [("2026-03-01 12:05:00", 1, 1, "DATA", 5)]
    assert work.states(1001) == {
        ("2026-03-01 12:00:00", 1): f"incomplete Cannot be computed: {reason}.",
        ("2026-03-01 12:00:00", 2): f"incomplete Cannot be computed: {reason}.",
        ("2026-03-01 12:05:00", 1): "final ",
        ("2026-03-01 13:00:00", 1): f"incomplete Cannot be computed: {reason}.",
    }
    # The other KPI has all, and the file mends it all once it is back.
    assert work.tables()["declared_kindrecords"] == before["declared_kindrecords"]
    work.put()
    assert work.run("update_network_stats").code == 0
    assert set(work.states(1001).values()) == {"final "}
    assert len(work.rows("CellVolume")) == 7


@pytest.mark.sqlite_alone
def test_a_renamed_feed_loses_only_what_no_file_has(work, tmp_path):
    work.declare(CATALOG)
    work.put()
    work.apply()
    work.declare(CATALOG.replace("feeds.probe", "feeds.probes").replace('"probe"', '"probes"'))
    (work.place.data / "probe_2.csv").rename(tmp_path / "probe_2.csv")
    refused = work.run("apply_catalog")
    assert refused.code == 1
    assert refused.err.count("1 batch cannot be read again, with records in 2 intervals from 2026-03-01T12:00:00Z") == 2
    (tmp_path / "probe_2.csv").rename(work.place.data / "probe_2.csv")
    assert work.apply()[-1].startswith("2 files ingested, 0 failed, 5 records, 1 rejects, 3 intervals, 1 rollups")
    assert len(work.rows("CellVolume")) == 6
    work.apply("--drop")
    assert_as_fresh(work, tmp_path / "fresh")


@pytest.mark.sqlite_alone
def test_a_changed_feed_whose_files_are_gone_counts_no_records_silently(work):
    work.declare(CATALOG)
    work.put()
    work.apply()
    (work.place.data / "probe_1.csv").unlink()
    work.declare(CATALOG.replace("minimum = 0}", "minimum = 0, maximum = 20}"))
    refused = work.run("apply_catalog")
    assert refused.code == 1
    assert "feed probe: 1 batch cannot be read again, with records in 2 intervals from" in refused.err
    finer = work.run("apply_catalog", "--drop", CATALOG=str(work.with_interval("1m")))
    assert finer.code == 1
    assert "bring the files back, or give the feed another name" in finer.err
    work.apply("--drop")
    states = {key: text.partition(" ")[0] for key, text in work.states(1001).items()}
    assert states == {
        ("2026-03-01 12:00:00", 1): "incomplete",
        ("2026-03-01 12:00:00", 2): "incomplete",
        ("2026-03-01 12:05:00", 1): "incomplete",
        ("2026-03-01 13:00:00", 1): "final",
    }
    assert work.rows("CellVolume") == [("2026-03-01 13:00:00", 1, 1, 1, 7)]


@pytest.mark.sqlite_alone
def test_a_new_kpi_over_files_that_are_gone_is_incomplete_there(work):
    work.declare(FEED, VOLUME)
    work.put()
    work.apply()
    (work.place.data / "probe_2.csv").unlink()
    work.declare(CATALOG)
    lines = work.apply()
    assert lines[3].startswith("KPI 1002 (KindRecords): 2 intervals of 5 minutes from 2026-03-01T12:00:00Z to")
    assert [row[:2] for row in work.rows("KindRecords")] == [("2026-03-01 12:05:00", 1)]
    assert [text.partition(" ")[0] for _, text in sorted(work.states(1002).items())] == [
        *("incomplete", "incomplete", "final", "incomplete"),
    ]


def test_a_second_process_leaves_the_work_to_the_first(work):
    work.declare(CATALOG)
    work.put()
    started = [work.place.start("apply_catalog", CATALOG=str(work.catalog)) for _ in range(2)]
    ended = [end_of(process) for process in started]
    assert [one.code for one in ended] == [0, 0], ended
    assert work.check() == (0, ["The catalog is applied."])
    assert len(work.rows("CellVolume")) == 6
    assert len(list((work.catalog.parent / "catalog_migrations").glob("*.py"))) == 1


ARCHIVED = FEED.replace("\n[feeds.probe.columns]", "archive = true\n\n[feeds.probe.columns]")


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("before", [ARCHIVED + VOLUME, ARCHIVED + VOLUME + RECORDS.replace('["kind"]', '["cell"]')])
def test_archived_records_stand_in_for_files_that_are_gone(work, tmp_path, before):
    work.declare(before)
    work.put()
    work.apply()
    (work.place.data / "probe_1.csv").rename(tmp_path / "probe_1.csv")
    work.declare(ARCHIVED, VOLUME, RECORDS)
    lines = work.apply()
    assert "aggregated the archived records of 1 batch that cannot be read again" in lines
    assert "incomplete" not in "".join(lines)
    assert len(work.rows("KindRecords")) == 6
    (tmp_path / "probe_1.csv").rename(work.place.data / "probe_1.csv")
    assert work.run("update_network_stats").out.startswith("unchanged probe_1.csv")
    assert_as_fresh(work, tmp_path / "fresh")


KILLED = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection

left = int(sys.argv[1])


def count_down():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)


def after_statement(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    if not sql.lstrip().upper().startswith(("SELECT", "SHOW", "PRAGMA", "SET")):
        count_down()
    return result


def before_change_of_file(event, arguments):
    is_written = event == "open" and arguments[1] and set(f"{arguments[1]}") & set("wax+")
    if is_written or event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"):
        path = os.fspath(arguments[0]) if not isinstance(arguments[0], int) else ""
        if os.fsdecode(path).startswith(os.path.dirname(os.environ["DATA_DIR"])):
            count_down()


sys.addaudithook(before_change_of_file)
with connection.execute_wrapper(after_statement):
    call_command("apply_catalog", *sys.argv[2:], verbosity=0)
"""
# How many statements and changes of files more than the process before each process gets to.
STEP = 1 if LONG else 9 if connection.vendor == "sqlite" else 15


def named(text: str, name: str, id_: int) -> str:
    """A KPI's entry with another name and id."""
    return re.sub("kpis[.].*[]]", f"kpis.{name}]", re.sub("id = .*", f"id = {id_}", text))


DIMENSION_ADDED = VOLUME.replace('by = ["cell"]', 'by = ["cell", "kind"]')
OTHER_FEED = CATALOG.replace("feeds.probe", "feeds.probes").replace('"probe"', '"probes"')
# What the catalog is, and what it was, with where the first process is killed.
KILLED_CHANGES = {
    "much": (
        [
            ARCHIVED.replace("minimum = 0}", "minimum = 0, maximum = 20}"),
            DIMENSION_ADDED,
            named(RECORDS, "OwnRecords", 1003),
            named(VOLUME, "RenamedVolume", 1004),
        ],
        [ARCHIVED, VOLUME, RECORDS, named(VOLUME, "FormerVolume", 1004)],
        1,
    ),
    "a KPI is renamed": ([FEED, RECORDS, VOLUME.replace("CellVolume", "CellBytes")], [CATALOG], 28),
    "a KPI's letter case": ([FEED, RECORDS, VOLUME.replace("CellVolume", "CELLVolume")], [CATALOG], 27),
    "a feed is renamed": ([OTHER_FEED], [CATALOG], 10),
    "a KPI is removed": ([FEED, RECORDS], [CATALOG], 5),
}


KILLED_IN_SHORT = {"much", "a KPI is renamed"}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[] if what == "much" else pytest.mark.sqlite_alone)
        for what in KILLED_CHANGES
        if LONG or what in KILLED_IN_SHORT
    ],
)
def test_killed_between_statements_and_changes_of_files_and_run_again_it_makes_the_same_tables(work, tmp_path, what):
    now, before, first = KILLED_CHANGES[what]
    work.declare(*before)
    work.put()
    work.apply()
    work.declare(*now)
    kills = 0
    while run_until_killed(work, first + kills * STEP, "--drop"):
        kills += 1
        assert kills < 500
    assert kills >= (5 if what == "much" else 1)
    assert_as_fresh(work, tmp_path / "fresh")
    assert_lake_is_the_ledgers(work)


@pytest.mark.sqlite_alone
def test_a_kpi_that_was_renamed_twice_as_processes_were_killed_leaves_nothing_of_its_former_names(work, tmp_path):
    work.declare(CATALOG)
    work.put()
    work.apply()
    for name, statements in (("CellBytes", 30), ("CellOctets", 30)):
        work.declare(FEED, RECORDS, VOLUME.replace("CellVolume", name))
        run_until_killed(work, statements)
    work.declare(FEED, RECORDS, VOLUME.replace("CellVolume", "CellData"))
    work.apply()
    assert_as_fresh(work, tmp_path / "fresh")
    assert_lake_is_the_ledgers(work)


@pytest.mark.sqlite_alone
def test_a_kpi_that_comes_back_after_its_drop_was_killed_is_computed_again(work, tmp_path):
    work.declare(CATALOG)
    work.put()
    work.apply()
    work.declare(FEED, RECORDS)
    assert run_until_killed(work, 12, "--drop")
    work.declare(CATALOG)
    work.apply()
    assert_as_fresh(work, tmp_path / "fresh")
    assert_lake_is_the_ledgers(work)


def assert_lake_is_the_ledgers(work: Work) -> None:
    """No lake file is left of what was there before, nor of a process that was killed."""
    with work.place.alias() as alias, connections[alias].cursor() as cursor:
        cursor.execute("SELECT folder, name FROM kpis_lakefile")
        assert sorted(Path(*row) for row in cursor.fetchall()) == [
            path for path in work.place.lake_files() if path.name != "lake.json"
        ]


def run_until_killed(work: Work, statements: int, *arguments: str) -> bool:
    """Apply the catalog in a process that kills itself after so many statements that write, or changes of files.

    Return True if it was killed.
    """
    environment = work.place.environment(CATALOG=str(work.catalog), DJANGO_SETTINGS_MODULE="network_analysis.settings")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(statements), *arguments],
        cwd=MANAGE.parent,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
