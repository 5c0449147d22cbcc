"""The live page's parts that the server makes: the charts without figures, and the script's parameters."""

from __future__ import annotations

import json
import re

import pytest

from kpis.console.charts.live import live_areas, live_map
from kpis.console.theme import DARK, LIGHT
from kpis.models import Region
from tests.factories import make_region

pytestmark = pytest.mark.django_db


@pytest.fixture
def regions():
    """Two squares of a degree, of which records call one by another name too."""
    Region.objects.all().delete()
    return [
        make_region("Kern", west=-120, south=35, code="1"),
        make_region("Mono", west=-119, south=36, code="3", spellings=["Mono County"]),
    ]


def test_the_map_has_each_regions_shape_and_centre_and_no_figures(regions):
    found = live_map(regions, LIGHT).for_page()
    shapes = found["datasets"]["regions"]
    assert [(shape["code"], shape["name"], shape["centre"]) for shape in shapes] == [
        ("1", "Kern", pytest.approx([-119.5, 35.5])),
        ("3", "Mono", pytest.approx([-118.5, 36.5])),
    ]
    assert found["datasets"]["values"] == []


def test_a_sign_goes_into_the_largest_of_a_regions_pieces():
    island = [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0]]]
    # An L of three unit squares: its centre of mass is that of the three.
    mainland = [[[10, 10], [12, 10], [12, 11], [11, 11], [11, 12], [10, 12], [10, 10]]]
    region = Region(code="9", name="L", geometry={"type": "MultiPolygon", "coordinates": [island, mainland]})
    (shape,) = live_map([region], LIGHT).for_page()["datasets"]["regions"]
    assert shape["centre"] == pytest.approx([10 + 5 / 6, 10 + 5 / 6])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_charts_are_what_vega_lite_knows(regions, theme):
    for chart in (live_map(regions, theme), live_areas("Operators", theme)):
        # Altair holds the drawing to Vega-Lite's schema here.
        chart.drawing.to_dict()
        assert chart.for_page()["config"]["background"] == theme.surface


def test_the_page_tells_its_script_who_is_who_and_what_is_far(client, settings, regions):
    settings.TIME_ZONE = "Europe/Madrid"
    page = client.get("/live/").content.decode()
    (spellings,) = re.findall(r'<script id="spellings" type="application/json">(.*?)</script>', page)
    assert json.loads(spellings) == {"Kern": "1", "Mono": "3", "Mono County": "3"}
    assert re.findall(r'<tr data-code="(.)"><th scope="row">(.*?)</th>', page) == [("1", "Kern"), ("3", "Mono")]
    assert 'data-socket="/ws/live/" data-zone="Europe/Madrid" data-threshold="3.0"' in page


@pytest.mark.parametrize(("name", "status"), [("map", 200), ("operator", 200), ("app", 200), ("county", 404)])
def test_the_charts_have_addresses(client, name, status):
    assert client.get(f"/live/{name}.json").status_code == status
