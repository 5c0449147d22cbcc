"""The compiled scanner that tests run, which has to be that of the sources, and to read as the bulk reader does."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from kpis.catalog.feeds import Feed
from kpis.engine import compiled
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan

BUILD = "run `make setup`, or `.venv/bin/python -m kpis.engine.compiled`"


def check_is_built() -> None:
    """Raises UsageError if the scanner of these sources is not built, as after a change of them, but could be."""
    path = compiled.library_path()
    others = sorted(other.name for other in path.parent.glob("scanner-*.so") if other != path)
    if not path.exists() and (others or any(map(shutil.which, compiled.COMPILERS))):
        instead = f" ({' and '.join(others)} is of other sources)" if others else ""
        raise pytest.UsageError(f"The compiled scanner {path} is not built{instead}: {BUILD}.")


def read_alike(path: Path, feed: Feed, columns: str) -> tuple[list[tuple], list[tuple]]:
    """Columns of a file's records, in their order, and its rejects, on which bulk reader and scanner agree."""
    with duckdb.connect() as connection:
        reading = Reader(connection).read(path, feed)
        records = connection.execute(f"SELECT {columns} FROM records").fetchall()
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    assert can_scan(feed, [])
    scanned = scan(path, feed, [])
    assert scanned is not None
    assert (scanned.reading, scanned.rejects) == (reading, rejects)
    assert reading.lines == len(records) + len(rejects)
    return records, rejects
