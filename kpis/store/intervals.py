"""The ledger's rows of the intervals in which batches have records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.models import BatchInterval

# Intervals that are this close to each other are queried together.
CLOSE = timedelta(hours=6)


def intervals_between(feed: Feed, start: datetime, end: datetime, *columns: str) -> Iterator[tuple]:
    """Yield the start and the columns of each interval of each of a feed's batches, from start to end (excluded)."""
    found = BatchInterval.objects.filter(interval_start_timestamp__gte=start, interval_start_timestamp__lt=end)
    # Read those of other feeds too: filtered by the feed, SQLite would go through all of its batches instead.
    for batch_feed, *values in found.order_by().values_list("batch__feed", "interval_start_timestamp", *columns):
        if batch_feed == feed.name:
            yield tuple(values)


def count_records(feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, tuple[int, int]]:
    """Count the records and the batches in the intervals of a length that start at ``starts`` (UTC)."""
    records: dict[datetime, int] = defaultdict(int)
    batches: dict[datetime, set[int]] = defaultdict(set)
    for start, end in _spans(starts, length):
        for moment, batch, count in intervals_between(feed, start, end, "batch", "records"):
            records[length.floor(moment)] += count
            batches[length.floor(moment)].add(batch)
    return {start: (records[start], len(batches[start])) for start in starts}


def _spans(starts: Collection[datetime], length: Length) -> Iterator[tuple[datetime, datetime]]:
    """Yield spans of time, each from a start to an end, that cover the intervals of a length and little else."""
    begin = end = None
    for start in sorted(starts):
        if begin is None or end is None or start - end > CLOSE:
            if begin is not None and end is not None:
                yield begin, end
            begin = start
        end = length.end(start)
    if begin is not None and end is not None:
        yield begin, end
