"""Days, weeks and months of a time zone: their starts and ends in UTC, worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from kpis.catalog import calendar
from kpis.catalog.intervals import (
    BY_SHORT_NAME,
    FIVE_MINUTES,
    LENGTHS,
    ONE_DAY,
    ONE_HOUR,
    ONE_MONTH,
    ONE_WEEK,
    Interval,
    to_text,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "length", "moment", "interval"),
    [
        ("UTC", ONE_DAY, "2026-03-02T23:59", "2026-03-02T00:00:00Z/2026-03-03T00:00:00Z"),
        # 2026-03-29 has 23 hours in Berlin, and 2026-10-25 has 25.
        ("Europe/Berlin", ONE_DAY, "2026-03-28T22:59", "2026-03-27T23:00:00Z/2026-03-28T23:00:00Z"),
        ("Europe/Berlin", ONE_DAY, "2026-03-28T23:00", "2026-03-28T23:00:00Z/2026-03-29T22:00:00Z"),
        ("Europe/Berlin", ONE_DAY, "2026-10-25T22:59", "2026-10-24T22:00:00Z/2026-10-25T23:00:00Z"),
        # Weeks start on Monday, also where the year changes in them.
        ("Europe/Berlin", ONE_WEEK, "2026-10-25T12:00", "2026-10-18T22:00:00Z/2026-10-25T23:00:00Z"),
        ("Europe/Berlin", ONE_WEEK, "2026-12-31T12:00", "2026-12-27T23:00:00Z/2027-01-03T23:00:00Z"),
        ("Europe/Berlin", ONE_MONTH, "2026-10-31T22:59", "2026-09-30T22:00:00Z/2026-10-31T23:00:00Z"),
        ("Europe/Berlin", ONE_MONTH, "2026-12-31T22:59", "2026-11-30T23:00:00Z/2026-12-31T23:00:00Z"),
        ("Asia/Kolkata", ONE_DAY, "2026-03-02T18:30", "2026-03-02T18:30:00Z/2026-03-03T18:30:00Z"),
        # The clocks are set by half an hour.
        ("Australia/Lord_Howe", ONE_DAY, "2026-04-05T00:00", "2026-04-04T13:00:00Z/2026-04-05T13:30:00Z"),
        # At midnight the clocks go forward to one o'clock, and back from one o'clock to midnight.
        ("America/Havana", ONE_DAY, "2026-03-08T05:00", "2026-03-08T05:00:00Z/2026-03-09T04:00:00Z"),
        ("America/Havana", ONE_DAY, "2026-11-01T04:00", "2026-11-01T04:00:00Z/2026-11-02T05:00:00Z"),
        # At one minute past midnight they went back to the day before, which had begun the next one.
        ("America/St_Johns", ONE_DAY, "2006-10-29T02:30", "2006-10-29T02:30:00Z/2006-10-30T03:30:00Z"),
        ("America/St_Johns", ONE_DAY, "2006-10-29T02:29", "2006-10-28T02:30:00Z/2006-10-29T02:30:00Z"),
        ("America/St_Johns", ONE_DAY, "2006-10-29T02:45", "2006-10-29T02:30:00Z/2006-10-30T03:30:00Z"),
        # Samoa had no 2011-12-30, so that the week of it has six days.
        ("Pacific/Apia", ONE_DAY, "2011-12-30T09:59", "2011-12-29T10:00:00Z/2011-12-30T10:00:00Z"),
        ("Pacific/Apia", ONE_DAY, "2011-12-30T10:00", "2011-12-30T10:00:00Z/2011-12-31T10:00:00Z"),
        ("Pacific/Apia", ONE_WEEK, "2011-12-30T10:00", "2011-12-26T10:00:00Z/2012-01-01T10:00:00Z"),
        # The last record's, before 9999-12-31T00:00Z; databases keep no later year.
        ("Europe/Berlin", ONE_MONTH, "9999-12-30T23:59", "9999-11-30T23:00:00Z/9999-12-31T23:00:00Z"),
        ("Asia/Tokyo", ONE_DAY, "9999-12-30T23:59", "9999-12-30T15:00:00Z/9999-12-31T23:00:00Z"),
    ],
)
def test_an_interval_of_the_calendar_has_the_zones_own_start_and_end(zone, length, moment, interval):
    with calendar.in_zone(zone):
        assert str(length.at(at(moment))) == interval


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "America/Havana", "Pacific/Apia"])
@pytest.mark.parametrize("length", [ONE_DAY, ONE_WEEK, ONE_MONTH])
def test_intervals_follow_one_another_without_a_gap(zone, length):
    with calendar.in_zone(zone):
        starts = list(length.starts(at("2004-12-30"), at("2013-01-03")))
        assert starts == sorted(set(starts))
        for start in starts:
            end = length.end(start)
            assert start < end <= start + length.longest
            for moment in (start, start + (end - start) / 2, end - timedelta(microseconds=1)):
                assert length.floor(moment) == start
            assert length.floor(end) == end
            assert length.shifted(start, 1) == end
        assert length.shifted(starts[20], -20) == starts[0]


def test_a_day_is_what_the_local_date_says():
    zone = ZoneInfo("America/New_York")
    with calendar.in_zone(zone.key):
        for hour in range(24 * 370):
            moment = at("2026-01-01") + timedelta(hours=hour)
            start = ONE_DAY.floor(moment)
            assert start.astimezone(zone).date() == moment.astimezone(zone).date() == calendar.day_of(moment)
            assert f"{start.astimezone(zone):%H:%M}" == "00:00"
            week = ONE_WEEK.floor(moment).astimezone(zone)
            assert (week.weekday(), week.isocalendar()[:2]) == (0, moment.astimezone(zone).isocalendar()[:2])
            assert ONE_MONTH.floor(moment).astimezone(zone).date() == moment.astimezone(zone).date().replace(day=1)


def test_the_zone_can_be_changed_and_is_utc_at_first():
    assert calendar.zone_name() == "UTC"
    day = date(2026, 10, 25).toordinal()
    with calendar.in_zone("Europe/Berlin"):
        assert (calendar.zone_name(), calendar.start_of(day)) == ("Europe/Berlin", at("2026-10-24T22:00"))
        with calendar.in_zone("Asia/Tokyo"):
            assert calendar.start_of(day) == at("2026-10-24T15:00")
        assert calendar.start_of(day) == at("2026-10-24T22:00")
    assert calendar.start_of(day) == at("2026-10-25T00:00")


@pytest.mark.parametrize(
    ("zone", "minutes", "has"),
    [
        ("UTC", 60, True),
        ("Europe/Berlin", 60, True),
        ("Asia/Kolkata", 60, False),
        ("Asia/Kolkata", 15, True),
        ("Asia/Kathmandu", 15, True),
        ("Australia/Lord_Howe", 60, False),
        ("Australia/Lord_Howe", 5, True),
    ],
)
def test_offsets_of_a_zone_fit_a_feeds_intervals_or_do_not(zone, minutes, has):
    with calendar.in_zone(zone):
        assert calendar.has_offsets_of(minutes) is has


def test_duckdb_puts_rows_into_the_wanted_intervals():
    with calendar.in_zone("Europe/Berlin"):
        starts = [ONE_DAY.floor(at("2026-10-25T12:00")), ONE_DAY.floor(at("2026-10-27T12:00"))]
        moments = ["2026-10-24 21:55", "2026-10-24 22:00", "2026-10-25 22:55", "2026-10-25 23:00", "2026-10-27 05:00"]
        values = ", ".join(f"(TIMESTAMP '{moment}')" for moment in moments)
        sql = f"SELECT {ONE_DAY.floor_sql('m', starts)} FROM (VALUES {values}) AS t(m)"
        found = [start and to_text(start.replace(tzinfo=UTC)) for (start,) in duckdb.sql(sql).fetchall()]
    assert found == [None, "2026-10-24T22:00:00Z", "2026-10-24T22:00:00Z", None, "2026-10-26T23:00:00Z"]


def test_lengths_have_codes_and_short_names():
    assert {length.code: length.short_name for length in LENGTHS.values()} == {
        1: "5m", 2: "1h", 3: "1m", 4: "1d", 5: "1w", 6: "15m", 7: "1mo",
    }  # fmt: skip
    assert list(BY_SHORT_NAME) == ["1m", "5m", "15m", "1h", "1d", "1w", "1mo"]


def test_fixed_lengths_are_those_of_utc_whatever_the_zone():
    with calendar.in_zone("Asia/Kathmandu"):
        assert ONE_HOUR.at(at("2026-10-25T00:59")) == Interval(ONE_HOUR, at("2026-10-25T00:00"))
        assert FIVE_MINUTES.ceiling(at("2026-10-25T00:59")) == at("2026-10-25T01:00")
        assert FIVE_MINUTES.ceiling(at("2026-10-25T00:55")) == at("2026-10-25T00:55")
        assert list(ONE_HOUR.starts(at("2026-10-25T00:59"), at("2026-10-25T02:00"))) == [
            at("2026-10-25T00:00"),
            at("2026-10-25T01:00"),
        ]
