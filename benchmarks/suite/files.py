"""The same rows in few or many files, and in few or many intervals, by this project alone."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import PROJECT, Bench, Outcome, named
from benchmarks.checks import BARS
from benchmarks.report import MEGABYTE
from benchmarks.samples import Sampled, Scattered

MOST_RUNS = 3


def split(bench: Bench) -> Outcome:
    """Compare one file of an interval with many files of the same rows; the results are the same."""
    rows, files = bench.sizes.split_rows, bench.sizes.split_files
    one, many = "one file", f"{files} files"
    contestants = [
        replace(bench.project(bench.files(Sampled("ipflow", rows, 1, count)), of), of="")
        for of, count in ((one, 1), (many, files))
    ]
    outcome = bench.contest(f"{rows:,} rows of one interval, in one and in {files} files", contestants)
    _compare(outcome, "split", many, one)
    return outcome


def many(bench: Bench) -> Outcome:
    """Ingest files of 100 rows each."""
    files = bench.sizes.many_files
    sampled = Sampled("ipflow", 100 * files, 10, files)
    outcome = bench.contest(f"{10 * files:,} files of 100 rows", [bench.project(bench.files(sampled))], MOST_RUNS)
    figures = outcome.figures[PROJECT]
    outcome.checks = [
        BARS["many wall"].check("many files", figures.wall),
        BARS["many memory"].check("many files", figures.peak / MEGABYTE),
    ]
    return outcome


def scattered(bench: Bench) -> Outcome:
    """Compare a file whose rows lie in many intervals with one whose rows lie in one."""
    rows, intervals = bench.sizes.scattered_rows, bench.sizes.scattered_intervals
    one, many = "one interval", f"{intervals:,} intervals"
    contestants = [
        bench.project(bench.files(Scattered(rows, count)), of) for of, count in ((one, 1), (many, intervals))
    ]
    outcome = bench.contest(f"{rows:,} rows, in one and in {intervals:,} intervals", contestants, MOST_RUNS)
    _compare(outcome, "scattered", many, one)
    return outcome


def _compare(outcome: Outcome, bar: str, many: str, one: str) -> None:
    some, few = (outcome.figures[named(PROJECT, of)] for of in (many, one))
    outcome.checks = [
        BARS[f"{bar} wall"].check(many, some.wall / few.wall),
        BARS[f"{bar} CPU"].check(many, some.cpu / few.cpu),
    ]
