"""An hour in which 1% of the rows are bad, by this project and by those of its peers that keep the rejects."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench import PEERS, PROJECT, Bench, Outcome
from benchmarks.checks import BARS
from benchmarks.contest import Command, Contestant, ContestError
from benchmarks.place import Place


def rejects(bench: Bench) -> Outcome:
    paths = bench.files(bench.shape("bad", bad=10))
    with (paths[0].parent / "rejects.csv").open(newline="") as file:
        bad = list(csv.reader(file))
    kept: dict[str, int] = {}

    def checked(one: Contestant, rows: Any) -> Contestant:
        """Return the contestant; its rejects must be those of the files before its answer counts."""

        def answer(folder: Path) -> Any:
            kept[one.name] = _kept(one.name, rows(folder), bad)
            return one.answer(folder) if one.answer else None

        return replace(one, answer=answer)

    def peer(name: str) -> Contestant:
        one = bench.peer(name, paths)

        def prepared(folder: Path, run: int) -> Command:
            command = one.prepared(folder, run)
            return replace(command, arguments=[*command.arguments, "--rejects", folder / "rejects.csv"])

        return checked(replace(one, prepared=prepared), _of_peer)

    project = checked(bench.project(paths), lambda folder: Place(folder).rejects())
    outcome = bench.contest("One hour with 1% bad rows, all of them kept", [*map(peer, PEERS), project])
    walls = {name: figures.wall for name, figures in outcome.figures.items()}
    outcome.checks = [
        BARS["rejects wall"].check("1% bad rows", walls[PROJECT] / min(walls[name] for name in PEERS)),
        BARS["rejects kept"].check("1% bad rows", kept[PROJECT] / len(bad)),
    ]
    return outcome


def _of_peer(folder: Path) -> Iterable[list[str]]:
    with (folder / "rejects.csv").open(newline="") as file:
        yield from csv.reader(file)


def _kept(name: str, found: Iterable[list[str]], bad: list[list[str]]) -> int:
    """Return the number of kept rejects; raises ContestError unless they are the bad rows, by line, text, or both."""
    found = list(found)
    ways = [way for way in (_by_line, _by_text) if any(way(row)[1] for row in found)]
    if not ways or any(Counter(map(way, found)) != Counter(map(way, bad)) for way in ways):
        raise ContestError(f"{name} kept {len(found):,} rejects, which are not the {len(bad):,} bad rows.")
    return len(found)


def _by_line(row: list[str]) -> tuple[str, str]:
    return row[0], row[1].replace(r"\N", "")


def _by_text(row: list[str]) -> tuple[str, str]:
    # Some peers do not distinguish a missing last field from an empty one.
    return row[0], row[3].rstrip(",")
