"""Avro, as messages and files: what each kind of value becomes, and why a message or a file cannot be read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from blake3 import blake3

from kpis.catalog.feeds import Feed
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.formats import Avro
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.formats import avro_files
from kpis.formats.avro_schemas import folder_texts, schemas_at, use_texts
from kpis.formats.bounds import FileError
from kpis.sources.directory import SourceLost
from kpis.sources.spool import Spool
from tests import avro_bytes as avro

CATALOG = """
[feeds.cells]
description = "Cell counters"
files = ["cells_*"]
format = {type = "avro", schemas = "schemas"}
time = {column = "begin"}

[feeds.cells.columns]
begin = {type = "time", format = "iso"}
cell = {type = "integer", minimum = 1, header = "radio.cell.id"}
name = {type = "text", optional = true}
load = {type = "decimal", optional = true, minimum = 0}
"""
RADIO = {
    "type": "record",
    "name": "Radio",
    "fields": [
        {"name": "vendor", "type": {"type": "enum", "name": "Vendor", "symbols": ["A", "B"]}},
        {"name": "cell", "type": {"type": "record", "name": "Cell", "fields": [{"name": "id", "type": "int"}]}},
    ],
}
SCHEMA = {
    "type": "record",
    "name": "Counter",
    "fields": [
        {"name": "begin", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "radio", "type": RADIO},
        {"name": "name", "type": ["null", "string"]},
        {"name": "load", "type": ["double", "null"]},
        {"name": "neighbours", "type": {"type": "array", "items": "int"}},
    ],
}
# 2026-03-01T12:00:00Z
NOON = 1_772_366_400_000


def record(
    begin: int = NOON, cell: int = 17, name: str | None = "north", load: float | None = 0.5, vendor: str = "B"
) -> bytes:
    values = {"begin": begin, "radio": {"vendor": vendor, "cell": {"id": cell}}, "name": name, "load": load}
    return avro.encoded(SCHEMA, {**values, "neighbours": [1, 2]})


def declared(text: str, folder: Path) -> Feed:
    (feed,) = parsed([parse(text.encode(), folder / "catalog.toml")], {}, ()).feeds.values()
    return feed


@pytest.fixture(autouse=True)
def nothing_known():
    schemas_at.cache_clear()
    yield
    use_texts({})
    schemas_at.cache_clear()


@pytest.fixture
def feed(tmp_path) -> Feed:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "7.avsc").write_text(json.dumps(SCHEMA))
    return declared(CATALOG, tmp_path)


def of_messages(feed: Feed, messages: list[bytes | None], folder: Path) -> tuple[list[tuple], list[tuple]]:
    """The records and rejects of messages with the offsets 1, 2, ..."""
    spool = Spool(feed, folder / "messages")
    spool.add(range(1, len(messages) + 1), messages)
    batch = spool.messages("cells", 0, None)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(batch.path, feed.of_messages)
        records = connection.execute(f"SELECT {', '.join(feed.column_names)} FROM records ORDER BY ALL").fetchall()
        batch.completed(reading, lambda: connection)
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    scanned = scan(batch.path, feed.of_messages, [])
    assert scanned is not None
    assert scanned.reading == reading
    return records, rejects


def of_file(path: Path, feed: Feed) -> tuple[list[tuple], list[tuple]]:
    """The records and rejects of a file, on which the bulk reader and the scanner agree."""
    with duckdb.connect() as connection:
        reading = Reader(connection).read(path, feed)
        records = connection.execute(f"SELECT {', '.join(feed.column_names)} FROM records ORDER BY ALL").fetchall()
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    scanned = scan(path, feed, [])
    assert scanned is not None
    assert (scanned.reading, scanned.rejects) == (reading, rejects)
    assert reading.digest == blake3(path.read_bytes()).hexdigest()
    return records, rejects


def test_a_message_that_was_written_byte_by_byte(tmp_path, feed):
    # Zigzag doubles: 3544732800000 is 0x67, 0x15, 0x14, 0x28, 0x28, 0x00 in sevens of bits; 17 becomes 34; B is the
    # second symbol.
    begin = bytes([0x80, 0xA8, 0xA8, 0x94, 0x95, 0x67])
    content = begin + b"\x02\x22" + b"\x02\x0anorth" + b"\x00" + struct.pack("<d", 0.5) + b"\x04\x02\x04\x00"
    assert content == record()
    (found,), rejects = of_messages(feed, [b"\x00\x00\x00\x00\x07" + content], tmp_path)
    assert f"{found[0]}" == "2026-03-01 12:00:00"
    assert (*found[1:3], float(found[3]), rejects) == (17, "north", 0.5, [])


def test_messages_that_are_no_records_are_rejects_with_their_offsets(tmp_path, feed):
    good = record()
    messages = [
        avro.message(7, good),
        avro.message(7, record(cell=0)),
        b"",
        b"{}",
        b"\x01\0\0\0\7" + good,
        avro.message(8, good),
        avro.message(7, good[:-1]),
        avro.message(7, good + b"\0"),
        avro.message(7, record(load=float("nan"))),
        None,
        avro.message(7, good.replace(b"north", b"nor\xff\xfe")),
        avro.message(7, good.replace(b"\x02\x22", b"\x08\x22", 1)),
        avro.message(7, record(name="a\nb")),
    ]
    records, rejects = of_messages(feed, messages, tmp_path)
    assert len(records) == 1
    line = '{"begin":"2026-03-01T12:00:00Z","radio":{"cell":{"id":17}},"name":%s,"load":0.5}'
    header = "does not begin with a zero byte and the id of its schema in four"
    assert [(*one[:3], "") if one[3].startswith("\\x0") else one for one in rejects] == [
        (2, "cell", "is less than 1", (line % '"north"').replace("17", "0")),
        (3, "", header, ""),
        (4, "", header, "{}"),
        (5, "", header, "\x01" + rejects[3][3][1:]),
        (6, "", f"has the schema 8, and {tmp_path}/schemas has no file 8.avsc", ""),
        (7, "", "ends in the middle of its record, by the schema 7", ""),
        (8, "", "goes on after its record, by the schema 7", ""),
        (
            9,
            "load",
            "is not a finite number",
            '{"begin":"2026-03-01 12:00:00+00:00","radio":{"vendor":"B","cell":{"id":17}},"name":"north","load":NaN,'
            '"neighbours":[1,2]}',
        ),
        (10, "", "is null", ""),
        (
            11,
            "",
            "cannot be read by the schema 7: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 3: "
            "invalid start byte",
            "",
        ),
        (12, "", "cannot be read by the schema 7: IndexError: list index out of range", ""),
        (13, "name", "holds a control character", line % '"a\\nb"'),
    ]


def logical(kind: str, logical_type: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": logical_type, **more}


NOON_MICRO, ID = NOON * 1000, "6f9619ff-8b86-d011-b42d-00c04fc964ff"
MILLIS, MICROS = logical("long", "timestamp-millis"), logical("long", "timestamp-micros")
LOCAL = logical("long", "local-timestamp-millis")
ISO, MADRID = 'type = "time", format = "iso"', 'type = "time", format = "iso", zone = "Europe/Madrid"'
UNIX = 'type = "time", format = "unix_%s"'
# By the type of a column: a type of Avro, a value of it, and the record's value or the reason of a reject.
VALUES: list[tuple[str, Any, bytes, str]] = [
    (ISO, MILLIS, avro.number(NOON + 1), "2026-03-01 12:00:00.001000"),
    (ISO, MICROS, avro.number(NOON_MICRO + 1), "2026-03-01 12:00:00.000001"),
    (MADRID, MILLIS, avro.number(NOON), "2026-03-01 12:00:00"),
    (MADRID, LOCAL, avro.number(NOON), "2026-03-01 11:00:00"),
    (UNIX % "ms", MILLIS, avro.number(NOON + 1), "2026-03-01 12:00:00.001000"),
    (UNIX % "ms", MICROS, avro.number(NOON_MICRO + 1999), "2026-03-01 12:00:00.001000"),
    (UNIX % "s", MICROS, avro.number(NOON_MICRO + 5), "2026-03-01 12:00:00.000005"),
    (UNIX % "us", "long", avro.number(NOON_MICRO + 5), "2026-03-01 12:00:00.000005"),
    (UNIX % "ms", MILLIS, avro.number(2**60), "cannot be read by the schema 9: OverflowError: "),
    ('type = "date"', logical("int", "date"), avro.number(20_513), "2026-03-01"),
    ('type = "date"', MILLIS, avro.number(NOON - 43_200_000), "2026-03-01"),
    ('type = "date"', MILLIS, avro.number(NOON), "is not a day such as 2017-03-01"),
    ('type = "time_of_day"', logical("int", "time-millis"), avro.number(43_200_000), "12:00:00"),
    ('type = "time_of_day"', logical("long", "time-micros"), avro.number(43_201_000_000), "12:00:01"),
    ('type = "decimal"', logical("bytes", "decimal", precision=9, scale=2), avro.text(b"\xfe\xd4"), "-3.000000"),
    ('type = "decimal"', logical("fixed", "decimal", name="F", size=2, precision=4, scale=3), b"\x04\xd2", "1.234000"),
    ('type = "decimal"', "float", struct.pack("<f", 0.1), "0.100000"),
    ('type = "decimal"', "double", struct.pack("<d", float("inf")), "is not a finite number"),
    ('type = "decimal"', "double", struct.pack("<d", 1e300), "is not a decimal number"),
    ('type = "integer"', "long", avro.number(-(2**63)), f"{-(2**63)}"),
    ('type = "integer"', logical("bytes", "decimal", precision=20), avro.text(b"\x7f" * 8), f"{0x7F7F_7F7F_7F7F_7F7F}"),
    ('type = "integer"', "double", struct.pack("<d", 5.0), "is not a whole number"),
    ('type = "integer", scientific = true', "double", struct.pack("<d", 5.0), "5"),
    ('type = "integer"', "boolean", b"\1", "is not a whole number"),
    ('type = "integer"', "string", avro.text("5"), "is not a whole number"),
    ('type = "uuid"', logical("string", "uuid"), avro.text(ID), ID),
    ('type = "boolean"', "boolean", b"\1", "True"),
    ('type = "choice", words = ["VOICE", "DATA"]', {"type": "enum", "name": "E", "symbols": ["DATA"]}, b"\0", "DATA"),
    ('type = "text"', "bytes", avro.text("é"), "é"),
    ('type = "text"', "bytes", avro.text(b"\xff"), "holds bytes that are not valid UTF-8"),
    ('type = "text"', {"type": "fixed", "name": "F", "size": 2}, b"ab", "ab"),
    ('type = "text"', "int", b"\2", "is not a text"),
    ('type = "text"', {"type": "array", "items": "int"}, b"\0", "is a record, a map or a list"),
    ('type = "text"', {"type": "map", "values": "int"}, b"\0", "is a record, a map or a list"),
    ('type = "text"', "null", b"", "is not a text"),
    ('type = "text", optional = true', ["null", "string"], b"\0", "None"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "type_", "content", "expected"), VALUES)
def test_each_kind_of_value_has_one_outcome(tmp_path, column, type_, content, expected):
    schema = {"type": "record", "name": "R", "fields": [{"name": "t", "type": "long"}, {"name": "v", "type": type_}]}
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "9.avsc").write_text(json.dumps(schema))
    columns = f'begin = {{type = "time", format = "unix_ms", header = "t"}}\nv = {{{column}}}\n'
    feed = declared(CATALOG.partition("begin = {type")[0] + columns, tmp_path)
    records, rejects = of_messages(feed, [avro.message(9, avro.number(NOON) + content)], tmp_path)
    if records:
        assert (f"{records[0][1]}", rejects) == (expected, [])
    else:
        assert rejects[0][2].startswith(expected)
        assert rejects[0][1] in ("v", "" if "schema 9" in expected else "v")


def test_files_have_the_same_records_in_every_codec(tmp_path, feed):
    rows = [record(NOON + n * 1000, n, f"cell {n}" if n % 3 else None, n / 4) for n in range(1_000)]
    found = {}
    for codec in avro_files.UNPACKERS:
        path = tmp_path / f"cells_{codec}.avro"
        path.write_bytes(avro.file(SCHEMA, rows, codec))
        found[codec] = of_file(path, feed)
    records, rejects = found["null"]
    assert len(records) == 999
    assert [one[:3] for one in rejects] == [(1, "cell", "is less than 1")]
    assert set(found) == {"null", "deflate", "snappy", "zstandard", "bzip2", "xz"}
    assert all(one == found["null"] for one in found.values())
    assert of_messages(feed, [avro.message(7, row) for row in rows], tmp_path) == found["null"]


def test_a_file_without_rows_has_none(tmp_path, feed):
    path = tmp_path / "cells_1.avro"
    path.write_bytes(avro.header(SCHEMA))
    assert of_file(path, feed) == ([], [])


def test_a_file_that_is_cut_off_fails_wherever_it_is_cut(tmp_path, feed):
    path = tmp_path / "cells_1.avro"
    content = avro.file(SCHEMA, [record()] * 4, rows_a_block=2)
    start, block = len(avro.header(SCHEMA)), len(avro.block([record()] * 2))
    whole = {start: 0, start + block: 2, start + 2 * block: 4}
    edges = {edge + step for edge in whole for step in (-1, 0, 1) if edge + step <= len(content)}
    for end in sorted({*range(0, len(content), 11), *edges}):
        path.write_bytes(content[:end])
        if end in whole:
            # No one can tell that there were more blocks.
            assert len(of_file(path, feed)[0]) == whole[end]
        else:
            reason = failure(path, feed)
            assert reason in ("is empty", "ends in the middle of its Avro data") or reason.startswith("is no Avro file")


def failure(path: Path, feed: Feed) -> str:
    assert scan(path, feed, []) is None
    with duckdb.connect() as connection, pytest.raises(FileError) as error:
        Reader(connection).read(path, feed)
    assert not error.value.passing
    return f"{error.value}"


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "other": (lambda: b"PAR1" + bytes(20), "is no Avro file: it does not begin with Obj and a byte 1"),
    "marker": (
        lambda: avro.file(SCHEMA, [record()])[:-1] + b"\xff",
        "holds damaged Avro data: a block does not end with the file's marker",
    ),
    "codec": (
        lambda: avro.header(SCHEMA, "lzo"),
        "is compressed with lzo, which is none of null, deflate, snappy, zstandard, bzip2, xz",
    ),
    "schema": (lambda: avro.header({"type": "recrd"}), "has a schema that is no Avro schema: UnknownType: "),
    "no record": (lambda: avro.header("int"), "has a schema that is none of records"),
    "row": (
        lambda: avro.header(SCHEMA) + avro.block([record(), record()[:-3]]),
        "holds damaged Avro data in row 2: EOFError",
    ),
    "more in a block": (
        lambda: avro.header(SCHEMA) + avro.block([record() + b"\0"]),
        "holds damaged Avro data: a block goes on after row 1",
    ),
    "more rows than bytes": (
        lambda: avro.header(SCHEMA) + avro.number(2**40) + avro.text(b"ab") + avro.MARKER,
        "holds damaged Avro data: a block has more rows than bytes",
    ),
    "a length of many bytes": (
        lambda: avro.header(SCHEMA) + b"\2" + avro.number(2**62),
        "has a block of more than 67,108,864 bytes",
    ),
    "a length below zero": (lambda: avro.header(SCHEMA) + b"\2\1", "holds damaged Avro data: a length is negative"),
    "a number without end": (
        lambda: avro.header(SCHEMA) + b"\xff" * 11,
        "holds damaged Avro data: a number has more than 64 bits",
    ),
    "deflate": (
        lambda: avro.header(SCHEMA, "deflate") + b"\2" + avro.text(b"\xff\xff\xff") + avro.MARKER,
        "holds damaged deflate data: ",
    ),
    "checksum": (
        lambda: (
            avro.header(SCHEMA, "snappy") + b"\2" + avro.text(avro.packed(b"ab", "snappy")[:-1] + b"!") + avro.MARKER
        ),
        "holds damaged snappy data: its checksum differs",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_fails_with_what_is_wrong(tmp_path, feed, kind):
    make, reason = DAMAGED[kind]
    path = tmp_path / "cells_1.avro"
    path.write_bytes(make())
    assert failure(path, feed).startswith(reason)


@pytest.mark.parametrize("codec", ["deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_a_block_that_unpacks_to_much_more_is_not_unpacked(tmp_path, feed, codec, monkeypatch):
    monkeypatch.setattr(avro_files, "LARGEST_BLOCK_BYTES", 2**20)
    monkeypatch.setattr(avro_files, "TOO_LARGE", "has too large a block")
    path = tmp_path / "cells_1.avro"
    path.write_bytes(avro.header(SCHEMA, codec) + b"\2" + avro.text(avro.packed(bytes(2**22), codec)) + avro.MARKER)
    assert failure(path, feed) == "has too large a block"


def test_a_folder_that_is_not_there_stops_the_stream(tmp_path, feed):
    (tmp_path / "schemas").rename(tmp_path / "moved")
    spool = Spool(feed, tmp_path / "messages")
    with pytest.raises(SourceLost, match=rf"The folder of Avro schemas {tmp_path}/schemas is not there\."):
        spool.add([1], [avro.message(7, record())])
    spool.discard()


def test_another_process_uses_the_texts_of_the_folder(tmp_path, feed):
    texts = json.loads(json.dumps(folder_texts([feed])))
    (tmp_path / "schemas").rename(tmp_path / "moved")
    use_texts(texts)
    records, rejects = of_messages(feed, [avro.message(7, record()), avro.message(8, record())], tmp_path)
    assert len(records) == 1
    assert rejects[0][:3] == (2, "", f"has the schema 8, and {tmp_path}/schemas has no file 8.avsc")


def test_a_schema_that_cannot_be_used_is_the_reason_of_a_reject(tmp_path, feed):
    for number, content in ((1, b"{"), (2, b'"long"'), (3, b"\xff"), (4, b'{"type": "record"}')):
        (tmp_path / "schemas" / f"{number}.avsc").write_bytes(content)
    _, rejects = of_messages(feed, [avro.message(number, record()) for number in range(1, 5)], tmp_path)
    assert [reason.partition(": ")[0] for _, _, reason, _ in rejects] == [
        "has the schema 1, which is no Avro schema",
        "has the schema 2, which is none of records",
        "has the schema 3, whose file 3.avsc is not valid UTF-8",
        "has the schema 4, which is no Avro schema",
    ]


def test_without_schemas_only_files_can_be_read(tmp_path):
    feed = declared(CATALOG.replace(', schemas = "schemas"', ""), tmp_path)
    assert (feed.format, feed.is_streamable, feed.endings) == (Avro(), False, (".avro",))
    path = tmp_path / "cells_1.avro"
    path.write_bytes(avro.file(SCHEMA, [record()]))
    assert len(of_file(path, feed)[0]) == 1


@pytest.mark.parametrize(
    ("schemas", "problem"),
    [
        ("http://", "the address of the schema registry has no host"),
        ("http://user:secret@registry:8081", "the address of the schema registry has an account: give it in"),
        ("https://registry/?a=b", "the address of the schema registry ends in more than a path"),
        ("ftp://registry/", "the schemas are neither in a folder nor at an http or https address"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(tmp_path, schemas, problem):
    with pytest.raises(CatalogError) as error:
        declared(CATALOG.replace('"schemas"', f'"{schemas}"'), tmp_path)
    assert f"catalog.toml:5: feeds.cells.format cannot be used: {problem}" in f"{error.value}"
