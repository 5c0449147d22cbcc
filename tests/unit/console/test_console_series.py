"""Series: every step once, gaps as gaps, never more points than a screen shows, and totals unchanged."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.coverage import OPERATOR_SIGNAL
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE
from kpis.console.operators import by_operator, operator_names, operator_window, totals
from kpis.console.series import adds_up, normal, series, series_with_normal
from kpis.console.window import MOST_POINTS, Window, window
from kpis.models import CountyCallVolume, IntervalSummary
from tests.factories import MIDNIGHT, make_result, make_summary, utc

FIVE, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)


def days(number: float) -> tuple:
    return MIDNIGHT, MIDNIGHT + timedelta(days=number)


@pytest.mark.parametrize(
    ("kpi", "span", "asked", "up", "length", "summed", "points"),
    [
        # What fits is shown as it is.
        (SERVICE_TRAFFIC_VOLUME, days(1), FIVE_MINUTES, True, FIVE_MINUTES, 1, 288),
        (SERVICE_TRAFFIC_VOLUME, days(1500 / 288), FIVE_MINUTES, True, FIVE_MINUTES, 1, 1500),
        (CELL_UNIQUE_USERS, days(1), FIVE_MINUTES, False, FIVE_MINUTES, 1, 288),
        # What does not is summed, or, where it does not add up, shown in longer intervals.
        (SERVICE_TRAFFIC_VOLUME, days(30), FIVE_MINUTES, True, FIVE_MINUTES, 6, 1440),
        (COUNTY_CALL_VOLUME, days(30), ONE_MINUTE, True, ONE_MINUTE, 30, 1440),
        (CELL_UNIQUE_USERS, days(30), FIVE_MINUTES, False, ONE_HOUR, 1, 720),
        # More than 100,000 minutes are not read.
        (COUNTY_CALL_VOLUME, days(100), ONE_MINUTE, True, FIVE_MINUTES, 24, 1200),
        (COUNTY_CALL_VOLUME, days(3650), ONE_HOUR, True, ONE_HOUR, 72, 1217),
    ],
)
def test_a_window_has_as_many_points_as_a_screen_can_show(kpi, span, asked, up, length, summed, points):
    found = window(kpi, *span, asked, up)
    assert (found.length, found.summed, found.points) == (length, summed, points)
    step = found.ends[0] - found.starts[0]
    assert (found.start, found.end) <= span < (found.end, found.end + step)
    assert not found.cut


def test_what_neither_adds_up_nor_comes_longer_is_cut_to_the_newest():
    found = window(CELL_UNIQUE_USERS, *days(100), FIVE_MINUTES, False)
    assert (found.length, found.points, found.cut) == (ONE_HOUR, MOST_POINTS, True)
    assert found.end == MIDNIGHT + 100 * DAY
    assert found.start == found.end - MOST_POINTS * HOUR


@pytest.mark.parametrize(
    ("kpi", "span", "asked", "up", "name", "note"),
    [
        (SERVICE_TRAFFIC_VOLUME, days(1), FIVE_MINUTES, True, "5 minutes", ""),
        (
            SERVICE_TRAFFIC_VOLUME, days(30), FIVE_MINUTES, True, "30 minutes",
            "Each point sums 6 intervals of 5 minutes; totals are unchanged.",
        ),
        (
            COUNTY_CALL_VOLUME, days(3650), ONE_HOUR, True, "3 days",
            "Each point sums 72 intervals of 1 hour; totals are unchanged.",
        ),
        (
            CELL_UNIQUE_USERS, days(30), FIVE_MINUTES, False, "1 hour",
            "This span has too many intervals of 5 minutes to show: these are the figures per 1 hour.",
        ),
    ],
)  # fmt: skip
def test_a_window_says_how_it_was_cut_down(kpi, span, asked, up, name, note):
    found = window(kpi, *span, asked, up)
    assert (found.step_name, found.note) == (name, note)


@given(
    kpi=st.sampled_from([COUNTY_CALL_VOLUME, CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME]),
    length=st.integers(0, 2),
    minutes=st.integers(0, 10**6),
    intervals=st.integers(1, 200_000),
)
def test_any_window_holds_the_span_in_whole_steps_and_few_enough(kpi, length, minutes, intervals):
    asked = kpi.lengths[length % len(kpi.lengths)]
    start = asked.floor(MIDNIGHT + minutes * timedelta(minutes=1))
    end = start + intervals * asked.delta
    found = window(kpi, start, end, asked, kpi.measure.adds_up)
    assert found.points <= MOST_POINTS
    step = found.length.delta * found.summed
    assert found.bounds == [found.start + number * step for number in range(found.points + 1)]
    assert found.bounds[-1] == found.end
    assert end <= found.end < end + step
    assert found.cut or start - step < found.start <= start


def test_a_group_of_a_top_list_does_not_add_up():
    assert adds_up(SERVICE_TRAFFIC_VOLUME, None)
    assert not adds_up(SERVICE_TRAFFIC_VOLUME, {"service_id": 1})
    assert adds_up(COUNTY_CALL_VOLUME, {"county": "Kern"})
    assert not adds_up(CELL_UNIQUE_USERS, None)


pytestmark = pytest.mark.django_db


def shown(frame: pd.DataFrame, *columns: str) -> list[tuple]:
    """A frame's rows, with None for no value."""
    return list(
        frame[list(columns)].astype(object).where(frame[list(columns)].notna(), None).itertuples(index=False, name=None)
    )


