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


def _answer(folder: Path) -> Any:
    return json.loads((folder / "out").read_text())["answer"]
