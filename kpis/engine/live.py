"""The records of a stream's batch by their own time: for the watermark, and by the second for the live page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH
from kpis.engine.table import Columns

if TYPE_CHECKING:
    import duckdb

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_A_SECOND = 1_000_000


@dataclass(frozen=True)
class LiveCounts:
    """The number of records of each group in each second.

    ``groups`` has, by dimension, a row for each second (Unix time) and group: the number of records. ``typical`` is the
    median of all the batch's records' own times (UTC), also of those that are not counted.
    """

    groups: dict[str, list[tuple[int, str, int]]]
    typical: datetime


@dataclass(frozen=True)
class Timeline:
    """The number of records at each moment: ``moments`` (int64, us since 1970), ascending, and ``counts`` (int64).

    ``groups`` has, by dimension, the columns ``moment``, ``name`` and ``count`` of its groups, in any order.
    """

    moments: np.ndarray
    counts: np.ndarray
    groups: Mapping[str, Columns]

    def newest(self, now: datetime) -> datetime | None:
        """Return the newest moment (UTC) that is not after ``now``; None if there is none."""
        passed = int(np.searchsorted(self.moments, (now - EPOCH) // MICROSECOND, side="right"))
        return EPOCH + int(self.moments[passed - 1]) * MICROSECOND if passed else None

    def live_counts(self, since: datetime, until: datetime) -> LiveCounts | None:
        """Count the records from ``since`` to ``until`` (UTC, excluded); None if there are no records at all."""
        if not len(self.moments):
            return None
        ends = np.cumsum(self.counts)
        middle = int(np.searchsorted(ends, (int(ends[-1]) + 1) // 2))
        begin, end = ((bound - EPOCH) // MICROSECOND for bound in (since, until))
        groups = {}
        for dimension, columns in self.groups.items():
            is_recent = (columns["moment"] >= begin) & (columns["moment"] < end)
            moments, names, counts = (columns[name][is_recent].tolist() for name in ("moment", "name", "count"))
            found: Counter[tuple[int, str]] = Counter()
            for moment, name, count in zip(moments, names, counts, strict=True):
                found[moment // MICROSECONDS_A_SECOND, name] += count
            groups[dimension] = [(second, name, count) for (second, name), count in sorted(found.items())]
        return LiveCounts(groups, EPOCH + int(self.moments[middle]) * MICROSECOND)


def timeline_of_records(
    connection: duckdb.DuckDBPyConnection, feed: Feed, dimensions: Collection[Dimension]
) -> Timeline:
    """Return the timeline of the connection's table ``records``, with the groups of these dimensions."""

    def counted(keys: str) -> Columns:
        query = f"SELECT {keys}, count(*) AS count FROM records GROUP BY ALL ORDER BY 1"
        return connection.execute(query).fetchnumpy()

    moment = f"epoch_us({feed.moment.sql}) AS moment"
    every = counted(moment)
    groups = {one.name: counted(f"{moment}, {one.of(feed)} AS name") for one in dimensions}
    return Timeline(every["moment"], every["count"], groups)