def test_a_series_has_every_interval_and_no_value_where_there_are_no_records():
    make_summary(1, MIDNIGHT, total=10)
    make_summary(1, MIDNIGHT + 2 * FIVE, total=30, state=IntervalSummary.State.PROVISIONAL)
    # None of these belong to it.
    make_summary(2, MIDNIGHT + FIVE, total=7)
    make_summary(1, MIDNIGHT, length=ONE_HOUR, total=7)
    make_summary(1, MIDNIGHT - FIVE, total=7)
    make_summary(1, MIDNIGHT + 3 * FIVE, total=7)
    found = series(SERVICE_TRAFFIC_VOLUME, Window(MIDNIGHT, MIDNIGHT + 3 * FIVE, FIVE_MINUTES, FIVE_MINUTES))
    assert shown(found, "start", "end", "value", "intervals", "provisional") == [
        (MIDNIGHT, MIDNIGHT + FIVE, 10, 1, False),
        (MIDNIGHT + FIVE, MIDNIGHT + 2 * FIVE, None, 0, False),
        (MIDNIGHT + 2 * FIVE, MIDNIGHT + 3 * FIVE, 30, 1, True),
    ]
    assert found["value"].dtype == "Int64"


def test_a_groups_series_has_its_figures_alone():
    for step, county, calls in ((0, "Kern", 3), (0, "Inyo", 9), (1, "Inyo", 5), (2, "Kern", 4)):
        rank = 1 if county == "Inyo" else 2
        make_result(COUNTY_CALL_VOLUME, MIDNIGHT + step * FIVE, rank, county=county, number_of_calls=calls)
    span = Window(MIDNIGHT, MIDNIGHT + 3 * FIVE, FIVE_MINUTES, FIVE_MINUTES)
    assert shown(series(COUNTY_CALL_VOLUME, span, {"county": "Kern"}), "value") == [(3,), (None,), (4,)]


def test_an_operators_series_has_all_its_spellings():
    for step, name, signal in ((0, "Poppy", 10.5), (1, "POPPY", 11.5), (2, "Sierra", 3.0)):
        make_result(OPERATOR_SIGNAL, MIDNIGHT + step * FIVE, 1, operator=name, average_signal=signal)
    span = Window(MIDNIGHT, MIDNIGHT + 3 * FIVE, FIVE_MINUTES, FIVE_MINUTES)
    assert shown(series(OPERATOR_SIGNAL, span, {"operator": "poppy"}), "value") == [(10.5,), (11.5,), (None,)]


def test_the_largest_figure_is_exact():
    make_summary(1, MIDNIGHT, total=2**63 - 1)
    span = Window(MIDNIGHT, MIDNIGHT + FIVE, FIVE_MINUTES, FIVE_MINUTES)
    assert shown(series(SERVICE_TRAFFIC_VOLUME, span), "value") == [(9_223_372_036_854_775_807,)]


