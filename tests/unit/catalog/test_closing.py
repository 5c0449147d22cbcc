"""When an interval closes: a file closes its intervals at their ends, a stream's batch what is late enough."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kpis.catalog.closing import ahead_until, closed_by_file, closed_by_stream, closing_time
from kpis.catalog.registry import FEEDS

IPFLOW = FEEDS["ipflow"]  # of 5 minutes


def at(hour: int, minute: int) -> datetime:
    return datetime(2021, 7, 19, hour, minute, tzinfo=UTC)


def test_a_file_closes_up_to_the_end_of_its_newest_interval():
    assert closed_by_file(IPFLOW, [at(9, 5), at(9, 0)], now=at(12, 0)) == at(9, 10)


def test_a_file_closes_no_more_than_the_clock_has_come_to():
    assert closed_by_file(IPFLOW, [at(9, 0), at(9, 5)], now=at(9, 7)) == at(9, 7)


def test_times_that_the_clock_has_not_come_to_close_nothing():
    assert closed_by_file(IPFLOW, [at(9, 0), at(9, 10)], now=at(9, 7)) == at(9, 5)
    assert closed_by_file(IPFLOW, [at(9, 10)], now=at(9, 7)) is None
    assert closed_by_file(IPFLOW, [], now=at(9, 7)) is None


def test_a_stream_closes_what_is_older_than_its_newest_message_by_the_lateness():
    assert closed_by_stream(at(9, 7), timedelta(minutes=3)) == at(9, 4)
    assert closed_by_stream(None, timedelta(minutes=3)) is None


def test_an_interval_of_a_stream_closes_nothing_of_itself():
    late = timedelta(minutes=2)
    assert closing_time(at(9, 5), True, IPFLOW, late, now=at(12, 0)) == at(9, 3)
    assert closing_time(at(9, 5), False, IPFLOW, late, now=at(12, 0)) == at(9, 10)


def test_an_interval_lies_ahead_until_a_file_of_it_can_close_it_or_a_stream_has_come_to_it():
    now = at(9, 7)
    assert ahead_until(IPFLOW, now, [(at(9, 0), False)]) is None
    assert ahead_until(IPFLOW, now, [(at(9, 5), False)]) == at(9, 10)
    assert ahead_until(IPFLOW, now, [(at(9, 5), True)]) is None
    assert ahead_until(IPFLOW, now, [(at(9, 5), True), (at(9, 15), True), (at(9, 10), True)]) == at(9, 20)
