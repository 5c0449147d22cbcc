"""Sample messages as a stream: as many a second as asked for, each at its time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from kpis.sample import SAMPLES
from kpis.sample.stream import seconds_of

# 21:04:57 in California; five minutes end three seconds later.
START = datetime(2021, 7, 18, 4, 4, 57, tzinfo=UTC)


def stream(feed: str, rate: int, seconds: int, seed: int = 1, start: datetime = START) -> list[list[str]]:
    made = seconds_of(SAMPLES[feed], start, rate, seconds, seed)
    return [[message.decode() for message in messages] for messages in made]


def moment(feed: str, message: str) -> datetime:
    if feed == "antenna":
        return datetime.fromtimestamp(json.loads(message)["timestamp"], UTC)
    return datetime.strptime(message.split(",")[3], "%b %d %Y %H:%M:%S").replace(tzinfo=UTC)


@pytest.mark.parametrize("feed", ["antenna", "cdr"])
@pytest.mark.parametrize("start", [START, START + timedelta(hours=5)], ids=["busy", "quiet"])
def test_each_second_has_its_rate_of_messages_at_about_its_time(feed, start):
    seconds = stream(feed, 100, 5, start=start)
    assert [len(messages) for messages in seconds] == [100] * 5
    for number, messages in enumerate(seconds):
        away = [abs(moment(feed, message) - start - timedelta(seconds=number)) for message in messages]
        assert max(away) < timedelta(seconds=5)


@pytest.mark.parametrize("feed", ["antenna", "cdr"])
def test_the_same_seed_gives_the_same_messages(feed):
    assert stream(feed, 7, 5) == stream(feed, 7, 5)
    assert stream(feed, 7, 5) != stream(feed, 7, 5, seed=2)


def test_the_shares_are_those_of_the_samples():
    messages = [message for second in stream("cdr", 1000, 2) for message in second]
    assert len(set(messages)) > 1900
    assert sum(",Los Angeles," in message for message in messages) == pytest.approx(500, abs=150)
