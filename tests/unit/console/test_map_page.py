"""The map: figures by region, the grid's bins, the slider's steps, and what both charts are drawn of."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME
from kpis.catalog.builtin.coverage import COVERAGE_GRID_SIGNAL
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.console.charts.maps import grid_map, region_map, signal_class
from kpis.console.grid import Bin, Box, box_of, grid
from kpis.console.regions import Place, largest, places
from kpis.console.selection import BadSelection, Selection
from kpis.console.steps import MOST_STEPS, steps
from kpis.console.theme import DARK, LIGHT
from kpis.console.window import Window
from kpis.models import Region
from tests.factories import MIDNIGHT, make_region, make_result, make_summary

pytestmark = pytest.mark.django_db

FIVE, HOUR = timedelta(minutes=5), timedelta(hours=1)
SPAN = "from=2021-07-18T00:00Z&to=2021-07-18T01:00Z"


@pytest.fixture
def regions():
    """Three squares: Kern west of Inyo, and Mono, which records also call by its county's full name."""
    Region.objects.all().delete()
    return [
        make_region("Kern", west=-120, south=35, code="1"),
        make_region("Inyo", west=-119, south=35, code="2"),
        make_region("Mono", west=-119, south=36, code="3", spellings=["Mono County"]),
    ]


@pytest.fixture
def calls(regions):
    """Two intervals of calls: LAX is on no region, and Inyo has no records."""
    for start, counts in {
        MIDNIGHT: {"Kern": 20, "LAX": 9, "Mono County": 5, "KERN": 2, "Mono": 1},
        MIDNIGHT + FIVE: {"Kern": 700},
    }.items():
        make_summary(10, start, total=sum(counts.values()), groups=len(counts))
        for rank, (county, number) in enumerate(counts.items(), 1):
            make_result(COUNTY_CALL_VOLUME, start, rank, county=county, number_of_calls=number)


@pytest.fixture
def signal(regions):
    """An interval of coverage: four cells in Kern and one elsewhere, one without samples, and one without a place."""
    make_summary(12, MIDNIGHT, total=None, mean=9.5)
    cells = {
        "35.00,-120.00": (20.0, 1),
        "35.05,-120.00": (11.0, 3),
        "50.00,10.00": (8.0, 2),
        "35.00,-119.95": (5.0, 2),
        "": (4.0, 6),
        "35.45,-119.50": (None, 0),
    }
    for rank, (cell, (average, samples)) in enumerate(cells.items(), 1):
        make_result(
            COVERAGE_GRID_SIGNAL,
            MIDNIGHT,
            rank,
            grid_cell=cell,
            average_signal=average,
            number_of_samples=samples,
            number_of_empty_values=1,
        )


# Figures by region.


def test_regions_have_what_any_of_their_spellings_has_and_others_are_named(calls):
    assert places(COUNTY_CALL_VOLUME, FIVE_MINUTES, MIDNIGHT, Region.objects.all()) == [
        Place("Kern", "1", 22, ["Kern", "KERN"]),
        Place("LAX", "", 9, ["LAX"]),
        Place("Mono", "3", 6, ["Mono County", "Mono"]),
        Place("Inyo", "2", None, []),
    ]


def test_colours_go_up_to_the_largest_value_of_the_span(calls):
    def most(start, end) -> int:
        return largest(COUNTY_CALL_VOLUME, Window(start, end, FIVE_MINUTES, FIVE_MINUTES))

    assert most(MIDNIGHT, MIDNIGHT + FIVE) == 20
    assert most(MIDNIGHT, MIDNIGHT + HOUR) == 700
    assert most(MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR) == 1


def test_the_map_of_regions_has_every_regions_figure(calls):
    found = places(COUNTY_CALL_VOLUME, FIVE_MINUTES, MIDNIGHT, Region.objects.all())
    chart = region_map(COUNTY_CALL_VOLUME, FIVE_MINUTES, MIDNIGHT, found, Region.objects.all(), 700, LIGHT)
    specification = chart.for_page()
    features = specification["datasets"]["regions"]
    assert {one["name"]: (one["code"], one["value"], one["figure"]) for one in features} == {
        "Kern": ("1", 22, "22 calls"),
        "Inyo": ("2", None, "no data"),
        "Mono": ("3", 6, "6 calls"),
    }
    # Vega's sphere takes an outer ring clockwise.
    assert features[0]["geometry"]["coordinates"] == [[[[-119, 35], [-119, 36], [-118, 36], [-118, 35], [-119, 35]]]]
    hatched, filled, outlined = specification["layer"]
    assert [layer["transform"][0]["filter"] for layer in specification["layer"]] == [
        "datum.value === null",
        "datum.value !== null",
        "datum.code === pointed",
    ]
    assert hatched["mark"]["fill"]["gradient"] == "linear"
    assert filled["encoding"]["color"]["scale"] == {
        "type": "log", "domain": [1, 700], "range": [LIGHT.wash, LIGHT.accent], "clamp": True,
    }  # fmt: skip
    assert outlined["mark"]["stroke"] == LIGHT.ink
    assert chart.subtitle == ["18 Jul 2021, 00:00 to 00:05 (UTC)", "Hatched: 1 regions without records."]
    assert specification["description"] == (
        "County call volume by region, 18 Jul 2021, 00:00 to 00:05 (UTC). Most: Kern 22 calls; Mono 6 calls. "
        "1 regions without records."
    )


