"""Each chart's specification: its data to the last figure, its words, and what keeps browsers quiet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta

import altair as alt
import pandas as pd
import pytest

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.coverage import OPERATOR_SIGNAL
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.intervals import FIVE_MINUTES, to_milliseconds
from kpis.console.charts.chart import Chart
from kpis.console.charts.operators import average_chart, share_chart, stacked_chart
from kpis.console.charts.series import series_chart
from kpis.console.charts.top import top_chart
from kpis.console.interval_groups import IntervalGroups
from kpis.console.pictures import html, png, svg
from kpis.console.theme import DARK, LIGHT, THEMES
from kpis.console.window import Window
from kpis.models import IntervalSummary
from tests.factories import MIDNIGHT, make_result, make_summary

FIVE = timedelta(minutes=5)
START = to_milliseconds(MIDNIGHT)
FIVE_MS = 300_000


def span_of(steps: int, summed: int = 1) -> Window:
    return Window(MIDNIGHT, MIDNIGHT + steps * summed * FIVE, FIVE_MINUTES, FIVE_MINUTES, summed)


def series_frame(*values: int | None, provisional: tuple[int, ...] = (), normal: dict | None = None) -> pd.DataFrame:
    """A series of these values; ``normal`` has (mean, deviation, z, outlier) by the row's number."""
    starts = pd.date_range(MIDNIGHT, periods=len(values), freq=FIVE, unit="us")
    frame = pd.DataFrame(
        {
            "start": starts,
            "end": starts + FIVE,
            "value": pd.array(values, dtype="Int64"),
            "intervals": [int(value is not None) for value in values],
            "provisional": [number in provisional for number in range(len(values))],
        }
    )
    if normal is not None:
        rows = [normal.get(number, (None, None, None, False)) for number in range(len(values))]
        columns = pd.DataFrame(rows, columns=["mean", "deviation", "z", "outlier"])
        frame = frame.join(columns.astype({"mean": "float64", "deviation": "float64", "z": "float64"}))
    return frame


def marks(specification: dict) -> list[str]:
    return [layer["mark"]["type"] for layer in specification["layer"]]


def test_a_series_is_a_line_with_every_interval_in_its_middle():
    chart = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(2), series_frame(1000, 2500), LIGHT)
    found = chart.for_page()
    first, second = found["datasets"]["points"]
    assert first == {
        "start": START, "end": START + FIVE_MS, "middle": START + FIVE_MS // 2, "value": 1000,
        "gap": False, "provisional": False, "dot": True, "outlier": False, "low": None, "high": None,
        "when": "18 Jul 2021, 00:00 to 00:05", "figure": "1,000 bytes",
        "normal": "not known: too few intervals before",
    }  # fmt: skip
    assert (second["middle"], second["value"]) == (START + FIVE_MS * 3 // 2, 2500)
    assert marks(found) == ["line", "point", "rect"]
    assert found["width"] == "container"


def test_a_gap_breaks_the_line_and_is_shaded():
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(5), series_frame(1, None, None, 4, None), LIGHT).for_page()
    assert [point["value"] for point in found["datasets"]["points"]] == [1, None, None, 4, None]
    assert [point["figure"] for point in found["datasets"]["points"]][1] == "no records"
    assert found["datasets"]["gaps"] == [
        {"start": START + FIVE_MS, "end": START + 3 * FIVE_MS},
        {"start": START + 4 * FIVE_MS, "end": START + 5 * FIVE_MS},
    ]
    assert marks(found) == ["rect", "line", "point", "rect"]


def test_a_provisional_interval_is_hatched():
    found = series_chart(
        SERVICE_TRAFFIC_VOLUME, span_of(3), series_frame(1, 2, 3, provisional=(1, 2)), LIGHT
    ).for_page()
    assert found["datasets"]["provisional"] == [{"start": START + FIVE_MS, "end": START + 3 * FIVE_MS}]
    colour = found["layer"][0]["mark"]["color"]
    assert colour["gradient"] == "linear"
    assert [stop["color"] for stop in colour["stops"][:4]] == [LIGHT.surface, LIGHT.surface, LIGHT.line, LIGHT.line]


def test_what_is_normal_is_a_band_and_an_outlier_a_diamond():
    normal = {0: (100.0, 10.0, 0.5, False), 1: (20.0, 10.0, 8.5, True), 2: (50.0, 0.0, None, True)}
    frame = series_frame(105, 105, 60, normal=normal)
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(3), frame, LIGHT).for_page()
    points = found["datasets"]["points"]
    # Three deviations round the mean, but sums are never below zero.
    assert [(point["low"], point["high"]) for point in points] == [(70.0, 130.0), (0.0, 50.0), (50.0, 50.0)]
    assert [point["normal"] for point in points] == [
        "70 B to 130 B", "0 B to 50 B; an outlier, z = 8.5", "50 B to 50 B; an outlier",
    ]  # fmt: skip
    assert [point["middle"] for point in found["datasets"]["outliers"]] == [points[1]["middle"], points[2]["middle"]]
    assert marks(found) == ["area", "line", "point", "point", "rect"]
    diamond = found["layer"][3]["mark"]
    assert (diamond["shape"], diamond["color"]) == ("diamond", LIGHT.bad)


