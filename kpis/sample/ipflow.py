"""Sample IP flows: subscribers with a home cell who move between neighbouring cells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from math import isqrt

import numpy as np

from kpis.catalog.intervals import Interval, to_milliseconds
from kpis.sample.chance import bits, log_normal, lookup, words_of
from kpis.sample.day import intervals_from, rows_in
from kpis.sample.files import Columns

# The network is in one zone, without daylight saving time.
LOCAL_TIME = timezone(timedelta(hours=1))

# service_id: rows in 10,000, the typical bytes of a row, and the uplink's bytes of 1,000.
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
# The other services share the remaining rows, each with fewer than the one before.
LIGHT_SERVICES = range(100, 300)
LIGHT_SERVICE = (400_000, 120)

ROWS_PER_SUBSCRIBER = 5
SUBSCRIBERS_PER_CELL = 60
CELL_ID_BASE = 20_000
MSISDN_BASE = 31_600_000_000
# Coprime to the number of numbers, so that each subscriber gets a different one, in no visible order.
MSISDN_STEP, MSISDN_COUNT = 61_803_399, 100_000_000


def file_name(interval: Interval, number: int, files: int) -> str:
    """Return ``ipflow_data.ts-1626566700000.1.csv``: the interval's end in Unix milliseconds, and the number."""
    return f"ipflow_data.ts-{to_milliseconds(interval.end)}.{number}.csv"


def flows(start: datetime, intervals: int, rows: int, seed: int) -> Iterator[tuple[Interval, Columns]]:
    """Yield the flows of consecutive intervals from ``start`` on; see ``Sample``."""
    network = _Network(max(1, rows // ROWS_PER_SUBSCRIBER), seed)
    for index, interval in enumerate(intervals_from(start, intervals)):
        # Each interval has its own stream, which does not depend on how much the others used.
        words = words_of(seed, 1 + index)
        cells_before = network.cells.copy()
        network.wander(words)
        yield interval, _flows(interval, rows_in(interval, rows, LOCAL_TIME), network, cells_before, words)


class _Network:
    """The cells, on a square grid, and the subscribers: ``cells`` has each subscriber's present cell."""

    def __init__(self, subscribers: int, seed: int):
        words = words_of(seed, 0)
        self.subscribers = subscribers
        self.side = max(5, isqrt(subscribers // SUBSCRIBERS_PER_CELL))
        # The Zipf-Mandelbrot law: the n-th cell of a random order is home to 1 / (n + 10) of them, scaled.
        order = np.argsort(words.random_raw(self.side**2), kind="stable")
        table = lookup(10**9 // (rank + 10) for rank in range(1, len(order) + 1))
        self.homes = order[table[bits(words.random_raw(subscribers), 0, 16)]]
        self.cells = self.homes.copy()

    def wander(self, words: np.random.PCG64) -> None:
        """Advance by one interval: some subscribers go to a neighbouring cell, some go home, most stay."""
        word = words.random_raw(self.subscribers)
        chance, direction = bits(word, 0, 8), bits(word, 8, 2)
        down, right = np.divmod(self.cells, self.side)
        down += np.array([-1, 1, 0, 0])[direction]
        right += np.array([0, 0, -1, 1])[direction]
        last = self.side - 1
        neighbours = np.clip(down, 0, last) * self.side + np.clip(right, 0, last)
        self.cells = np.where(chance < 26, neighbours, np.where(chance < 39, self.homes, self.cells))


def _flows(
    interval: Interval, rows: int, network: _Network, cells_before: np.ndarray, words: np.random.PCG64
) -> Columns:
    first, second = words.random_raw(rows), words.random_raw(rows)
    # The square of an even draw: a tenth of the subscribers have about a third of the rows.
    draw = bits(first, 0, 31)
    subscriber = (draw * draw >> 31) * network.subscribers >> 31
    service = _SERVICE_TABLE[bits(first, 32, 16)]
    # A subscriber who changed cells had some of the interval's flows in the previous cell.
    cell = np.where(bits(second, 0, 1) == 1, network.cells[subscriber], cells_before[subscriber])
    size = _SERVICES[service, 1] * _SPREAD_IN_1000[bits(first, 48, 16)] // 1000
    size = size * (3584 + bits(second, 1, 10)) >> 12
    uplink = size * _SERVICES[service, 2] // 1000 * (512 + bits(second, 11, 10)) >> 10
    return {
        "interval_start_timestamp": np.full(rows, to_milliseconds(interval.start)),
        "interval_end_timestamp": np.full(rows, to_milliseconds(interval.end)),
        "msisdn": MSISDN_BASE + subscriber * MSISDN_STEP % MSISDN_COUNT,
        "bytes_uplink": uplink,
        "bytes_downlink": size - uplink,
        "service_id": _SERVICES[service, 0],
        "cell_id": CELL_ID_BASE + cell,
    }


def _services() -> tuple[np.ndarray, np.ndarray]:
    """Return the services' ids, typical bytes and uplink in 1,000, and the table that draws one by 16 bits."""
    rest = 10_000 - sum(weight for weight, *_ in HEAVY_SERVICES.values())
    harmonic = sum(10**9 // rank for rank in range(1, len(LIGHT_SERVICES) + 1))
    light = [rest * (10**9 // rank) * 10**6 // harmonic for rank in range(1, len(LIGHT_SERVICES) + 1)]
    services = [(id_, typical, up) for id_, (_, typical, up) in HEAVY_SERVICES.items()]
    services += [(id_, *LIGHT_SERVICE) for id_ in LIGHT_SERVICES]
    return np.array(services), lookup([weight * 10**6 for weight, *_ in HEAVY_SERVICES.values()] + light)


_SERVICES, _SERVICE_TABLE = _services()
_SPREAD_IN_1000 = log_normal(1.0)
