"""A data contract by the Open Data Contract Standard, version 3.1: records and rejects in the lake, results of KPIs.

https://bitol-io.github.io/open-data-contract-standard/v3.1.0/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from blake3 import blake3

from kpis.catalog.columns import Choice, Decimal, Integer
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Fraction, Label, ResultColumn, WholeNumber
from kpis.contracts.selection import Selection
from kpis.contracts.servers import Server
from kpis.lake import HOUR_FOLDERS, archived_columns
from kpis.lake.tables import LakeColumn, LakeTable, records_table, rejects_table

API_VERSION = "v3.1.0"
Element = dict[str, Any]

# The standard's types by DuckDB's; decimals are numbers.
_LOGICAL_TYPES = {
    "VARCHAR": "string",
    "INTEGER": "integer",
    "BIGINT": "integer",
    "DOUBLE": "number",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "BOOLEAN": "boolean",
}
# Those that may be seen by holders of the permission kpis.view_personal alone.
PERSONAL = "restricted"


def document(selection: Selection, servers: Sequence[Server], tables: Mapping[int, str]) -> str:
    """Return the contract as YAML; ``tables`` names the tables of results by their KPIs' ids."""
    return yaml.safe_dump(contract(selection, servers, tables), sort_keys=False, allow_unicode=True, width=120)


def contract(selection: Selection, servers: Sequence[Server], tables: Mapping[int, str]) -> Element:
    """Return the contract of feeds and KPIs. Its version is a digest of its schema, so that it changes with that."""
    schema = [
        *(records(feed) for feed in selection.feeds),
        *(rejects(feed) for feed in selection.feeds),
        *(results(kpi, tables[kpi.id]) for kpi in selection.kpis),
    ]
    version = blake3(json.dumps(schema).encode()).hexdigest()[:12]
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": "network-analysis",
        "name": "Network Analysis",
        "version": version,
        "status": "active",
        "description": {
            "purpose": "KPIs of a mobile network per interval, from its raw records",
            "usage": "Records and rejects are files of the lake, results tables of the database, also read by the API",
            "limitations": "Records are kept of the feeds that are archived. Times are UTC. Data that is restricted "
            "needs the permission kpis.view_personal",
        },
        "servers": [*servers],
        "schema": schema,
    }


def records(feed: Feed) -> Element:
    """Return the schema object of a feed's records in the lake."""
    columns = dict(zip(archived_columns(feed), feed.record_columns, strict=True))
    table = records_table(feed)
    rules = [_text_rule(f"{check.column} {check.reason}: such a row is a reject") for check in feed.checks]
    properties = [_record_property(one, columns.get(one.name), feed) for one in table.columns]
    return _lake_object(table, properties, {"quality": rules} if rules else {})


def rejects(feed: Feed) -> Element:
    """Return the schema object of a feed's rejects in the lake."""
    table = rejects_table(feed)
    properties = [_lake_property(one) | {"required": True} for one in table.columns]
    for one in properties:
        if one["name"] == "text":
            one["classification"] = PERSONAL
    return _lake_object(table, properties, {})


def _lake_object(table: LakeTable, properties: list[Element], more: Element) -> Element:
    folders = [
        {"name": folder, "logicalType": "integer", "physicalType": "INTEGER", "required": True, "partitioned": True}
        | {"partitionKeyPosition": position, "description": f"{folder} of interval_start, UTC, from the folder's name"}
        for position, folder in enumerate(HOUR_FOLDERS, 1)
    ]
    return {
        "name": table.name,
        "physicalName": f"{table.folder}/{'/'.join(f'{folder}=*' for folder in HOUR_FOLDERS)}/*.parquet",
        "logicalType": "object",
        "physicalType": "parquet",
        "description": table.description,
        "customProperties": _custom(server="lake"),
        "properties": properties + folders,
    } | more


def _lake_property(column: LakeColumn) -> Element:
    found: Element = {"name": column.name, "logicalType": _logical_type(column.type), "physicalType": column.type}
    return found | ({"description": column.unit} if column.unit else {})


def _logical_type(type_: str) -> str:
    return "number" if type_.startswith("DECIMAL") else _LOGICAL_TYPES.get(type_, "string")


