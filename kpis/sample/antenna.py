"""Sample antenna messages: devices with a home antenna, some of which exceed their owners' quotas."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.intervals import Interval, from_milliseconds, to_milliseconds
from kpis.sample.california import LOCAL_TIME
from kpis.sample.chance import below, bits, feed_words, log_normal, lookup, texts
from kpis.sample.day import NETWORK_SECONDS, SPAN, intervals_from, is_within, rows_in, seconds_in_order
from kpis.sample.files import Columns

# app: messages in 1,000, and the typical bytes of a message.
APPS = {
    "FACEBOOK": (310, 4_500),
    "TELEGRAM": (260, 1_500),
    "SKYPE": (150, 9_000),
    "INSTAGRAM": (130, 7_000),
    "FACETIME": (100, 16_000),
    "SPOTIFY": (50, 12_000),
}

MESSAGES_PER_DEVICE = 5
DEVICES_PER_ANTENNA = 40
FEWEST_DEVICES, FEWEST_ANTENNAS = 20, 5

# Each day this antenna, the second most popular one, is silent; the next one takes over its devices.
FAILING_ANTENNA = 1
FAILS = timedelta(hours=17, minutes=20), timedelta(hours=18)

# Bytes an hour, each with the number of devices of 16 that have it.
QUOTAS = {1_000_000: 4, 2_000_000: 7, 5_000_000: 5}
FIRST_NAMES = ["Ada", "Ben", "Clara", "Dan", "Elena", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Leo"]
LAST_NAMES = ["Alder", "Birch", "Dune", "Elm", "Grove", "Heath", "Knoll", "Moss", "North", "Pine", "Reed", "Vale"]


def file_name(interval: Interval, number: int, files: int) -> str:
    """Return ``antenna_data.2021-02-19T2100.jsonl``: the interval's start, and the number if files share it."""
    shared = f".{number}" if files > 1 else ""
    return f"antenna_data.{interval.start:%Y-%m-%dT%H%M}{shared}.jsonl"


def messages(start: datetime, intervals: int, rows: int, seed: int) -> Iterator[tuple[Interval, Columns]]:
    """Yield the messages of consecutive intervals from ``start`` on; see ``Sample``."""
    network = _Network(rows, seed)
    for interval in intervals_from(start, intervals):
        words = feed_words(ANTENNA.name, seed, 1 + to_milliseconds(interval.start) // SPAN.milliseconds)
        count = rows_in(interval, rows, LOCAL_TIME)
        first, second = words.random_raw(count), words.random_raw(count)
        moments = to_milliseconds(interval.start) // 1000 + seconds_in_order(second)
        yield interval, _messages(interval, moments, network, first, second)


class MessageStream:
    """Messages second by second; see ``SampleStream``."""

    def __init__(self, rate: int, seed: int):
        self._rate, self._seed = rate, seed
        self._network = _Network(rate * NETWORK_SECONDS, seed)

    def __call__(self, second: int) -> Columns:
        """Return the messages of a second in Unix time."""
        # Seconds since 1970 are far larger than the numbers of intervals.
        words = feed_words(ANTENNA.name, self._seed, 1 + second)
        first, last = words.random_raw(self._rate), words.random_raw(self._rate)
        moments = np.full(self._rate, second)
        return _messages(SPAN.at(from_milliseconds(second * 1000)), moments, self._network, first, last)


def subscribers(rows: int, seed: int) -> Columns:
    """Return the subscribers of a network: most devices belong to one, and some subscribers have several.

    Columns: ``id`` (the device's), ``name``, ``email`` (both invented) and ``quota`` (bytes an hour).
    """
    network = _Network(rows, seed)
    word = network.owner_words
    # A fifth of the devices belong to the owner of the previous one.
    owners = np.cumsum(bits(word, 0, 16) >= 2**16 // 5)
    has_owner = bits(word, 16, 16) >= 2**16 // 20
    people = [_person(owner) for owner in owners[has_owner].tolist()]
    return {
        "id": network.devices[has_owner],
        "name": texts(name for name, _ in people),
        "email": texts(email for _, email in people),
        "quota": np.array(list(QUOTAS))[_QUOTA_TABLE[bits(word, 32, 16)]][has_owner],
    }


class _Network:
    """The antennas, most popular first, and the devices, each with a home antenna and a typical volume."""

    def __init__(self, rows: int, seed: int):
        words = feed_words(ANTENNA.name, seed, 0)
        count = max(FEWEST_DEVICES, rows // MESSAGES_PER_DEVICE)
        antennas = max(FEWEST_ANTENNAS, count // DEVICES_PER_ANTENNA)
        self.antennas = _uuids(antennas, words)
        self.devices = _uuids(count, words)
        table = lookup(10**9 // (rank + 10) for rank in range(1, antennas + 1))
        word = words.random_raw(count)
        self.homes = table[bits(word, 0, 16)]
        self.appetites = _APPETITES_IN_1000[bits(word, 16, 16)]
        self.owner_words = words.random_raw(count)


def _messages(
    interval: Interval, moments: np.ndarray, network: _Network, first: np.ndarray, second: np.ndarray
) -> Columns:
    """Return a message for each of the moments of an interval (Unix seconds), made of two random words."""
    # Half of the draws are squared: some devices send more than others, and none is silent for long.
    draw = bits(first, 0, 31)
    draw = np.where(bits(first, 31, 1) == 1, draw * draw >> 31, draw)
    device = below(len(network.devices), draw, 31)
    app = _APP_TABLE[bits(first, 32, 16)]
    # An eighth of the messages goes through a neighbouring antenna.
    antenna = network.homes[device]
    antenna = np.where(bits(second, 16, 3) == 0, antenna + 1 + bits(second, 19, 1), antenna) % len(network.antennas)
    if is_within(interval, FAILS, LOCAL_TIME):
        antenna = np.where(antenna == FAILING_ANTENNA, FAILING_ANTENNA + 1, antenna)
    size = _APP_BYTES[app] * network.appetites[device] // 1000 * _SIZES_IN_1000[bits(first, 48, 16)] // 1000
    return {
        "timestamp": moments,
        "id": network.devices[device],
        "antenna_id": network.antennas[antenna],
        "bytes": size,
        "app": _APP_NAMES[app],
    }


def _uuids(count: int, words: np.random.PCG64) -> np.ndarray:
    high, low = words.random_raw(count).tolist(), words.random_raw(count).tolist()
    return texts(str(uuid.UUID(int=one << 64 | other, version=4)) for one, other in zip(high, low, strict=True))


def _person(number: int) -> tuple[str, str]:
    """Return the name and the email of an invented person; the first person of each name has no number in it."""
    rest, first = divmod(number, len(FIRST_NAMES))
    repeated, last = divmod(rest, len(LAST_NAMES))
    name = FIRST_NAMES[first], LAST_NAMES[last]
    return " ".join(name), ".".join(name).lower() + (str(repeated + 1) if repeated else "") + "@example.com"


_APP_NAMES = texts(APPS)
_APP_TABLE = lookup(weight for weight, _ in APPS.values())
_APP_BYTES = np.array([size for _, size in APPS.values()])
_QUOTA_TABLE = lookup(QUOTAS.values())
_SIZES_IN_1000 = log_normal(0.8)
_APPETITES_IN_1000 = log_normal(0.7)
