"""Sample coverage logs: phones of several operators in towns of California, one of which loses its network."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.intervals import Interval, to_milliseconds
from kpis.sample.california import LOCAL_TIME, OPERATORS, POSTAL_CODES_A_TOWN, TOWNS
from kpis.sample.chance import below, bits, feed_words, log_normal, lookup, texts
from kpis.sample.day import SPAN, intervals_from, is_within, rows_in, seconds_in_order
from kpis.sample.files import Columns

# Each day all phones in this postal code are out of service for a while.
OUTAGE_POSTAL_CODE = TOWNS[0].postal_code + 1
OUTAGE = timedelta(hours=17, minutes=10), timedelta(hours=17, minutes=50)

# status: rows in 1,000 where there is no outage, and its description.
STATUSES = {
    0: (985, "STATE_IN_SERVICE"),
    1: (8, "STATE_OUT_OF_SERVICE"),
    2: (5, "STATE_EMERGENCY_ONLY"),
    3: (2, "STATE_POWER_OFF"),
}
EMERGENCY_ONLY = 2

# activity: rows in 100, and the speeds that go with it, in tenths of km/h.
ACTIVITIES = {
    "STILL": (30, 0, 3),
    "IN_VEHICLE": (21, 150, 1200),
    "ON_FOOT": (19, 5, 65),
    "TILTING": (17, 0, 15),
    "UNKNOWN": (11, 0, 40),
    "ON_BICYCLE": (2, 60, 260),
}

# How far from a town's centre its phones are, in hundred-thousandths of a degree: about 4 km.
TOWN_SIZE = 4_000


def file_name(interval: Interval, number: int, files: int) -> str:
    """Return ``coverage_data.2017-03-01.1.csv``: the interval's day (UTC), and a number within the day."""
    in_day = (interval.start.hour * 60 + interval.start.minute) // SPAN.minutes
    return f"coverage_data.{interval.start:%Y-%m-%d}.{in_day * files + number}.csv"


def logs(start: datetime, intervals: int, rows: int, seed: int) -> Iterator[tuple[Interval, Columns]]:
    """Yield the logs of consecutive intervals from ``start`` on; see ``Sample``."""
    for interval in intervals_from(start, intervals):
        words = feed_words(COVERAGE.name, seed, to_milliseconds(interval.start) // SPAN.milliseconds)
        yield interval, _logs(interval, rows_in(interval, rows, LOCAL_TIME), words)


def _logs(interval: Interval, rows: int, words: np.random.PCG64) -> Columns:
    first, second, third, fourth = (words.random_raw(rows) for _ in range(4))
    town = _TOWN_TABLE[bits(first, 0, 16)]
    postal_code = _POSTAL_CODES[town] + below(POSTAL_CODES_A_TOWN, bits(first, 16, 16), 16)
    status = _STATUS_TABLE[bits(first, 32, 16)]
    if is_within(interval, OUTAGE, LOCAL_TIME):
        status = np.where(postal_code == OUTAGE_POSTAL_CODE, 1, status)
    spelling = _SPELLING_TABLE[bits(first, 48, 16)]
    # The sum of three even draws is nearly normal.
    signal = _SIGNALS[spelling] + bits(second, 0, 3) + bits(second, 3, 3) + bits(second, 6, 3) - 10
    activity = _ACTIVITY_TABLE[bits(second, 16, 16)]
    slowest, fastest = _SPEEDS[activity, 0], _SPEEDS[activity, 1]
    is_fused = bits(second, 9, 3) == 0
    satellites = np.where(is_fused, 0, 1 + bits(second, 12, 2) + bits(second, 14, 2) + bits(second, 60, 2))
    precision = 3 + 20 * _PRECISION_IN_1000[bits(third, 0, 16)] // 1000
    has_network = np.isin(status, (0, EMERGENCY_ONLY))
    has_operator = has_network & (bits(third, 16, 8) > 0)
    return {
        "hour": _clock(interval)[seconds_in_order(fourth)],
        "lat": (_LATITUDES[town] + _offset(fourth, 16)) / 100_000,
        "long": (_LONGITUDES[town] + _offset(fourth, 40)) / 100_000,
        "signal": _where(has_network & (bits(third, 24, 6) > 0), np.clip(signal, 0, 31)),
        "network": _where(has_operator, np.where(status == EMERGENCY_ONLY, _EMERGENCY, _NETWORKS[spelling])),
        "operator": _where(has_operator, np.where(status == EMERGENCY_ONLY, _EMERGENCY, _SPELLINGS[spelling])),
        "status": status,
        "description": _DESCRIPTIONS[status],
        "speed": (slowest + below(fastest - slowest, bits(second, 32, 16), 16)) / 10,
        "satellites": satellites / 1,
        "precission": _where(bits(third, 30, 6) > 0, precision / 1),
        "provider": np.where(is_fused, texts(["fused"]), texts(["gps"])),
        "activity": _ACTIVITY_NAMES[activity],
        "postal_code": _where(bits(third, 36, 6) > 0, postal_code / 1),
    }


def _clock(interval: Interval) -> np.ndarray:
    """Return each second of an interval as a time of day."""
    seconds = range(SPAN.minutes * 60)
    return texts(f"{interval.start + timedelta(seconds=second):%H:%M:%S}" for second in seconds)


def _offset(words: np.ndarray, first: int) -> np.ndarray:
    """Return the distance from the town's centre: the difference of two even draws, usually small."""
    return below(TOWN_SIZE, bits(words, first, 12), 12) - below(TOWN_SIZE, bits(words, first + 12, 12), 12)


def _where(there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the values where a condition holds, and empty texts elsewhere."""
    return np.where(there, values.astype(object), texts([""]))


_TOWN_TABLE = lookup(town.weight for town in TOWNS)
_POSTAL_CODES = np.array([town.postal_code for town in TOWNS])
_LATITUDES = np.array([town.latitude * 1000 for town in TOWNS])
_LONGITUDES = np.array([town.longitude * 1000 for town in TOWNS])
_SPELT = [(one, spelling, weight) for one in OPERATORS for spelling, weight in one.spellings.items()]
_SPELLING_TABLE = lookup(one.share * weight for one, _, weight in _SPELT)
_SPELLINGS = texts(spelling for _, spelling, _ in _SPELT)
_NETWORKS = texts(one.network for one, *_ in _SPELT)
_SIGNALS = np.array([one.signal for one, *_ in _SPELT])
_EMERGENCY = texts(["Emergency calls only"])
_STATUS_TABLE = lookup(weight for weight, _ in STATUSES.values())
_DESCRIPTIONS = texts(description for _, description in STATUSES.values())
_ACTIVITY_NAMES = texts(ACTIVITIES)
_ACTIVITY_TABLE = lookup(weight for weight, *_ in ACTIVITIES.values())
_SPEEDS = np.array([speeds for _, *speeds in ACTIVITIES.values()])
_PRECISION_IN_1000 = log_normal(0.8)
