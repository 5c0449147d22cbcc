"""Regions: what a file of them gives, what is wrong with others, and the counties that come with the project."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.models import Region
from kpis.reference.regions import CALIFORNIA, LARGEST_SHAPES_BYTES, put_regions, read_shapes
from kpis.sample.california import COUNTIES, TOWNS
from tests.factories import make_region

pytestmark = pytest.mark.django_db

SQUARE = [[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]
HOLE = [[0.5, 0.25], [1, 0.25], [1, 0.75], [0.5, 0.75], [0.5, 0.25]]


def feature(name="A", code="1", rings=(SQUARE,), **properties) -> dict:
    geometry = {"type": "Polygon", "coordinates": [*rings]}
    return {"type": "Feature", "id": code, "properties": {"name": name, **properties}, "geometry": geometry}


def collection(*features: dict) -> dict:
    return {"type": "FeatureCollection", "features": [*features]}


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "regions.geojson"


@pytest.fixture
def no_regions():
    Region.objects.all().delete()


def load(file: Path, content, verbosity: int = 1, **options) -> str:
    """The command's output for a file with the content."""
    out = io.StringIO()
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    call_command("load_regions", str(file), verbosity=verbosity, stdout=out, **options)
    return out.getvalue()


def stored() -> dict[str, tuple]:
    return {
        one.code: (one.name, one.spellings, one.west, one.south, one.east, one.north) for one in Region.objects.all()
    }


# The counties.


def test_the_map_begins_with_every_county_that_the_samples_have():
    put_regions(read_shapes(CALIFORNIA))
    assert sorted(Region.objects.values_list("name", flat=True)) == sorted(COUNTIES)
    assert len(COUNTIES) == 58
    assert {code[:2] for code in Region.objects.values_list("code", flat=True)} == {"06"}


def test_the_counties_are_where_california_is():
    shapes = read_shapes(CALIFORNIA)
    box = [min(one.west for one in shapes), min(one.south for one in shapes)]
    box += [max(one.east for one in shapes), max(one.north for one in shapes)]
    assert [round(degrees, 1) for degrees in box] == [-124.4, 32.5, -114.1, 42.0]
    for town in TOWNS:
        latitude, longitude = town.latitude / 100, town.longitude / 100
        assert any(one.west < longitude < one.east and one.south < latitude < one.north for one in shapes)


def test_neighbours_share_their_borders():
    """Each stretch of the state's outline is one county's; all others are two counties', to the last digit."""
    counted: dict = {}
    for shape in read_shapes(CALIFORNIA):
        for rings in shape.geometry["coordinates"]:
            for ring in rings:
                for start, end in pairwise(ring):
                    stretch = frozenset([tuple(start), tuple(end)])
                    counted[stretch] = counted.get(stretch, 0) + 1
    assert set(counted.values()) == {1, 2}
    inland = [stretch for stretch, count in counted.items() if count == 2]
    assert len(inland) > 600


def test_the_counties_take_little():
    assert CALIFORNIA.stat().st_size < 100_000


# What a file gives.


@pytest.mark.usefixtures("no_regions")
def test_a_file_takes_the_place_of_what_was_there(file):
    assert (
        load(file, collection(feature("A", "1"), feature("B", "2"))) == "2 added, 0 changed, 0 unchanged, 0 removed\n"
    )
    assert (
        load(file, collection(feature("A", "1"), feature("B", "2"))) == "0 added, 0 changed, 2 unchanged, 0 removed\n"
    )
    # They change names.
    swapped = collection(feature("B", "1"), feature("A", "2"))
    assert load(file, swapped) == "0 added, 2 changed, 0 unchanged, 0 removed\n"
    assert (
        load(file, collection(feature("C", "3"), feature("A", "2"))) == "1 added, 0 changed, 1 unchanged, 1 removed\n"
    )
    assert stored() == {"2": ("A", [], 0, 0, 2, 1), "3": ("C", [], 0, 0, 2, 1)}


@pytest.mark.usefixtures("no_regions")
def test_verbosity_says_nothing_or_each_region(file):
    content = collection(feature("A", "1", other="B"))
    assert load(file, content, verbosity=0) == ""
    assert load(file, content, verbosity=2, name_property=["name", "other"]).splitlines() == [
        "1: A, B",
        "0 added, 1 changed, 0 unchanged, 0 removed",
    ]


