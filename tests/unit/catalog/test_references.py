"""References of catalog files: what they describe, and the one message of each that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpis.catalog.builtin import antenna, coverage, ipflow
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import FEEDS, KPIS, REFERENCES, reference_of
from tests.references import CELL, OPERATOR, referenced


def declared(*texts: str) -> dict[str, ReferenceTable]:
    sources = [parse(text.encode(), Path(f"{number}.toml")) for number, text in enumerate(texts, 1)]
    return dict(parsed(sources, FEEDS, KPIS.values()).references)


def message_of(*texts: str) -> str:
    with pytest.raises(CatalogError) as error:
        declared(*texts)
    return f"{error.value}"


def at(line: int, key: str, problem: str, file: int = 1) -> str:
    return f"{file}.toml:{line}: references.cell{key and f'.{key}'} {problem}"


def test_a_reference_describes_the_columns_that_it_names():
    cell = declared(CELL)["cell"]
    assert (cell.name, cell.key, cell.shown, cell.place) == ("cell", "cell", "title", ("latitude", "longitude"))
    assert cell.describes == {("ipflow", "cell_id")}
    assert [column.name for column in cell.attributes] == ["site", "vendor", "azimuth", "height", "installed"]
    assert (cell.stored_key(7), cell.key_kind, cell.is_personal) == ("7", "integer", False)


def test_without_names_it_describes_the_columns_that_are_named_as_its_key():
    text = CELL.replace('of = ["ipflow.cell_id"]\n', "").replace('key = "cell"', 'key = "cell_id"')
    assert declared(text.replace("cell = {", "cell_id = {"))["cell"].describes == {("ipflow", "cell_id")}
    of_all = CELL.replace("ipflow.cell_id", "cell_id")
    assert declared(of_all)["cell"].describes == {("ipflow", "cell_id")}


def test_a_name_in_any_case_is_one_key():
    operator = declared(OPERATOR)["operator"]
    assert operator.stored_key("MOVISTAR") == operator.stored_key("movistar") == "movistar"


def test_the_dimensions_of_built_in_kpis_find_their_reference():
    with referenced(CELL, OPERATOR):
        assert reference_of(ipflow.CELL_UNIQUE_USERS, ipflow.CELL_UNIQUE_USERS.by[0]) is REFERENCES["cell"]
        assert reference_of(ipflow.SERVICE_TRAFFIC_VOLUME, ipflow.SERVICE_TRAFFIC_VOLUME.by[0]) is None
        signal = next(kpi for kpi in coverage.KPIS if kpi.name == "OperatorSignal")
        assert reference_of(signal, signal.by[0]) is REFERENCES["operator"]
    assert reference_of(ipflow.CELL_UNIQUE_USERS, ipflow.CELL_UNIQUE_USERS.by[0]) is None


def test_a_personal_name_is_for_personal_kpis_alone():
    text = """\
