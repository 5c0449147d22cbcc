"""Tables in memory as Parquet files, without DuckDB, which takes longer to be imported than a short run's rest.

It writes what the lake's files of few partials, and of records from the scanner, need, as in
https://parquet.apache.org/docs/file-format/: one row group, a page a column, zstd. Texts have a dictionary; times are
microseconds without a zone. Readers take a file for one of DuckDB's: columns are optional, and have their least and
largest values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import zstandard

from kpis.engine.table import TableColumn, Texts, is_masked

MAGIC = b"PAR1"
LEVEL = 1
# As other engines expect it: without a version they ignore the least and largest texts.
CREATED_BY = "Network Analysis version 1"
# The types of columns that can be written; of objects they are texts.
WRITTEN = tuple(map(np.dtype, ("int32", "int64", "datetime64[us]", "object")))
# Physical types, encodings, the codec and the kinds of pages, as the format numbers them.
INT32, INT64, BYTE_ARRAY = 1, 2, 6
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
ZSTD = 6
DATA_PAGE, DICTIONARY_PAGE = 0, 2
OPTIONAL = 1
UTF8, SIGNED_32, SIGNED_64 = 0, 17, 18
MICROSECONDS = 2
# The types of fields in Thrift's compact protocol, in which metadata are written.
TRUE, FALSE, I8, I32, I64, BINARY, LIST, STRUCT = 1, 2, 3, 5, 6, 8, 9, 12


# A field of a struct: its id, its type, and its value, of which a list or a struct is written already.
Field = tuple[int, int, int | bytes]


def write_table(path: Path, columns: Mapping[str, TableColumn], metadata: Mapping[str, str]) -> None:
    """Write columns of equal length to a file: int32, int64, ``datetime64[us]``, and texts as objects or ``Texts``.

    Numbers and times may be masked where a value is missing. Raises TypeError for any other column.
    """
    written, packer = bytearray(MAGIC), zstandard.ZstdCompressor(level=LEVEL)
    chunks = [_chunk(name, _texts(column), written, packer) for name, column in columns.items()]
    rows = chunks[0].rows if chunks else 0
    footer = _footer(chunks, rows, metadata)
    path.write_bytes(bytes(written) + footer + struct.pack("<I", len(footer)) + MAGIC)


def rows_between(columns: Mapping[str, TableColumn], name: str, start: datetime, end: datetime) -> slice:
    """Return the rows whose time in a column, by which they are sorted, is from start to end (UTC, excluded)."""
    moments = columns[name]
    assert isinstance(moments, np.ndarray)  # noqa: S101  texts are no times
    first, last = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (start, end))
    return slice(*np.searchsorted(moments, [first, last]).tolist())


def _texts(column: TableColumn) -> TableColumn:
    if isinstance(column, Texts):
        return column
    if column.dtype not in WRITTEN or (column.dtype == object and is_masked(column)):
        raise TypeError(
            f"no column of {column.dtype}{', with values missing,' if is_masked(column) else ''} is written"
        )
    if column.dtype != object:
        return column
    texts = column.tolist()
    dictionary = sorted(set(texts))
    numbers = {text: number for number, text in enumerate(dictionary)}
    return Texts(dictionary, np.array([numbers[text] for text in texts], dtype=np.int64))


@dataclass(frozen=True)
class _Chunk:
    """A column's chunk in the file: where its pages are, how large, and its statistics."""

    name: str
    column: TableColumn
    rows: int
    dictionary_at: int | None
    data_at: int
    packed: int
    plain: int
    # None without any value.
    bounds: tuple[bytes, bytes] | None
    missing: int


def _chunk(name: str, column: TableColumn, written: bytearray, packer: zstandard.ZstdCompressor) -> _Chunk:
    """Write a column's pages, and return what the footer says of them."""
    start, dictionary_at, plain = len(written), None, 0
    # The definition levels: one run of 1, unless a value is missing.
    levels, missing = _varint(len(column) << 1) + b"\x01", 0
    if isinstance(column, Texts):
        column = column.used()
        rows = len(column.places)
        texts = [text.encode() for text in column.dictionary]
        dictionary_at = start
        content = _content(texts)
        header = _struct((1, I32, len(texts)), (2, I32, PLAIN))
        plain += _page(DICTIONARY_PAGE, 7, header, packer.compress(content), len(content), written)
        values, encoding = _packed(column.places, len(texts)), RLE_DICTIONARY
        bounds = (min(texts), max(texts)) if texts else None
    else:
        rows, numbers = len(column), column
        if is_masked(column):
            is_there = ~np.ma.getmaskarray(column)
            levels, missing = _bits(is_there), rows - int(is_there.sum())
            numbers = np.ma.getdata(column)[is_there]
        numbers = numbers.astype(np.int64) if numbers.dtype.kind == "M" else numbers
        values, encoding = numbers.tobytes(), PLAIN
        bounds = (numbers.min().tobytes(), numbers.max().tobytes()) if len(numbers) else None
    data_at = len(written)
    header = _struct((1, I32, rows), (2, I32, encoding), (3, I32, RLE), (4, I32, RLE))
    content = struct.pack("<I", len(levels)) + levels + values
    plain += _page(DATA_PAGE, 5, header, packer.compress(content), len(content), written)
    return _Chunk(name, column, rows, dictionary_at, data_at, len(written) - start, plain, bounds, missing)


