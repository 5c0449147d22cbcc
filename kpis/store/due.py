"""The marks of intervals that are due: changed since they were computed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import FEEDS, kpis_of, lengths_of
from kpis.models import DueReference, DueRollup, IntervalSummary, Watermark
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


def mark_references_due(reference: ReferenceTable, touched: Sequence[tuple[datetime, datetime]], reason: str) -> int:
    """Mark the computed intervals as due whose KPIs by attributes of a reference touch one of the spans (UTC).

    The spans are in order and do not overlap. Intervals that the lake was pruned of stay as they are. Returns how many
    are marked.
    """
    if not touched:
        return 0
    marked = 0
    ends = [end for _, end in touched]
    kept_from = dict(Watermark.objects.values_list("feed", "kept_from"))
    for feed in FEEDS.values():
        for length in lengths_of(feed):
            kpis = [kpi.id for kpi in kpis_of(feed, length) if reference in (one.reference for one in kpi.attributes)]
            computed = IntervalSummary.objects.filter(
                kpi__in=kpis,
                interval=length.code,
                interval_start_timestamp__lt=ends[-1],
                interval_end_timestamp__gt=touched[0][0],
            ).exclude(state=IntervalSummary.State.INCOMPLETE)
            if kept := kept_from.get(feed.name):
                computed = computed.filter(interval_start_timestamp__gte=kept)
            columns = "interval_start_timestamp", "interval_end_timestamp"
            due = [
                DueReference(
                    feed=feed.name,
                    interval=length.code,
                    interval_start_timestamp=start,
                    reference=reference.name,
                    reason=reason,
                )
                for start, end in sorted(set(computed.order_by().values_list(*columns)))
                if (place := bisect_right(ends, start)) < len(touched) and touched[place][0] < end
            ]
            upsert(due, unique=["feed", "interval", "interval_start_timestamp", "reference"], changes=["reason"])
            marked += len(due)
    return marked
