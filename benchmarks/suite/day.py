"""24 hours against one hour of the same."""

from __future__ import annotations

from benchmarks.bench import PROJECT, Bench, Outcome, named
from benchmarks.checks import BARS


def day(bench: Bench) -> Outcome:
    sizes = bench.sizes
    hours = sizes.day_files // 12
    contestants = []
    for of, files in ((f"{hours} hours", sizes.day_files), ("one hour", 12)):
        paths = bench.files(bench.shape("day", files=files, rows=sizes.day_rows))
        contestants += [bench.peer("polars", paths, of), bench.project(paths, of)]
    outcome = bench.contest(f"{hours} hours against one, files of {sizes.day_rows:,} rows", contestants)
    long, short = (outcome.figures[named(PROJECT, of)] for of in (f"{hours} hours", "one hour"))
    outcome.checks = [
        BARS["day memory"].check(f"{hours} hours", long.peak / short.peak),
        BARS["day wall"].check(f"{hours} hours", long.wall / short.wall),
    ]
    return outcome