# The grid.


def test_cells_are_listed_weakest_first_and_those_without_samples_last(signal):
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, box_of(Region.objects.all()))
    assert [cell.row.grid_cell for cell in found.cells] == [
        "35.00,-119.95",
        "35.05,-120.00",
        "35.00,-120.00",
        "35.45,-119.50",
    ]
    assert found.cells[0].box == Box(-119.95, 35, -119.9, 35.05)
    assert found.nowhere.number_of_samples == 6


def test_a_small_piece_shows_every_cell(signal):
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, box_of(Region.objects.filter(code="1")))
    assert (found.width, found.size) == (1, 0.05)
    assert found.bins == [
        Bin(Box(-120, 35, -119.95, 35.05), 20.0, 1, 1),
        Bin(Box(-119.95, 35, -119.9, 35.05), 5.0, 2, 1),
        Bin(Box(-120, 35.05, -119.95, 35.1), 11.0, 3, 1),
    ]


def test_a_large_piece_puts_cells_together_by_the_samples_of_each(signal):
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, Box(-125, 30, -115, 40))
    assert (found.width, found.size) == (5, 0.25)
    # (20 * 1 + 11 * 3 + 5 * 2) / 6
    assert found.bins == [Bin(Box(-120, 35, -119.75, 35.25), 10.5, 6, 3)]


def test_without_regions_the_map_is_that_of_the_cells(signal):
    assert box_of([]) is None
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, None)
    assert found.box == Box(-120, 35, 10.05, 50.05)
    assert len(found.cells) == 5
    nothing = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT + HOUR, None)
    assert (nothing.cells, nothing.bins, nothing.nowhere) == ([], [], None)


def test_southern_and_western_cells_fall_into_the_bin_that_begins_below(regions):
    for rank, cell in enumerate(["-0.05,-0.05", "-0.25,-0.25", "0.00,0.00"], 1):
        make_result(COVERAGE_GRID_SIGNAL, MIDNIGHT, rank, grid_cell=cell, average_signal=9.0, number_of_samples=1)
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, Box(-5, -5, 5, 5))
    assert [(one.box.west, one.box.south, one.cells) for one in found.bins] == [(-0.25, -0.25, 2), (0, 0, 1)]


@pytest.mark.parametrize(
    ("value", "name"),
    [(-7.5, "poor"), (4.99, "poor"), (5, "moderate"), (7.9, "moderate"), (8, "good"), (12, "great"), (31, "great")],
)
def test_signals_are_called_as_phones_call_them(value, name):
    assert signal_class(value) == name


def test_the_map_of_the_grid_has_every_bin_and_the_regions_outlines(signal):
    found = grid(COVERAGE_GRID_SIGNAL, FIVE_MINUTES, MIDNIGHT, box_of(Region.objects.filter(code="1")))
    chart = grid_map(FIVE_MINUTES, MIDNIGHT, found, Region.objects.filter(code="1"), DARK)
    specification = chart.for_page()
    (outline,) = specification["datasets"]["regions"]
    assert outline["geometry"]["type"] == "MultiPolygon"
    described = [
        [one[name] for name in ("where", "class", "figure", "samples")] for one in specification["datasets"]["bins"]
    ]
    assert described == [
        ["35.00° N, 120.00° W", "great", "20.00 ASU", "1 in 1 cell"],
        ["35.00° N, 119.95° W", "moderate", "5.00 ASU", "2 in 1 cell"],
        ["35.05° N, 120.00° W", "good", "11.00 ASU", "3 in 1 cell"],
    ]
    assert specification["datasets"]["bins"][0]["geometry"]["coordinates"] == [
        [[[-120, 35], [-120, 35.05], [-119.95, 35.05], [-119.95, 35], [-120, 35]]]
    ]
    colour = specification["layer"][1]["encoding"]["color"]
    assert colour["scale"]["domain"] == ["poor", "moderate", "good", "great"]
    assert "'good': 'good: 8 to 12'" in colour["legend"]["labelExpr"]
    assert specification["description"] == (
        "Coverage grid signal, 18 Jul 2021, 00:00 to 00:05 (UTC), squares of 0.05 degrees: 1 moderate, 1 good, 1 great."
    )


# The slider.


