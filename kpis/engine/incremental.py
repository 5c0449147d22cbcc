"""Incrementally merged partials of a stream's intervals: a batch's cost does not grow with the number of earlier ones.

The partials of batches, combined group by group, are the partial of all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from kpis.catalog.intervals import to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import aliased, listed, quoted
from kpis.engine.aggregate import translate_errors

if TYPE_CHECKING:
    import duckdb

# The most intervals of one batch that are cached: for a batch with more, as one that is behind, the lake is as fast.
MOST_INTERVALS = 12
# Limits for all KPIs together: beyond either, the least recently touched go. The smallest table takes a megabyte.
MOST_TABLES, MOST_ROWS = 48, 2_000_000

# Returns SQL for tables of the partials of the batches with some keys.
PartialsOf = Callable[[Collection[str]], AbstractContextManager[Iterable[str]]]


@dataclass(frozen=True)
class _Merged:
    table: str
    keys: frozenset[str]
    rows: int


class IncrementalPartials:
    """The merged partials of a stream's newest intervals, in tables of a connection, each with its batches' keys.

    They are a cache of the lake: if the ledger does not count all of an interval's batches, as after a failed
    transaction, the interval is merged again from the lake.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection
        self._merged: OrderedDict[tuple[int, datetime], _Merged] = OrderedDict()

    def merge(
        self,
        kpi: KPI,
        start: datetime,
        keys: Collection[str],
        own: Collection[str],
        fresh: Iterable[str],
        others: PartialsOf,
    ) -> str:
        """Merge a KPI's partial of the interval that starts at a moment (UTC), and return its table's name.

        It has the batches with the keys, and those with the keys ``own``, which are none of them, from the ``fresh``
        tables. ``others`` returns the batches that are not merged yet. Raises TotalTooLarge.
        """
        known = self._merged.get((kpi.id, start))
        if known is not None and not known.keys <= set(keys):
            self._drop(kpi.id, start)
            known = None
        lacking = set(keys) - (known.keys if known else frozenset())
        name = f"incremental_{kpi.id}_{int(start.timestamp())}"
        with others(lacking) as tables:
            merged = [*([name] if known else []), *fresh, *tables]
            union = " UNION ALL BY NAME ".join(f"FROM {table}" for table in merged)
            grouped = ["interval_start", *kpi.partial_keys]
            columns = {name: quoted(name) for name in grouped}
            columns |= {name: f"CAST({how}({quoted(name)}) AS BIGINT)" for name, how in kpi.combine.items()}
            moment = f"TIMESTAMP '{to_text(start).rstrip('Z')}'"
            with translate_errors(kpi):
                self._connection.execute(
                    f"""
                    CREATE OR REPLACE TEMP TABLE {name} AS
                    SELECT {aliased(columns)} FROM ({union})
                    WHERE interval_start = {moment} GROUP BY {listed(grouped)}"""
                )
        (rows,) = self._connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0]
        self._merged[kpi.id, start] = _Merged(name, frozenset({*keys, *own}), rows)
        self._merged.move_to_end((kpi.id, start))
        return name

    def trim(self) -> None:
        """Drop the least recently touched intervals, if there are too many or they are too large."""
        rows = sum(merged.rows for merged in self._merged.values())
        while rows > MOST_ROWS or len(self._merged) > MOST_TABLES:
            (kpi_id, start), merged = next(iter(self._merged.items()))
            rows -= merged.rows
            self._drop(kpi_id, start)

    def clear(self) -> None:
        """Drop all intervals."""
        for kpi_id, start in list(self._merged):
            self._drop(kpi_id, start)

    def _drop(self, kpi_id: int, start: datetime) -> None:
        merged = self._merged.pop((kpi_id, start))
        self._connection.execute(f"DROP TABLE IF EXISTS {merged.table}")
