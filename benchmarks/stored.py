"""A database with years of results and a ledger of many files: a real interval, repeated into the past by SQL."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.place import Place
from benchmarks.shapes import FIVE_MINUTES, START, file_name

# The time of change, in ns, that the ledger has for the files, which are empty.
CHANGED = 1_600_000_000 * 10**9
RESULTS = ("kpis_servicetrafficvolume", "kpis_celluniqueusers", "kpis_intervalsummary")
MARK_FILES = """
import sys
from pathlib import Path
import django
django.setup()
from django.db import connection
from kpis.sources.places import found_in
marks = [(file.mark, file.name) for file in found_in(Path(sys.argv[1]))]
with connection.cursor() as cursor:
    cursor.executemany("UPDATE kpis_batch SET mark = %s WHERE name = %s", marks)
"""
SHIFTED = {
    f"interval_{end}_timestamp": f"datetime(of_one.interval_{end}_timestamp, '-' || (300 * number) || ' seconds')"
    for end in ("start", "end")
}


def stored(cache: Path, seed: Place, intervals: int, files: int) -> tuple[Path, Path]:
    """Copy the seed, which has one interval, and add so many more, and of the newest of these so many known files.

    Returns its database and its lake, which are made unless they are in the cache.
    """
    with closing(sqlite3.connect(seed.database)) as connection:
        schema = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master ORDER BY name")]
    digest = hashlib.sha256(repr(schema).encode()).hexdigest()[:8]
    path = cache / f"stored-{intervals}-{files}-{digest}.sqlite3"
    lake = path.with_suffix(".lake")
    if not path.exists():
        shutil.rmtree(lake, ignore_errors=True)
        shutil.copytree(seed.lake, lake)
        aside = path.with_name(f"{path.name}.tmp")
        shutil.copyfile(seed.database, aside)
        with closing(sqlite3.connect(aside, isolation_level=None)) as connection:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "foreign_keys = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            _fill(connection, intervals, files)
        aside.rename(path)
    return path, lake


def known_files(cache: Path, files: int) -> Path:
    """Return the folder with the files that such a database knows."""
    folder = cache / f"known-{files}"
    if not folder.exists():
        aside = folder.with_name(f"{folder.name}.tmp")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for number in range(1, files + 1):
            path = aside / file_name(START - number * FIVE_MINUTES)
            path.touch()
            os.utime(path, ns=(CHANGED, CHANGED))
        aside.rename(folder)
    return folder


def mark_files(place: Place, folder: Path) -> None:
    """Update the ledger's times and inodes to those of the files in the folder."""
    place.output_of_python("-c", MARK_FILES, folder)


def _fill(connection: sqlite3.Connection, intervals: int, files: int) -> None:
    batch = {
        "id": "1 + number",
        "name": f"replace(of_one.name, {START + FIVE_MINUTES}, {START + FIVE_MINUTES} - {FIVE_MINUTES} * number)",
        "key": "printf('%024x', number)",
        "digest": "printf('%064x', number)",
        "size": "0",
        "modified_ns": str(CHANGED),
    }
    _repeat(connection, "kpis_batch", files, batch)
    _repeat(connection, "kpis_batchinterval", files, SHIFTED | {"id": "1 + number", "batch_id": "1 + number"})
    for table in RESULTS:
        _repeat(connection, table, intervals, SHIFTED | {"id": "NULL"})


def _repeat(connection: sqlite3.Connection, table: str, times: int, changed: dict[str, str]) -> None:
    """Repeat the table's rows so many times, number 1 first, each with the columns that change."""
    connection.execute(f"CREATE TEMP TABLE of_one AS SELECT * FROM {table}")
    columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", [table])]
    values = ", ".join(changed.get(name, f'of_one."{name}"') for name in columns)
    connection.execute(
        f"""
        WITH RECURSIVE numbers(number) AS (SELECT ? UNION ALL SELECT number - 1 FROM numbers WHERE number > 1)
        INSERT INTO {table} SELECT {values} FROM numbers CROSS JOIN of_one WHERE number > 0""",
        [times],
    )
    connection.execute("DROP TABLE of_one")
