"""An open page is sent everything, then the changes: rates, lag and the scores of counties."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from kpis.live.window import Window
from kpis.models import LiveCount, LiveFeed, StreamConsumer
from tests.twin import moment

pytestmark = pytest.mark.django_db

NOTHING = {"rate": 0, "lag": None, "delay": None, "consumers": 0}


@pytest.fixture
def now() -> int:
    """A second of now, with room for the clock to go on."""
    return int(time.time()) - 5


def put(feed: str, start: int, length: int = 1, **groups: dict[str, int]) -> None:
    """Writes a second, or a minute, as a batch of its own would."""
    live, _ = LiveFeed.objects.get_or_create(
        feed=feed, defaults={"revision": 0, "committed_at": timezone.now(), "delay": 0.5}
    )
    live.revision += 1
    live.save()
    key = {"feed": feed, "length": length, "start_timestamp": moment(start)}
    LiveCount.objects.update_or_create(**key, defaults={"groups": groups, "revision": live.revision})


def read(window: Window) -> dict[str, Any] | None:
    window.read()
    return window.frame()


def last(series: dict[str, list], number: int) -> dict[str, list]:
    return {name: values[-number:] for name, values in series.items()}


def test_a_page_that_opens_gets_the_last_quarter_of_an_hour_with_its_gaps(now):
    put("cdr", now - 3, county={"Kern": 5, "Yolo": 7}, operator={"O2": 12})
    put("cdr", now - 1, county={"Kern": 1}, operator={"Vodafone": 1})
    put("cdr", now - 899, county={"Inyo": 9}, operator={"O2": 9})
    put("cdr", now - 900, county={"Napa": 9}, operator={"O2": 9})
    put("antenna", now, app={"SKYPE": 2})
    window = Window()
    window.read()
    found = window.window()
    assert (found["type"], found["newest"], found["seconds"], found["scores"]) == ("window", now, 900, [])
    counts = found["counts"]
    assert {len(values) for groups in counts.values() for values in groups.values()} == {900}
    assert last(counts["county"], 4) == {
        "Inyo": [0, None, 0, None], "Kern": [5, None, 1, None], "Yolo": [7, None, 0, None],
    }  # fmt: skip
    assert [values[0] for values in counts["county"].values()] == [9, 0, 0]
    assert last(counts["operator"], 4) == {"O2": [12, None, 0, None], "Vodafone": [0, None, 1, None]}
    assert last(counts["app"], 2) == {"SKYPE": [None, 2]}


def test_a_page_of_a_site_without_streams_has_nothing():
    window = Window()
    assert read(window) == {
        "type": "frame", "newest": None, "feeds": {"cdr": NOTHING, "antenna": NOTHING}, "counts": {},
    }  # fmt: skip
    assert window.window()["counts"] == {"county": {}, "operator": {}, "app": {}}
    assert read(window) is None


def test_a_frame_has_what_changed_since_the_one_before(now):
    window = Window()
    put("cdr", now - 1, county={"Kern": 5, "Yolo": 7}, operator={"O2": 12})
    assert read(window)["counts"] == {
        "county": {"Kern": [[now - 1, 5]], "Yolo": [[now - 1, 7]]}, "operator": {"O2": [[now - 1, 12]]},
    }  # fmt: skip
    assert read(window) is None
    put("cdr", now - 1, county={"Kern": 5, "Yolo": 8}, operator={"O2": 13})
    put("cdr", now, county={"Kern": 1}, operator={"O2": 1})
    frame = read(window)
    assert frame["newest"] == now
    assert frame["counts"] == {
        "county": {"Kern": [[now, 1]], "Yolo": [[now - 1, 8]]}, "operator": {"O2": [[now - 1, 13], [now, 1]]},
    }  # fmt: skip
    assert "scores" not in frame
    assert read(window) is None


def test_what_is_ahead_of_the_clock_waits_for_its_second(now):
    window = Window()
    put("cdr", now, county={"Kern": 1}, operator={"O2": 1})
    put("cdr", now + 50, county={"Kern": 2}, operator={"O2": 2})
    frame = read(window)
    assert (frame["newest"], frame["counts"]["county"]) == (now, {"Kern": [[now, 1]]})
    # As if the clock had gone on.
    put("cdr", now + 1, county={"Kern": 3}, operator={"O2": 3})
    assert read(window)["counts"]["county"] == {"Kern": [[now + 1, 3]]}
    assert last(window.window()["counts"]["county"], 2) == {"Kern": [1, 3]}


def test_the_rate_is_that_of_the_ten_whole_seconds_before_the_newest(now):
    for back in range(12):
        put("cdr", now - back, county={"Kern": 10 * back, "Yolo": 1}, operator={"O2": 10 * back + 1})
    assert read(Window())["feeds"]["cdr"]["rate"] == (10 * sum(range(1, 11)) + 10) / 10
    LiveFeed.objects.update(committed_at=timezone.now() - timedelta(seconds=16))
    assert read(Window())["feeds"]["cdr"]["rate"] == 0


def test_lag_and_number_are_those_of_the_consumers_that_reported_lately():
    now = timezone.now()
    tell = StreamConsumer.objects.create
    tell(feed="cdr", topic="calls", host="a", process=1, lag=100, reported_at=now)
    tell(feed="cdr", topic="calls", host="b", process=1, lag=20, reported_at=now - timedelta(seconds=10))
    tell(feed="cdr", topic="calls", host="c", process=1, lag=7000, reported_at=now - timedelta(seconds=16))
    tell(feed="antenna", topic="messages", host="a", process=2, lag=None, reported_at=now)
    window = Window()
    assert read(window)["feeds"] == {
        "cdr": {**NOTHING, "lag": 120, "consumers": 2},
        "antenna": {**NOTHING, "consumers": 1},
    }
    StreamConsumer.objects.update(reported_at=now - timedelta(seconds=16))
    assert read(window)["feeds"] == {"cdr": NOTHING, "antenna": NOTHING}


def test_the_last_whole_minute_is_held_against_those_of_the_hour_before_that_have_records(now):
    minute = now // 60 * 60 - 60
    put("cdr", now, county={"Kern": 1}, operator={"O2": 1})
    # The minute under way is not whole yet.
    put("cdr", minute + 60, 60, county={"Kern": 999}, operator={})
    put("cdr", minute, 60, county={"Kern": 19, "Yolo": 4}, operator={})
    for back, kern in ((1, 10), (2, 12), (7, 14), (59, 16)):
        put(
            "cdr", minute - back * 60, 60, county={"Kern": kern, "Yolo": 4, "Inyo": 10 if back == 1 else 0}, operator={}
        )
    window = Window()
    assert "scores" not in read(window)
    put("cdr", minute - 60 * 60, 60, county={"Kern": 18, "Yolo": 4}, operator={})
    put("cdr", minute - 61 * 60, 60, county={"Kern": 10**6}, operator={})
    # Kern: 10, 12, 14, 16, 18 have the mean 14 and the variance (16 + 4 + 4 + 16) / 4 = 10; Inyo: 10, 0, 0, 0, 0 the
    # mean 2 and the variance (64 + 4 * 4) / 4 = 20.
    assert read(window)["scores"] == [
        {"county": "Kern", "score": 1.58, "count": 19, "mean": 14.0, "deviation": 3.16, "minutes": 5},
        {"county": "Inyo", "score": -0.45, "count": 0, "mean": 2.0, "deviation": 4.47, "minutes": 5},
        {"county": "Yolo", "score": None, "count": 4, "mean": 4.0, "deviation": 0.0, "minutes": 5},
    ]
    assert window.window()["scores"][0]["county"] == "Kern"


def test_another_database_than_before_is_read_from_its_beginning(now):
    window = Window()
    for second in (now - 2, now - 1, now):
        put("cdr", second, county={"Kern": 5}, operator={"O2": 5})
    window.read()
    LiveCount.objects.all().delete()
    LiveFeed.objects.all().delete()
    put("cdr", now - 1, county={"Yolo": 3}, operator={"O2": 3})
    window.read()
    assert last(window.window()["counts"]["county"], 2) == {"Yolo": [None, 3]}
