"""Intervals: half-open ``[start, end)`` spans of UTC time, aligned to their length since 1970-01-01T00:00Z."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The end of the year 9999: no supported database can keep this time or a later one...
END_OF_TIME_MILLISECONDS = 253_402_300_800_000
# ...and so no interval that ends then, such as the last day.
LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Length:
    """A length of intervals.

    ``code`` is its name in the database and the API, ``name`` the one that people read, ``minutes`` its duration.
    """

    code: int
    name: str
    minutes: int

    @cached_property
    def delta(self) -> timedelta:
        return timedelta(minutes=self.minutes)

    @property
    def milliseconds(self) -> int:
        return self.minutes * 60_000

    @property
    def short_name(self) -> str:
        """The length as it is typed: 5m, 1h, 1d."""
        for unit, minutes in (("d", 1440), ("h", 60)):
            if self.minutes % minutes == 0:
                return f"{self.minutes // minutes}{unit}"
        return f"{self.minutes}m"

    def floor(self, moment: datetime) -> datetime:
        """Return the start (UTC) of the interval of this length that contains the moment."""
        return moment - (moment - EPOCH) % self.delta

    def is_aligned(self, moment: datetime) -> bool:
        """Return True if an interval of this length can start (or end) at the moment."""
        return self.floor(moment) == moment

    def at(self, moment: datetime) -> Interval:
        """Return the interval of this length that contains the moment."""
        return Interval(self, self.floor(moment))

    def __str__(self) -> str:
        return self.name


FIVE_MINUTES = Length(1, "5 minutes", 5)
ONE_HOUR = Length(2, "1 hour", 60)
ONE_MINUTE = Length(3, "1 minute", 1)
ONE_DAY = Length(4, "1 day", 1440)
# 5 is kept for weeks.
FIFTEEN_MINUTES = Length(6, "15 minutes", 15)

LENGTHS = {length.code: length for length in (FIVE_MINUTES, ONE_HOUR, ONE_MINUTE, ONE_DAY, FIFTEEN_MINUTES)}
# Shortest first.
BY_SHORT_NAME = {length.short_name: length for length in sorted(LENGTHS.values(), key=lambda one: one.minutes)}


@dataclass(frozen=True, order=True)
class Interval:
    """``[start, start + length)``; ``start`` is an aware datetime in UTC, aligned to the length."""

    length: Length
    start: datetime

    @property
    def end(self) -> datetime:
        return self.start + self.length.delta

    def is_closed(self, closed_until: datetime | None) -> bool:
        """Return True if it ends by ``closed_until`` (UTC), up to which the feed's intervals have closed."""
        return closed_until is not None and self.end <= closed_until

    def __str__(self) -> str:
        return f"{to_text(self.start)}/{to_text(self.end)}"


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the time (aware, UTC) that is so many milliseconds after 1970-01-01T00:00Z.

    Raises OverflowError if it is outside the years 1 to 9999.
    """
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_milliseconds(moment: datetime) -> int:
    """Return a time as Unix time in milliseconds."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def to_text(moment: datetime) -> str:
    """Return a time as ISO 8601 in UTC, to the second: ``2021-07-18T00:05:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
