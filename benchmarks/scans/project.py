"""This project's scanner for the five-minute figures; usage: python -m benchmarks.scans.project FILE..."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import kpis_of
from kpis.engine.compiled import CORES
from kpis.engine.scanner import scan

SERVICES, CELLS = kpis_of(IPFLOW, ONE_HOUR)
(TOTAL,) = SERVICES.measure.partial


def main() -> None:
    started = time.perf_counter()
    with ThreadPoolExecutor(CORES) as threads:
        tops = list(threads.map(_tops, map(Path, sys.argv[1:])))
    services, cells = ([row for both in tops for row in both[number]] for number in (0, 1))
    seconds = time.perf_counter() - started
    json.dump({"seconds": seconds, "answer": [sorted(services), sorted(cells)]}, sys.stdout)


def _tops(path: Path) -> tuple[list, list]:
    scanned = scan(path, IPFLOW, [SERVICES, CELLS])
    if scanned is None:
        raise SystemExit(f"The scanner declined {path}.")
    sums, pairs = scanned.partials[SERVICES.id], scanned.partials[CELLS.id]
    starts, cells = pairs["interval_start"], pairs["cell_id"]
    # Sorted, so that a cell's users are next to each other.
    first = np.flatnonzero(np.r_[True, (cells[1:] != cells[:-1]) | (starts[1:] != starts[:-1])])
    users = np.diff(np.r_[first, len(cells)])
    return _top(sums["interval_start"], sums["service_id"], sums[TOTAL]), _top(starts[first], cells[first], users)


def _top(starts: np.ndarray, groups: np.ndarray, values: np.ndarray) -> list[list[int]]:
    found = []
    for start in np.unique(starts):
        here = np.flatnonzero(starts == start)
        best = here[np.lexsort((groups[here], -values[here]))[:10]]
        milliseconds = int(start.astype("datetime64[ms]").astype(np.int64))
        found += [
            [milliseconds, group, value]
            for group, value in zip(groups[best].tolist(), values[best].tolist(), strict=True)
        ]
    return found


if __name__ == "__main__":
    main()
