"""Avro: records of messages and files as lines of JSON.

A message is in the wire format of Confluent's schema registry: a zero byte, the id of the schema in four bytes, and the
record. A value becomes what JSON lines would have for its column: a time its ISO text or its Unix time, a decimal its
digits, bytes their text in UTF-8. What the feed's columns do not name is left out.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal as Number
from functools import partial
from typing import Any, BinaryIO
from uuid import UUID

import orjson

from kpis.catalog.columns import Date, Integer, UnixTimestamp
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.formats import Avro
from kpis.catalog.intervals import EPOCH
from kpis.catalog.plugin_formats import Refusal, Rows
from kpis.formats.avro_files import records_of
from kpis.formats.avro_schemas import UnknownSchema, schemas_at
from kpis.formats.decoded import Decoded

HEADER_BYTES = 5
_MICROSECOND = timedelta(microseconds=1)
# By key: what a value becomes, or the same of a record within.
Tree = dict[str, Any]


class _Refused(Exception):
    """A value that no column can hold."""

    def __init__(self, column: Column, reason: str):
        super().__init__(reason)
        self.refusal = Refusal(reason, column.name)


def avro_of(feed: Feed, format: Avro) -> Decoded:
    """Return how the files and messages of a feed in Avro are decoded."""
    tree = _tree(feed.columns)
    line = partial(_message, tree, format.schemas) if format.schemas else None
    return Decoded("Avro", format.lines, partial(_rows, tree), line)


def _rows(tree: Tree, file: BinaryIO) -> Iterator[Rows]:
    for record in records_of(file):
        yield _line(record, tree)


def _message(tree: Tree, place: str, message: bytes) -> Rows:
    """Return a message's record as a line; raises DecoderUnavailable if its schema cannot be had now."""
    if len(message) < HEADER_BYTES or message[0]:
        return Refusal("does not begin with a zero byte and the id of its schema in four")
    number = int.from_bytes(message[1:HEADER_BYTES], "big")
    try:
        schema = schemas_at(place).of(number)
    except UnknownSchema as error:
        return Refusal(f"{error}")
    from fastavro import schemaless_reader

    content = io.BytesIO(message)
    content.seek(HEADER_BYTES)
    try:
        record: Any = schemaless_reader(content, schema, None)
    except EOFError:
        return Refusal(f"ends in the middle of its record, by the schema {number}")
    except MemoryError:
        raise
    except Exception as error:
        return Refusal(f"cannot be read by the schema {number}: {type(error).__name__}: {error}")
    if content.tell() != len(message):
        return Refusal(f"goes on after its record, by the schema {number}")
    return _line(record, tree)


def _line(record: Mapping[str, Any], tree: Tree) -> Rows:
    try:
        return orjson.dumps(_chosen(record, tree), option=orjson.OPT_APPEND_NEWLINE)
    except _Refused as error:
        refusal = error.refusal
    shown = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str)
    return Refusal(refusal.reason, refusal.column, shown)


def _chosen(record: Mapping[str, Any], tree: Tree) -> dict[str, Any]:
    """Return the values of a record that columns name, as JSON has them."""
    found: dict[str, Any] = {}
    for key, inner in tree.items():
        if key in record:
            value = record[key]
            if type(inner) is not dict:
                found[key] = inner(value)
            else:
                found[key] = _chosen(value, inner) if isinstance(value, dict) else None
    return found


def _tree(columns: Sequence[Column]) -> Tree:
    """Return what the values at the columns' paths become."""
    tree: Tree = {}
    for column in columns:
        for name in column.names_in_files:
            *before, last = name.split(".")
            inner = tree
            for key in before:
                if type(inner.get(key)) is not dict:
                    inner[key] = {}
                inner = inner[key]
            inner.setdefault(last, partial(_value, column))
    return tree


def _value(column: Column, value: Any) -> Any:
    """Return a value as JSON lines would have it for a column; raises _Refused if there is no such value."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        raise _Refused(column, "is not a finite number")
    convert = _OTHERS.get(kind)
    if convert is None:
        raise _Refused(column, "is a record, a map or a list")
    return convert(column, value)


def _moment(column: Column, value: datetime) -> Any:
    """Return a time: UTC, or local time of the column's zone if it has none itself."""
    if isinstance(column.type, UnixTimestamp):
        micro = (value.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
        number, below = divmod(micro, column.type.unit)
        # Milliseconds have no fraction in files; what is below is cut off.
        if below and column.type.a_second == 1 and number >= 0:
            return orjson.Fragment(f"{number}.{below:06d}")
        return number
    if isinstance(column.type, Date) and value.time() == time_of_day():
        return value.date().isoformat()
    return value.replace(tzinfo=None).isoformat() + ("Z" if value.tzinfo else "")


def _decimal(column: Column, value: Number) -> Any:
    text = f"{value:f}"
    return orjson.Fragment(text) if isinstance(column.type, Integer) else text


def _text(column: Column, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _Refused(column, "holds bytes that are not valid UTF-8") from None


_OTHERS: dict[type, Callable[[Column, Any], Any]] = {
    datetime: _moment,
    date: lambda column, value: value.isoformat(),
    time_of_day: lambda column, value: value.isoformat(),
    Number: _decimal,
    UUID: lambda column, value: f"{value}",
    bytes: _text,
}
