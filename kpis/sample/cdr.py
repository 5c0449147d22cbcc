"""Sample call detail records: calls and texts between people of California's counties."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.columns import MONTHS
from kpis.catalog.intervals import EPOCH, Interval, from_milliseconds, to_milliseconds
from kpis.sample.california import COUNTIES, LOCAL_TIME, OPERATORS
from kpis.sample.chance import below, bits, feed_words, log_normal, lookup, texts
from kpis.sample.day import NETWORK_SECONDS, SPAN, SPAN_SECONDS, intervals_from, rows_in, seconds_in_order
from kpis.sample.files import Columns

PEOPLE_PER_ROW = 20
FEWEST_PEOPLE = 1_000
CALLS_IN_16 = 7
SURGE = 3
TYPICAL_CALL, LONGEST_CALL = 95, 3_600  # seconds

# Numbers that are not in use: there is no area code 555. The step is coprime to their number, as for subscribers'
# msisdn.
NUMBER_BASE, NUMBER_COUNT, NUMBER_STEP = 555_200_0000, 7_999_999, 4_944_272


def file_name(interval: Interval, number: int, files: int) -> str:
    """Return ``cdr_data.2018-04-30T0000.csv``: the interval's start, and the number if files share it."""
    shared = f".{number}" if files > 1 else ""
    return f"cdr_data.{interval.start:%Y-%m-%dT%H%M}{shared}.csv"


def calls(start: datetime, intervals: int, rows: int, seed: int) -> Iterator[tuple[Interval, Columns]]:
    """Yield the calls and texts of consecutive intervals from ``start`` on; see ``Sample``."""
    people = _People(rows, seed)
    for interval in intervals_from(start, intervals):
        words = feed_words(CDR.name, seed, 1 + to_milliseconds(interval.start) // SPAN.milliseconds)
        count = rows_in(interval, rows, LOCAL_TIME)
        first, second = words.random_raw(count), words.random_raw(count)
        yield interval, _calls(_moments(interval), seconds_in_order(second), people, first, second)


class CallStream:
    """Calls and texts second by second; see ``SampleStream``.

    With ``disturbed``, in one of each five minutes a county other than the largest falls silent or surges.
    """

    def __init__(self, rate: int, seed: int, disturbed: bool = False):
        self._rate, self._seed, self._disturbed = rate, seed, disturbed
        self._people = _People(rate * NETWORK_SECONDS, seed)
        self._interval, self._texts = SPAN.at(EPOCH), _moments(SPAN.at(EPOCH))

    def __call__(self, second: int) -> Columns:
        """Return the calls of a second in Unix time."""
        moment = from_milliseconds(second * 1000)
        interval = SPAN.at(moment)
        if interval != self._interval:
            self._interval, self._texts = interval, _moments(interval)
        wrong = _disturbance(second // 60, self._seed) if self._disturbed else None
        added = wrong.added(self._rate) if wrong else 0
        # Seconds since 1970 are far larger than the numbers of intervals.
        words = feed_words(CDR.name, self._seed, 1 + second)
        # In pairs, so that added calls do not change the others.
        first, last = words.random_raw(2 * (self._rate + added)).reshape(-1, 2).T
        offset = np.full(len(first), (moment - interval.start) // timedelta(seconds=1))
        columns = _calls(self._texts, offset, self._people, first, last)
        if wrong is None:
            return columns
        columns["Location"][self._rate :] = _COUNTY_NAMES[wrong.county]
        kept = wrong.surges | (columns["Location"] != _COUNTY_NAMES[wrong.county])
        return {name: values[kept] for name, values in columns.items()}


@dataclass(frozen=True)
class _Disturbance:
    """A county, by its number, whose calls fail, or are SURGE times as many (``surges``)."""

    county: int
    surges: bool

    def added(self, rate: int) -> int:
        """Return the number of additional calls per second."""
        people = list(COUNTIES.values())
        return (SURGE - 1) * rate * people[self.county] // sum(people) if self.surges else 0


def _disturbance(minute: int, seed: int) -> _Disturbance | None:
    """Return the disturbance of a minute, by its number since 1970; None in four of each five minutes."""
    span, number = divmod(minute, SPAN.minutes)
    word = feed_words("disturbance", seed, span).random_raw(1)
    if number != below(SPAN.minutes, bits(word, 0, 16), 16)[0]:
        return None
    return _Disturbance(int(_DISTURBED_TABLE[bits(word, 16, 16)][0]), bool(bits(word, 32, 1)[0]))


class _People:
    """The county and the operator of each person."""

    def __init__(self, rows: int, seed: int):
        count = min(max(FEWEST_PEOPLE, rows * PEOPLE_PER_ROW), NUMBER_COUNT)
        word = feed_words(CDR.name, seed, 0).random_raw(count)
        self.count = count
        self.counties = _COUNTY_TABLE[bits(word, 0, 16)]
        self.operators = _OPERATOR_TABLE[bits(word, 16, 16)]


def _calls(moments: np.ndarray, start: np.ndarray, people: _People, first: np.ndarray, second: np.ndarray) -> Columns:
    """Return a call for each ``start``, an index into the moments as texts, made of two random words."""
    source = below(people.count, bits(first, 0, 31), 31)
    # The callee: anyone but the caller.
    other = (source + 1 + below(people.count - 1, bits(first, 31, 31), 31)) % people.count
    # A sixteenth of the calls is made away from home, where any person may live.
    home = np.where(bits(second, 16, 4) == 0, other, source)
    is_call = bits(second, 20, 4) < CALLS_IN_16
    length = np.minimum(1 + TYPICAL_CALL * _LENGTHS_IN_1000[bits(second, 32, 16)] // 1000, LONGEST_CALL)
    return {
        "SourcePN": _number(source),
        "DestPN": _number(other),
        "Location": _COUNTY_NAMES[people.counties[home]],
        "StartT": moments[start],
        "EndT": moments[start + np.where(is_call, length, 0)],
        "Type": np.where(is_call, texts(["CALL"]), texts(["TEXT"])),
        "Company": _OPERATOR_NAMES[people.operators[source]],
    }


def _number(person: np.ndarray) -> np.ndarray:
    return NUMBER_BASE + person * NUMBER_STEP % NUMBER_COUNT


def _moments(interval: Interval) -> np.ndarray:
    """Return each second from an interval's start to the end of its longest call, as ``Apr 30 2018 00:00:00``."""
    moments = (interval.start + timedelta(seconds=second) for second in range(SPAN_SECONDS + LONGEST_CALL))
    # Not by %b, which depends on the machine's locale.
    return texts(f"{MONTHS[moment.month - 1]} {moment:%d %Y %H:%M:%S}" for moment in moments)


_COUNTY_NAMES = texts(COUNTIES)
_COUNTY_TABLE = lookup(COUNTIES.values())
_DISTURBED_TABLE = lookup(people if people < max(COUNTIES.values()) else 0 for people in COUNTIES.values())
_OPERATOR_NAMES = texts(operator.name for operator in OPERATORS)
_OPERATOR_TABLE = lookup(operator.share for operator in OPERATORS)
_LENGTHS_IN_1000 = log_normal(1.1)