@pytest.mark.usefixtures("no_regions")
def test_properties_tell_code_and_spellings(file):
    content = collection(feature("A", None, cod=7, nom="Á", alt="a!", empty=None))
    load(file, content, name_property=["nom", "name", "alt", "empty", "nom"], code_property="cod")
    assert stored() == {"7": ("Á", ["A", "a!"], 0, 0, 2, 1)}


@pytest.mark.usefixtures("no_regions")
def test_rings_run_as_the_standard_says_and_keep_four_digits(file):
    backwards = [[x + 0.00001, y] for x, y in reversed(SQUARE)]
    load(file, collection(feature(rings=[backwards, HOLE])))
    (region,) = Region.objects.all()
    assert region.geometry == {
        "type": "MultiPolygon",
        "coordinates": [[[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]], [*reversed(HOLE)]]],
    }


@pytest.mark.usefixtures("no_regions")
def test_islets_too_small_to_be_seen_are_left_out(file):
    islet = [[x / 10**6 + 10, y / 10**6] for x, y in SQUARE]
    geometry = {"type": "MultiPolygon", "coordinates": [[islet], [SQUARE]]}
    load(file, collection(feature() | {"geometry": geometry}))
    assert stored() == {"1": ("A", [], 0, 0, 2, 1)}


# What is wrong.

LINE = [[0, 0], [1, 1], [0, 0], [1, 1]]
WRONG = {
    "{": "is no JSON: Expecting property name",
    "[" * 100_000: "is no JSON",
    "[]": "The file is no GeoJSON FeatureCollection.",
    '{"type": "Topology", "objects": {}}': "The file is no GeoJSON FeatureCollection.",
    '{"type": "FeatureCollection", "features": []}': "The file has no features.",
    '{"type": "FeatureCollection", "features": [7]}': "Feature 1 is no GeoJSON Feature.",
}
WRONG_FEATURES = {
    "no properties": (feature() | {"properties": None}, "has no name in the property 'name'; it has no properties."),
    "properties no object": (feature() | {"properties": [1]}, "has properties that are no object."),
    "no name": (feature(name=" ", NAME="A"), "has no name in the property 'name'; its properties are NAME, name."),
    "no text": (feature(name=True), "has no name in the property 'name'"),
    "no code": (feature(code=None), "has no code in its id: name a property that has one; its properties are name."),
    "long name": (feature(name="A" * 101), "has a name that is too long"),
    "odd name": (feature(name="A\nB"), "has a name that is too long, or holds a control character"),
    "long code": (feature(code="A" * 65), "has a code that is too long"),
    "no geometry": (feature() | {"geometry": None}, "has no Polygon or MultiPolygon"),
    "point": (feature() | {"geometry": {"type": "Point", "coordinates": [0, 0]}}, "has no Polygon or MultiPolygon"),
    "no coordinates": (feature() | {"geometry": {"type": "Polygon"}}, "has coordinates that make no Polygon"),
    "flat": (feature() | {"geometry": {"type": "MultiPolygon", "coordinates": [1]}}, "that make no MultiPolygon"),
    "empty": (feature(rings=[]), "has no area"),
    "open": (feature(rings=[SQUARE[:4]]), "has a ring that is no closed line of four positions or more."),
    "short": (feature(rings=[[[0, 0], [1, 1], [0, 0]]]), "has a ring that is no closed line"),
    "no ring": (feature(rings=[7]), "has a ring that is no closed line"),
    "no area": (feature(rings=[[*LINE, [0, 0]]]), "has no area."),
    "texts": (feature(rings=[[["0", "0"]] * 4]), "has a position that is no pair of numbers."),
    "one number": (feature(rings=[[[0]] * 4]), "has a position that is no pair of numbers."),
    "not finite": (feature(rings=[[[float("inf"), 0]] * 4]), "has a position that is no pair of numbers."),
    "metres": (
        feature(rings=[[[440000, 4470000], [440010, 4470000], [440010, 4470010], [440000, 4470000]]]),
        "has a position at 440000, 4470000: it must be longitude and latitude in degrees.",
    ),
    "turned round": (feature(rings=[[[37, 122], [38, 122], [38, 123], [37, 122]]]), "at 37, 122: it must be longitude"),
    "beyond all": (feature(rings=[[[10**400, 0]] * 4]), "it must be longitude and latitude in degrees."),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.items(), ids=[text[:20] for text in WRONG])