[references.device]
description = "Devices with their owners"
of = ["antenna.id", "antenna.antenna_id"]
key = "device"
name = "owner"
columns = {device = {type = "uuid"}, owner = {type = "text", personal = true}}
"""
    by_antenna, by_user = antenna.ANTENNA_TRAFFIC_VOLUME, antenna.USER_TRAFFIC_VOLUME
    with referenced(text):
        assert reference_of(by_user, by_user.by[0]) is REFERENCES["device"]
        assert reference_of(by_antenna, by_antenna.by[0]) is None


NO_KEY = "is no column of decimals from -90 to 90, degrees"

# What is replaced in CELL, by what, and the message.
BROKEN = {
    "an unknown key of it": ("place =", "places =", at(6, "places", "is not a key of this table; did you mean place?")),
    "its name": ("references.cell", "references.Cell", None),
    "no description": (
        'description = "Cells with their site and vendor"\n',
        "",
        at(1, "", "lacks the key description"),
    ),
    "no key": ('key = "cell"\n', "", at(1, "", "lacks the key key")),
    "no columns": (CELL[CELL.index("\n[references.cell.columns]") :], "", at(1, "", "lacks the key columns")),
    "a key that is no column": (
        'key = "cell"',
        'key = "cel"',
        at(4, "key", "names no column: did you mean cell?"),
    ),
    "a name that is no column": ('"title"', '"titel"', at(5, "name", "names no column: did you mean title?")),
    "a place that is no column": (
        '"latitude", "longitude"',
        '"latitud", "longitude"',
        at(6, "place[1]", "names no column: did you mean latitude?"),
    ),
    "a place of one column": (
        '"latitude", "longitude"',
        '"latitude"',
        at(6, "place", "needs two columns, latitude and longitude"),
    ),
    "a place of texts": (
        '"latitude", "longitude"',
        '"site", "longitude"',
        at(1, "", f"cannot be used: its place, the column site, {NO_KEY}"),
    ),
    "two roles": (
        '"title"',
        '"cell"',
        at(1, "", "cannot be used: a column has two of the roles key, name, latitude and longitude"),
    ),
    "an optional key": (
        '{type = "integer", minimum = 1',
        '{type = "integer", optional = true, minimum = 1',
        at(1, "", "cannot be used: its key, the column cell, is optional"),
    ),
    "a decimal key": (
        'key = "cell"',
        'key = "height"',
        at(1, "", "cannot be used: its key, the column height, is a Decimal, and must be integer, text or uuid"),
    ),
    "a number for a name": (
        '"title"',
        '"azimuth"',
        at(1, "", "cannot be used: its name, the column azimuth, is no column of texts"),
    ),
    "a long name": (
        'title = {type = "text"',
        'title = {type = "text", longest = 201',
        at(1, "", "cannot be used: its name, the column title, can have 201 characters; 200 fit"),
    ),
    "a default": (
        'title = {type = "text", optional = true',
        'title = {type = "text", default = "none"',
        at(10, "columns.title.default", "is for columns of feeds: optional lets a reference have no value"),
    ),
    "a column of validity": (
        "site = {",
        "valid_to = {",
        at(1, "", "cannot be used: a column cannot be named valid_to, which each reference has"),
    ),
    "case of numbers": (
        'name = "title"',
        'name = "title"\nignore_case = true',
        at(1, "", "cannot be used: it ignores case, and its key, the column cell, has no texts"),
    ),
    "an unknown feed": (
        "ipflow.cell_id",
        "ipflows.cell_id",
        at(3, "of[1]", "names no feed: did you mean ipflow?"),
    ),
    "an unknown column of a feed": (
        "ipflow.cell_id",
        "ipflow.cell",
        at(3, "of[1]", "names no column of a feed: did you mean cell_id?"),
    ),
    "no feed's column": (
        'of = ["ipflow.cell_id"]\n',
        "",
        at(
            3,
            "key",
            "is the column of no feed, so that of must name those that it describes; did you mean cell_id?",
        ),
    ),
    "another kind of key": (
        "ipflow.cell_id",
        "antenna.app",
        at(3, "of[1]", "names antenna.app, whose values are no keys: it is no integer as cell is"),
    ),
    "a type": (
        '{type = "date"',
        '{type = "dates"',
        at(
            15,
            "columns.installed.type",
            "must be one of integer, decimal, text, choice, postal_code, uuid, date, time_of_day, boolean, time; "
            "it is 'dates'",
        ),
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_reference_has_one_message_with_its_line(old: str, new: str, message: str | None):
    assert CELL.count(old) >= 1
    found = message_of(CELL.replace(old, new, 1))
    assert found == (
        message or "1.toml:1: references.Cell must be lower-case letters and digits, with single _ between them"
    )


def test_a_reference_that_ignores_case_describes_dimensions_that_do():
    named = "1.toml:3: references.operator.of[1] names coverage.operator, by which KPI"
    text = message_of(OPERATOR.replace("ignore_case = true\n", ""))
    assert text.startswith(named)
    assert text.endswith("groups in any case: set ignore_case = true")
    text = OPERATOR.replace("coverage.operator", "antenna.app")
    assert message_of(text).endswith("by which KPI 4 groups as it is written: leave ignore_case out")


def test_a_long_key_in_any_case_does_not_fit():
    problem = "its key, the column operator, can have 86 characters; 85 fit"
    assert message_of(OPERATOR.replace("longest = 80", "longest = 86")).endswith(problem)


def test_a_name_and_a_column_are_taken_once_over_all_files():
    assert message_of(CELL, CELL) == at(1, "", "is the name of another reference: choose another", file=2)
    other = CELL.replace("references.cell", "references.other")
    assert message_of(CELL, other) == (
        "2.toml:3: references.other.of[1] names ipflow.cell_id, which the reference cell describes"
    )
