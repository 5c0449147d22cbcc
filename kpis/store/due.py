"""The marks of intervals that are due: changed since they were computed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.registry import lengths_of
from kpis.models import DueRollup, Watermark
from kpis.store.bulk import upsert


def mark_due(feed: Feed, length: Length, starts: Collection[datetime]) -> None:
    """Mark the intervals of a length that start at ``starts`` (UTC) as due."""
    due = [DueRollup(feed=feed.name, interval=length.code, interval_start_timestamp=start) for start in sorted(starts)]
    upsert(due, unique=["feed", "interval", "interval_start_timestamp"], changes=["changed"])


def mark_rollups_due(feed: Feed, starts: Collection[datetime], calendar_only: bool = False) -> None:
    """Mark the longer intervals as due that have the feed's own intervals that start at ``starts`` (UTC).

    Days, weeks and months that the lake was pruned of a part of are not: they cannot be computed again.
    ``calendar_only`` marks days, weeks and months alone.
    """
    longer = lengths_of(feed)[1:]
    calendar = [length for length in longer if length.is_calendar]
    for length in () if calendar_only else [length for length in longer if not length.is_calendar]:
        mark_due(feed, length, {length.floor(start) for start in starts})
    if calendar:
        kept_from = Watermark.objects.filter(feed=feed.name).values_list("kept_from", flat=True).first()
        for length in calendar:
            wanted = {length.floor(start) for start in starts}
            mark_due(feed, length, {start for start in wanted if kept_from is None or start >= kept_from})
