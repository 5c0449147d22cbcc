"""The arguments and the figures of every peer's plan.

Usage: python -m benchmarks.plans.NAME FEED FOLDER FILE...

The figures of a KPI and a length of intervals go to FOLDER as CSV with a header, named by both: ``CountyCallVolume_2``
for the hours. The columns are ``start`` of the interval (Unix s), the dimensions, and the values; the rows are all
groups of all intervals, ranked: by start, largest value first, ties by the dimensions, groups without a value last. A
plan may assume that every row is a record. The subscribers of antenna messages are beside their folder, see
``benchmarks.samples.subscribers_of``.
"""

from __future__ import annotations

import sys
from calendar import timegm
from collections.abc import Callable
from pathlib import Path
from time import strptime

MINUTE, FIVE_MINUTES, HOUR = 60, 300, 3_600
# The codes of the lengths, by their seconds.
CODES = {MINUTE: 3, FIVE_MINUTES: 1, HOUR: 2}
# A cell of the grid, in millionths of a degree.
CELL = 50_000


def run(feeds: dict[str, Callable[[list[str], Path], None]]) -> None:
    """Run the plan of the command line's feed, with its files and the folder for the figures."""
    feed, folder, *files = sys.argv[1:]
    feeds[feed](files, Path(folder))


def name(kpi: str, seconds: int) -> str:
    return f"{kpi}_{CODES[seconds]}.csv"


def subscribers(files: list[str]) -> str:
    """Return the file of the subscribers whose messages are in the files."""
    return f"{Path(files[0]).parent}.subscribers.csv"


def midnight(file: str) -> int:
    """Return the start of the day (Unix s) that a file of coverage logs is named after."""
    return timegm(strptime(Path(file).name.split(".")[1], "%Y-%m-%d"))
