"""Polars's lazy plans for the five-minute figures; usage: python -m benchmarks.scans.polars FILE..."""

from __future__ import annotations

import json
import sys
import time

import polars as pl

from benchmarks.peers.polars import SCHEMA, reduced, top


def main() -> None:
    started = time.perf_counter()
    plans = [plan for path in sys.argv[1:] for plan in _tops(pl.scan_csv(path, schema=SCHEMA))]
    frames = pl.collect_all(plans, engine="streaming")
    services, cells = (pl.concat(frames[number::2]).rows() for number in (0, 1))
    seconds = time.perf_counter() - started
    json.dump({"seconds": seconds, "answer": [sorted(services), sorted(cells)]}, sys.stdout)


def _tops(flows: pl.LazyFrame) -> list[pl.LazyFrame]:
    services, pairs = reduced(flows)
    return [top(services), top(pairs.group_by("start", "id").agg(value=pl.len()))]


if __name__ == "__main__":
    main()
