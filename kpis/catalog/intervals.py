"""Intervals: half-open ``[start, end)`` spans of time, with starts and ends in UTC.

Up to an hour they are aligned to their length since 1970-01-01T00:00Z. Days, weeks and months are those of the
network's time zone, see ``calendar``: only a length knows where its intervals start and end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import cached_property

from kpis.catalog import calendar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The end of the year 9999: no supported database can keep this time or a later one...
END_OF_TIME_MILLISECONDS = 253_402_300_800_000
# ...and so no interval that ends then, such as the last day.
LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Length(ABC):
    """A length of intervals: a fixed number of minutes, or a day, week or month of the calendar.

    ``code`` is its name in the database and the API, ``name`` the one that people read, ``short_name`` the one that
    they type. ``usual_minutes`` orders lengths; a calendar's intervals may last longer or shorter.
    """

    code: int
    name: str
    short_name: str
    usual_minutes: int

    @property
    @abstractmethod
    def is_calendar(self) -> bool:
        """True if its intervals are those of the zone's calendar (``calendar.use_zone``)."""

    @property
    @abstractmethod
    def longest(self) -> timedelta:
        """A duration that none of its intervals exceeds."""

    @abstractmethod
    def floor(self, moment: datetime) -> datetime:
        """Return the start (UTC) of the interval of this length that contains the moment."""

    @abstractmethod
    def floor_sql(self, moment: str, starts: Collection[datetime] = ()) -> str:
        """Return SQL for the start of the interval that contains a moment, of which ``moment`` is the SQL.

        Of a calendar's length only for the intervals that start at ``starts`` (UTC): NULL for all others.
        """

    @abstractmethod
    def end(self, start: datetime) -> datetime:
        """Return the end (UTC) of the interval of this length that starts at ``start`` (UTC)."""

    @abstractmethod
    def shifted(self, start: datetime, number: int) -> datetime:
        """Return the start (UTC) of the interval that comes ``number`` later, or earlier where that is negative."""

    def ceiling(self, moment: datetime) -> datetime:
        """Return the moment if an interval of this length starts then, or else the end of the one that contains it."""
        start = self.floor(moment)
        return moment if start == moment else self.end(start)

    def starts(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the starts (UTC) of the intervals that touch the time from start to end (UTC, excluded), in order."""
        moment, before = self.floor(start), None
        # Nothing follows the calendar's last day.
        while moment < end and moment != before:
            yield moment
            moment, before = self.end(moment), moment

    def is_aligned(self, moment: datetime) -> bool:
        """Return True if an interval of this length can start (or end) at the moment."""
        return self.floor(moment) == moment

    def at(self, moment: datetime) -> Interval:
        """Return the interval of this length that contains the moment."""
        return Interval(self, self.floor(moment))

    def __str__(self) -> str:
        return self.name


class FixedLength(Length):
    """A number of minutes; the intervals are aligned to it since 1970-01-01T00:00Z."""

    is_calendar = False

    @property
    def minutes(self) -> int:
        """The duration in minutes."""
        return self.usual_minutes

    @cached_property
    def delta(self) -> timedelta:
        """The duration."""
        return timedelta(minutes=self.minutes)

    @property
    def longest(self) -> timedelta:
        return self.delta

    @property
    def milliseconds(self) -> int:
        """The duration in milliseconds."""
        return self.minutes * 60_000

    def floor(self, moment: datetime) -> datetime:
        return moment - (moment - EPOCH) % self.delta

    def floor_sql(self, moment: str, starts: Collection[datetime] = ()) -> str:
        return f"time_bucket(INTERVAL {self.minutes} MINUTES, {moment}, TIMESTAMP '1970-01-01')"

    def end(self, start: datetime) -> datetime:
        return start + self.delta

    def shifted(self, start: datetime, number: int) -> datetime:
        return start + number * self.delta


class CalendarLength(Length):
    """Local days of the zone, or weeks or months of them: ``calendar`` has what a day is.

    Where the clocks change a day has 23 or 25 hours, each of which counts once. Of a feed's interval in which a local
    day starts, all counts in the day that contains its start; ``calendar.has_offsets_of`` says if there are any.
    """

    is_calendar = True

    @property
    def longest(self) -> timedelta:
        # No zone has set its clocks back by more than a day, and months have at most a day more than usual.
        return timedelta(minutes=self.usual_minutes) + timedelta(days=2)

    def floor(self, moment: datetime) -> datetime:
        return calendar.start_of(self._first_day(calendar.day_of(moment), 0))

    def floor_sql(self, moment: str, starts: Collection[datetime] = ()) -> str:
        cases = [
            f"WHEN {moment} >= {timestamp(start)} AND {moment} < {timestamp(self.end(start))} THEN {timestamp(start)}"
            for start in sorted(starts)
        ]
        return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS TIMESTAMP)"

    def end(self, start: datetime) -> datetime:
        return self.shifted(start, 1)

    def shifted(self, start: datetime, number: int) -> datetime:
        return calendar.start_of(self._first_day(calendar.day_of(start), number))

    @abstractmethod
    def _first_day(self, day: date, number: int) -> int:
        """Return the ordinal of the first day of the interval that comes ``number`` after the one that has a day."""


class Days(CalendarLength):
    """Local days."""

    def _first_day(self, day: date, number: int) -> int:
        return day.toordinal() + number


class Weeks(CalendarLength):
    """ISO weeks, which start on Monday."""

    def _first_day(self, day: date, number: int) -> int:
        return day.toordinal() - day.weekday() + 7 * number


class Months(CalendarLength):
    """Calendar months."""

    def _first_day(self, day: date, number: int) -> int:
        years, month = divmod(day.year * 12 + day.month - 1 + number, 12)
        return date(years, month + 1, 1).toordinal() if years <= MAXYEAR else date.max.toordinal() + 1


FIVE_MINUTES = FixedLength(1, "5 minutes", "5m", 5)
ONE_HOUR = FixedLength(2, "1 hour", "1h", 60)
ONE_MINUTE = FixedLength(3, "1 minute", "1m", 1)
FIFTEEN_MINUTES = FixedLength(6, "15 minutes", "15m", 15)
ONE_DAY = Days(4, "1 day", "1d", 1440)
ONE_WEEK = Weeks(5, "1 week", "1w", 7 * 1440)
ONE_MONTH = Months(7, "1 month", "1mo", 30 * 1440)

# Shortest first: those that feeds may count their records in, and all.
FIXED_BY_SHORT_NAME = {length.short_name: length for length in (ONE_MINUTE, FIVE_MINUTES, FIFTEEN_MINUTES, ONE_HOUR)}
BY_SHORT_NAME: dict[str, Length] = {
    **FIXED_BY_SHORT_NAME,
    **{length.short_name: length for length in (ONE_DAY, ONE_WEEK, ONE_MONTH)},
}
LENGTHS = {length.code: length for length in sorted(BY_SHORT_NAME.values(), key=lambda one: one.code)}


@dataclass(frozen=True, order=True)
class Interval:
    """``[start, start + length)``; ``start`` is an aware datetime in UTC, aligned to the length."""

    length: Length
    start: datetime

    @property
    def end(self) -> datetime:
        return self.length.end(self.start)

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


def timestamp(moment: datetime) -> str:
    """Return a moment (UTC) as an SQL literal."""
    return f"TIMESTAMP '{to_text(moment).rstrip('Z')}'"
