"""The scan and the reduction to five minutes alone, timed from within, without start-up, lake and database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.bench import PROJECT, Bench, Outcome
from benchmarks.checks import BARS
from benchmarks.contest import Command, Contestant
from benchmarks.place import Place
from benchmarks.report import MEGABYTE
from benchmarks.samples import Sampled
from kpis.sample import SAMPLES


def scan(bench: Bench) -> Outcome:
    paths = bench.files(bench.shape("hour"))

    def prepared(folder: Path, run: int) -> Command:
        return Place(folder).python("-m", "benchmarks.scans.project", *paths)

    contestants = [
        Contestant(
            "polars",
            lambda folder, run: Command([sys.executable, "-m", "benchmarks.scans.polars", *paths]),
            _answer,
            self_timed=True,
        ),
        Contestant(PROJECT, prepared, _answer, self_timed=True),
    ]
    outcome = bench.contest("Scan and reduction to five minutes alone, one hour", contestants)
    ratio = outcome.figures["polars"].wall / outcome.figures[PROJECT].wall
    outcome.checks = [BARS["scan"].check("scan alone", ratio)]
    return outcome


def scans(bench: Bench) -> Outcome:
    """Measure the scanner's processor time for each feed's files."""
    files = {name: bench.files(Sampled(name, bench.sizes.feed_rows)) for name in SAMPLES}

    def contestant(name: str, paths: list[Path]) -> Contestant:
        def prepared(folder: Path, run: int) -> Command:
            return Place(folder).python("-m", "benchmarks.scans.feeds", name, *paths)

        return Contestant(name, prepared, self_timed=True)

    contestants = [contestant(name, paths) for name, paths in files.items()]
    outcome = bench.contest("Scan and reduction of each feed alone: its processor time as wall", contestants)
    for name, paths in files.items():
        megabytes = sum(path.stat().st_size for path in paths) / MEGABYTE
        outcome.checks.append(BARS[f"scan {name}"].check(name, megabytes / outcome.figures[name].wall))
    return outcome


def _answer(folder: Path) -> Any:
    return json.loads((folder / "out").read_text())["answer"]
