"""JSON Schema of the API's rows, and of built-in feeds' records."""

from __future__ import annotations

import json
from operator import attrgetter

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from kpis.catalog.registry import FEEDS, KPIS
from kpis.contracts.json_schema import bundle, documents, record_schema, row_schema
from kpis.contracts.selection import select
from tests.factories import MIDNIGHT, make_result, make_user


@pytest.mark.django_db
@pytest.mark.sqlite_alone
@pytest.mark.parametrize("kpi", KPIS.values(), ids=attrgetter("name"))
def test_a_row_of_the_api_is_valid(client, kpi):
    client.force_login(make_user("view_personal"))
    made = make_result(kpi, MIDNIGHT, 1, kpi.lengths[0])
    (row,) = client.get(f"/api/KPIs/{kpi.id}/", {"interval": kpi.lengths[0].code}).json()
    validator = Draft202012Validator(row_schema(kpi), format_checker=FormatChecker())
    assert list(validator.iter_errors(row)) == []
    for wrong in ({"rank": 0}, {"interval": 99}, {kpi.value: "1"}, dict.fromkeys(kpi.dimensions, None)):
        assert not validator.is_valid(row | wrong), (made, wrong)
    assert not validator.is_valid({name: value for name, value in row.items() if name != kpi.value})
    assert validator.is_valid(row | {"added_later": 1})


def test_a_record_has_types_ranges_words_and_units():
    schema = record_schema(FEEDS["cdr"])
    assert schema["properties"]["Type"]["anyOf"][0] == {"enum": ["CALL", "TEXT"]}
    volume = record_schema(FEEDS["ipflow"])["properties"]["bytes_uplink"]
    assert volume == {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**63 - 1,
        "description": "bytes; 0 or more",
        "x-unit": "bytes",
    }
    assert "additionalProperties" not in schema


def test_a_document_is_of_one_or_has_all_by_name():
    assert bundle(select(["cdr"])) == documents(select(["cdr"]))["cdr"]
    all_of_them = bundle(select([]))
    assert list(all_of_them["$defs"]) == [*FEEDS, *(kpi.name for kpi in KPIS.values())]
    for one in (all_of_them, *documents(select([])).values()):
        Draft202012Validator.check_schema(one)
        json.dumps(one)
