"""The watermarks: up to when each feed's intervals are closed, and what closes or reopens them.

A watermark never passes the earliest clock at hand. Where a clock was ahead when intervals closed, what closed too
early is reopened.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction

from kpis import clock
from kpis.catalog.closing import ahead_until, closing_time
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH, LAST_DAY, ONE_HOUR
from kpis.catalog.registry import FEEDS, lengths_of
from kpis.clock import Clocks
from kpis.models import BatchInterval, DueCompaction, DueRollup, IntervalSummary, Watermark
from kpis.stages.ledger import Entry, Reopened
from kpis.store.dialects import dialect
from kpis.store.intervals import intervals_between
from kpis.store.results import revise_all, summaries_of

# The reason of summaries that were reopened.
REOPENED = "called final before its end by a clock that was ahead, and provisional again"


def database_time() -> datetime:
    """Return the time (UTC) by the clock of the database's host."""
    return dialect().host_time() or clock.now()


def closed_until(feed: Feed) -> datetime | None:
    """Return the moment (UTC) up to which a feed's intervals are closed; None where none is."""
    return Watermark.objects.filter(feed=feed.name).values_list("closed_until", flat=True).first()


class WatermarkLedger:
    """The part of the ledger that closes intervals and reopens them."""

    def clocks(self) -> Clocks:
        return Clocks(clock.now(), database_time())

    def adjust_watermarks(self, clocks: Clocks, lateness: timedelta) -> list[Reopened]:
        reopened = []
        for mark in Watermark.objects.filter(feed__in=FEEDS).order_by("feed"):
            feed = FEEDS[mark.feed]
            former = mark.closed_until
            if _is_ahead(feed, mark, clocks.latest):
                _reopen(feed, mark, clocks.latest)
                if former is not None and former > clocks.latest:
                    reopened.append(Reopened(feed, former, clocks.latest))
            if mark.ahead_until is not None:
                _catch_up(feed, mark, clocks.earliest, lateness)
        return reopened

    @transaction.atomic
    def close_by_clock(self, feed: Feed, lateness: timedelta) -> bool:
        """Close a feed's intervals that ended ``lateness`` ago by every clock; returns True once none is open.

        Closes no further than the longest interval that has records: where there is nothing to close, a clock that is
        wrong changes nothing.
        """
        mark = Watermark.objects.filter(feed=feed.name).first()
        if mark is None or mark.newest_interval_end is None:
            return mark is None
        newest = mark.newest_interval_end - feed.interval.delta
        # The newest week may end after the newest month.
        last = max(length.at(newest).end for length in lengths_of(feed))
        until = min(last, self.clocks().earliest - lateness)
        _move(feed, mark, mark.newest_interval_end, until, mark.ahead_until)
        return mark.ahead_until is None and mark.closed_until is not None and mark.closed_until >= last

    def kept_from(self, feed: Feed) -> datetime | None:
        return Watermark.objects.filter(feed=feed.name).values_list("kept_from", flat=True).first()


def raise_watermark(feed: Feed, entries: Collection[Entry], until: datetime | None, now: datetime) -> datetime | None:
    """Raise a feed's watermark to what batches close, and no further than the clocks (``now``); returns it."""
    starts = {(start, entry.file.is_followed) for entry in entries for start in entry.intervals}
    mark = Watermark.objects.filter(feed=feed.name).first()
    newest = max((start + feed.interval.delta for start, _ in starts if start <= now), default=None)
    ahead = ahead_until(feed, now, starts)
    if until is not None:
        until = min(until, now)
    if mark is None and starts:
        mark = Watermark.objects.create(
            feed=feed.name, newest_interval_end=newest, closed_until=until, ahead_until=ahead
        )
    elif mark is not None:
        newest, ahead = _later(newest, mark.newest_interval_end), _later(ahead, mark.ahead_until)
        _move(feed, mark, newest, until, ahead)
    return mark.closed_until if mark else None