def test_of_many_points_only_those_between_gaps_have_dots():
    values = [5] * 70 + [None, 7, None]
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(73), series_frame(*values), LIGHT).for_page()
    assert [point["value"] for point in found["datasets"]["dots"]] == [7]


def test_a_series_without_records_has_its_gap_alone():
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(2), series_frame(None, None), LIGHT).for_page()
    assert marks(found) == ["rect", "rect"]
    assert found["description"].endswith("No records.")


def test_a_series_says_in_words_what_it_shows(settings):
    settings.TIME_ZONE = "America/Los_Angeles"
    frame = series_frame(2_000_000, None, 1_000_000, 3_000_000, normal={3: (1.0, 1.0, 9.0, True)})
    chart = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(4), frame, LIGHT, {"service_id": 7})
    assert chart.title == "Service traffic volume: 7"
    assert chart.subtitle[0] == "17 Jul 2021, 17:00 to 17:20 (America/Los_Angeles), per 5 minutes"
    assert chart.description == (
        "Service traffic volume: 7, 17 Jul 2021, 17:00 to 17:20 (America/Los_Angeles). 3 points per 5 minutes; highest "
        "3.0 MB at 17 Jul 2021, 17:15, lowest 1.0 MB at 17 Jul 2021, 17:10. 1 without records. 1 outlier."
    )
    assert chart.name == "ServiceTrafficVolume_7_2021-07-17-1700_2021-07-17-1720_America-Los-Angeles"
    assert chart.for_picture()["title"] == {"text": chart.title, "subtitle": chart.subtitle}


def test_a_series_that_was_cut_down_says_so():
    chart = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(1, summed=6), series_frame(60), LIGHT)
    assert chart.subtitle == [
        "18 Jul 2021, 00:00 to 00:30 (UTC), per 30 minutes",
        "Each point sums 6 intervals of 5 minutes; totals are unchanged.",
    ]


def test_no_axis_is_temporal_since_the_interpreter_has_no_such_time():
    """vega-interpreter takes the milliseconds of a temporal domain for a year, and draws nothing."""
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(2), series_frame(1, 2), LIGHT).for_page()
    assert "temporal" not in str(found)
    assert found["layer"][0]["encoding"]["x"]["scale"] == {
        "domain": [START, START + 2 * FIVE_MS], "nice": False, "zero": False,
    }  # fmt: skip


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_chart_has_the_themes_colours_alone(theme):
    normal = {1: (1.0, 0.1, 10.0, True)}
    frame = series_frame(1, 2, None, 3, provisional=(3,), normal=normal)
    found = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(4), frame, theme).for_page()
    assert found["config"]["background"] == theme.surface
    used = set(re.findall(r"#[0-9a-f]{6}", str(found)))
    assert used <= {*theme.properties.values(), *theme.categories}
    other = DARK if theme is LIGHT else LIGHT
    assert not used & {other.accent, other.surface, other.ink}


@pytest.mark.django_db
def test_bars_are_the_first_ten_and_what_is_left_of_the_total():
    for rank in range(1, 11):
        make_result(SERVICE_TRAFFIC_VOLUME, MIDNIGHT, rank, total_bytes=(20 - rank) * 1000)
    summary = make_summary(1, MIDNIGHT, total=200_000, groups=14)
    chart = top_chart(IntervalGroups(SERVICE_TRAFFIC_VOLUME, summary), LIGHT)
    bars = chart.for_page()["datasets"]["bars"]
    assert [(bar["label"], bar["value"]) for bar in bars] == [
        *((str(rank), (20 - rank) * 1000) for rank in range(1, 11)),
        ("Other", 200_000 - 145_000),
    ]
    assert (bars[0]["figure"], bars[0]["text"], bars[0]["part"]) == ("19,000 bytes", "19.0 kB", "9.5 %")
    assert bars[-1]["part"] == "27.5 %"
    assert [bar["other"] for bar in bars] == [False] * 10 + [True]
    assert chart.description == (
        "Services by traffic: bytes up and down, 18 Jul 2021, 00:00 to 00:05 (UTC). In all 200.0 kB of 14 groups. "
        "First: 1 19.0 kB, 2 18.0 kB, 3 17.0 kB."
    )