def of(hours: int, length=FIVE_MINUTES, at=None, kpi=COVERAGE_GRID_SIGNAL) -> Selection:
    return Selection(kpi, length, MIDNIGHT, MIDNIGHT + hours * HOUR, None, at)


def test_every_interval_is_a_step():
    found = steps(of(1, at=MIDNIGHT + 2 * FIVE), {})
    assert (found.index, found.last, found.at) == (2, 11, MIDNIGHT + 2 * FIVE)
    assert found.labels[:2] + found.labels[-1:] == ["18 Jul 2021, 00:00", "18 Jul 2021, 00:05", "18 Jul 2021, 00:55"]
    assert steps(of(1), {}).at == MIDNIGHT + 11 * FIVE
    assert steps(of(1, at=MIDNIGHT), {"step": "3"}).at == MIDNIGHT + 3 * FIVE


def test_a_long_span_has_longer_steps_or_the_newest():
    found = steps(of(24 * 7, at=MIDNIGHT + 61 * FIVE), {})
    assert (found.window.length, found.last, found.at) == (ONE_HOUR, 167, MIDNIGHT + 5 * HOUR)
    newest = steps(of(24 * 60, at=MIDNIGHT), {})
    assert (newest.window.length, newest.last, newest.index) == (ONE_HOUR, MOST_STEPS - 1, 0)
    assert newest.window.cut


@pytest.mark.parametrize("step", ["12", "-1", "x", "1.5", "٣", "9" * 30])
def test_a_step_that_is_none_is_refused(step):
    with pytest.raises(BadSelection, match="step must be a whole number from 0 to 11"):
        steps(of(1), {"step": step})


# The page.


def test_the_page_tells_every_region_and_what_is_on_none(client, calls):
    text = " ".join(client.get(f"/map/?{SPAN}&step=0").content.decode().split())
    assert '<dd class="figure">37 calls</dd>' in text
    assert "<dd>1 region</dd>" in text
    assert "9 calls of 1 group that is called like no region." in text
    assert (
        '<tr data-code="2"> <th scope="row">Inyo</th> <td class="number"><span class="muted">no data</span></td>'
        in text
    )
    assert 'LAX</a> <span class="tag">not on the map</span>' in text
    assert "/explain/?kpi=10&amp;interval=1&amp;start=2021-07-18T00%3A00%3A00Z&amp;county=Mono+County" in text
    assert 'min="0" max="11" value="0" aria-valuetext="18 Jul 2021, 00:00"' in text


def test_an_interval_without_records_says_so(client, calls):
    text = " ".join(client.get(f"/map/?{SPAN}&step=7").content.decode().split())
    assert '<dd class="figure">no data</dd>' in text
    assert text.count('<span class="muted">no data</span>') == 3
    chart = client.get(f"/map/calls.json?{SPAN}&at=2021-07-18T00:35Z").json()
    assert [one["figure"] for one in chart["datasets"]["regions"]] == ["no data"] * 3


def test_the_page_of_the_signal_keeps_to_a_region(client, signal):
    text = " ".join(client.get(f"/map/?layer=signal&region=1&{SPAN}&step=0").content.decode().split())
    assert "Signal by place: Kern" in text
    assert "<dd>6 samples</dd>" in text
    assert "50.00, 10.00" not in text
    assert '<td class="number">5.00</td> <td>moderate</td> <td class="number">2</td>' in text
    inyo = client.get(f"/map/?layer=signal&region=2&{SPAN}&step=0").content.decode()
    assert "No records here in this interval." in inyo
    bins = client.get(f"/map/signal.json?region=1&{SPAN}&step=0").json()["datasets"]["bins"]
    assert len(bins) == 3


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("layer=x", "layer must be one of calls, signal"),
        ("layer=signal&region=x", "region must be the code of one on the map"),
        ("step=99999", "step must be a whole number"),
        ("interval=4", "interval must be one of"),
        ("from=x", "is not a time"),
    ],
)
def test_what_there_cannot_be_is_refused_with_the_reason(client, calls, signal, query, reason):
    page = client.get(f"/map/?{query}")
    assert page.status_code == 400
    assert reason in page.content.decode()


def test_unknown_layers_and_forms_are_not_there(client, calls):
    assert client.get("/map/nothing.json").status_code == 404
    assert client.get("/map/calls.xml").status_code == 404
    assert client.get("/map/signal.json").status_code == 404
    assert "No coverage records have been ingested yet." in client.get("/map/?layer=signal").content.decode()


@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_maps_are_drawn_as_pictures(client, calls, form, start):
    response = client.get(f"/map/calls.{form}?{SPAN}&step=0")
    assert response.content.startswith(start)
    name = "CountyCallVolume_2021-07-18-0000_2021-07-18-0005_UTC"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}.{form}"'


def test_a_step_needs_few_queries(client, calls, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        client.get(f"/map/?{SPAN}&step=0")
