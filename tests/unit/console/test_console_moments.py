"""Moments in TIME_ZONE, figures in short, and sparklines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kpis.console import figures, moments, sparkline
from kpis.console.charts.axis import ticks, time_axis
from kpis.console.figures import Change
from tests.factories import MIDNIGHT, utc


@pytest.fixture
def madrid(settings):
    settings.TIME_ZONE = "Europe/Madrid"


def test_moments_are_shown_in_utc_by_default():
    assert moments.clock(MIDNIGHT) == "18 Jul 2021, 00:00"
    assert moments.zone_name() == "UTC"


def test_moments_are_shown_in_the_zone(madrid):
    assert moments.clock(MIDNIGHT) == "18 Jul 2021, 02:00"
    assert moments.time_of_day(MIDNIGHT) == "02:00"
    assert moments.for_input(MIDNIGHT) == "2021-07-18T02:00"
    assert moments.for_file(MIDNIGHT) == "2021-07-18-0200"
    assert moments.zone_name() == "Europe/Madrid"


@pytest.mark.parametrize(
    ("moment", "clock", "time_of_day", "for_input", "for_file"),
    [
        ("2021-10-30T23:55", "31 Oct 2021, 01:55", "01:55", "2021-10-31T01:55", "2021-10-31-0155"),
        (
            "2021-10-31T00:00",
            "31 Oct 2021, 02:00 (+0200)", "02:00 (+0200)", "2021-10-31T02:00+02:00", "2021-10-31-0200+0200",
        ),
        (
            "2021-10-31T01:55",
            "31 Oct 2021, 02:55 (+0100)", "02:55 (+0100)", "2021-10-31T02:55+01:00", "2021-10-31-0255+0100",
        ),
        ("2021-10-31T02:00", "31 Oct 2021, 03:00", "03:00", "2021-10-31T03:00", "2021-10-31-0300"),
        # The clocks skip an hour here, and show none twice.
        ("2021-03-28T01:00", "28 Mar 2021, 03:00", "03:00", "2021-03-28T03:00", "2021-03-28-0300"),
    ],
)  # fmt: skip
def test_a_time_that_the_clocks_show_twice_has_its_offset(madrid, moment, clock, time_of_day, for_input, for_file):
    shown = utc(moment)
    assert moments.clock(shown) == clock
    assert moments.time_of_day(shown) == time_of_day
    assert (moments.for_input(shown), moments.for_file(shown)) == (for_input, for_file)
    assert moments.parse(moments.for_input(shown)) == shown
    assert moments.input_type(shown) == ("text" if "+" in for_input else "datetime-local")


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2021-07-18T00:00", "2021-07-18T00:05", "18 Jul 2021, 02:00 to 02:05"),
        ("2021-07-18T21:55", "2021-07-18T22:00", "18 Jul 2021, 23:55 to 19 Jul 2021, 00:00"),
        # The clocks go back at 01:00 UTC: 02:55 and 02:00 are five minutes apart.
        ("2021-10-31T00:55", "2021-10-31T01:00", "31 Oct 2021, 02:55 (+0200) to 02:00 (+0100)"),
        ("2021-10-31T00:00", "2021-10-31T00:05", "31 Oct 2021, 02:00 (+0200) to 02:05 (+0200)"),
        ("2021-10-31T01:55", "2021-10-31T02:00", "31 Oct 2021, 02:55 (+0100) to 03:00 (+0100)"),
        ("2021-10-30T23:55", "2021-10-31T00:00", "31 Oct 2021, 01:55 (+0200) to 02:00 (+0200)"),
    ],
)
def test_a_span_says_what_is_not_plain(madrid, start, end, text):
    assert moments.span(utc(start), utc(end)) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-07-18T02:05", "2021-07-18T00:05"),
        ("2021-07-18 02:05", "2021-07-18T00:05"),
        ("2021-07-18", "2021-07-17T22:00"),
        ("2021-07-18T02:05Z", "2021-07-18T02:05"),
        ("2021-07-18T02:05:30Z", "2021-07-18T02:05:30"),
        ("2021-07-18T02:05:00.000Z", "2021-07-18T02:05"),
        ("2021-07-18T02:05+05:30", "2021-07-17T20:35"),
        ("2021-07-18T02:05 05:30", "2021-07-17T20:35"),
        ("2021-10-31T02:30", "2021-10-31T00:30"),
    ],
)
def test_a_moment_without_an_offset_is_on_the_zones_clocks(madrid, text, moment):
    assert moments.parse(text) == utc(moment)


@pytest.mark.parametrize(
    "text", ["yesterday", "2021-13-01", "2021-07-18T25:00", "0001-01-01", "9999-12-31", "١٢٣٤-01-01"]
)
def test_what_is_no_moment_is_reported(text):
    with pytest.raises(moments.BadMoment, match="is not a time such as 2021-07-18T02:05"):
        moments.parse(text)


def test_the_labels_of_a_day_are_round_hours_of_the_zone(madrid):
    found = ticks(utc("2021-07-17T22:00"), utc("2021-07-18T22:00"))
    assert [moment for moment, _ in found] == [utc("2021-07-17T22:00") + timedelta(hours=3 * n) for n in range(9)]
    assert [label for _, label in found] == [
        ["00:00", "18 Jul"], ["03:00"], ["06:00"], ["09:00"], ["12:00"], ["15:00"], ["18:00"], ["21:00"],
        ["00:00", "19 Jul"],
    ]  # fmt: skip


def test_a_time_that_the_clocks_skip_has_no_label(madrid):
    # At 02:00 it becomes 03:00.
    found = ticks(utc("2021-03-28T00:00"), utc("2021-03-28T03:00"))
    assert [label[0] for _, label in found] == ["01:00", "01:30", "03:00", "03:30", "04:00", "04:30", "05:00"]


def test_a_time_that_the_clocks_show_twice_is_labelled_twice_with_its_offsets(madrid):
    found = ticks(utc("2021-10-30T23:00"), utc("2021-10-31T03:00"))
    assert [label[0] for _, label in found] == [
        "01:00", "01:30", "02:00 (+0200)", "02:30 (+0200)", "02:00 (+0100)", "02:30 (+0100)", "03:00", "03:30", "04:00",
    ]  # fmt: skip
    assert [moment for moment, _ in found] == [utc("2021-10-30T23:00") + n * timedelta(minutes=30) for n in range(9)]


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (7, [["18 Jul", "2021"], ["19 Jul"], ["20 Jul"], ["21 Jul"], ["22 Jul"], ["23 Jul"], ["24 Jul"], ["25 Jul"]]),
        (200, [["1 Aug", "2021"], ["1 Sep"], ["1 Oct"], ["1 Nov"], ["1 Dec"], ["1 Jan", "2022"], ["1 Feb"]]),
        (
            800,
            [
                ["1 Oct", "2021"],
                ["1 Jan", "2022"],
                ["1 Apr"],
                ["1 Jul"],
                ["1 Oct"],
                ["1 Jan", "2023"],
                ["1 Apr"],
                ["1 Jul"],
            ],
        ),
    ],
)
def test_the_labels_of_longer_spans_are_days_and_months(days, labels):
    assert [label for _, label in ticks(MIDNIGHT, MIDNIGHT + timedelta(days=days))][: len(labels)] == labels


def test_there_are_never_more_than_nine_labels_and_always_some():
    for minutes in [*range(5, 3000, 35), *range(3000, 5_000_000, 100_003), 500_000_000, 4_000_000_000]:
        assert 1 <= len(ticks(MIDNIGHT, MIDNIGHT + timedelta(minutes=minutes))) <= 9, minutes


def test_an_axis_looks_its_labels_up_by_the_moment(madrid):
    axis = time_axis(MIDNIGHT, MIDNIGHT + timedelta(minutes=2))
    moments_ = [1_626_566_400_000, 1_626_566_460_000, 1_626_566_520_000]
    assert axis["values"] == moments_
    labels = '[["02:00", "18 Jul"], ["02:01"], ["02:02"]]'
    assert axis["labelExpr"] == f"{labels}[indexof({moments_}, datum.value)]"
    assert axis["title"] == "Time (Europe/Madrid)"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (745_440_863_215, "bytes", "745.4 GB"),
        (999, "bytes", "999 B"),
        (1000, "bytes", "1.0 kB"),
        (999_950, "bytes", "1.0 MB"),
        (999_949, "bytes", "999.9 kB"),
        (2**63 - 1, "bytes", "9.2 EB"),
        (673_700.0, "bytes", "673.7 kB"),
        (9999, "calls", "9,999 calls"),
        (113_146, "calls", "113.1 k calls"),
        (17.423, "ASU", "17.42 ASU"),
        (1, "calls", "1 call"),
        (1, "ASU", "1 ASU"),
        (None, "bytes", "\N{EN DASH}"),
    ],
)
def test_figures_are_short(value, unit, text):
    assert figures.short(value, unit) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.167, "16.7 %"), (0.0, "0.0 %"), (0.0003, "< 0.1 %"), (0.0005, "0.1 %"), (1, "100.0 %"), (None, "\N{EN DASH}")],
)
def test_a_share_that_is_more_than_nothing_shows(share, text):
    assert figures.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(745_440_863_215, "745,440,863,215 bytes"), (17.42349, "17.4235 bytes"), (None, "no value")],
)
def test_figures_are_also_exact(value, text):
    assert figures.exact(value, "bytes") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"), (-61, "ahead of this clock"), (59, "just now"), (60, "1 minute ago"), (119, "1 minute ago"),
        (7199, "119 minutes ago"), (7200, "2 hours ago"), (172_800, "2 days ago"), (157_788_000, "5 years ago"),
    ],
)  # fmt: skip
def test_an_age_is_in_the_largest_unit_of_which_there_are_two(seconds, text):
    assert figures.age(seconds) == text


@pytest.mark.parametrize(
    ("now", "before", "direction", "text"),
    [
        (110, 100, "up", "+10.0 %"),
        (90, 100, "down", "\N{MINUS SIGN}10.0 %"),
        (100_001, 100_000, "level", "+0.0 %"),
        (100, 0, "none", "\N{EN DASH}"),
        (100, None, "none", "\N{EN DASH}"),
        (None, 100, "none", "\N{EN DASH}"),
    ],
)
def test_a_change_is_reported_in_per_cent_of_what_was_before(now, before, direction, text):
    change = Change(now, before)
    assert (change.direction, str(change)) == (direction, text)


def test_a_sparkline_goes_from_the_smallest_to_the_largest_and_leaves_gaps_open():
    assert sparkline.path([1, 3, None, 2]) == "M2.0 42.0h0L80.7 2.0M238.0 22.0h0"


def test_a_sparkline_of_equal_values_is_in_the_middle():
    assert sparkline.path([5, 5]) == "M2.0 22.0h0L238.0 22.0"
    assert sparkline.path([None]) == ""


def test_the_zone_of_a_moment_does_not_matter(madrid):
    assert moments.clock(datetime(2021, 7, 18, tzinfo=UTC)) == moments.clock(moments.local(MIDNIGHT))