@pytest.mark.django_db
def test_bars_that_do_not_add_up_have_no_rest():
    for rank in (1, 2):
        make_result(CELL_UNIQUE_USERS, MIDNIGHT, rank, number_of_unique_users=10 - rank)
    groups = IntervalGroups(CELL_UNIQUE_USERS, make_summary(2, MIDNIGHT, total=11, groups=30))
    bars = top_chart(groups, LIGHT).for_page()["datasets"]["bars"]
    assert [(bar["label"], bar["value"], bar["share"]) for bar in bars] == [("1", 9, None), ("2", 8, None)]


@pytest.mark.django_db
def test_bars_of_averages_stand_beside_the_average_of_all():
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 1, operator="Poppy", average_signal=17.5)
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 2, operator="", average_signal=None)
    summary = make_summary(7, MIDNIGHT, total=None, mean=16.25, groups=2)
    chart = top_chart(IntervalGroups(OPERATOR_SIGNAL, summary), LIGHT)
    assert [(bar["label"], bar["value"], bar["text"]) for bar in chart.data["bars"]] == [
        ("Poppy", 17.5, "17.50 ASU"),
        ("(none)", None, "\N{EN DASH}"),
    ]
    assert chart.subtitle == ["18 Jul 2021, 00:00 to 00:05 (UTC)", "On average 16.25 ASU of 2 groups"]


@pytest.mark.django_db
def test_bars_of_a_provisional_interval_are_hatched():
    make_result(COUNTY_CALL_VOLUME, MIDNIGHT, 1, county="Kern")
    summary = make_summary(10, MIDNIGHT, groups=1, state=IntervalSummary.State.PROVISIONAL)
    chart = top_chart(IntervalGroups(COUNTY_CALL_VOLUME, summary), LIGHT)
    assert chart.for_page()["layer"][0]["encoding"]["color"]["value"]["gradient"] == "linear"
    assert chart.subtitle[1] == "In all 1,000 calls of 1 group; provisional"


