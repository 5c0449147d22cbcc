"""Sample data: files of believable traffic, the same bytes for the same seed wherever they are made.

All chance comes from the raw words of NumPy's PCG64, a stream that NumPy promises to keep (it makes no such
promise for the methods of its Generator), and everything made of them is whole-number arithmetic. A feed has
one entry in ``SAMPLES``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from math import exp, isqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np

from kpis.catalog.feeds import IPFLOW, Feed
from kpis.catalog.intervals import Interval, to_milliseconds

# The sample network lies in one zone, without daylight saving time.
LOCAL_TIME = timezone(timedelta(hours=1))

# Traffic at each full local hour, in per cent of the busiest hour, which is 20:00-21:00 throughout.
DAY_CURVE = (30, 20, 14, 11, 10, 14, 28, 48, 62, 70, 74, 77, 82, 80, 77, 78, 82, 87, 92, 97, 100, 100, 85, 55)

# service_id: rows in 10,000, a row's typical bytes, and how many bytes of 1,000 go up.
HEAVY_SERVICES = {
    1: (900, 24_000_000, 20),  # video on demand
    2: (1100, 9_000_000, 35),  # short clips
    3: (2000, 2_200_000, 90),  # web
    4: (1400, 3_100_000, 140),  # social media
    5: (450, 5_500_000, 15),  # music
    6: (1200, 160_000, 420),  # messages
    7: (250, 7_500_000, 480),  # video calls
    8: (300, 900_000, 500),  # calls
    9: (200, 4_000_000, 600),  # photo backup
    10: (350, 1_500_000, 250),  # games
    11: (150, 30_000_000, 8),  # software updates
    12: (700, 70_000, 300),  # mail
}
# The other services share the remaining rows, each less than the one before.
LIGHT_SERVICES = range(100, 300)
LIGHT_SERVICE = (400_000, 120)

ROWS_PER_SUBSCRIBER = 5
SUBSCRIBERS_PER_CELL = 60
CELL_ID_BASE = 20_000
MSISDN_BASE = 31_600_000_000
# Coprime to the number of numbers, so that each subscriber gets one of his own, in no visible order.
MSISDN_STEP, MSISDN_COUNT = 61_803_399, 100_000_000

# Lookup tables are as long as 16 random bits reach.
CHOICES = 2**16
ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Sample:
    """How a feed's sample files are made.

    ``file_name`` has the places ``end`` (the interval's end, Unix ms) and ``number`` (1, 2... in the
    interval). ``intervals(start, count, rows, seed)`` gives one interval after the other, each with its rows
    as columns of equal length by name; ``rows`` are those of an interval in the day's busiest hour.
    """

    feed: Feed
    file_name: str
    intervals: Callable[[datetime, int, int, int], Iterator[tuple[Interval, dict[str, np.ndarray]]]]


def make_files(
    sample: Sample, folder: Path, start: datetime, intervals: int, rows: int, seed: int, files: int = 1
) -> Iterator[Path]:
    """Writes the files of so many intervals from ``start`` (aware, aligned) on; gives each path.

    ``files`` is how many files share an interval's rows. A file is written aside and then renamed, so that
    whoever watches the folder never sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for interval, columns in sample.intervals(start, intervals, rows, seed):
        parts = {name: np.array_split(values, files) for name, values in columns.items()}
        for number in range(files):
            path = folder / sample.file_name.format(end=to_milliseconds(interval.end), number=number + 1)
            _write_csv(path, {name: part[number] for name, part in parts.items()})
            yield path


