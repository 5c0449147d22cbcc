"""Anomalies: values that are many standard deviations from their group's values just before."""

from __future__ import annotations

import math
import sys
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from kpis.catalog.intervals import Length

# The defaults of the detection. A day of five minutes is the longest window.
DEFAULT_THRESHOLD, DEFAULT_WINDOW, LARGEST_WINDOW = 3.0, 12, 288


@dataclass(frozen=True)
class Verdict:
    """The deviation of a value from those of the window before it.

    ``mean`` and ``deviation`` are the window's, of the ``intervals`` in which the group has a value. ``z`` is None if
    all of those are equal and the value is another: it is then infinitely many deviations away.
    """

    mean: float
    deviation: float
    z: float | None
    intervals: int


class _Window:
    """A group's values of the latest intervals, with their exact sum and sum of squares."""

    def __init__(self) -> None:
        self.values: deque[tuple[datetime, int | Fraction]] = deque()
        self.sum: int | Fraction = 0
        self.squares: int | Fraction = 0

    def forget_before(self, moment: datetime) -> None:
        while self.values and self.values[0][0] < moment:
            _, value = self.values.popleft()
            self.sum -= value
            self.squares -= value * value

    def add(self, start: datetime, value: int | Fraction) -> None:
        self.values.append((start, value))
        self.sum += value
        self.squares += value * value


def anomalies(
    rows: Iterable[tuple[Hashable, datetime, float | None, Any]], length: Length, window: int, threshold: float
) -> Iterator[tuple[Any, Verdict]]:
    """Yield the rows whose value is ``threshold`` or more standard deviations from the mean of the window before.

    ``rows`` are (group, interval start, value, row), by interval start, each group once per interval; ``length`` is
    theirs. A value's window is the ``window`` intervals that end where its own starts. Of these only those
    count in which the group has a value: a gap is not a zero. If less than half of the window has values, or fewer than
    two, there is no verdict.

    For the n values x of the window, their mean m and their *sample* standard deviation s, a value y has

        m = sum(x) / n        s = sqrt(sum((x - m)^2) / (n - 1))        z = (y - m) / s

    (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.6 "Measures of Scale" for s and 1.3.5.17 "Detection of
    Outliers" for z, https://www.itl.nist.gov/div898/handbook/). It is the sample's deviation, with n - 1, because the
    window is a sample of the group's behaviour. The value itself is not part of the window, so that a peak does not
    hide itself by raising the mean and the deviation.

    If all values of the window are equal, s is 0: a value equal to them is no anomaly, and any other is one, whatever
    the threshold, with no z. Sums are kept as whole numbers and fractions, so both "equal" and "threshold or more" are
    exact; the verdict's numbers are rounded once.
    """
    limit = Fraction(threshold) ** 2
    windows: dict[Hashable, _Window] = defaultdict(_Window)
    for group, start, number, row in rows:
        if number is None:
            continue
        value = number if isinstance(number, int) else Fraction(number)
        known = windows[group]
        known.forget_before(length.shifted(start, -window))
        n = len(known.values)
        if n >= 2 and 2 * n >= window:
            distance = value * n - known.sum  # n (y - m)
            spread = known.squares * n - known.sum * known.sum  # n (n - 1) s^2
            # z^2 >= threshold^2, without its denominators.
            far = distance * distance * (n - 1) * limit.denominator >= limit.numerator * n * spread
            if far and (distance or spread):
                deviation = math.sqrt(spread / (n * (n - 1)))
                z = _root(distance * distance * (n - 1), n * spread, distance) if spread else None
                yield row, Verdict(float(known.sum / n), deviation, z, n)
        known.add(start, value)


def _root(numerator: int | Fraction, denominator: int | Fraction, sign: int | Fraction) -> float:
    """Return the square root of a fraction, with a sign; beyond the largest float, that of the largest float."""
    try:
        square = float(Fraction(numerator) / Fraction(denominator))
    except OverflowError:
        square = sys.float_info.max
    return math.copysign(math.sqrt(square), sign)
