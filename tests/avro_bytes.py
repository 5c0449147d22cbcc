"""Avro written by hand, from its specification: values, messages with a registry's header, and files."""

from __future__ import annotations

import bz2
import json
import lzma
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import cramjam
import zstandard

MARKER = bytes(range(16))


def number(value: int) -> bytes:
    """An int or long: zigzag, seven bits a byte, the low ones first."""
    left = (value << 1) ^ (value >> 63)
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def text(value: str | bytes) -> bytes:
    """A string, or bytes."""
    content = value.encode() if isinstance(value, str) else value
    return number(len(content)) + content


def encoded(schema: Any, value: Any) -> bytes:
    """A value by its schema. Of a union, a value is that of the first type that it fits, null for None."""
    if isinstance(schema, list):
        place = schema.index("null") if value is None else next(i for i, one in enumerate(schema) if one != "null")
        return number(place) + encoded(schema[place], value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        return b"".join(encoded(field["type"], value[field["name"]]) for field in schema["fields"])
    if kind == "enum":
        return number(schema["symbols"].index(value))
    if kind == "map":
        items = b"".join(text(key) + encoded(schema["values"], one) for key, one in value.items())
        return (number(len(value)) + items if value else b"") + b"\0"
    if kind == "array":
        items = b"".join(encoded(schema["items"], one) for one in value)
        return (number(len(value)) + items if value else b"") + b"\0"
    return {
        "null": lambda: b"",
        "boolean": lambda: bytes([value]),
        "int": lambda: number(value),
        "long": lambda: number(value),
        "float": lambda: struct.pack("<f", value),
        "double": lambda: struct.pack("<d", value),
        "string": lambda: text(value),
        "bytes": lambda: text(value),
        "fixed": lambda: bytes(value),
    }[kind]()


def message(schema_id: int, record: bytes) -> bytes:
    """A record in the wire format of a schema registry."""
    return b"\0" + schema_id.to_bytes(4, "big") + record


def packed(block: bytes, codec: str) -> bytes:
    """A block's bytes in a codec."""
    if codec == "deflate":
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(block) + compressor.flush()
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(block)) + zlib.crc32(block).to_bytes(4, "big")
    return {
        "null": bytes,
        "zstandard": zstandard.ZstdCompressor().compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }[codec](block)


def header(schema: Any, codec: str = "null") -> bytes:
    """The header of a file."""
    pairs = {"avro.schema": json.dumps(schema), "avro.codec": codec}
    return b"Obj\x01" + number(2) + b"".join(text(key) + text(value) for key, value in pairs.items()) + b"\0" + MARKER


def block(records: Iterable[bytes], codec: str = "null") -> bytes:
    """A block of a file."""
    content = list(records)
    return number(len(content)) + text(packed(b"".join(content), codec)) + MARKER


def file(schema: Any, records: Iterable[bytes], codec: str = "null", rows_a_block: int = 100) -> bytes:
    """A file of records."""
    content = list(records)
    blocks = (content[start : start + rows_a_block] for start in range(0, len(content), rows_a_block))
    return header(schema, codec) + b"".join(block(one, codec) for one in blocks)
