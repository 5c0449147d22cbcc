"""The window of a chart: a time span in steps, never more than a screen can show."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from kpis.catalog.intervals import EPOCH, FixedLength, Length
from kpis.catalog.kpis import KPI

# About as many points as a wide screen can distinguish.
MOST_POINTS = 1500
# The most intervals that are summed into steps; beyond that, the KPI's next longer intervals are.
MOST_INTERVALS = 100_000

# The widths of steps, in minutes: each divides a day, or is a number of days.
_WIDTHS = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)


@dataclass(frozen=True)
class Window:
    """The span ``[start, end)`` in intervals of a length; ``summed`` of them make a step.

    ``asked`` is the length that was asked for, for which the span may be too long; ``cut`` is True if the window starts
    later than was asked, since its intervals neither add up nor come any longer.
    """

    start: datetime
    end: datetime
    length: Length
    asked: Length
    summed: int = 1
    cut: bool = False

    @cached_property
    def bounds(self) -> list[datetime]:
        """The starts (UTC) of the steps, in order, and the end of the last one."""
        if not isinstance(self.length, FixedLength):
            return [*self.length.starts(self.start, self.end), self.end]
        step = self.length.delta * self.summed
        return [self.start + number * step for number in range(-(-(self.end - self.start) // step) + 1)]

    @property
    def starts(self) -> list[datetime]:
        """The starts (UTC) of the steps, in order."""
        return self.bounds[:-1]

    @property
    def ends(self) -> list[datetime]:
        """The ends (UTC) of the steps, in order."""
        return self.bounds[1:]

    @property
    def points(self) -> int:
        """The number of points that the series can have."""
        return len(self.bounds) - 1

    def step_at(self, moment: datetime) -> int:
        """Return the number of the step that contains a moment (UTC), or of the first or last one."""
        return max(0, min(bisect_right(self.bounds, moment) - 1, self.points - 1))

    @property
    def step_name(self) -> str:
        """The width of a point in words: ``5 minutes``, ``2 hours``, ``3 days``."""
        if not isinstance(self.length, FixedLength):
            return self.length.name
        minutes = self.length.minutes * self.summed
        for word, of in (("day", 1440), ("hour", 60), ("minute", 1)):
            if minutes % of == 0:
                number = minutes // of
                return f"{number} {word}" if number == 1 else f"{number} {word}s"
        raise AssertionError(minutes)

    @property
    def note(self) -> str:
        """The difference of the series from the intervals that were asked for, in words; empty if there is none."""
        if self.cut:
            return (
                f"{self.asked} are too many for this span, and longer ones cannot be added up from them: "
                f"the newest {self.points:,} intervals of {self.length} are shown."
            )
        if self.summed > 1:
            return f"Each point sums {self.summed} intervals of {self.length}; totals are unchanged."
        if self.length != self.asked:
            return f"This span has too many intervals of {self.asked} to show: these are the figures per {self.length}."
        return ""


def window(
    kpi: KPI,
    start: datetime,
    end: datetime,
    asked: Length,
    adds_up: bool,
    most: int = MOST_POINTS,
    most_intervals: int = MOST_INTERVALS,
) -> Window:
    """Return the window from start to end with at most so many points.

    Intervals of the asked length are shown if they fit. Else, if the values add up, they are summed, and if not, the
    KPI's next longer intervals are used; with none long enough, the newest intervals. Days, weeks and months are never
    summed.
    """
    lengths = sorted(kpi.lengths, key=lambda one: one.usual_minutes)
    longer = [length for length in lengths if length.usual_minutes >= asked.usual_minutes]
    for length in longer:
        aligned = length.floor(start), length.ceiling(end)
        number = _count(*aligned, timedelta(minutes=length.usual_minutes))
        if number <= most:
            return Window(*aligned, length, asked)
        if adds_up and isinstance(length, FixedLength) and (number <= most_intervals or length == longer[-1]):
            summed = _times(*aligned, length, most)
            return Window(*_aligned(start, end, length.delta * summed), length, asked, summed)
    length = longer[-1]
    last = length.ceiling(end)
    return Window(length.shifted(last, -most), last, length, asked, cut=True)


def _times(start: datetime, end: datetime, length: FixedLength, most: int) -> int:
    """Return how many intervals of the length make a step of a round width, so that there are few enough of them."""
    widths = [width for width in _WIDTHS if width % length.minutes == 0]
    days = 1
    while True:
        for width in widths:
            step = timedelta(minutes=width)
            if _count(*_aligned(start, end, step), step) <= most:
                return width // length.minutes
        days += 1
        widths = [days * 1440]


def _aligned(start: datetime, end: datetime, step: timedelta) -> tuple[datetime, datetime]:
    """Return the span of whole steps since 1970 that contains it."""
    return start - (start - EPOCH) % step, end + (EPOCH - end) % step


def _count(start: datetime, end: datetime, step: timedelta) -> int:
    return -(-(end - start) // step)
