"""The day of a sample network: its intervals, and its traffic over the day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

import numpy as np

from kpis.catalog.intervals import FIVE_MINUTES, Interval
from kpis.sample.chance import below, bits

# The span of a file, or of the files that share it.
SPAN = FIVE_MINUTES
SPAN_SECONDS = SPAN.minutes * 60

# A stream's network is as large as that of files whose rows are this many seconds of the stream's messages.
NETWORK_SECONDS = 30

# Traffic at each full local hour, in per cent of the busiest hour, which is 20:00-21:00 throughout.
DAY_CURVE = (30, 20, 14, 11, 10, 14, 28, 48, 62, 70, 74, 77, 82, 80, 77, 78, 82, 87, 92, 97, 100, 100, 85, 55)


def intervals_from(start: datetime, count: int) -> Iterator[Interval]:
    """Yield ``count`` consecutive intervals, from an aligned start (UTC) on."""
    for index in range(count):
        yield SPAN.at(start + index * SPAN.delta)


def rows_in(interval: Interval, rows: int, zone: tzinfo) -> int:
    """Return the number of rows of an interval by the day curve, of ``rows`` in the busiest hour; at least 1."""
    local = interval.start.astimezone(zone)
    here, next_hour = DAY_CURVE[local.hour], DAY_CURVE[(local.hour + 1) % 24]
    per_6000 = here * (60 - local.minute) + next_hour * local.minute
    return max(1, rows * per_6000 // 6000)


def is_within(interval: Interval, hours: tuple[timedelta, timedelta], zone: tzinfo) -> bool:
    """Return True if an interval lies between two times of the local day, each since midnight."""
    local = interval.start.astimezone(zone)
    return hours[0] <= timedelta(hours=local.hour, minutes=local.minute) < hours[1]


def seconds_in_order(words: np.ndarray) -> np.ndarray:
    """Return a second of the interval for each word's low 16 bits, in the order of records: earliest first."""
    return np.sort(below(SPAN_SECONDS, bits(words, 0, 16), 16))