def _record_property(column: LakeColumn, of: Column | None, feed: Feed) -> Element:
    found = _lake_property(column)
    if of is None:
        return found | {"required": True}
    has_place = feed.place is not None and of.name in feed.place.columns
    found["required"] = not of.type.may_be_none and not has_place
    quality: list[Element] = []
    match of.type:
        case Integer():
            least, most = of.type.bounds
            beyond = 1 << (of.type.bits - 1)
            found["logicalTypeOptions"] = {"minimum": least, "maximum": most}
            quality += _range_rules(least if least > -beyond else None, most if most < beyond - 1 else None)
        case Decimal(minimum=least, maximum=most):
            found["logicalTypeOptions"] = {"minimum": least, "maximum": most}
            quality += _range_rules(least, most)
        case Choice(words=words):
            quality.append(_words_rule(words))
    if isinstance(of.type.result_type, Label) and found["logicalType"] == "string":
        found["logicalTypeOptions"] = {"maxLength": of.type.result_type.longest}
    if of.is_personal:
        found["classification"] = PERSONAL
    if of.derived is not None:
        found["transformLogic"] = of.derived.text
    custom = _custom(unit=of.unit, source=of.source, default=of.type.default_value)
    return found | ({"quality": quality} if quality else {}) | ({"customProperties": custom} if custom else {})


def results(kpi: KPI, table: str) -> Element:
    """Return the schema object of a KPI's results: ``table`` in the database, and rows of the API."""
    personal = {"classification": PERSONAL} if kpi.personal else {}
    group = [*kpi.dimensions, "interval_start_timestamp", "interval"]
    lengths = {length.code: f"{length}" for length in kpi.lengths}
    return {
        "name": kpi.name,
        "physicalName": table,
        "logicalType": "object",
        "physicalType": "table",
        "description": kpi.description,
        "dataGranularityDescription": f"{', '.join(kpi.dimensions)}, per interval of {', '.join(lengths.values())}",
        "customProperties": _custom(server="database", api=f"/api/KPIs/{kpi.id}/", kpiId=kpi.id, unit=kpi.unit),
        "properties": [
            _stored("id", "integer", "bigint") | {"primaryKey": True, "primaryKeyPosition": 1, "unique": True},
            _stored("interval_start_timestamp", "timestamp", "timestamp") | {"description": "UTC, included"},
            _stored("interval_end_timestamp", "timestamp", "timestamp") | {"description": "UTC, not included"},
            _stored("interval", "integer", "smallint")
            | {"description": "; ".join(f"{code}: {name}" for code, name in lengths.items())}
            | {"quality": [_words_rule([*lengths])]},
            *(_result_property(column, kpi) | personal for column in kpi.result_columns),
            _stored("rank", "integer", "integer") | {"logicalTypeOptions": {"minimum": 1}},
        ],
        "quality": [
            {
                "type": "library",
                "metric": "duplicateValues",
                "mustBe": 0,
                "description": "a group has one row an interval",
                "arguments": {"properties": group},
            }
        ],
    }


def _stored(name: str, logical: str, physical: str) -> Element:
    return {"name": name, "logicalType": logical, "physicalType": physical, "required": True}


def _result_property(column: ResultColumn, kpi: KPI) -> Element:
    match column.type:
        case Label(longest):
            found = _stored(column.name, "string", f"varchar({longest})")
            found["logicalTypeOptions"] = {"maxLength": longest}
        case WholeNumber(bits):
            found = _stored(column.name, "integer", "bigint" if bits == 64 else "integer")
        case Fraction():
            found = _stored(column.name, "number", "double precision")
    found["required"] = isinstance(column.type, Label) or not column.optional
    if column.help_text:
        found["description"] = column.help_text
    names = {"above": "exclusiveMinimum", "at_least": "minimum", "at_most": "maximum"}
    bounds = {key: bound for name, key in names.items() if isinstance(bound := getattr(column, name), int)}
    if bounds:
        found["logicalTypeOptions"] = bounds
    return found | ({"customProperties": _custom(unit=kpi.unit)} if column.name == kpi.value else {})


def _range_rules(least: int | None, most: int | None) -> list[Element]:
    """Return the rule that values are within bounds; none without a bound."""
    bounds = [("<", "less than", least), (">", "more than", most)]
    given = [(sign, words, bound) for sign, words, bound in bounds if bound is not None]
    if not given:
        return []
    outside = " OR ".join(f"{{property}} {sign} {bound}" for sign, _, bound in given)
    return [
        {
            "type": "sql",
            "description": f"no value is {' or '.join(f'{words} {bound}' for _, words, bound in given)}",
            "query": f"SELECT COUNT(*) FROM {{object}} WHERE {outside}",
            "mustBe": 0,
        }
    ]


def _words_rule(words: Iterable[str | int]) -> Element:
    return {"type": "library", "metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [*words]}}


def _text_rule(description: str) -> Element:
    return {"type": "text", "description": description}


def _custom(**values: Any) -> list[Element]:
    return [{"property": name, "value": value} for name, value in values.items() if value not in (None, "")]