def _move(feed: Feed, mark: Watermark, newest: datetime | None, until: datetime | None, ahead: datetime | None) -> None:
    """Set a watermark's newest interval end and the newest one that is ahead of the clocks, and close the feed's
    intervals up to ``until`` (UTC) where that is later than before."""
    former = mark.closed_until
    # Where nothing is open, no summary is read.
    is_open = former is None or mark.ahead_until is not None or former < (mark.newest_interval_end or EPOCH)
    if until is None or (former is not None and until < former):
        until = former
    if (newest, until, ahead) == (mark.newest_interval_end, former, mark.ahead_until):
        return
    mark.newest_interval_end, mark.closed_until, mark.ahead_until = newest, until, ahead
    mark.save(update_fields=["newest_interval_end", "closed_until", "ahead_until"])
    if is_open and until is not None:
        closing = summaries_of(feed, feed.interval).filter(
            state=IntervalSummary.State.PROVISIONAL, interval_end_timestamp__lte=until
        )
        if former is not None:
            # None before is open, so they need not be read.
            closing = closing.filter(interval_start_timestamp__gt=former - feed.interval.delta)
        closing.update(state=IntervalSummary.State.FINAL)


def _is_ahead(feed: Feed, mark: Watermark, now: datetime) -> bool:
    """Return True if a watermark is later than the latest clock (``now``) can know."""
    newest, closed = mark.newest_interval_end, mark.closed_until
    return (newest is not None and newest - feed.interval.delta > now) or (closed is not None and closed > now)


@transaction.atomic
def _reopen(feed: Feed, mark: Watermark, now: datetime) -> None:
    """Lower a watermark to the latest clock (``now``), and reopen the intervals that end later."""
    delta = feed.interval.delta
    if mark.newest_interval_end is not None and mark.newest_interval_end - delta > now:
        starts = BatchInterval.objects.filter(batch__feed=feed.name, interval_start_timestamp__lte=now)
        newest = starts.order_by("-interval_start_timestamp").values_list("interval_start_timestamp", flat=True).first()
        mark.newest_interval_end = newest and newest + delta
        mark.ahead_until = ahead_until(feed, now, _starts_between(feed, now - delta, LAST_DAY))
        mark.save(update_fields=["newest_interval_end", "ahead_until"])
    if mark.closed_until is None or mark.closed_until <= now:
        return
    mark.closed_until = now
    mark.ahead_until = ahead_until(feed, now, _starts_between(feed, now - delta, LAST_DAY))
    mark.save(update_fields=["closed_until", "ahead_until"])
    for length in lengths_of(feed):
        # What was pruned cannot be recomputed.
        since = max(length.floor(now), mark.kept_from or EPOCH)
        early = summaries_of(feed, length).filter(
            state=IntervalSummary.State.FINAL, interval_end_timestamp__gt=now, interval_start_timestamp__gte=since
        )
        if length != feed.interval:
            early_starts = set(early.values_list("interval_start_timestamp", flat=True))
            due = [
                DueRollup(feed=feed.name, interval=length.code, interval_start_timestamp=start, changed=False)
                for start in sorted(early_starts)
            ]
            DueRollup.objects.bulk_create(due, ignore_conflicts=True)
        revise_all(early, IntervalSummary.State.PROVISIONAL, REOPENED, clock.now())
    DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp__gt=now - ONE_HOUR.delta).delete()


@transaction.atomic
def _catch_up(feed: Feed, mark: Watermark, now: datetime, lateness: timedelta) -> None:
    """Raise a watermark to what records close that were ahead of the clocks when they came, and no longer are."""
    delta = feed.interval.delta
    starts = _starts_between(feed, (mark.closed_until or EPOCH + delta) - delta, now + timedelta.resolution)
    newest = _later(mark.newest_interval_end, max((start + delta for start, _ in starts), default=None))
    until = max((closing_time(*one, feed, lateness, now) for one in starts), default=None)
    _move(feed, mark, newest, until, ahead_until(feed, now, _starts_between(feed, now - delta, LAST_DAY)))


def _starts_between(feed: Feed, start: datetime, end: datetime) -> list[tuple[datetime, bool]]:
    """Return the starts of a feed's intervals with records from start to end (UTC), each with True for a stream's."""
    # Only a stream's batch has a slash in its name.
    return [(one, "/" in name) for one, name in intervals_between(feed, start, end, "batch__name")]


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two moments, or the only one."""
    return max(one, other) if one is not None and other is not None else one or other
