"""The counts of a batch's records by second, for the live page."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import to_text


@dataclass(frozen=True)
class LiveCounts:
    """The number of records of each group in each second.

    ``groups`` has, by dimension, a row for each second (Unix time) and group: the number of records. ``typical`` is the
    median of all the batch's records' own times (UTC), also of those that are not counted.
    """

    groups: dict[str, list[tuple[int, str, int]]]
    typical: datetime


def live_counts(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    dimensions: Collection[Dimension],
    starts: Collection[datetime],
    since: datetime,
    until: datetime,
) -> LiveCounts:
    """Count the connection's table ``records``, which is not empty, from ``since`` to ``until`` (UTC, excluded).

    ``starts`` (UTC) are the feed's intervals that the records lie in.
    """
    moment = feed.moment.sql
    (typical,) = connection.execute(f"SELECT quantile_disc({moment}, 0.5) FROM records").fetchall()[0]
    groups: dict[str, list[tuple[int, str, int]]] = {}
    if any(start < until and start + feed.interval.delta > since for start in starts):
        first, end = (f"TIMESTAMP '{to_text(bound).rstrip('Z')}'" for bound in (since, until))
        for dimension in dimensions:
            groups[dimension.name] = connection.execute(
                f"""
                SELECT epoch_us({moment}) // 1000000 AS second, {dimension.of(feed)} AS name, count(*)
                FROM records WHERE {moment} >= {first} AND {moment} < {end}
                GROUP BY second, name ORDER BY second, name"""
            ).fetchall()
    return LiveCounts(groups, typical.replace(tzinfo=UTC))
