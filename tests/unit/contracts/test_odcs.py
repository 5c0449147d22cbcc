"""The data contract: what the standard requires, and what the catalog says of columns."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from kpis.catalog.builtin.antenna import USER_TRAFFIC_VOLUME
from kpis.catalog.builtin.coverage import COVERAGE, OPERATOR_SIGNAL
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.registry import FEEDS, KPIS
from kpis.contracts.odcs import contract, document
from kpis.contracts.selection import Selection, select
from kpis.contracts.servers import api_server, database_server, lake_server
from kpis.storage import BucketAddress

TABLES = {number: f"kpis_{kpi.name.lower()}" for number, kpi in KPIS.items()}
# Of the JSON Schema of version 3.1.0: the keys that an element may have.
ELEMENT = {"name", "physicalName", "physicalType", "logicalType", "description", "customProperties", "quality"}
OBJECT = ELEMENT | {"dataGranularityDescription", "properties"}
PROPERTY = ELEMENT | {
    "required", "unique", "primaryKey", "primaryKeyPosition", "partitioned", "partitionKeyPosition", "classification",
    "logicalTypeOptions", "transformLogic",
}  # fmt: skip
TYPES = {"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"}
OPTIONS = {
    "string": {"maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum"},
    "number": {"minimum", "maximum", "exclusiveMinimum"},
}
RULE = {"type", "description", "metric", "mustBe", "arguments", "query"}


def made(*names: str) -> dict:
    return yaml.safe_load(document(select(names), [lake_server(Path("/lake"))], TABLES))


def property_of(element: dict, name: str) -> dict:
    return next(one for one in element["properties"] if one["name"] == name)


def test_the_contract_has_the_structure_that_the_standard_requires():
    found = made()
    assert {key: found[key] for key in ("apiVersion", "kind", "id", "status")} == {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "network-analysis",
        "status": "active",
    }
    names = [element["name"] for element in found["schema"]]
    assert names == [*FEEDS, *(f"{name}_rejects" for name in FEEDS), *(kpi.name for kpi in KPIS.values())]
    for element in found["schema"]:
        assert set(element) <= OBJECT
        for one in element["properties"]:
            assert set(one) <= PROPERTY
            assert one["logicalType"] in TYPES
            assert set(one.get("logicalTypeOptions", ())) <= OPTIONS.get(one["logicalType"], set()), one
        for rule in [
            *element.get("quality", ()),
            *(rule for one in element["properties"] for rule in one.get("quality", ())),
        ]:
            assert set(rule) <= RULE
            assert rule["type"] in ("text", "sql", "library")


def test_records_have_types_bounds_units_and_personal_columns():
    ipflow, rejects = made("ipflow")["schema"]
    assert ipflow["physicalName"] == "records/ipflow/year=*/month=*/day=*/hour=*/*.parquet"
    assert property_of(ipflow, "msisdn") == {
        "name": "msisdn",
        "logicalType": "integer",
        "physicalType": "BIGINT",
        "description": "1 or more",
        "required": True,
        "logicalTypeOptions": {"minimum": 1, "maximum": 2**63 - 1},
        "classification": "restricted",
        "quality": [
            {
                "type": "sql",
                "description": "no value is less than 1",
                "query": "SELECT COUNT(*) FROM {object} WHERE {property} < 1",
                "mustBe": 0,
            }
        ],
    }
    assert property_of(ipflow, "bytes_uplink")["customProperties"] == [{"property": "unit", "value": "bytes"}]
    assert [rule["description"] for rule in ipflow["quality"]] == [
        f"{check.column} {check.reason}: such a row is a reject" for check in IPFLOW.checks
    ]
    assert {one["name"]: one.get("classification") for one in rejects["properties"]}["text"] == "restricted"


def test_a_place_and_an_optional_column_may_be_missing_and_words_are_listed():
    coverage, _ = made(COVERAGE.name)["schema"]
    required = {one["name"]: one["required"] for one in coverage["properties"]}
    assert (required["lat"], required["signal"], required["hour"]) == (False, False, True)
    cdr, _ = made("cdr")["schema"]
    assert [rule for one in cdr["properties"] for rule in one.get("quality", ()) if rule["type"] == "library"] == [
        {"type": "library", "metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["CALL", "TEXT"]}}
    ]


def test_results_have_the_table_the_group_and_the_bounds():
    (signal,) = made(OPERATOR_SIGNAL.name)["schema"]
    assert signal["physicalName"] == "kpis_operatorsignal"
    assert signal["quality"][0]["arguments"] == {"properties": ["operator", "interval_start_timestamp", "interval"]}
    average, samples = (property_of(signal, name) for name in ("average_signal", "number_of_samples"))
    assert (average["logicalType"], average["physicalType"], average["required"]) == (
        "number",
        "double precision",
        False,
    )
    assert samples["logicalTypeOptions"] == {"minimum": 0}
    assert property_of(signal, "interval")["quality"][0]["arguments"] == {"validValues": [1, 2]}
    (traffic,) = made(USER_TRAFFIC_VOLUME.name)["schema"]
    assert property_of(traffic, "user_id")["classification"] == "restricted"


def test_its_version_changes_with_the_schema_alone():
    one, other = (contract(select(["ipflow"]), servers, TABLES)["version"] for servers in ([], [{"server": "x"}]))
    assert one == other != contract(select(["cdr"]), [], TABLES)["version"]
    assert re.fullmatch("[0-9a-f]{12}", one)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (
            database_server("postgresql", "na", "db", ""),
            {"type": "postgresql", "host": "db", "port": 5432, "database": "na", "schema": "public"},
        ),
        (
            database_server("mysql", "na", "", "3399"),
            {"type": "mysql", "host": "localhost", "port": 3399, "database": "na"},
        ),
        (database_server("sqlite", "/x.sqlite3", "", ""), {"type": "custom", "path": "/x.sqlite3", "format": "sqlite"}),
        (lake_server(Path("/lake")), {"type": "local", "path": "/lake", "format": "parquet"}),
        (
            lake_server(BucketAddress.parsed("s3://bucket/lake"), "http://key:secret@store:9000"),
            {"type": "s3", "location": "s3://bucket/lake", "format": "parquet", "endpointUrl": "http://store:9000"},
        ),
        (
            api_server("https://user:secret@kpis.example/x/"),
            {"type": "api", "location": "https://kpis.example/x/api/KPIs/"},
        ),
    ],
)
def test_a_server_is_named_without_secrets(server, expected):
    assert {key: value for key, value in server.items() if key not in ("server", "description")} == expected
    assert "secret" not in json.dumps(server)


def test_nothing_is_selected_twice():
    assert select(["ServiceTrafficVolume", "1", "ipflow", "ipflow"]) == Selection((IPFLOW,), (KPIS[1],))
