"""Exact sums and distinct counts of whole numbers, merged over partials without SQL.

It supports KPIs by one whole-number dimension: sums, which numpy adds, and distinct values, which compiled code sorts
on all cores. Pairs of a dimension and a value are divided by their dimension into as many parts as there are cores;
each part keeps its pairs once, sorted, and the number of a group's pairs is its count.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

import numpy as np

from kpis.catalog.columns import Integer
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import CountDistinct, Sum
from kpis.engine import reductions
from kpis.engine.compiled import CORES, DISTINCT, library
from kpis.engine.reductions import TABLE, Declined, Reductions, checked

# Sums close to 2^63 are left to DuckDB, which detects an overflow.
LARGEST_SUM = 2.0**62

# Partials' dimension and merged column.
Piece = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Merged:
    """The groups (``dimensions``) with the ``values`` of each, both int64, and the value over all groups."""

    dimensions: np.ndarray
    values: np.ndarray
    total: int


def can_merge(kpi: KPI) -> bool:
    """Return True if ``merge`` supports a KPI."""
    return (
        not kpi.is_joined
        and len(kpi.by) == 1
        and not kpi.folded
        and _is_whole(kpi, kpi.by[0].column)
        and (
            type(kpi.measure) is Sum
            or (type(kpi.measure) is CountDistinct and library() is not None and _is_whole(kpi, kpi.measure.column))
        )
    )


def merged_column(kpi: KPI) -> str:
    """Return the column of a KPI's partials that ``merge`` needs beside the dimension."""
    (column,) = kpi.measure.partial_keys or kpi.measure.partial
    return column


def merge(kpi: KPI, pieces: Iterable[Piece]) -> Merged:
    """Merge a KPI's partials: pieces of their dimensions and of their ``merged_column``, both int64.

    Raises Declined if a sum comes close to 2^63, or there are more distinct pairs than the reserved memory holds.
    """
    if not isinstance(kpi.measure, CountDistinct):
        return _add(pieces)
    pieces = iter(pieces)
    first = next((piece for piece in pieces if len(piece[0])), None)
    if first is None:
        return _nothing()
    second = next((piece for piece in pieces if len(piece[0])), None)
    if second is None and _has_each_once(*first):
        return _count_sorted(*first)
    return _count(chain([first] if second is None else [first, second], pieces))


def _nothing() -> Merged:
    """Return what an interval gives without a row, as where a filter leaves none."""
    none = np.empty(0, dtype=np.int64)
    return Merged(none, none, 0)


def _has_each_once(dimensions: np.ndarray, values: np.ndarray) -> bool:
    """Return True if pairs are sorted and have each once, as those of one batch in one interval do."""
    is_next = dimensions[1:] == dimensions[:-1]
    is_next &= values[1:] > values[:-1]
    is_next |= dimensions[1:] > dimensions[:-1]
    return bool(is_next.all())


def _count_sorted(dimensions: np.ndarray, values: np.ndarray) -> Merged:
    """Count distinct values that are sorted by the dimension and have each pair once."""
    firsts = np.concatenate([[0], 1 + np.flatnonzero(dimensions[1:] != dimensions[:-1])])
    counts = np.diff(firsts, append=len(dimensions))
    return Merged(dimensions[firsts], counts, _count_values([values]))


def _is_whole(kpi: KPI, column: str) -> bool:
    type_ = kpi.feed.column(column).type
    return isinstance(type_, Integer) and not type_.may_be_none


def _add(pieces: Iterable[Piece]) -> Merged:
    listed = list(pieces)
    if not listed:
        return _nothing()
    dimensions = np.concatenate([dimensions for dimensions, _ in listed])
    sums = np.concatenate([sums for _, sums in listed])
    if np.abs(sums.astype(np.float64)).sum() > LARGEST_SUM:
        raise Declined
    groups, places = np.unique(dimensions, return_inverse=True)
    added = np.zeros(len(groups), dtype=np.int64)
    np.add.at(added, places, sums)
    return Merged(groups, added, int(sums.sum()))


def _count(pieces: Iterable[Piece]) -> Merged:
    with ExitStack() as stack:
        parts = [stack.enter_context(Reductions(np.zeros(2, dtype=TABLE))) for _ in range(CORES)]
        for part in parts:
            part.reduce(DISTINCT, [0], [1])
        # Last in, first out, so that no part is released while a thread uses it.
        threads = stack.enter_context(ThreadPoolExecutor(CORES))
        adding: list[Future[None]] = []
        # While one piece is added, the next is fetched.
        for dimensions, values in pieces:
            for one in adding:
                one.result()
            adding = [
                threads.submit(part.add_pairs, dimensions, values, number, CORES) for number, part in enumerate(parts)
            ]
        for one in adding:
            one.result()
        found = list(threads.map(_sorted, parts))
    return Merged(
        np.concatenate([dimensions for dimensions, _, _ in found]),
        np.concatenate([counts for _, counts, _ in found]),
        _count_values([values for *_, values in found]),
    )


def _sorted(part: Reductions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a part's groups in their order, the number of each one's values, and the values."""
    dimensions = part.entries(0)[:, 1]
    order = np.argsort(dimensions)
    return dimensions[order], *part.distinct(0, order)


def _count_values(arrays: list[np.ndarray]) -> int:
    """Return the number of distinct values in several arrays (int64) together."""
    compiled = library()
    assert compiled is not None  # noqa: S101  can_merge has checked it
    found = ctypes.c_int64()
    addresses = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    lengths = (ctypes.c_int64 * len(arrays))(*(len(array) for array in arrays))
    checked(compiled.count_distinct(len(arrays), addresses, lengths, 4 * reductions.MOST_PAIRS, ctypes.byref(found)))
    return found.value
