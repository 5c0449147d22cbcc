"""Sample call detail records: calls and texts between people of California's counties."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from kpis.catalog.columns import MONTHS
from kpis.catalog.feeds import CDR
from kpis.catalog.intervals import Interval, to_milliseconds
from kpis.sample.california import COUNTIES, LOCAL_TIME, OPERATORS
from kpis.sample.chance import below, bits, feed_words, log_normal, lookup, texts
from kpis.sample.day import SPAN, SPAN_SECONDS, intervals_from, rows_in, seconds_in_order
from kpis.sample.files import Columns

PEOPLE_PER_ROW = 20
FEWEST_PEOPLE = 1_000
CALLS_IN_16 = 7
TYPICAL_CALL, LONGEST_CALL = 95, 3_600  # seconds

# Numbers that no one has: there is no area code 555. The step is coprime to their number, as for subscribers' msisdn.
NUMBER_BASE, NUMBER_COUNT, NUMBER_STEP = 555_200_0000, 7_999_999, 4_944_272


def file_name(interval: Interval, number: int, files: int) -> str:
    """As in ``cdr_data.2018-04-30T0000.csv``: the interval's start; then the number, where files share it."""
    shared = f".{number}" if files > 1 else ""
    return f"cdr_data.{interval.start:%Y-%m-%dT%H%M}{shared}.csv"


def calls(start: datetime, intervals: int, rows: int, seed: int) -> Iterator[tuple[Interval, Columns]]:
    """The calls and texts of so many intervals; see ``Sample``."""
    people = _People(min(max(FEWEST_PEOPLE, rows * PEOPLE_PER_ROW), NUMBER_COUNT), seed)
    for interval in intervals_from(start, intervals):
        words = feed_words(CDR.name, seed, 1 + to_milliseconds(interval.start) // SPAN.milliseconds)
        yield interval, _calls(interval, rows_in(interval, rows, LOCAL_TIME), people, words)


class _People:
    """Where each person lives and with which operator he is."""

    def __init__(self, count: int, seed: int):
        word = feed_words(CDR.name, seed, 0).random_raw(count)
        self.count = count
        self.counties = _COUNTY_TABLE[bits(word, 0, 16)]
        self.operators = _OPERATOR_TABLE[bits(word, 16, 16)]


def _calls(interval: Interval, rows: int, people: _People, words: np.random.PCG64) -> Columns:
    first, second = words.random_raw(rows), words.random_raw(rows)
    source = below(people.count, bits(first, 0, 31), 31)
    # Whom they call: anyone but themselves.
    other = (source + 1 + below(people.count - 1, bits(first, 31, 31), 31)) % people.count
    # A sixteenth of the calls is made away from home, where any person may live.
    home = np.where(bits(second, 16, 4) == 0, other, source)
    is_call = bits(second, 20, 4) < CALLS_IN_16
    length = np.minimum(1 + TYPICAL_CALL * _LENGTHS_IN_1000[bits(second, 32, 16)] // 1000, LONGEST_CALL)
    start = seconds_in_order(second)
    moments = _moments(interval)
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
    """Each second from an interval's start to the end of its longest call, as ``Apr 30 2018 00:00:00``."""
    moments = (interval.start + timedelta(seconds=second) for second in range(SPAN_SECONDS + LONGEST_CALL))
    # Not by %b, which speaks the language of the machine.
    return texts(f"{MONTHS[moment.month - 1]} {moment:%d %Y %H:%M:%S}" for moment in moments)


_COUNTY_NAMES = texts(COUNTIES)
_COUNTY_TABLE = lookup(COUNTIES.values())
_OPERATOR_NAMES = texts(operator.name for operator in OPERATORS)
_OPERATOR_TABLE = lookup(operator.share for operator in OPERATORS)
_LENGTHS_IN_1000 = log_normal(1.1)
