"""The scale of one machine: an hour of more and more rows, by the local engine, by Spark, and by a plain Spark script.

``scale.py [ROWS ...]`` ingests 12 files of so many rows each (10,000, 100,000, 1,000,000 and 3,000,000 by default) by
whole commands, each with an empty database and lake, and compares all answers, row by row. Spark is ``local[N]`` on the
N cores of this machine, and the files are in the page cache. CPU seconds and memory are what all processes of a command
have together, Java's among them, the memory at its highest, by four samples a second; wall time is from the command's
start to its end. ``--master`` names another Spark, ``--only`` picks contestants. It ends with 1 if Spark takes more
than half of the plain script's time at 1,000,000 rows a file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.checks import BARS
from benchmarks.contest import ROOT, Command, output
from benchmarks.place import PYTHON, Place
from benchmarks.shapes import Shape

LOOKS_A_SECOND = 4
CORES = len(os.sched_getaffinity(0))
VERSIONS = """
import sys
from importlib.metadata import version
packages = (f"{name} {version(name)}" for name in ("pyspark", "duckdb", "pyarrow"))
print(f"Python {sys.version.split()[0]}", *packages, sep=", ")
"""
CHECKED = 1_000_000


@dataclass(frozen=True)
class Taken:
    """The measurements of a command: wall and CPU seconds, memory of all its processes in bytes; and its answer."""

    wall: float
    cpu: float
    peak: int
    answer: Mapping[str, dict]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench-scale ARGS=", description="measures an hour of more and more rows"
    )
    parser.add_argument("rows", nargs="*", type=int, default=[10_000, 100_000, 1_000_000, 3_000_000])
    parser.add_argument("--master", default=f"local[{CORES}]", help="where Spark is (default: all of this machine)")
    parser.add_argument("--runs", type=int, default=3, help="in turns, of which the medians count (default: 3)")
    parser.add_argument("--only", action="append", choices=CONTESTANTS, help="a contestant; all by default")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "bench", help="keeps the files that are made")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    names = options.only or list(CONTESTANTS)
    print(f"date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\nmachine: {CORES} cores, Spark at {options.master}")
    print(f"versions: {output(Command([PYTHON, '-c', VERSIONS])).strip()}\n")
    print(f"{'rows':>12}" + "".join(f"{name:>28}" for name in names), flush=True)
    checks = []
    for rows in options.rows:
        files = Shape("hour", rows=rows).made(options.folder)
        for file in files:
            file.read_bytes()
        runs = [{name: taken(CONTESTANTS[name], files, options.master) for name in names} for _ in range(options.runs)]
        found = {name: _median([run[name] for run in runs]) for name in names}
        cells = [f"{one.wall:,.1f} s, {one.cpu:,.1f} CPU, {one.peak / 1e6:,.0f} MB" for one in found.values()]
        print(f"{12 * rows:>12,}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
        for name, one in found.items():
            if one.answer != next(iter(found.values())).answer:
                print(f"{name} answers otherwise than {names[0]}", file=sys.stderr)
                return 1
        if rows == CHECKED and {"spark", "plain spark"} <= found.keys():
            share = found["spark"].wall / found["plain spark"].wall
            checks.append(BARS["spark"].check("the hour on Spark", share))
    print("\n".join(map(str, checks)))
    return int(not all(check.passed for check in checks))


def local(folder: Path, files: list[Path], master: str) -> tuple[Command, Callable[[], dict]]:
    place = Place(folder)
    place.output("migrate", "-v", "0")
    return place.command("update_network_stats", *files, "-v", "0", "--rollup-open-hours"), place.answer


def spark(folder: Path, files: list[Path], master: str) -> tuple[Command, Callable[[], dict]]:
    command, answer = local(folder, files, master)
    return _with(command, ENGINE="spark", SPARK_MASTER=master), answer


def plain(folder: Path, files: list[Path], master: str) -> tuple[Command, Callable[[], dict]]:
    script: list[str | Path] = [PYTHON, "-m", "benchmarks.peers.spark", *files]
    arguments = f"--master {master} --conf spark.driver.memory=4g --conf spark.local.dir={folder} pyspark-shell"
    return Command(script, {"PYSPARK_SUBMIT_ARGS": arguments}), lambda: json.loads((folder / "out").read_text())


CONTESTANTS = {"local": local, "spark": spark, "plain spark": plain}


def _with(command: Command, **variables: str) -> Command:
    return replace(command, environment={**command.environment, **variables})


def taken(contestant: Callable, files: list[Path], master: str) -> Taken:
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        command, answer = contestant(folder, files, master)
        environment = {"PATH": os.environ["PATH"], "TMPDIR": name, **command.environment}
        before, started = _ended_children(), time.perf_counter()
        with (folder / "out").open("wb") as out:
            process = Popen(list(map(str, command.arguments)), env=environment, cwd=ROOT, stdout=out, stderr=PIPE)
        peak = _Peak(process.pid)
        _, said = process.communicate()
        wall = time.perf_counter() - started
        if process.returncode:
            sys.exit(f"{command.arguments} ended with {process.returncode}:\n{said.decode()[-3000:]}")
        sampled, most = peak.end()
        # Exact where nothing outlives the process and was not waited for.
        return Taken(wall, max(sampled, _ended_children() - before), most, answer())


def _median(runs: list[Taken]) -> Taken:
    wall, cpu = (median(of) for of in zip(*((one.wall, one.cpu) for one in runs), strict=True))
    return Taken(wall, cpu, int(median(one.peak for one in runs)), runs[0].answer)


def _ended_children() -> float:
    """Return the CPU seconds of all processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _Peak:
    """The CPU seconds, at the last of four samples a second, and the peak memory of a process and its descendants.

    Shared memory counts once.
    """

    def __init__(self, process: int):
        self._process, self._peak, self._ended = process, 0, threading.Event()
        self._cpu: dict[int, float] = {}
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> tuple[float, int]:
        self._ended.set()
        self._thread.join()
        return sum(self._cpu.values()), self._peak

    def _look(self) -> None:
        while not self._ended.wait(1 / LOOKS_A_SECOND):
            processes = [self._process, *_below(self._process)]
            self._peak = max(self._peak, sum(map(_memory, processes)))
            self._cpu |= {process: cpu for process in processes if (cpu := _cpu(process))}


def _below(process: int) -> Iterator[int]:
    with suppress(OSError):
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _below(child)


def _cpu(process: int) -> float:
    """Return the CPU seconds of a process, 0 if it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0


def _memory(process: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
