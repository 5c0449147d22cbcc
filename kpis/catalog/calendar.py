"""The network's calendar: its local days, as times in UTC. Days, weeks and months of KPIs are made of them.

A process has one time zone for them, UTC until ``use_zone`` sets another: settings do so with TIME_ZONE, and Spark's
executors with that of their driver. Processes that are forked have their parent's.

A day starts at the first moment whose local time is not before its midnight, where local time passes that once. So:

- where the clocks are set forward at midnight, as in Havana, it starts when they have been;
- where they are set back across midnight, as once in St. John's, the day starts at the first midnight, and keeps what
  comes after it, up to the next;
- a date that a zone skipped, as Samoa did, has no time at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

# Behind every record, which are before 9999-12-31T00:00Z, and within what databases keep: where the last day ends.
END_OF_DAYS = datetime(9999, 12, 31, 23, tzinfo=UTC)
_LAST = date.max.toordinal()
# Beyond these, where no records are, moments are those of the first or last day.
_FIRST_MOMENT, _LAST_MOMENT = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
# About as many days as the intervals of a long backfill touch.
_DAYS_CACHED = 10_000
# Former offsets with seconds say nothing of today's days: a zone's offsets are looked at in these years.
_YEARS = range(2000, 2041)


class _Zone:
    """The zone that the process uses."""

    name = "UTC"
    info: tzinfo = UTC


def use_zone(name: str) -> None:
    """Make the days those of a zone, such as ``Europe/Madrid``; raises ZoneInfoNotFoundError or ValueError."""
    info = UTC if name == "UTC" else ZoneInfo(name)
    if name != _Zone.name:
        _Zone.name, _Zone.info = name, info
        _start.cache_clear()


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """Make the days those of a zone for a while."""
    former = _Zone.name
    use_zone(name)
    try:
        yield
    finally:
        use_zone(former)


def zone_name() -> str:
    """Return the name of the zone whose days are used."""
    return _Zone.name


def day_of(moment: datetime) -> date:
    """Return the local day that a moment (UTC) belongs to."""
    moment = min(max(moment, _FIRST_MOMENT), _LAST_MOMENT)
    day = moment.astimezone(_Zone.info).toordinal()
    # Local time may have been set back across midnight, after the day had begun.
    return date.fromordinal(day if moment < _start(day + 1) else day + 1)


def start_of(ordinal: int) -> datetime:
    """Return the start (UTC) of the local day with a proleptic Gregorian ordinal, as ``date.toordinal`` gives it."""
    return _start(ordinal)


def has_offsets_of(minutes: int) -> bool:
    """Return True if the zone's offsets from UTC are multiples of so many minutes, so that its days are too."""
    step = timedelta(minutes=minutes)
    moments = (datetime(year, month, 1, tzinfo=UTC) for year in _YEARS for month in (1, 4, 7, 10))
    offsets = {moment.astimezone(_Zone.info).utcoffset() or timedelta(0) for moment in moments}
    return not any(offset % step for offset in offsets)


@lru_cache(_DAYS_CACHED)
def _start(ordinal: int) -> datetime:
    if ordinal > _LAST:
        return END_OF_DAYS
    midnight = datetime.combine(date.fromordinal(ordinal), time(), _Zone.info)
    start = midnight.astimezone(UTC)
    if start.astimezone(_Zone.info).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return start
    # The clocks skipped midnight: the day starts when they did, between what the two offsets make of it.
    before, after = midnight.replace(fold=1).astimezone(UTC) - timedelta(seconds=1), start
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(_Zone.info).toordinal() < ordinal:
            before = middle
        else:
            after = middle
    return after
