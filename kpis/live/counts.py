"""Writing live counts: a batch adds to its stream's seconds and minutes, within the batch's own transaction."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db import connection

from kpis.catalog.live import MOST_GROUPS, OTHERS, counted_from
from kpis.models import LiveCount, LiveFeed

if TYPE_CHECKING:
    from kpis.engine.live import LiveCounts

Groups = dict[str, dict[str, int]]


def add_live_counts(feed: str, counts: LiveCounts, now: datetime) -> None:
    """Add a batch's counts to a feed's, and delete those that no page shows any more."""
    former = LiveFeed.objects.filter(feed=feed).values_list("revision", flat=True).first()
    revision = (former or 0) + 1
    values = {"revision": revision, "committed_at": now, "delay": (now - counts.typical).total_seconds()}
    if former is None:
        LiveFeed.objects.create(feed=feed, **values)
    else:
        LiveFeed.objects.filter(feed=feed).update(**values)
    for length in LiveCount.Length:
        since = counted_from(length, now)
        _add(feed, length, _by_start(counts, length, since), revision)
        LiveCount.objects.filter(feed=feed, length=length, start_timestamp__lt=since).delete()


def _by_start(counts: LiveCounts, length: int, since: datetime) -> dict[datetime, Groups]:
    """Return a batch's counts by the seconds, or minutes, that start at ``since`` (UTC) or later."""
    found: dict[int, Groups] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    first = since.timestamp()
    for dimension, rows in counts.groups.items():
        for second, name, count in rows:
            if second >= first:
                found[second // length * length][dimension][name] += count
    return {datetime.fromtimestamp(start, UTC): groups for start, groups in found.items()}


def _add(feed: str, length: int, added: dict[datetime, Groups], revision: int) -> None:
    if not added:
        return
    of_length = LiveCount.objects.filter(feed=feed, length=length)
    between = of_length.filter(start_timestamp__range=(min(added), max(added)))
    known = dict(between.order_by().values_list("start_timestamp", "groups"))
    rows = [
        LiveCount(
            feed=feed,
            length=length,
            start_timestamp=start,
            groups={name: _sum(known.get(start, {}).get(name, {}), more) for name, more in groups.items()},
            revision=revision,
        )
        for start, groups in added.items()
    ]
    # MySQL and MariaDB use whatever unique constraints the table has, and accept no list of columns.
    has_target = connection.features.supports_update_conflicts_with_target
    LiveCount.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["feed", "length", "start_timestamp"] if has_target else None,
        update_fields=["groups", "revision"],
    )


def _sum(known: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    found = dict(known)
    for name, count in more.items():
        key = name if name in found or len(found) < MOST_GROUPS else OTHERS
        found[key] = found.get(key, 0) + count
    return found
