"""Merge partials to results: this module decides what does it, of ``array_results``, ``merge`` and SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import aliased, quoted
from kpis.engine.aggregate import Partials, fetch, results_by_sql, within
from kpis.engine.array_results import MOST_ROWS, can_use_arrays, results_of_arrays
from kpis.engine.merge import Merged, Piece, can_merge, merge, merged_column
from kpis.engine.reductions import Declined
from kpis.engine.results import TOTALS_COLUMNS, Results, joined_results, no_results
from kpis.engine.table import Columns

if TYPE_CHECKING:
    import duckdb

# ``merge`` takes the intervals one by one: with fewer rows in each, arrays are faster.
LONG_INTERVAL_ROWS = 2_000
# It reads a table once for each interval; of more of them than an hour has, SQL reads it once.
MOST_INTERVALS_OF_TABLES = 12
# About so many rows of a table are fetched at once.
ROWS_FETCHED = 100_000

Connect = Callable[[], "duckdb.DuckDBPyConnection"]


def results_of_partials(
    connect: Connect,
    kpi: KPI,
    length: Length,
    partials: Partials,
    starts: Collection[datetime],
    top_n: int,
    of_one_batch: bool = False,
) -> Results:
    """Return a KPI's results for the intervals of a length that start at ``starts`` (UTC).

    ``connect`` returns the connection that has the partials' tables, and the KPI's reference table, if it has one; it
    is not called if it is not needed. Groups are ranked by the value, largest first, ties by the dimensions, ascending;
    a KPI that keeps only the top has ``top_n`` rows per interval. An interval without partials has no rows.
    ``of_one_batch`` is True if all partials are of one batch. Raises TotalTooLarge.

    Partials in memory, which are sorted by time, are merged a bounded number of rows at a time.
    """
    if not partials or not starts:
        return no_results(kpi, length)
    in_memory = [columns for columns in partials.values() if columns is not None]
    if len(in_memory) < len(partials):
        if can_merge(kpi) and len(starts) <= MOST_INTERVALS_OF_TABLES:
            with suppress(Declined):
                return _results_of_pieces(connect, kpi, length, partials, starts, top_n)
        return results_by_sql(connect(), kpi, length, partials, starts, top_n, of_one_batch)
    found = []
    for some, rows in _parts(in_memory, length, sorted(starts)):
        found.append(_of_memory(connect, kpi, length, partials, some, rows, top_n, of_one_batch))
    return joined_results(kpi, length, found)


def _of_memory(
    connect: Connect,
    kpi: KPI,
    length: Length,
    partials: Partials,
    starts: Sequence[datetime],
    rows: int,
    top_n: int,
    of_one_batch: bool,
) -> Results:
    """Return the results of partials in memory, of which so many rows lie in the intervals."""
    in_memory = [columns for columns in partials.values() if columns is not None]
    if can_use_arrays(kpi) and rows <= MOST_ROWS and not (can_merge(kpi) and rows >= LONG_INTERVAL_ROWS * len(starts)):
        with suppress(Declined):
            return results_of_arrays(kpi, length, in_memory, starts, top_n)
    if can_merge(kpi):
        with suppress(Declined):
            return _results_of_pieces(connect, kpi, length, partials, starts, top_n)
    return results_by_sql(connect(), kpi, length, partials, starts, top_n, of_one_batch)


def _parts(
    in_memory: Sequence[Columns], length: Length, starts: Sequence[datetime]
) -> Iterator[tuple[list[datetime], int]]:
    """Yield the intervals with rows, in order: as many together as have at most MOST_ROWS, with the number of rows."""
    begins, ends = (np.array([_moment(one) for one in bounds]) for bounds in (starts, map(length.end, starts)))
    rows = np.zeros(len(starts), dtype=np.int64)
    for columns in in_memory:
        moments = columns["interval_start"]
        rows += np.searchsorted(moments, ends) - np.searchsorted(moments, begins)
    some: list[datetime] = []
    size = 0
    for start, count in zip(starts, rows.tolist(), strict=True):
        if not count:
            continue
        if some and size + count > MOST_ROWS:
            yield some, size
            some, size = [], 0
        some.append(start)
        size += count
    if some:
        yield some, size


def _results_of_pieces(
    connect: Connect, kpi: KPI, length: Length, partials: Partials, starts: Collection[datetime], top_n: int
) -> Results:
    """Return the results of a KPI that ``merge`` supports, merged interval by interval; raises Declined."""
    found = []
    for start in sorted(starts):
        merged = merge(kpi, _pieces(connect, kpi, partials, start, length.end(start)))
        if len(merged.values):
            found.append(_ranked(kpi, length, start, merged, top_n))
    return joined_results(kpi, length, found)


def _ranked(kpi: KPI, length: Length, start: datetime, merged: Merged, top_n: int) -> Results:
    (dimension,) = kpi.dimensions
    order = np.lexsort((merged.dimensions, -merged.values))[: top_n if kpi.top else None]
    moment = _moment(start)
    rows = {
        "interval_start": np.full(len(order), moment),
        dimension: merged.dimensions[order],
        kpi.value: merged.values[order],
        "rank": np.arange(1, len(order) + 1),
    }
    totals = zip(TOTALS_COLUMNS, (moment, merged.total, len(merged.values)), strict=True)
    return Results(kpi, length, rows, {name: np.array([value]) for name, value in totals})


def _pieces(connect: Connect, kpi: KPI, partials: Partials, start: datetime, end: datetime) -> Iterator[Piece]:
    """Yield the dimension and merged column of the partials from start to end (UTC, excluded), as int64."""
    names = (kpi.dimensions[0], merged_column(kpi))
    for table, columns in partials.items():
        parts = (
            _fetched(connect(), kpi, table, names, start, end) if columns is None else [_between(columns, start, end)]
        )
        for part in parts:
            dimensions, values = (np.ascontiguousarray(part[name], dtype=np.int64) for name in names)
            yield dimensions, values


def _between(columns: Columns, start: datetime, end: datetime) -> Columns:
    """Return the rows from start to end (UTC, excluded)."""
    rows = slice(*np.searchsorted(columns["interval_start"], [_moment(start), _moment(end)]))
    return {name: column[rows] for name, column in columns.items()}


def _fetched(
    connection: duckdb.DuckDBPyConnection, kpi: KPI, table: str, names: Collection[str], start: datetime, end: datetime
) -> Iterator[Columns]:
    """Yield a table's rows from start to end (UTC, excluded), as int64: a long interval's in several parts."""
    step = kpi.feed.interval.delta
    steps = (end - start) // step
    parts = 1
    if steps > 1:
        (rows,) = fetch(connection, kpi, f"SELECT count(*) AS rows FROM {table} WHERE {within(start, end)}")["rows"]
        parts = min(steps, -(-int(rows) // ROWS_FETCHED))
    selected = aliased({name: f"{quoted(name)}::BIGINT" for name in names})
    bounds = [start + step * (steps * number // parts) for number in range(parts)] if parts else []
    for begin, until in zip(bounds, [*bounds[1:], end], strict=False):
        yield fetch(connection, kpi, f"SELECT {selected} FROM {table} WHERE {within(begin, until)}")


def _moment(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.replace(tzinfo=None), "us")