def test_summed_steps_have_the_totals_of_their_intervals():
    for minute, calls in ((0, 1), (4, 20), (5, 300), (14, 4000), (29, 50_000)):
        make_summary(10, MIDNIGHT + minute * timedelta(minutes=1), ONE_MINUTE, total=calls)
    IntervalSummary.objects.filter(total=4000).update(state=IntervalSummary.State.PROVISIONAL)
    span = Window(MIDNIGHT, MIDNIGHT + timedelta(minutes=30), ONE_MINUTE, ONE_MINUTE, summed=10)
    assert shown(series(COUNTY_CALL_VOLUME, span), "start", "value", "intervals", "provisional") == [
        (MIDNIGHT, 321, 3, False),
        (MIDNIGHT + timedelta(minutes=10), 4000, 1, True),
        (MIDNIGHT + timedelta(minutes=20), 50_000, 1, False),
    ]


def test_a_month_of_five_minutes_keeps_its_total_in_few_points():
    """8,640 intervals of 1, 2, 3 ... calls."""
    state = IntervalSummary.State.FINAL
    IntervalSummary.objects.bulk_create(
        IntervalSummary(
            kpi=10, interval=FIVE_MINUTES.code, total=number + 1, groups=1, records=1, batches=1, state=state,
            interval_start_timestamp=MIDNIGHT + number * FIVE, interval_end_timestamp=MIDNIGHT + (number + 1) * FIVE,
            first_computed_at=MIDNIGHT, updated_at=MIDNIGHT,
        )
        for number in range(8640)
    )  # fmt: skip
    span = window(COUNTY_CALL_VOLUME, MIDNIGHT, MIDNIGHT + 30 * DAY, FIVE_MINUTES, adds_up=True)
    found = series(COUNTY_CALL_VOLUME, span)
    assert len(found) == 1440
    assert found["value"].sum() == 8640 * 8641 // 2
    assert found["value"].iloc[0] == 1 + 2 + 3 + 4 + 5 + 6
    assert found["intervals"].eq(6).all()


def test_a_groups_summed_steps_have_the_totals_of_its_rows():
    minute = timedelta(minutes=1)
    CountyCallVolume.objects.bulk_create(
        CountyCallVolume(
            interval_start_timestamp=MIDNIGHT + number * minute,
            interval_end_timestamp=MIDNIGHT + (number + 1) * minute,
            interval=ONE_MINUTE.code, rank=rank, county=county, number_of_calls=number + rank,
        )
        for number in range(60)
        for rank, county in ((1, "Kern"), (2, "Inyo"))
    )  # fmt: skip
    span = Window(MIDNIGHT, MIDNIGHT + HOUR, ONE_MINUTE, ONE_MINUTE, summed=30)
    found = series(COUNTY_CALL_VOLUME, span, {"county": "Inyo"})
    assert shown(found, "value") == [(sum(range(2, 32)),), (sum(range(32, 62)),)]


def totals_of_twelve_and(*values: int) -> Window:
    """Summaries of 100 and 102 by turns, twelve of them before the window, then the values."""
    for step in range(12):
        make_summary(1, MIDNIGHT - (12 - step) * FIVE, total=100 + step % 2 * 2)
    for step, value in enumerate(values):
        make_summary(1, MIDNIGHT + step * FIVE, total=value)
    return Window(MIDNIGHT, MIDNIGHT + len(values) * FIVE, FIVE_MINUTES, FIVE_MINUTES)


def test_what_is_normal_follows_from_the_twelve_intervals_before():
    span = totals_of_twelve_and(104, 110)
    found = series_with_normal(SERVICE_TRAFFIC_VOLUME, span)
    # Twelve values of 100 and 102: their mean is 101, the sum of their squared distances 12.
    deviation = (12 / 11) ** 0.5
    first = found.iloc[0]
    assert (first["mean"], first["deviation"]) == (101.0, pytest.approx(deviation))
    assert first["z"] == pytest.approx(3 / deviation)
    assert [bool(outlier) for outlier in found["outlier"]] == [False, True]
    # The window moves on: 102, five pairs of 100 and 102, and 104.
    assert found.iloc[1]["mean"] == pytest.approx((102 + 5 * 202 + 104) / 12)


def test_with_too_few_intervals_before_nothing_is_known_to_be_normal():
    for step in range(7):
        make_summary(1, MIDNIGHT + step * FIVE, total=100 + step)
    span = Window(MIDNIGHT, MIDNIGHT + 7 * FIVE, FIVE_MINUTES, FIVE_MINUTES)
    found = series_with_normal(SERVICE_TRAFFIC_VOLUME, span)
    assert [mean == mean for mean in found["mean"]] == [False] * 6 + [True]


