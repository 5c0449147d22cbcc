"""The base of benchmarks: sizes, folders, and contestants on a shape's files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checks import BARS, Bar, Check
from benchmarks.contest import Command, Contestant, Figures, contest
from benchmarks.place import Place
from benchmarks.samples import Sampled, Scattered
from benchmarks.shapes import Shape

PEERS = ("pandas", "polars", "duckdb", "chdb")
PROJECT = "this project"


@dataclass(frozen=True)
class Sizes:
    """The sizes of a benchmark, in rows per file and in numbers."""

    hour_rows: int
    feed_rows: int
    split_rows: int
    split_files: int
    many_files: int
    scattered_rows: int
    scattered_intervals: int
    day_rows: int
    day_files: int
    tick_rows: int
    users: int
    few_users: int
    many_users: tuple[int, int]
    cells: int
    many_cells: int
    stored_intervals: int
    known_files: int
    paged_intervals: int
    requests: int


FULL = Sizes(
    hour_rows=1_000_000,
    feed_rows=166_667,
    split_rows=640_000,
    split_files=64,
    many_files=1_000,
    scattered_rows=1_000_000,
    scattered_intervals=10_000,
    day_rows=100_000,
    day_files=288,
    tick_rows=1_000,
    users=200_000,
    few_users=1_000,
    many_users=(1_000_000, 10_000_000),
    cells=3_300,
    many_cells=50_000,
    stored_intervals=1_000_000,
    known_files=200_000,
    paged_intervals=500_000,
    requests=500,
)
SHORT = Sizes(
    hour_rows=500,
    feed_rows=300,
    split_rows=500,
    split_files=5,
    many_files=3,
    scattered_rows=500,
    scattered_intervals=30,
    day_rows=100,
    day_files=24,
    tick_rows=100,
    users=100,
    few_users=5,
    many_users=(500, 5_000),
    cells=20,
    many_cells=100,
    stored_intervals=500,
    known_files=100,
    paged_intervals=500,
    requests=10,
)


@dataclass
class Outcome:
    """The result of a benchmark: its contestants' figures, and its checks."""

    title: str
    figures: dict[str, Figures]
    checks: list[Check] = field(default_factory=list)

    def check_peers(self, of: str, wall: Bar, cpu: Bar) -> None:
        """Check this project's figures against the best of each of its peers' figures."""
        own, peers = self.figures[PROJECT], [self.figures[name] for name in PEERS]
        self.checks += [
            wall.check(of, own.wall / min(one.wall for one in peers)),
            cpu.check(of, own.cpu / min(one.cpu for one in peers)),
            BARS["memory"].check(of, own.peak / min(one.peak for one in peers)),
        ]


@dataclass(frozen=True)
class Bench:
    """The options of benchmarks: the folders of kept and temporary files, the sizes, and the number of runs."""

    cache: Path
    scratch: Path
    sizes: Sizes
    runs: int

    @property
    def migrated(self) -> Path:
        """Create a migrated, empty database."""
        place = Place(self.scratch / "migrated")
        if not place.database.exists():
            place.output("migrate", "-v", "0")
        return place.database

    def shape(self, name: str, **changes: Any) -> Shape:
        """Return the hour's shape with changes."""
        sizes = self.sizes
        return Shape(name, **{"rows": sizes.hour_rows, "users": sizes.users, "cells": sizes.cells} | changes)

    def files(self, shape: Shape | Sampled | Scattered) -> list[Path]:
        """Return the shape's files, read once, so that they are in the page cache."""
        paths = shape.made(self.cache)
        for path in paths:
            path.read_bytes()
        return paths

    def peer(self, name: str, paths: list[Path], of: str = "") -> Contestant:
        """Return a peer as a contestant on files; ``of`` distinguishes contestants on different files."""
        command = Command([sys.executable, "-m", f"benchmarks.peers.{name}", *paths])
        return Contestant(named(name, of), lambda folder, run: command, answer_of_peer, of)

    def project(self, paths: list[Path], of: str = "") -> Contestant:
        """Return this project as a contestant on files, which are all that is in their folder."""

        def prepared(folder: Path, run: int) -> Command:
            return Place(folder, self.migrated).update(paths[0].parent)

        return Contestant(named(PROJECT, of), prepared, lambda folder: Place(folder).answer(), of)

    def contest(self, title: str, contestants: list[Contestant], most_runs: int | None = None) -> Outcome:
        runs = min(self.runs, most_runs) if most_runs else self.runs
        return Outcome(title, contest(contestants, runs, self.scratch))


def named(name: str, of: str) -> str:
    return f"{name}, {of}" if of else name


def answer_of_peer(folder: Path) -> Any:
    """Return a peer's standard output."""
    return json.loads((folder / "out").read_text())
