"""When an interval closes: the only module that decides it.

A file has its intervals as a whole, and closes those that end with its own or before. A stream's batch is followed by
others: messages older than its newest message by the allowed lateness are assumed to have arrived. No interval closes
before the clocks have reached its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from kpis.catalog.feeds import Feed


def closing_time(start: datetime, is_followed: bool, feed: Feed, lateness: timedelta, now: datetime) -> datetime:
    """Return the time (UTC) up to which records in the feed's interval that starts at ``start`` close its intervals.

    ``now`` is not before ``start``. A file's records close up to the interval's end; those of a stream's batch, which
    ``is_followed`` by others, up to ``lateness`` before their own time.
    """
    return start - lateness if is_followed else min(start + feed.interval.delta, now)


def closed_by_file(feed: Feed, starts: Collection[datetime], now: datetime) -> datetime | None:
    """Return the time (UTC) up to which a file closes its feed's intervals, by the starts of those with its records.

    Intervals that start after ``now`` close nothing: their times are a mistake. None if there are no others.
    """
    return max((closing_time(start, False, feed, timedelta(0), now) for start in starts if start <= now), default=None)


def closed_by_stream(newest: datetime | None, lateness: timedelta) -> datetime | None:
    """Return the time (UTC) up to which a stream's batch closes its feed's intervals, by its newest record's time."""
    return newest - lateness if newest else None


def ahead_until(feed: Feed, now: datetime, intervals: Iterable[tuple[datetime, bool]]) -> datetime | None:
    """Return the newest end of the intervals that are ahead of ``now``; None if there are none.

    Each interval is a start (UTC), with True if its batch is followed by others: a file closes its intervals, so those
    must have ended; a stream's are closed by newer messages, so it is enough that they have begun.
    """
    delta = feed.interval.delta
    return max(
        (start + delta for start, is_followed in intervals if (start if is_followed else start + delta) > now),
        default=None,
    )
