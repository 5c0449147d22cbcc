"""Files of references: the versions that they give, and the rows that are wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kpis.catalog.intervals import EPOCH
from kpis.catalog.registry import REFERENCES
from kpis.reference.files import MOST_NAMED, ReferenceFile, ReferenceFileError, Version
from tests.references import CELL, OPERATOR, referenced


@pytest.fixture(autouse=True)
def references():
    with referenced(CELL, OPERATOR):
        yield


def read(path: Path, content: str | bytes, reference: str = "cell") -> list[Version]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(ReferenceFile(REFERENCES[reference], path).versions())


def wrong(path: Path, content: str | bytes, reference: str = "cell") -> tuple[str, list[str]]:
    with pytest.raises(ReferenceFileError) as error:
        read(path, content, reference)
    return f"{error.value}".replace(f"{path}", "FILE"), [*error.value.rows]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "cells.csv"


@pytest.fixture
def geojson(tmp_path: Path) -> Path:
    return tmp_path / "cells.geojson"


def test_a_row_is_a_version(csv_file: Path):
    text = (
        "Vendor,CELL ID,title,Site,azimuth,height,installed,latitude,longitude,valid_from,valid_to,colour\n"
        'nokia,7,"Sol, 1",M 1,120,25.5,2020-02-29,40.4168,-3.7038,2026-03-01,2026-04-01T12:00:00+02:00,red\n'
        "\n"
        ",8,,,,,,,,,,\n"
    )
    assert read(csv_file, text) == [
        Version(
            2,
            "7",
            utc(2026, 3, 1),
            utc(2026, 4, 1, 10),
            "Sol, 1",
            40.4168,
            -3.7038,
            '{"site":"M 1","vendor":"Nokia","azimuth":120,"height":25.5,"installed":"2020-02-29"}',
        ),
        Version(4, "8", EPOCH, None, "", None, None, "{}"),
    ]


def test_columns_that_are_optional_may_be_absent_and_others_are_left_out(csv_file: Path):
    csv_file.write_text("\ufeffcell,Colour\n 7 ,red\n", encoding="utf-8")
    file = ReferenceFile(REFERENCES["cell"], csv_file)
    assert [version.key for version in file.versions()] == ["7"]
    assert (file.ignored, file.has_validity) == (["Colour"], False)


def test_times_before_1970_and_in_9999_are_none(csv_file: Path):
    text = "cell,valid_from,valid_to\n1,1900-01-01,9999-12-31\n2,1970-01-01,9998-12-31\n"
    assert [(one.valid_from, one.valid_to) for one in read(csv_file, text)] == [
        (EPOCH, None),
        (EPOCH, utc(9998, 12, 31)),
    ]


def test_keys_that_ignore_case_are_folded(csv_file: Path):
    (version,) = read(csv_file, "operator,alias\nMÓVISTAR,M\n", "operator")
    assert (version.key, version.name) == ("móvistar", "M")


def test_every_wrong_row_is_named(csv_file: Path):
    text = (
        "cell,vendor,latitude,longitude,valid_from,valid_to\n"
        "1,Nokia,,,,\n"
        "x,,,,,\n"
        "0,,,,,\n"
        ",,,,,\n"
        "2,Siemens,,,,\n"
        "3,,91,0,,\n"
        "4,,1,,,\n"
        "5,,,1,,\n"
        "6,,,,yesterday,\n"
        "7,,,,2026-01-02,2026-01-02\n"
        "8,,,,,1969-12-31\n"
        "9,,,\n"
        '"\n1",Siemens,,,,\n'
        "10,Siemens,,,,\n"
    )
    message, rows = wrong(csv_file, text)
    assert message == "13 rows of FILE cannot be used: nothing was loaded."
    assert rows == [
        "Line 3: cell is not a whole number",
        "Line 4: cell is less than 1",
        "Line 5: cell is empty",
        "Line 6: vendor is none of Ericsson, Nokia",
        "Line 7: latitude is not between -90 and 90",
        "Line 8: longitude is empty, and the place's other column is not",
        "Line 9: latitude is empty, and the place's other column is not",
        "Line 10: valid_from is not a time such as 2026-03-01T12:00:00Z",
        "Line 11: valid_to is not after valid_from",
        "Line 12: valid_to is not after valid_from",
        "Line 13: has 4 fields where the header has 6",
        "Line 14: vendor is none of Ericsson, Nokia",
        "Line 16: vendor is none of Ericsson, Nokia",
    ]


def test_of_many_wrong_rows_the_first_are_named(csv_file: Path):
    message, rows = wrong(csv_file, "cell\n" + "x\n" * (MOST_NAMED + 1))
    assert message == f"{MOST_NAMED + 1} rows of FILE cannot be used: nothing was loaded."
    assert len(rows) == MOST_NAMED


FILES = {
    "is empty: its first line must name the columns.": "",
    "has no column cell; it has site, vendor.": "site,vendor\nA,Nokia\n",
    "is not valid UTF-8.": b"cell,site\n1,\xff\n",
}


@pytest.mark.parametrize(("problem", "content"), FILES.items(), ids=FILES)
def test_a_file_that_is_no_table_is_refused(csv_file: Path, problem: str, content: str | bytes):
    assert wrong(csv_file, content) == (f"FILE {problem}", [])


def test_a_column_comes_once(csv_file: Path):
    assert wrong(csv_file, "cell,Cell Id\n1,2\n") == ("FILE: two columns are cell: cell, Cell Id.", [])


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ReferenceFileError, match=r"none\.csv cannot be read: No such file or directory\.$"):
        list(ReferenceFile(REFERENCES["cell"], tmp_path / "none.csv").versions())


def feature(properties: dict | None, geometry: object = None, **others: object) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": geometry, **others}


def point(*coordinates: float) -> dict:
    return {"type": "Point", "coordinates": [*coordinates]}


def collection(*features: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": [*features]})


def test_a_feature_is_a_version(geojson: Path):
    text = collection(
        feature(
            {"Cell Id": 7, "title": "Sol", "height": 25.5, "azimuth": None, "latitude": 1}, point(-3.5, 40.25, 600)
        ),
        feature({"valid_from": "2026-03-01"}, id="8"),
    )
    geojson.write_text(text)
    file = ReferenceFile(REFERENCES["cell"], geojson)
    assert list(file.versions()) == [
        Version(1, "7", EPOCH, None, "Sol", 40.25, -3.5, '{"height":25.5}'),
        Version(2, "8", utc(2026, 3, 1), None, "", None, None, "{}"),
    ]
    assert (file.ignored, file.has_validity) == (["latitude"], True)


def test_every_wrong_feature_is_named(geojson: Path):
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    text = collection(
        feature({"cell": 1}, point(0, 91)),
        feature({"cell": 2}, line),
        feature({"cell": 3}, point(0)),
        feature({"cell": "4.5"}),
        feature({"cell": 5, "site": 1}),
        feature(None),
        {"type": "Point"},
    )
    assert wrong(geojson, text) == (
        "7 rows of FILE cannot be used: nothing was loaded.",
        [
            "Feature 1: latitude is not between -90 and 90",
            "Feature 2: has a geometry that is no Point",
            "Feature 3: has a Point without two coordinates",
            "Feature 4: cell is not a whole number",
            "Feature 5: site is not a text",
            "Feature 6: cell is empty",
            "Feature 7: is no GeoJSON Feature",
        ],
    )


@pytest.mark.parametrize("text", ['{"type": "Feature"}', "[]", '{"type": "FeatureCollection"}'])
def test_geojson_without_features_is_refused(geojson: Path, text: str):
    assert wrong(geojson, text) == ("FILE is no GeoJSON FeatureCollection.", [])


def test_what_is_no_json_is_refused(geojson: Path):
    assert wrong(geojson, "{")[0].startswith("FILE is no JSON: ")
