"""The partials of the batches that a run committed, kept in memory for the longer intervals that it rolls up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from kpis.engine.table import Columns, held_bytes

# The limits for all KPIs together, beyond which all are dropped: a longer interval needs those of all its batches.
MOST_BYTES, MOST_BATCHES = 64_000_000, 1_000
# About what a text takes beside the column.
TEXT_BYTES = 100
# A KPI's are dropped if an hour has about so many rows: DuckDB is as fast then, and they take much memory.
MOST_ROWS_AN_HOUR = 200_000
HOUR = 3600 * 10**6


class KeptPartials:
    """Partials in memory by the KPI's id and the batch's key.

    A key names a batch's content, so what is kept of a batch is what the lake has of it.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop everything, and forget what there was too much of."""
        self._kept: dict[int, dict[str, Columns]] = defaultdict(dict)
        # By KPI id and the hour of a batch's first row, how many rows an hour has.
        self._hourly: dict[tuple[int, int], float] = defaultdict(float)
        self._bytes = 0
        self._dropped: set[int] = set()

    def add(self, key: str, partials: Mapping[int, Columns]) -> None:
        """Keep a committed batch's partials, by KPI id, unless they are too many until ``clear`` is called."""
        for kpi_id, columns in partials.items():
            if kpi_id in self._dropped or key in self._kept[kpi_id]:
                continue
            moments = columns["interval_start"]
            self._kept[kpi_id][key] = columns
            self._bytes += _size(columns)
            # A filter may leave none of a batch's records.
            ends = [moments[0], moments[-1]] if len(moments) else []
            first, last = [int(moment.astype("int64")) // HOUR for moment in ends] or (0, 0)
            self._hourly[kpi_id, first] += len(moments) / (last - first + 1)
            if self._hourly[kpi_id, first] > MOST_ROWS_AN_HOUR or len(self._kept[kpi_id]) > MOST_BATCHES:
                self._drop(kpi_id)
        if self._bytes > MOST_BYTES:
            for kpi_id in list(self._kept):
                self._drop(kpi_id)

    def of(self, kpi_id: int) -> Mapping[str, Columns]:
        """Return a KPI's partials of the batches that are kept, by the batch's key."""
        return self._kept[kpi_id]

    def _drop(self, kpi_id: int) -> None:
        self._bytes -= sum(map(_size, self._kept.pop(kpi_id).values()))
        self._dropped.add(kpi_id)


def _size(columns: Columns) -> int:
    """Return about how many bytes the columns take, if each text is one of its own."""
    texts = sum(len(column) for column in columns.values() if column.dtype == object)
    return held_bytes(columns) + TEXT_BYTES * texts
