"""Sample messages as a stream: as many a second as asked for, each at its time."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from kpis.sample.california import COUNTIES, OPERATORS
from kpis.sample.stream import SampleStream

# 21:04:57 in California; five minutes end three seconds later.
START = int(datetime(2021, 7, 18, 4, 4, 57, tzinfo=UTC).timestamp())
LARGEST = "Los Angeles"


def stream(feed: str, rate: int, seconds: int, seed: int = 1, start: int = START) -> list[list[str]]:
    made = SampleStream(feed, rate, seed)
    return [[message.decode() for message in made.messages(start + second)] for second in range(seconds)]


def moment(feed: str, message: str) -> float:
    if feed == "antenna":
        return json.loads(message)["timestamp"]
    return datetime.strptime(message.split(",")[3], "%b %d %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("feed", ["antenna", "cdr"])
@pytest.mark.parametrize("start", [START, START + 5 * 3600], ids=["busy", "quiet"])
def test_each_second_has_its_rate_of_messages_at_its_time(feed, start):
    seconds = stream(feed, 100, 5, start=start)
    assert [len(messages) for messages in seconds] == [100] * 5
    assert [{moment(feed, message) for message in messages} for messages in seconds] == [
        {start + second} for second in range(5)
    ]


@pytest.mark.parametrize("feed", ["antenna", "cdr"])
def test_the_same_seed_gives_the_same_messages_whenever_the_stream_begins(feed):
    assert stream(feed, 7, 5) == stream(feed, 7, 5)
    assert stream(feed, 7, 5)[2:] == stream(feed, 7, 3, start=START + 2)
    assert stream(feed, 7, 5) != stream(feed, 7, 5, seed=2)


def test_the_shares_are_those_of_the_samples():
    calls = [message.split(",") for second in stream("cdr", 1000, 4) for message in second]
    assert len(set(map(tuple, calls))) > 3900
    counties = Counter(call[2] for call in calls)
    assert counties[LARGEST] == pytest.approx(4000 * COUNTIES[LARGEST] / sum(COUNTIES.values()), rel=0.1)
    operators = Counter(call[6] for call in calls)
    for operator in OPERATORS:
        assert operators[operator.name] == pytest.approx(40 * operator.share, rel=0.25)


def by_minute(disturbed: bool, minutes: int) -> list[Counter]:
    """The counties' calls of a second of each minute."""
    made = SampleStream("cdr", 4000, 1, disturbed)
    first = START - START % 300
    return [
        Counter(message.decode().split(",")[2] for message in made.messages(first + 60 * minute + 30))
        for minute in range(minutes)
    ]


def test_a_disturbed_stream_has_one_county_silent_or_surging_in_one_of_five_minutes_and_is_the_same_else():
    calm, disturbed = by_minute(False, 50), by_minute(True, 50)
    changed = [number for number in range(50) if calm[number] != disturbed[number]]
    assert [number // 5 for number in changed] == list(range(10))
    assert len({number % 5 for number in changed}) > 1
    surges = set()
    for number in changed:
        (county,) = {name for name in COUNTIES if calm[number][name] != disturbed[number][name]}
        assert county != LARGEST
        surges.add(surge := disturbed[number][county] > 0)
        twice = 2 * 4000 * COUNTIES[county] // sum(COUNTIES.values())
        assert disturbed[number][county] == (calm[number][county] + twice if surge else 0)
    assert surges == {True, False}
