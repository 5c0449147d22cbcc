"""Files that are committed together share a file of rejects an hour, as other engines read it: each reject once."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from kpis.models import Batch, LakeFile, LostFile, Reject
from tests.twin import Flow, file_text
from tests.unit.lake.test_repair import flip, query, repair
from tests.unit.management.test_update_network_stats import START, update

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

HOUR = 3600
# The number of wrong rows of each file, and the second at which its first record is.
FILES = {"a": (2, START), "b": (1, START + 300), "c": (3, START), "d": (1, START + HOUR), "e": (0, START)}


def put(data_dir: Path, name: str, rejects: int, start: int, bytes_: int = 1) -> None:
    flows = [Flow(start + wait, 1, bytes_, ord(name), 1, 7) for wait in (0, 300, HOUR, HOUR + 300)]
    (data_dir / f"ipflow_data.{name}.csv").write_text(file_text(flows) + f"wrong {name}\n" * rejects)


@pytest.fixture
def files(data_dir, lake_dir) -> None:
    for name, (rejects, start) in FILES.items():
        put(data_dir, name, rejects, start)
    assert "5 files ingested, 0 failed" in update()


def kept(lake_dir: Path) -> list[tuple[int, str, int]]:
    """The rejects in all files that lie in the lake: hour, text and line."""
    files = f"read_parquet('{lake_dir}/rejects/ipflow/**/*.parquet', hive_partitioning = true)"
    found = duckdb.sql(f"SELECT CAST(hour AS INTEGER), text, line FROM {files}").fetchall()
    return sorted(found)


def of(*names: str) -> list[tuple[int, str, int]]:
    """The rejects of the files of these names."""
    return sorted(
        (FILES[name][1] // HOUR % 24, f"wrong {name}", 6 + line) for name in names for line in range(FILES[name][0])
    )


def names_of(lake_dir: Path) -> list[list[str]]:
    """Whose rejects the files are, by their metadata or names: the names of the batches."""
    names = dict(Batch.objects.values_list("key", "name"))
    found = []
    for path in lake_dir.glob("rejects/ipflow/**/*.parquet"):
        held = duckdb.sql(f"SELECT decode(value) FROM parquet_kv_metadata('{path}') WHERE decode(key) = 'batches'")
        rows = held.fetchall()
        assert bool(rows) == path.name.startswith("group-")
        keys = rows[0][0].split(",") if rows else [path.name.partition(".")[0]]
        found.append(sorted(names[key].split(".")[1] for key in keys))
    return sorted(found)


def test_the_files_of_a_group_share_a_file_of_rejects_an_hour(files, lake_dir):
    assert names_of(lake_dir) == [["a", "b", "c"], ["d"]]
    assert kept(lake_dir) == of("a", "b", "c", "d")
    rows = query("SELECT file_name, line, reason, text, hour FROM rejects ORDER BY file_name, line")
    assert [(row["file_name"], row["line"]) for row in rows] == [
        ("ipflow_data.a.csv", 6),
        ("ipflow_data.a.csv", 7),
        ("ipflow_data.b.csv", 6),
        ("ipflow_data.c.csv", 6),
        ("ipflow_data.c.csv", 7),
        ("ipflow_data.c.csv", 8),
        ("ipflow_data.d.csv", 6),
    ]
    assert {(row["reason"], row["text"][:5]) for row in rows} == {("has 1 field where the header has 7", "wrong")}


def test_the_rejects_of_a_file_that_is_replaced_leave_the_shared_file(files, data_dir, lake_dir):
    put(data_dir, "b", 0, START, bytes_=5)
    assert "1 files ingested" in update()
    assert names_of(lake_dir) == [["a", "c"], ["d"]]
    assert kept(lake_dir) == of("a", "c", "d")
    # Its former content comes back, with a file of its own; then the one that is left loses its last companion.
    put(data_dir, "b", *FILES["b"])
    (data_dir / "ipflow_data.a.csv").write_text("rubbish\n")
    with pytest.raises(SystemExit):
        update()
    assert names_of(lake_dir) == [["b"], ["c"], ["d"]]
    assert kept(lake_dir) == of("b", "c", "d")
    rows = query("SELECT file_name, line, hour FROM rejects WHERE hour = 0 ORDER BY file_name, line")
    assert [row["line"] for row in rows] == [6, 6, 7, 8]


def test_a_shared_file_of_which_every_batch_is_replaced_goes(files, data_dir, lake_dir):
    for name in "abc":
        put(data_dir, name, 1, START, bytes_=9)
    assert "3 files ingested" in update()
    assert names_of(lake_dir) == [["a", "b", "c"], ["d"]]
    assert len(kept(lake_dir)) == 4
    assert LakeFile.objects.filter(folder__startswith="rejects").count() == 2


@pytest.mark.parametrize("damage", [flip, Path.unlink])
@pytest.mark.parametrize("is_source_there", [True, False])
def test_a_repair_gives_each_batch_of_a_lost_file_of_rejects_its_own(
    files, data_dir, lake_dir, damage, is_source_there
):
    (shared,) = lake_dir.glob("rejects/**/group-*.parquet")
    damage(shared)
    if not is_source_there:
        for path in data_dir.iterdir():
            path.unlink()
    place = "rebuilt from its source file" if is_source_there else "rebuilt from the database"
    with pytest.raises(SystemExit):
        repair(dry_run=True)
    printed = repair()
    assert [f"ipflow_data.{name}.csv, rejects: {place}" in printed for name in "abcde"] == [True] * 3 + [False] * 2
    assert names_of(lake_dir) == [["a"], ["b"], ["c"], ["d"]]
    assert kept(lake_dir) == of("a", "b", "c", "d")
    assert "0 findings, 0 lost" in repair()


@pytest.mark.parametrize("lost", ["group-*.parquet", "*.parquet"])
@pytest.mark.parametrize("is_source_there", [True, False])
def test_a_repair_gives_each_batch_one_file_when_all_files_of_its_hour_are_lost(
    files, data_dir, lake_dir, lost, is_source_there
):
    for name in "fg":
        put(data_dir, name, 1, START)
    assert "2 files ingested, 0 failed" in update()
    assert names_of(lake_dir) == [["a", "b", "c"], ["d"], ["f", "g"]]
    for path in lake_dir.glob(f"rejects/**/{lost}"):
        path.unlink()
    if not is_source_there:
        for path in data_dir.iterdir():
            path.unlink()
    assert "0 lost" in repair()
    assert names_of(lake_dir) == [[name] for name in "abcdfg"]
    assert kept(lake_dir) == sorted([*of("a", "b", "c", "d"), (0, "wrong f", 6), (0, "wrong g", 6)])
    assert "0 findings, 0 lost" in repair()


def test_what_is_lost_for_good_of_a_shared_file_of_rejects_is_named_once(files, data_dir, lake_dir):
    (shared,) = lake_dir.glob("rejects/**/group-*.parquet")
    shared.unlink()
    for path in data_dir.iterdir():
        path.unlink()
    Reject.objects.filter(line=6).delete()
    printed = repair()
    assert "3 lost" in printed, printed
    assert sorted(LostFile.objects.values_list("batch__name", "kpi")) == [
        (f"ipflow_data.{name}.csv", 0) for name in "abc"
    ]
    assert "0 findings, 0 lost" in repair()


def test_a_file_is_replaced_while_the_rejects_that_it_shares_are_damaged(files, data_dir, lake_dir):
    (shared,) = lake_dir.glob("rejects/**/group-*.parquet")
    flip(shared)
    put(data_dir, "b", 0, START, bytes_=5)
    assert "1 files ingested, 0 failed" in update()
    printed = repair()
    assert "ipflow_data.b.csv" not in printed
    assert kept(lake_dir) == of("a", "c", "d")