def operators_frame(kind: type = float, **values: list[float | None]) -> pd.DataFrame:
    """Steps of five minutes for each operator; a step without any value is a gap."""
    starts = pd.date_range(MIDNIGHT, periods=len(next(iter(values.values()))), freq=FIVE, unit="us")
    gaps = [not any(value is not None for value in step) for step in zip(*values.values(), strict=True)]
    parts = [
        pd.DataFrame(
            {
                "start": starts, "end": starts + FIVE, "operator": name,
                "value": pd.array(row, dtype="float64"), "weight": [0.0 if one is None else 100.0 for one in row],
                "gap": gaps,
            }
        )
        for name, row in values.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


COLOURS = {"poppy": "#111111", "sierra": "#222222"}
MIDDLES = [START + FIVE_MS // 2 + step * FIVE_MS for step in range(3)]


def test_operators_stand_on_top_of_each_other():
    frame = operators_frame(Poppy=[30, None, 1], Sierra=[10, None, None])
    chart = stacked_chart(OPERATOR_CALL_VOLUME, span_of(3), frame, COLOURS, LIGHT)
    found = chart.for_page()
    assert found["datasets"]["points"] == [
        {"middle": MIDDLES[0], "operator": "Poppy", "low": 0.0, "high": 30.0},
        {"middle": MIDDLES[1], "operator": "Poppy", "low": None, "high": None},
        {"middle": MIDDLES[2], "operator": "Poppy", "low": 0.0, "high": 1.0},
        {"middle": MIDDLES[0], "operator": "Sierra", "low": 30.0, "high": 40.0},
        {"middle": MIDDLES[1], "operator": "Sierra", "low": None, "high": None},
        {"middle": MIDDLES[2], "operator": "Sierra", "low": 1.0, "high": 1.0},
    ]
    steps = found["datasets"]["steps"]
    assert [(step["when"][-5:], step["operator0"], step["operator1"]) for step in steps] == [
        ("00:05", "30 calls (75.0 %)", "10 calls (25.0 %)"),
        ("00:10", "no records", "no records"),
        ("00:15", "1 call (100.0 %)", "0 calls (0.0 %)"),
    ]
    assert found["layer"][0]["encoding"]["color"]["scale"] == {
        "domain": ["Poppy", "Sierra"], "range": ["#111111", "#222222"],
    }  # fmt: skip
    assert chart.description == (
        "Operator call volume, 18 Jul 2021, 00:00 to 00:15 (UTC). Over all of it: Poppy 31 calls; Sierra 10 calls."
    )


def test_shares_are_parts_of_each_steps_whole():
    frame = operators_frame(Poppy=[30, None, 1], Sierra=[10, None, None])
    points = share_chart(OPERATOR_CALL_VOLUME, span_of(3), frame, COLOURS, LIGHT).data["points"]
    assert [(point["low"], point["high"]) for point in points] == [
        (0.0, 0.75), (None, None), (0.0, 1.0), (0.75, 1.0), (None, None), (1.0, 1.0),
    ]  # fmt: skip


def test_more_operators_than_can_be_distinguished_are_summed_up():
    frame = operators_frame(**{f"O{number}": [8.0 - number] for number in range(8)})
    chart = stacked_chart(OPERATOR_CALL_VOLUME, span_of(1), frame, {}, LIGHT)
    assert [(point["operator"], point["low"], point["high"]) for point in chart.data["points"]][-2:] == [
        ("O5", 30.0, 33.0), ("Other", 33.0, 36.0),
    ]  # fmt: skip
    assert chart.subtitle[1] == "The 6 largest operators; 2 more are in the table."


def test_averages_are_lines_with_the_samples_behind_them():
    frame = operators_frame(Poppy=[17.5, None, 12.25], Sierra=[9.0, 8.0, None])
    chart = average_chart(OPERATOR_SIGNAL, span_of(3), frame, COLOURS, LIGHT)
    found = chart.for_page()
    assert found["datasets"]["points"] == [
        {"middle": MIDDLES[0], "operator": "Poppy", "value": 17.5},
        {"middle": MIDDLES[1], "operator": "Poppy", "value": None},
        {"middle": MIDDLES[2], "operator": "Poppy", "value": 12.25},
        {"middle": MIDDLES[0], "operator": "Sierra", "value": 9.0},
        {"middle": MIDDLES[1], "operator": "Sierra", "value": 8.0},
        {"middle": MIDDLES[2], "operator": "Sierra", "value": None},
    ]
    assert [step["operator0"] for step in found["datasets"]["steps"]] == [
        "17.50 ASU (100 samples)", "no samples", "12.25 ASU (100 samples)",
    ]  # fmt: skip
    assert marks(found) == ["line", "point", "rect"]


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_every_chart_of_frames_follows_vega_lites_schema(theme):
    normal = {1: (1.0, 0.1, 10.0, True)}
    frame = series_frame(1, 2, None, 3, provisional=(3,), normal=normal)
    operators = operators_frame(Poppy=[30, None, 1], Sierra=[10, None, None])
    for chart in (
        series_chart(SERVICE_TRAFFIC_VOLUME, span_of(4), frame, theme),
        stacked_chart(OPERATOR_CALL_VOLUME, span_of(3), operators, COLOURS, theme),
        share_chart(OPERATOR_CALL_VOLUME, span_of(3), operators, COLOURS, theme),
        average_chart(OPERATOR_SIGNAL, span_of(3), operators, COLOURS, theme),
    ):
        assert_follows_the_schema(chart)


def assert_follows_the_schema(chart: Chart) -> None:
    """Raises what is wrong with the chart's specifications."""
    for specification in (chart.for_page(), chart.for_picture()):
        alt.LayerChart.from_dict(specification).to_dict()


@pytest.mark.sqlite_alone
@pytest.mark.django_db
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_bars_follow_vega_lites_schema(theme):
    make_result(COUNTY_CALL_VOLUME, MIDNIGHT, 1, county="Kern")
    summary = make_summary(10, MIDNIGHT, groups=2, state=IntervalSummary.State.PROVISIONAL)
    assert_follows_the_schema(top_chart(IntervalGroups(COUNTY_CALL_VOLUME, summary), theme))


def test_pictures_have_the_title_and_are_what_they_are_called():
    chart = series_chart(SERVICE_TRAFFIC_VOLUME, span_of(3), series_frame(1, None, 3), DARK)
    assert png(chart).startswith(b"\x89PNG\r\n")
    drawn = svg(chart).decode()
    assert drawn.startswith("<svg")
    for text in ("Service traffic volume: all groups", "18 Jul 2021, 00:00 to 00:15 (UTC), per 5 minutes", "00:05"):
        assert text in drawn
    page = html(chart).decode()
    assert "Service traffic volume: all groups" in page
    assert not re.search(r"(src|href)=[\"']?https?:", page)


def test_a_server_imports_what_draws_at_its_start_and_pandas_before_altair():
    """Altair uses pandas as it finds it, half imported by another thread too."""
    shown = "import sys; names = list(sys.modules); print([name for name in names if name in ('altair', 'pandas')])"
    imported = [
        subprocess.run(
            [sys.executable, "-c", f"import {module}; {shown}"],
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "network_analysis.settings"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for module in ("kpis.console.charts.lazy", "network_analysis.wsgi")
    ]
    assert imported == ["[]\n", "['pandas', 'altair']\n"]
