"""Intervals that cannot be computed, as the lake lacks a part of what they need: which they are, and marking them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR, Interval, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.models import BatchInterval, IntervalSummary
from kpis.store.days import zone_problem
from kpis.store.results import revise_all
from kpis.store.watermarks import closed_until


def incomplete_in(feed: Feed, length: Length, hour: datetime) -> set[datetime]:
    """Return the starts (UTC) of the feed's incomplete intervals of a length that touch an hour."""
    kpis = [kpi.id for kpi in KPIS.values() if kpi.feed == feed]
    summaries = IntervalSummary.objects.filter(
        kpi__in=kpis,
        interval=length.code,
        state=IntervalSummary.State.INCOMPLETE,
        interval_start_timestamp__lt=hour + ONE_HOUR.delta,
        interval_end_timestamp__gt=hour,
    )
    return set(summaries.values_list("interval_start_timestamp", flat=True))


def mark_incomplete(kpi: KPI, starts: Collection[datetime], reason: str, now: datetime) -> None:
    """Mark a KPI's intervals that hold some of the feed's own (starts, UTC) as incomplete."""
    until = closed_until(kpi.feed)
    other_zone = bool(zone_problem())
    for length in kpi.lengths:
        if length.is_calendar and other_zone:
            # They are computed again, and marked, when all are.
            continue
        wanted = {length.floor(start) for start in starts}
        summaries = IntervalSummary.objects.filter(
            kpi=kpi.id, interval=length.code, interval_start_timestamp__in=wanted
        )
        there = set(summaries.values_list("interval_start_timestamp", flat=True))
        complete = summaries.exclude(state=IntervalSummary.State.INCOMPLETE)
        revise_all(complete, IntervalSummary.State.INCOMPLETE, reason, now)
        if kpi.reference:
            # An interval without records has no summary.
            continue
        for start in sorted(wanted - there):
            interval = Interval(length, start)
            if length != kpi.feed.interval and not interval.is_closed(until):
                # It gets its summary, with this reason, once it has closed.
                continue
            from_start = {"batch__feed": kpi.feed.name, "interval_start_timestamp__gte": interval.start}
            intervals = BatchInterval.objects.filter(**from_start, interval_start_timestamp__lt=interval.end)
            IntervalSummary.objects.create(
                kpi=kpi.id,
                interval=length.code,
                interval_start_timestamp=interval.start,
                interval_end_timestamp=interval.end,
                groups=0,
                records=sum(intervals.values_list("records", flat=True)),
                batches=intervals.values("batch").distinct().count(),
                first_computed_at=now,
                state=IntervalSummary.State.INCOMPLETE,
                reason=reason,
                updated_at=now,
            )