def test_the_outliers_are_those_of_the_api(client):
    for step in range(60):
        value = 180 if step in (20, 40, 41) else 100 + step * 7 % 5
        make_result(COUNTY_CALL_VOLUME, MIDNIGHT + step * FIVE, 1, county="Kern", number_of_calls=value)
    span = Window(MIDNIGHT, MIDNIGHT + 60 * FIVE, FIVE_MINUTES, FIVE_MINUTES)
    frame = series(COUNTY_CALL_VOLUME, span, {"county": "Kern"})
    found = frame.join(normal(COUNTY_CALL_VOLUME, span, frame, {"county": "Kern"}))
    outliers = found[found["outlier"]]
    rows = client.get("/api/KPIs/10/anomalies/?county=Kern").json()
    assert len(rows) >= 2
    assert [start.strftime("%Y-%m-%dT%H:%M:%SZ") for start in outliers["start"]] == [
        row["interval_start_timestamp"] for row in rows
    ]
    assert list(outliers["z"]) == [row["z"] for row in rows]


def make_operators() -> None:
    """Two five minutes of two operators, of which one is spelled in two ways, and a gap in between."""
    for step, name, kind, calls in (
        (0, "Poppy", "CALL", 10),
        (0, "Poppy", "TEXT", 20),
        (0, "Sierra", "CALL", 5),
        (2, "POPPY", "CALL", 1),
    ):
        rank = OPERATOR_CALL_VOLUME.id + calls
        make_result(
            OPERATOR_CALL_VOLUME, MIDNIGHT + step * FIVE, rank, operator=name, call_type=kind, number_of_calls=calls
        )


def test_operators_are_summed_over_all_else_whatever_their_spelling():
    make_operators()
    span = operator_window(OPERATOR_CALL_VOLUME, MIDNIGHT, MIDNIGHT + 3 * FIVE, FIVE_MINUTES)
    found = by_operator(OPERATOR_CALL_VOLUME, span)
    assert shown(found, "start", "operator", "value", "gap") == [
        (MIDNIGHT, "Poppy", 30.0, False),
        (MIDNIGHT + FIVE, "Poppy", None, True),
        (MIDNIGHT + 2 * FIVE, "Poppy", 1.0, False),
        (MIDNIGHT, "Sierra", 5.0, False),
        (MIDNIGHT + FIVE, "Sierra", None, True),
        (MIDNIGHT + 2 * FIVE, "Sierra", None, False),
    ]
    whole = totals(OPERATOR_CALL_VOLUME, found)
    assert whole["value"].to_dict() == {"Poppy": 31.0, "Sierra": 5.0}
    assert whole["share"].to_dict() == {"Poppy": pytest.approx(31 / 36), "Sierra": pytest.approx(5 / 36)}


def test_averages_of_several_intervals_are_weighted_by_their_samples():
    for step, signal, samples in ((0, 10.0, 1), (1, 20.0, 3), (2, None, 0)):
        make_result(
            OPERATOR_SIGNAL,
            MIDNIGHT + step * FIVE,
            1,
            operator="Poppy",
            average_signal=signal,
            number_of_samples=samples,
        )
    span = Window(MIDNIGHT, MIDNIGHT + 4 * FIVE, FIVE_MINUTES, FIVE_MINUTES, summed=2)
    found = by_operator(OPERATOR_SIGNAL, span)
    # (10 * 1 + 20 * 3) / 4; then an interval whose reports have no signal.
    assert shown(found, "value", "weight", "gap") == [(17.5, 4.0, False), (None, 0.0, False)]
    assert totals(OPERATOR_SIGNAL, found)["value"].to_dict() == {"Poppy": 17.5}


def test_operators_have_one_order_in_all_charts():
    make_operators()
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 1, operator="SIERRA")
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 2, operator="")
    assert operator_names(MIDNIGHT, MIDNIGHT + HOUR) == ["poppy", "sierra", "(none)"]


def test_a_month_of_operators_is_read_by_the_hour():
    span = operator_window(OPERATOR_CALL_VOLUME, utc("2021-07-01T00:00"), utc("2021-07-31T00:00"), ONE_MINUTE)
    assert (span.length, span.step_name, span.points) == (ONE_HOUR, "3 hours", 240)
