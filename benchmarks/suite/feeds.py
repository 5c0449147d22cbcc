"""An hour of each feed's sample files: this project and all its peers, who write the same figures."""

from __future__ import annotations

import csv
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.bench import PEERS, PROJECT, Bench, Outcome
from benchmarks.checks import BARS
from benchmarks.contest import Command, Contestant
from benchmarks.place import Place
from benchmarks.samples import Sampled, subscribers_of
from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import kpis_of
from kpis.catalog.result_columns import Label
from kpis.sample import SAMPLES

# How ClickHouse writes no value.
NULL = r"\N"
OTHERS = ("antenna", "coverage", "cdr")


def feed_benchmark(name: str) -> Callable[[Bench], Outcome]:
    return lambda bench: _against_peers(bench, name)


def _against_peers(bench: Bench, name: str) -> Outcome:
    rows = bench.sizes.feed_rows
    paths = bench.files(Sampled(name, rows))
    feed = SAMPLES[name].feed
    contestants = [*(_peer(peer, feed, paths) for peer in PEERS), _project(bench, feed, paths)]
    outcome = bench.contest(f"An hour of {_of(feed)}, 12 x {rows:,} rows", contestants)
    outcome.check_peers(name, BARS["feed wall"], BARS["feed CPU"])
    return outcome


def _of(feed: Feed) -> str:
    """Return the feed's records in words, as within a sentence."""
    words = feed.description.partition(":")[0]
    return words[0].lower() + words[1:]


def _peer(peer: str, feed: Feed, paths: list[Path]) -> Contestant:
    def prepared(folder: Path, run: int) -> Command:
        return Command([sys.executable, "-m", f"benchmarks.plans.{peer}", feed.name, folder, *paths])

    def answer(folder: Path) -> Any:
        return {f"{kpi.name}_{code}": _rows(folder / f"{kpi.name}_{code}.csv", kpi) for kpi, code in _figures(feed)}

    return Contestant(peer, prepared, answer)


def _project(bench: Bench, feed: Feed, paths: list[Path]) -> Contestant:
    subscribers = subscribers_of(paths[0].parent)
    seed = Place(bench.scratch / f"seed of {feed.name}", bench.migrated)
    if subscribers.exists():
        seed.output("load_subscribers", subscribers, "-v", "0")

    def prepared(folder: Path, run: int) -> Command:
        return Place(folder, seed.database).update(paths[0].parent)

    def answer(folder: Path) -> Any:
        with closing(sqlite3.connect(Place(folder).database)) as connection:
            return {f"{kpi.name}_{code}": _stored(connection, kpi, code) for kpi, code in _figures(feed)}

    return Contestant(PROJECT, prepared, answer)


def _figures(feed: Feed) -> list[tuple[KPI, int]]:
    """Return the KPIs of the feed, each with the codes of its lengths."""
    return [(kpi, length.code) for kpi in kpis_of(feed) for length in kpi.lengths]


def _stored(connection: sqlite3.Connection, kpi: KPI, code: int) -> list[tuple]:
    return connection.execute(
        f"""
        SELECT CAST(strftime('%s', interval_start_timestamp) AS INTEGER), {", ".join(kpi.columns)}
        FROM kpis_{kpi.name.lower()} WHERE interval = ? ORDER BY interval_start_timestamp, rank""",
        [code],
    ).fetchall()


def _rows(path: Path, kpi: KPI) -> list[tuple]:
    """Return a peer's figures of a KPI: texts and numbers, which are equal to ours or not."""
    types = [int, *(str if isinstance(column.type, Label) else _number for column in kpi.result_columns)]
    with path.open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        return [tuple(of(field) for of, field in zip(types, row, strict=True)) for row in rows]


def _number(text: str) -> float | None:
    """Return a number, a whole one exactly; None for no value."""
    return None if text in ("", NULL) else int(text) if text.lstrip("-").isdigit() else float(text)
