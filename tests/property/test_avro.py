"""Records made at random are the same as Avro messages, as an Avro file, and as the JSON that they would be."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from kpis.catalog.feeds import Feed
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.engine.reader import Reader
from kpis.formats.avro_files import UNPACKERS
from kpis.formats.avro_schemas import schemas_at
from kpis.sources.spool import Spool
from tests import avro_bytes as avro
from tests.effort import times

ROUNDS = times("AVRO_ROUNDS", 10, 300)
NOON = 1_772_366_400
CATALOG = """
[feeds.trial]
description = "Trial"
files = ["trial_*"]
format = {type = "FORMAT"SCHEMAS}
time = {column = "begin"}

[feeds.trial.columns]
begin = {type = "time", format = "unix_s", header = "when.begin"}
"""
TEXTS = ["", "a", "é ü", 'quo"te', "a,b", "a\\b", "tab\there", "line\nend", "nul\0", "x" * 120, " spaces ", "null"]


def field(chance: random.Random, name: str) -> tuple[str, Any, list[Any]]:
    """A column of a catalog file at random, its type in Avro, and values, most of which it accepts."""
    optional = chance.random() < 0.5
    said = f", optional = {'true' if optional else 'false'}, header = '{name}'"
    column, type_, values = chance.choice(
        [
            ('type = "integer"', "long", [0, 1, -1, 2**63 - 1, -(2**63), 7]),
            ('type = "integer", minimum = 0, bits = 32', "int", [0, 1, -1, 2**31 - 1, 99]),
            ('type = "decimal"', "double", [0.0, 0.1, -1.5, 1e11, 1e12, 1e-9, 123456.789]),
            ('type = "text", longest = 20', "string", TEXTS),
            ('type = "boolean"', "boolean", [True, False]),
            (
                'type = "choice", words = ["VOICE", "DATA"]',
                {"type": "enum", "name": f"E{name[-1]}", "symbols": ["VOICE", "data", "OTHER"]},
                ["VOICE", "data", "OTHER"],
            ),
        ]
    )
    if optional or chance.random() < 0.3:
        type_ = chance.choice([["null", type_], [type_, "null"]])
        values = [*values, None]
    return f"{{{column}{said}}}", type_, values


def trial(chance: random.Random) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """The columns of a feed, the schema of its records, and records, in which some fields are no columns."""
    columns, fields, kinds = [], [], {}
    for number in range(chance.randrange(1, 6)):
        name = f"f{number}"
        column, type_, values = field(chance, name)
        columns.append(f"c{number} = {column}")
        fields.append({"name": name, "type": type_})
        kinds[name] = values
    when = {"type": "record", "name": "When", "fields": [{"name": "begin", "type": "long"}]}
    schema = {
        "type": "record",
        "name": "Trial",
        "fields": [{"name": "when", "type": when}, *fields, {"name": "more", "type": {"type": "map", "values": "int"}}],
    }
    records = [
        {
            "when": {"begin": chance.choice([NOON + chance.randrange(7200)] * 20 + [0, -5, 2**40])},
            **{name: chance.choice(values) for name, values in kinds.items()},
            "more": {"x": 1} if chance.random() < 0.5 else {},
        }
        for _ in range(chance.randrange(1, 200))
    ]
    return "\n".join(columns), schema, records


def declared(columns: str, format: str, folder: Path) -> Feed:
    schemas = ', schemas = "schemas"' if format == "avro" else ""
    text = CATALOG.replace("FORMAT", format).replace("SCHEMAS", schemas) + columns
    (feed,) = parsed([parse(text.encode(), folder / "catalog.toml")], {}, ()).feeds.values()
    return feed


def read(path: Path, feed: Feed) -> tuple[list[tuple], list[tuple]]:
    with duckdb.connect() as connection:
        Reader(connection).read(path, feed)
        columns = ", ".join(feed.column_names)
        return (
            connection.execute(f"SELECT {columns} FROM records ORDER BY ALL").fetchall(),
            connection.execute("FROM rejects ORDER BY line").fetchall(),
        )


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_avro_is_read_as_the_json_that_it_would_be(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311
    columns, schema, records = trial(chance)
    feed, lines = declared(columns, "avro", tmp_path), declared(columns, "json_lines", tmp_path)
    # Of the columns alone, as rejects show them.
    shown = [{name: value for name, value in record.items() if name != "more"} for record in records]
    (tmp_path / "lines").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in shown))
    expected = read(tmp_path / "lines", lines)
    assert len(expected[0]) + len(expected[1]) == len(records)
    contents = [avro.encoded(schema, record) for record in records]
    codec, rows = chance.choice(list(UNPACKERS)), chance.choice([1, 7, 1000])
    (tmp_path / "file").write_bytes(avro.file(schema, contents, codec, rows))
    assert read(tmp_path / "file", feed) == expected
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "5.avsc").write_text(json.dumps(schema))
    schemas_at.cache_clear()
    spool = Spool(feed, tmp_path / "spool")
    spool.add(range(1, len(contents) + 1), [avro.message(5, content) for content in contents])
    batch = spool.messages("trial", 0, None)
    assert batch.rejects == []
    assert read(batch.path, feed.of_messages) == expected
