"""The marks of intervals that are due: changed since they were computed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.registry import lengths_of
from kpis.models import DueRollup
from kpis.store.bulk import upsert


def mark_due(feed: Feed, length: Length, starts: Collection[datetime]) -> None:
    """Mark the intervals of a length that start at ``starts`` (UTC) as due."""
    due = [DueRollup(feed=feed.name, interval=length.code, interval_start_timestamp=start) for start in sorted(starts)]
    upsert(due, unique=["feed", "interval", "interval_start_timestamp"], changes=["changed"])


def mark_rollups_due(feed: Feed, starts: Collection[datetime]) -> None:
    """Mark the longer intervals as due that have the feed's own intervals that start at ``starts`` (UTC)."""
    for length in lengths_of(feed)[1:]:
        mark_due(feed, length, {length.floor(start) for start in starts})