def test_a_file_that_is_none_says_so_and_changes_nothing(file, content, reason):
    make_region("Somewhere")
    before = stored()
    with pytest.raises(CommandError) as raised:
        load(file, content)
    assert reason in str(raised.value)
    assert stored() == before


@pytest.mark.parametrize(("wrong", "reason"), WRONG_FEATURES.values(), ids=list(WRONG_FEATURES))
def test_a_wrong_feature_is_named_and_nothing_is_loaded(file, wrong, reason):
    make_region("Somewhere")
    before = stored()
    with pytest.raises(CommandError, match=r"^Feature 2 ") as raised:
        load(file, collection(feature("Z", "26"), wrong))
    assert reason in str(raised.value)
    assert stored() == before


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ([feature("A", "1"), feature("B", "1")], "Feature 2 (B) has the code 1 of A."),
        ([feature("A", "1"), feature("a", "2")], "Feature 2 is called 'a', as is Feature 1."),
        ([feature("A", "1", other="B"), feature("B", "2")], "Feature 2 is called 'B', as is Feature 1."),
    ],
)
def test_codes_and_names_are_one_regions_only(file, features, reason):
    with pytest.raises(CommandError) as raised:
        load(file, collection(*features), name_property=["name", "other"])
    assert str(raised.value) == reason


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CommandError, match=r"nowhere\.geojson cannot be read: No such file or directory"):
        call_command("load_regions", str(tmp_path / "nowhere.geojson"))


def test_shapes_that_no_page_can_hold_are_refused(file):
    zigzag = [[0, 0], *([number / 10_000, 1 + number % 2] for number in range(60_000)), [0, 0]]
    with pytest.raises(CommandError, match=f"a page of the map holds {LARGEST_SHAPES_BYTES:,}: simplify them first"):
        load(file, collection(feature(rings=[zigzag])))


def test_a_huge_file_is_not_read(file):
    with file.open("wb") as opened:
        opened.truncate(50_000_001)
    with pytest.raises(CommandError, match="is larger than 50,000,000 bytes"):
        call_command("load_regions", str(file))


ACROSS = [[178, -18], [-178, -18], [-178, -16], [178, -16], [178, -18]]
AROUND_THE_POLE = [[-180, -60], [-90, -65], [0, -60], [90, -65], [179, -60], [-180, -60]]


@pytest.mark.parametrize("ring", [ACROSS, ACROSS[::-1], AROUND_THE_POLE, [[x, -y] for x, y in AROUND_THE_POLE]])
@pytest.mark.parametrize("is_hole", [False, True])
def test_a_polygon_across_180_degrees_is_refused_with_what_to_do(file, no_regions, ring, is_hole):
    world = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]
    with pytest.raises(CommandError, match=r"crosses 180 degrees of longitude.*ogr2ogr -wrapdateline"):
        load(file, collection(feature(rings=[world, ring] if is_hole else [ring])))
    assert stored() == {}


def test_a_polygon_that_was_cut_at_180_degrees_is_drawn_in_its_parts(file, no_regions):
    halves = [[[178, -18], [180, -18], [180, -16], [178, -16], [178, -18]]]
    halves.append([[-180, -18], [-178, -18], [-178, -16], [-180, -16], [-180, -18]])
    geometry = {"type": "MultiPolygon", "coordinates": [[half] for half in halves]}
    load(file, collection({**feature(), "geometry": geometry}))
    assert stored() == {"1": ("A", [], -180, -18, 180, -16)}
    assert [ring for (ring,) in Region.objects.get().geometry["coordinates"]] == halves


@pytest.mark.parametrize(
    "ring",
    [
        # The whole world, a belt of it, and Antarctica, which goes along the pole from one side to the other.
        [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]],
        [[-180, 10], [180, 10], [180, 20], [-180, 20], [-180, 10]],
        [[-180, -90], [180, -90], [180, -70], [60, -66], [-60, -66], [-180, -70], [-180, -90]],
    ],
)
def test_what_goes_round_the_world_on_the_map_is_drawn(file, no_regions, ring):
    load(file, collection(feature(rings=[ring])))
    assert len(stored()) == 1


def test_a_hole_that_comes_before_its_outer_ring_is_refused(file, no_regions):
    with pytest.raises(CommandError, match="has a hole that reaches beyond its outer ring, which must come first"):
        load(file, collection(feature(rings=[HOLE, SQUARE])))
