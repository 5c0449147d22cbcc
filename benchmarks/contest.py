"""A contest: several contestants do the same job, in turns, each time in a new process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MEASURED = ROOT / "benchmarks" / "measured.py"


class ContestError(Exception):
    """A contestant failed, or its answer differs from the others'."""


@dataclass(frozen=True)
class Command:
    """A command line, and all of its environment but the search path."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A contestant of the contest.

    ``prepared`` gets a new, empty folder and the number of the run, and returns the command that is measured; its
    standard output is in the folder's file ``out``. ``answer`` reads the answer from the folder; it must be the same
    for all contestants with the same ``of``; None exempts the contestant. A contestant that is ``self_timed`` writes
    JSON to ``out`` with the ``seconds`` that count, instead of the process's.
    """

    name: str
    prepared: Callable[[Path, int], Command]
    answer: Callable[[Path], Any] | None = None
    of: str = ""
    self_timed: bool = False


@dataclass
class Figures:
    """The measurements of a contestant's runs: wall and CPU times in seconds, peaks of memory in bytes."""

    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return median(self.walls)

    @property
    def cpu(self) -> float:
        return median(self.cpus)

    def times(self, other: Figures) -> float:
        """Return the ratio of the wall times: the median over the turns in which both ran."""
        return median(own / others for own, others in zip(self.walls, other.walls, strict=True))

    @property
    def peak(self) -> float:
        return median(self.peaks)


def contest(contestants: Sequence[Contestant], runs: int, scratch: Path) -> dict[str, Figures]:
    """Run all contestants ``runs`` times, in turns that begin with another one each time; raises ContestError.

    Before the measured runs each has one that is not measured, so that files and compiled code are in the caches; with
    no runs it is the only one.
    """
    figures = {contestant.name: Figures() for contestant in contestants}
    for run in range(runs + 1):
        first = run % len(contestants)
        answers: dict[str, tuple[str, Any]] = {}
        for contestant in [*contestants[first:], *contestants[:first]]:
            folder = scratch / "run"
            folder.mkdir()
            wall, cpu, peak = measured(contestant.prepared(folder, run), folder)
            if contestant.self_timed:
                wall = json.loads((folder / "out").read_text())["seconds"]
            if run or not runs:
                figures[contestant.name].walls.append(wall)
                figures[contestant.name].cpus.append(cpu)
                figures[contestant.name].peaks.append(peak)
            if contestant.answer:
                answer = contestant.answer(folder)
                other, expected = answers.setdefault(contestant.of, (contestant.name, answer))
                if answer != expected:
                    difference = _difference(answer, expected)
                    raise ContestError(f"{contestant.name} and {other} differ:\n{difference}")
            shutil.rmtree(folder)
    return figures


def measured(command: Command, folder: Path) -> tuple[float, float, int]:
    """Run a command; return its wall and CPU seconds and its peak memory in bytes. Raises ContestError if it fails."""
    launcher: list[str | Path] = [sys.executable, "-I", "-S", MEASURED, folder / "figures", folder / "out"]
    output(replace(command, arguments=[*launcher, *command.arguments]))
    figures = json.loads((folder / "figures").read_text())
    return figures["wall"], figures["cpu"], figures["peak"]


def output(command: Command) -> str:
    """Run a command; return its standard output. Raises ContestError if it fails."""
    environment = {"PATH": "/usr/bin:/bin", **command.environment}
    ended = subprocess.run(
        list(map(str, command.arguments)), env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        line = " ".join(ended.args)
        raise ContestError(f"{line[:500]}\nended with exit code {ended.returncode}:\n{ended.stderr}")
    return ended.stdout


def _difference(one: Any, other: Any) -> str:
    """Return the first place at which two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                return f"{key}: {_difference(one.get(key), other.get(key))}"
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        one, other = next((pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]), (one, other))
    return f"{str(one)[:1000]}\nand\n{str(other)[:1000]}"