def _bits(is_there: np.ndarray) -> bytes:
    """Return the definition levels of values some of which are missing: one run of bits, in whole bytes."""
    groups = -(-len(is_there) // 8)
    return _varint(groups << 1 | 1) + np.packbits(is_there, bitorder="little").tobytes()


def _content(texts: Sequence[bytes]) -> bytes:
    """Return a dictionary's texts, each behind its length."""
    lengths = list(map(len, texts))
    before = {length: struct.pack("<I", length) for length in set(lengths)}
    return b"".join(chain.from_iterable(zip(map(before.__getitem__, lengths), texts, strict=True)))


def _packed(places: np.ndarray, count: int) -> bytes:
    """Return places in a dictionary of ``count`` texts: the number of bits of each, and one run of them.

    They take whole bytes, which zstd makes as small as fewer bits would be, in less time than it takes to pack these.
    """
    size = next(size for size in (1, 2, 4) if count <= 1 << 8 * size)
    groups = -(-len(places) // 8)
    run = np.zeros(8 * groups, dtype=f"<u{size}")
    run[: len(places)] = places
    return bytes([8 * size]) + _varint(groups << 1 | 1) + run.tobytes()


def _page(kind: int, field: int, header: bytes, packed: bytes, size: int, written: bytearray) -> int:
    """Write a page, whose own header is a field of the page's; return its size unpacked, with the header."""
    page = _struct((1, I32, kind), (2, I32, size), (3, I32, len(packed)), (field, STRUCT, header))
    written += page + packed
    return len(page) + size


def _footer(chunks: Sequence[_Chunk], rows: int, metadata: Mapping[str, str]) -> bytes:
    root = _struct((4, BINARY, b"schema"), (5, I32, len(chunks)))
    schema = [root, *(_schema(chunk.name, _type_of(chunk.column), _is_time(chunk.column)) for chunk in chunks)]
    columns = [_struct((2, I64, 0), (3, STRUCT, _column_metadata(chunk))) for chunk in chunks]
    group = _struct((1, LIST, _list(columns)), (2, I64, sum(chunk.plain for chunk in chunks)), (3, I64, rows))
    pairs = [_struct((1, BINARY, key.encode()), (2, BINARY, value.encode())) for key, value in metadata.items()]
    groups = _list([group] if rows else [])
    fields: list[Field] = [(1, I32, 2), (2, LIST, _list(schema)), (3, I64, rows), (4, LIST, groups)]
    if pairs:
        fields.append((5, LIST, _list(pairs)))
    # Values are compared as their types are; without this readers ignore the least and largest ones.
    orders = [_struct((1, STRUCT, _struct()))] * len(chunks)
    return _struct(*fields, (6, BINARY, CREATED_BY.encode()), (7, LIST, _list(orders)))


def _type_of(column: TableColumn) -> int:
    if isinstance(column, Texts):
        return BYTE_ARRAY
    return INT32 if column.dtype == np.int32 else INT64


def _is_time(column: TableColumn) -> bool:
    return not isinstance(column, Texts) and column.dtype.kind == "M"


@cache
def _schema(name: str, type_: int, is_time: bool) -> bytes:
    """Return a column's element of the schema, with its logical type."""
    fields: list[Field] = [(1, I32, type_), (3, I32, OPTIONAL), (4, BINARY, name.encode())]
    if type_ == BYTE_ARRAY:
        fields += [(6, I32, UTF8), (10, STRUCT, _struct((1, STRUCT, _struct())))]
    elif is_time:
        unit = _struct((MICROSECONDS, STRUCT, _struct()))
        fields.append((10, STRUCT, _struct((8, STRUCT, _struct((1, FALSE, 0), (2, STRUCT, unit))))))
    else:
        bits, converted = (32, SIGNED_32) if type_ == INT32 else (64, SIGNED_64)
        whole = _struct((1, I8, bits), (2, TRUE, 0))
        fields += [(6, I32, converted), (10, STRUCT, _struct((10, STRUCT, whole)))]
    return _struct(*fields)


def _column_metadata(chunk: _Chunk) -> bytes:
    encodings = [PLAIN, RLE] + ([RLE_DICTIONARY] if chunk.dictionary_at is not None else [])
    fields: list[Field] = [
        (1, I32, _type_of(chunk.column)),
        (2, LIST, _list([_zigzag(one) for one in encodings], I32)),
        (3, LIST, _list([_bytes(chunk.name.encode())], BINARY)),
        (4, I32, ZSTD),
        (5, I64, chunk.rows),
        (6, I64, chunk.plain),
        (7, I64, chunk.packed),
        (9, I64, chunk.data_at),
    ]
    if chunk.dictionary_at is not None:
        fields.append((11, I64, chunk.dictionary_at))
    known: list[Field] = [(3, I64, chunk.missing)]
    if chunk.bounds is not None:
        least, most = chunk.bounds
        known += [(5, BINARY, most), (6, BINARY, least), (7, TRUE, 0), (8, TRUE, 0)]
    return _struct(*fields, (12, STRUCT, _struct(*known)))


def _struct(*fields: Field) -> bytes:
    """Return a struct of fields by their ascending ids, each with its type and value, in the compact protocol."""
    written, last = bytearray(), 0
    for id_, type_, value in fields:
        written.append((id_ - last) << 4 | type_)
        last = id_
        if type_ in (TRUE, FALSE):
            continue
        if isinstance(value, bytes):
            written += _bytes(value) if type_ == BINARY else value
        elif type_ == I8:
            written += struct.pack("b", value)
        else:
            written += _zigzag(value)
    return bytes(written) + b"\x00"


def _list(items: Sequence[bytes], type_: int = STRUCT) -> bytes:
    short = len(items) < 15
    head = bytes([len(items) << 4 | type_]) if short else bytes([0xF0 | type_]) + _varint(len(items))
    return head + b"".join(items)


def _bytes(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


@lru_cache(maxsize=1024)
def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
