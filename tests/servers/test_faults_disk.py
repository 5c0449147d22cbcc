"""Full disks, folders that cannot be written, and what is no folder at all: one clear line, and the next run repairs.

What needs a small disk mounts one in memory, and is left out where that is not allowed: it takes root.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.models import Run
from tests.processes import Ended, Place
from tests.twin import Flow, expected, file_text

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="disks are the same whatever the server"),
]

START = 1626566400  # 2021-07-18T00:00:00Z
GOES_ON = "What was ingested before stays; the next run goes on from there."
# Root may write everywhere; without these capabilities it is held to permissions like anybody.
MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
prefix = MORTAL if os.getuid() == 0 else ()


@pytest.fixture
def files(place) -> dict[str, list[Flow]]:
    """An hour's files, in the data folder."""
    some = random.Random(1).randrange  # noqa: S311
    files = {
        f"ipflow_data.ts-{(start + 300) * 1000}.1.csv": [
            Flow(start, some(1, 9999), some(99), some(99), some(5000), some(5000)) for _ in range(500)
        ]
        for start in range(START + 300, START + 3600, 600)
    }
    place.put(files)
    return files


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A disk of its own for a folder, as large as so many kilobytes."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk in memory can be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def check_error(ended: Ended, *said: str) -> None:
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("CommandError: ")
    assert line.endswith(GOES_ON)
    for words in said:
        assert words in line


def check_what_is_in(place: Place, files: dict[str, list[Flow]]) -> None:
    """The 5-minute tables hold what the ledger's files give, all of it and nothing else."""
    known = place.known()
    wanted, _ = expected({name: flows for name, flows in files.items() if name in known}, START)
    stored, _ = place.stored()
    assert {key: rows for key, rows in stored.items() if key[1] == 1} == wanted


def check_repaired(place: Place, files: dict[str, list[Flow]]) -> None:
    ended = place.run()
    assert (ended.code, ended.err) == (0, "")
    assert place.stored() == expected(files, START + 3600)
    alone, compacted = place.keys_in_lake()
    assert alone | compacted == place.keys()
    assert not list(place.temporary.iterdir())


def test_a_full_lake_is_named_and_the_next_run_goes_on_when_there_is_room(place, files):
    with small_disk(place.lake, 40):
        ended = place.run(GROUP_FILES="1")
        check_error(ended, f"Cannot use the lake at {place.lake}/staging/", ": No space left on device.")
        assert 0 < len(place.known()) < len(files)
        check_what_is_in(place, files)
        check_error(place.run(), f"Cannot use the lake at {place.lake}", "No space left on device")
        with place.alias() as alias:
            run = Run.objects.using(alias).first()
            assert (run.outcome, "LakeError" in run.traceback) == ("broken", True)
        remount(place.lake, "size=10M")
        check_repaired(place, files)


def test_a_lake_that_turns_read_only_is_named(place, files):
    with small_disk(place.lake, 10_000):
        remount(place.lake, "ro")
        check_error(place.run(), f"Cannot use the lake at {place.lake}", "Read-only file system")
        assert place.stored() == ({}, {})
        remount(place.lake, "rw")
        check_repaired(place, files)


def test_a_lake_without_permission_is_named(place, files):
    place.lake.mkdir(mode=0o500)
    check_error(place.run(prefix=prefix), f"Cannot use the lake at {place.lake}", "Permission denied")
    assert place.stored() == ({}, {})
    place.lake.chmod(0o700)
    check_repaired(place, files)


def test_a_lake_that_is_a_file_is_named(place, files):
    place.lake.write_text("not a folder")
    check_error(place.run(), f"Cannot use the lake at {place.lake}", "Not a directory")
    assert place.lake.read_text() == "not a folder"
    place.lake.unlink()
    check_repaired(place, files)


def test_a_full_temporary_folder_is_named_by_the_file_that_needs_it(place, files):
    packed = max(files)
    # The scanner leaves a file with such a line to the reader, which works on a temporary copy.
    text = file_text(files[packed]) + "x" * (LONGEST_LINE_BYTES + 1) + "\n"
    (place.data / packed).unlink()
    (place.data / f"{packed}.gz").write_bytes(gzip.compress(text.encode()))
    files[f"{packed}.gz"] = files.pop(packed)
    with small_disk(place.temporary, 16):
        ended = place.run()
        (line,) = ended.err.splitlines()
        assert ended.code == 1
        assert line.startswith(f"failed {packed}.gz: Cannot write temporary files to {place.temporary}")
        assert "No space left" in line
        assert "TMPDIR" in line
        assert len(place.known()) == len(files) - 1
        check_what_is_in(place, files)
        assert not list(place.temporary.iterdir())
    check_repaired(place, files)


def test_a_data_folder_without_permission_is_named_and_its_files_stay_in(place, files):
    check_repaired(place, files)
    place.data.chmod(0o000)
    ended = place.run(prefix=prefix)
    assert ended.err == f"CommandError: Cannot list the data folder {place.data}: Permission denied.\n"
    assert ended.code == 2
    place.data.chmod(0o700)
    check_repaired(place, files)


def test_a_full_disk_under_the_database_is_named(place, files):
    disk = place.folder / "disk"
    database = place.folder / "place.sqlite3"
    with small_disk(disk, database.stat().st_size // 1024 + 80):
        at = move_database(place, disk)
        check_error(place.run(), f"Cannot use the database {at}: database or disk is full")
        remount(disk, "size=10M")
        check_what_is_in(place, files)
        check_repaired(place, files)


def test_a_read_only_database_is_named(place, files):
    disk = place.folder / "disk"
    with small_disk(disk, 10_000):
        at = move_database(place, disk)
        remount(disk, "ro")
        check_error(place.run(), f"Cannot use the database {at}: attempt to write a readonly database")
        remount(disk, "rw")
        check_repaired(place, files)


def test_the_error_of_a_database_without_tables_says_what_to_do(place, files):
    at = place.folder / "new.sqlite3"
    place.database_url = f"sqlite:///{at}"
    check_error(place.run(), f"Cannot use the database {at}", "run manage.py migrate")


def move_database(place: Place, folder: Path) -> Path:
    """Moves a place's SQLite database into another folder; its new path."""
    moved = folder / "place.sqlite3"
    shutil.move(place.folder / "place.sqlite3", moved)
    place.database_url = f"sqlite:///{moved}"
    return moved
