"""A tick, as cron starts it every five minutes: nothing new, or one new small file.

Also with more and more known files and data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Outcome, answer_of_peer
from benchmarks.checks import BARS
from benchmarks.contest import Command, Contestant
from benchmarks.place import Place
from benchmarks.shapes import FIVE_MINUTES, START
from benchmarks.stored import known_files, mark_files, stored

SET_UP = "import django; django.setup()"
DJANGO, NOTHING_NEW = "Django set up", "nothing new"
TICK, KNOWN, LYING = "tick", "tick, {:,} files known, {:,} rows stored", "the same, and the files still lie there"
# The database starts with the first tick, the warm-up takes one, and the last of the hour would close it.
MOST_RUNS = 9


def start(bench: Bench) -> Outcome:
    """Measure a run over nothing new, and one over a small file, beside the set-up of Django alone."""
    paths, seed, folders = ticks(bench), first_ticked(bench), bench.scratch / "start"
    idle = Place(folders / "idle", seed.database, seed.lake)
    contestants = [
        Contestant(DJANGO, lambda folder, run: seed.python("-c", SET_UP)),
        Contestant(NOTHING_NEW, lambda folder, run: idle.update(folder)),
        _duckdb(bench, paths),
        _ticking(TICK, Place(folders / "tick", seed.database, seed.lake), folders / "data", paths),
    ]
    outcome = bench.contest(f"Start-up, and a tick of {bench.sizes.tick_rows:,} rows", contestants, MOST_RUNS)
    shutil.rmtree(folders)
    alone, nothing, own = (outcome.figures[name].wall for name in (DJANGO, NOTHING_NEW, TICK))
    outcome.checks = [
        BARS["nothing new"].check("nothing new", nothing - alone),
        BARS["tick"].check("tick", own / alone),
    ]
    return outcome


def tick(bench: Bench) -> Outcome:
    """Measure ticks of a database with years of results, and where the files of years lie."""
    sizes = bench.sizes
    paths = ticks(bench)
    seed = first_ticked(bench)
    full = stored(bench.cache, seed, sizes.stored_intervals, sizes.known_files)
    known = KNOWN.format(sizes.known_files, sizes.stored_intervals * 20)
    folders = bench.scratch / "tick"
    lying = known_files(bench.cache, sizes.known_files)
    for path in lying.glob("*.csv"):
        if path.stat().st_size:
            path.unlink()
    all_lying = Place(folders / "lying", *full)
    mark_files(all_lying, lying)
    contestants = [
        _ticking(TICK, Place(folders / "tick", seed.database, seed.lake), folders / "data", paths),
        _ticking(known, Place(folders / "known", *full), folders / "data of known", paths),
        _ticking(LYING, all_lying, lying, paths),
    ]
    os.sync()
    outcome = bench.contest(f"A tick of {sizes.tick_rows:,} rows", contestants, MOST_RUNS)
    shutil.rmtree(folders)
    ratio = outcome.figures[known].wall / outcome.figures[TICK].wall
    outcome.checks = [BARS["tick of many"].check(known, ratio)]
    return outcome


def ticks(bench: Bench) -> list[Path]:
    """Return the ticks of an hour, a file each."""
    rows = bench.sizes.tick_rows
    return bench.files(bench.shape("tick", rows=rows, users=max(1, rows // 5), cells=20))


def first_ticked(bench: Bench) -> Place:
    """Return a place that has ingested the first tick."""
    place = Place(bench.scratch / "first")
    if not place.database.exists():
        shutil.copyfile(bench.migrated, place.database)
        place.output("update_network_stats", ticks(bench)[0], "-v", "0")
    return place


def _duckdb(bench: Bench, paths: list[Path]) -> Contestant:
    return Contestant(
        "duckdb",
        lambda folder, run: bench.peer("duckdb", [paths[run + 1]]).prepared(folder, run),
        lambda folder: answer_of_peer(folder)["five_minutes"],
    )


def _ticking(name: str, place: Place, data: Path, paths: list[Path]) -> Contestant:
    """Return the project at a place where each run ingests one more file, which is put into the data folder."""
    data.mkdir(exist_ok=True)

    def prepared(folder: Path, run: int) -> Command:
        shutil.copyfile(paths[run + 1], data / paths[run + 1].name)
        (folder / "run").write_text(str(run))
        return place.update(data)

    def answer(folder: Path) -> Any:
        run = int((folder / "run").read_text())
        return place.answer(START + (run + 1) * FIVE_MINUTES)["five_minutes"]

    return Contestant(name, prepared, answer)