def rows_in(interval: Interval, rows: int) -> int:
    """How many rows an interval has by the day curve, of ``rows`` in the busiest hour; at least 1."""
    local = interval.start.astimezone(LOCAL_TIME)
    here, next_hour = DAY_CURVE[local.hour], DAY_CURVE[(local.hour + 1) % 24]
    per_6000 = here * (60 - local.minute) + next_hour * local.minute
    return max(1, rows * per_6000 // 6000)


def ipflow_intervals(
    start: datetime, intervals: int, rows: int, seed: int
) -> Iterator[tuple[Interval, dict[str, np.ndarray]]]:
    """IP flows of subscribers who have a home cell and wander between neighbouring cells."""
    network = _Network(max(1, rows // ROWS_PER_SUBSCRIBER), seed)
    for index in range(intervals):
        interval = IPFLOW.interval.at(start + index * IPFLOW.interval.delta)
        # Each interval has a stream of its own, which does not depend on how much the others used.
        words = np.random.PCG64(np.random.SeedSequence((seed, 1 + index)))
        cells_before = network.cells.copy()
        network.wander(words)
        yield interval, _ipflow_rows(interval, rows_in(interval, rows), network, cells_before, words)


class _Network:
    """The cells, on a square grid, and the subscribers: ``cells`` holds where each one is."""

    def __init__(self, subscribers: int, seed: int):
        words = np.random.PCG64(np.random.SeedSequence((seed, 0)))
        self.subscribers = subscribers
        self.side = max(5, isqrt(subscribers // SUBSCRIBERS_PER_CELL))
        # The Zipf-Mandelbrot law: the n-th cell of a random order is home to 1 / (n + 10) of them, scaled.
        order = np.argsort(words.random_raw(self.side**2), kind="stable")
        table = _lookup([10**9 // (rank + 10) for rank in range(1, len(order) + 1)])
        self.homes = order[table[_bits(words.random_raw(subscribers), 0, 16)]]
        self.cells = self.homes.copy()

    def wander(self, words: np.random.PCG64) -> None:
        """Moves on by one interval: some go to a neighbouring cell, some go home, most stay."""
        word = words.random_raw(self.subscribers)
        chance, direction = _bits(word, 0, 8), _bits(word, 8, 2)
        down, right = np.divmod(self.cells, self.side)
        down += np.array([-1, 1, 0, 0])[direction]
        right += np.array([0, 0, -1, 1])[direction]
        last = self.side - 1
        neighbours = np.clip(down, 0, last) * self.side + np.clip(right, 0, last)
        self.cells = np.where(chance < 26, neighbours, np.where(chance < 39, self.homes, self.cells))


def _ipflow_rows(
    interval: Interval, rows: int, network: _Network, cells_before: np.ndarray, words: np.random.PCG64
) -> dict[str, np.ndarray]:
    first, second = words.random_raw(rows), words.random_raw(rows)
    # The square of an even draw: a tenth of the subscribers have about a third of the rows.
    draw = _bits(first, 0, 31)
    subscriber = (draw * draw >> 31) * network.subscribers >> 31
    service = _SERVICE_TABLE[_bits(first, 32, 16)]
    # Whoever changed cells had some of the interval's flows in the cell before.
    cell = np.where(_bits(second, 0, 1) == 1, network.cells[subscriber], cells_before[subscriber])
    size = _SERVICES[service, 1] * _SPREAD_IN_1000[_bits(first, 48, 16)] // 1000
    size = size * (3584 + _bits(second, 1, 10)) >> 12
    uplink = size * _SERVICES[service, 2] // 1000 * (512 + _bits(second, 11, 10)) >> 10
    return {
        "interval_start_timestamp": np.full(rows, to_milliseconds(interval.start)),
        "interval_end_timestamp": np.full(rows, to_milliseconds(interval.end)),
        "msisdn": MSISDN_BASE + subscriber * MSISDN_STEP % MSISDN_COUNT,
        "bytes_uplink": uplink,
        "bytes_downlink": size - uplink,
        "service_id": _SERVICES[service, 0],
        "cell_id": CELL_ID_BASE + cell,
    }


def _bits(words: np.ndarray, first: int, count: int) -> np.ndarray:
    """So many bits of each word, from the given one on, as int64."""
    return (words >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)


def _lookup(weights: list[int]) -> np.ndarray:
    """A table of CHOICES entries in which each index comes as often as its weight says."""
    bounds = np.cumsum(weights)
    points = (np.arange(CHOICES) * 2 + 1) * int(bounds[-1]) // (2 * CHOICES)
    return np.searchsorted(bounds, points, side="right")


def _services() -> tuple[np.ndarray, np.ndarray]:
    """The services' ids, typical bytes and uplink in 1,000; and the table that draws one by 16 bits."""
    rest = 10_000 - sum(weight for weight, *_ in HEAVY_SERVICES.values())
    harmonic = sum(10**9 // rank for rank in range(1, len(LIGHT_SERVICES) + 1))
    light = [rest * (10**9 // rank) * 10**6 // harmonic for rank in range(1, len(LIGHT_SERVICES) + 1)]
    services = [(id_, typical, up) for id_, (_, typical, up) in HEAVY_SERVICES.items()]
    services += [(id_, *LIGHT_SERVICE) for id_ in LIGHT_SERVICES]
    return np.array(services), _lookup([weight * 10**6 for weight, *_ in HEAVY_SERVICES.values()] + light)


_SERVICES, _SERVICE_TABLE = _services()

# Log-normal, as sizes of flows are: the quantiles of exp(N(0, 1)), in thousandths.
_SPREAD_IN_1000 = np.array(
    [round(1000 * exp(NormalDist().inv_cdf((index + 0.5) / CHOICES))) for index in range(CHOICES)]
)


def _write_csv(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Writes whole-number columns as CSV with a header, aside and then renamed."""
    aside = path.with_name(f".{path.name}.tmp")
    as_line = (",".join(["%d"] * len(columns)) + "\n").__mod__
    rows = len(next(iter(columns.values())))
    try:
        with aside.open("w", encoding="ascii", newline="") as file:
            file.write(",".join(columns) + "\n")
            for first in range(0, rows, ROWS_AT_ONCE):
                part = [values[first : first + ROWS_AT_ONCE].tolist() for values in columns.values()]
                file.writelines(map(as_line, zip(*part, strict=True)))
        os.replace(aside, path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


SAMPLES = {"ipflow": Sample(IPFLOW, "ipflow_data.ts-{end}.{number}.csv", ipflow_intervals)}
