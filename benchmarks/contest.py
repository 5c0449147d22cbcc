"""A contest: the same job done by several, in turns, each time by a process that starts from nothing."""

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
    """A contestant failed, or gave another answer than the others."""


@dataclass(frozen=True)
class Command:
    """A command line, and all of its environment but the search path."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """Someone who does the job.

    ``prepared`` gets a new, empty folder and the number of the run, and gives the command that is measured; what that
    writes to its standard output is in the folder's file ``out``. ``answer`` gives from the folder the answer that has
    to be that of everyone ``of`` the same; None leaves the contestant out of that. One that is ``self_timed`` writes
    JSON to ``out`` with the ``seconds`` that count, in the place of the process's.
    """

    name: str
    prepared: Callable[[Path, int], Command]
    answer: Callable[[Path], Any] | None = None
    of: str = ""
    self_timed: bool = False


@dataclass
class Figures:
    """What a contestant's runs took: wall times in seconds, peaks of memory in bytes."""

    walls: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    @property
    def wall(self) -> float:
        return median(self.walls)

    def times(self, other: Figures) -> float:
        """How many times the other's wall time: the median over the turns, each of which both ran in."""
        return median(own / others for own, others in zip(self.walls, other.walls, strict=True))

    @property
    def peak(self) -> float:
        return median(self.peaks)


def contest(contestants: Sequence[Contestant], runs: int, scratch: Path) -> dict[str, Figures]:
    """Runs everyone so often, in turns that begin with another one each time; raises ContestError.

    Before the runs that count everyone has one that doesn't, so that files and compiled code are in the caches; with
    no runs it is the only one.
    """
    figures = {contestant.name: Figures() for contestant in contestants}
    for run in range(runs + 1):
        first = run % len(contestants)
        answers: dict[str, tuple[str, Any]] = {}
        for contestant in [*contestants[first:], *contestants[:first]]:
            folder = scratch / "run"
            folder.mkdir()
            wall, peak = measured(contestant.prepared(folder, run), folder)
            if contestant.self_timed:
                wall = json.loads((folder / "out").read_text())["seconds"]
            if run or not runs:
                figures[contestant.name].walls.append(wall)
                figures[contestant.name].peaks.append(peak)
            if contestant.answer:
                answer = contestant.answer(folder)
                other, expected = answers.setdefault(contestant.of, (contestant.name, answer))
                if answer != expected:
                    difference = _difference(answer, expected)
                    raise ContestError(f"{contestant.name} and {other} differ:\n{difference}")
            shutil.rmtree(folder)
    return figures


def measured(command: Command, folder: Path) -> tuple[float, int]:
    """Runs a command; its wall time in seconds and its peak of memory in bytes. Raises ContestError where it fails."""
    launcher: list[str | Path] = [sys.executable, "-I", "-S", MEASURED, folder / "figures", folder / "out"]
    output(replace(command, arguments=[*launcher, *command.arguments]))
    figures = json.loads((folder / "figures").read_text())
    return figures["wall"], figures["peak"]


def output(command: Command) -> str:
    """Runs a command; what it wrote to its standard output. Raises ContestError where it fails."""
    environment = {"PATH": "/usr/bin:/bin", **command.environment}
    ended = subprocess.run(
        list(map(str, command.arguments)), env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        line = " ".join(ended.args)
        raise ContestError(f"{line[:500]}\nended with exit code {ended.returncode}:\n{ended.stderr}")
    return ended.stdout


def _difference(one: Any, other: Any) -> str:
    """The first place at which two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if one.get(key) != other.get(key):
                return f"{key}: {_difference(one.get(key), other.get(key))}"
    return f"{one}\nand\n{other}"[:2000]
