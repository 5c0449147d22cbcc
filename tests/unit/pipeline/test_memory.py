"""What a run holds in memory does not grow with the hours that it ingests."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest

from benchmarks.contest import MEASURED
from kpis.sample import SAMPLES, make_files
from tests.processes import end_of, new_place

START = datetime(2021, 7, 18, 12, tzinfo=UTC)
ROWS = 20_000


def peak(folder, hours: int) -> int:
    """Ingest hours of IP flows by a process of its own; return the process's peak memory."""
    place = new_place(folder)
    for _ in make_files(SAMPLES["ipflow"], place.data, START, 12 * hours, ROWS, seed=1):
        pass
    figures = folder / "figures"
    launcher = (sys.executable, "-I", "-S", str(MEASURED), str(figures), str(folder / "out"))
    ended = end_of(place.start(prefix=launcher))
    place.close()
    assert (ended.code, ended.err) == (0, "")
    assert f"{12 * hours} files ingested, 0 failed" in (folder / "out").read_text()
    return json.loads(figures.read_text())["peak"]


@pytest.mark.sqlite_alone
def test_four_hours_take_hardly_more_memory_than_one(tmp_path, transactional_db):
    assert peak(tmp_path / "four", 4) <= 1.15 * peak(tmp_path / "one", 1)
