"""The window of a chart: a time span in steps, never more than a screen can show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kpis.catalog.intervals import EPOCH, Length
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

    @property
    def step(self) -> timedelta:
        """The width of a point of the series."""
        return self.length.delta * self.summed

    @property
    def points(self) -> int:
        """The number of points that the series can have."""
        return -(-(self.end - self.start) // self.step)

    @property
    def step_name(self) -> str:
        """The width of a point in words: ``5 minutes``, ``2 hours``, ``3 days``."""
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
    KPI's next longer intervals are used; with none long enough, the newest intervals.
    """
    longer = [length for length in sorted(kpi.lengths, key=lambda one: one.minutes) if length.minutes >= asked.minutes]
    for length in longer:
        aligned = _aligned(start, end, length.delta)
        fits = _count(*aligned, length.delta) <= most
        summable = adds_up and _count(*aligned, length.delta) <= most_intervals
        if fits:
            return Window(*aligned, length, asked)
        if summable or (adds_up and length == longer[-1]):
            summed = _times(*aligned, length, most)
            return Window(*_aligned(start, end, length.delta * summed), length, asked, summed)
    length = longer[-1]
    _, last = _aligned(start, end, length.delta)
    return Window(last - most * length.delta, last, length, asked, cut=True)


def _times(start: datetime, end: datetime, length: Length, most: int) -> int:
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
