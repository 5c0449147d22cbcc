"""Avro's object container files: a header with the schema, and blocks of records, each of which may be compressed.

The frame is read here, so that no damaged file takes more memory than a block may have; records are read by fastavro.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import zstandard

from kpis import extras
from kpis.formats.avro_schemas import UnknownSchema, parsed
from kpis.formats.decoded import DecoderUnavailable

MARK = b"Obj\x01"
SYNC_BYTES = 16
# Of a block, as it is and unpacked; writers' defaults are far below.
LARGEST_BLOCK_BYTES = 2**26
TOO_LARGE = f"has a block of more than {LARGEST_BLOCK_BYTES:,} bytes"
_CUT = "ends in the middle of its Avro data"


class _TooLarge(Exception):
    """A block that would unpack to more than it may."""


def records_of(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the records of a file; raises ValueError, with the reason, if it is none or damaged."""
    if file.read(len(MARK)) != MARK:
        raise ValueError("is no Avro file: it does not begin with Obj and a byte 1")
    metadata = _metadata(file)
    marker = _exactly(file, SYNC_BYTES)
    try:
        schema = parsed([metadata["avro.schema"].decode()], "has a schema that")
        codec = metadata.get("avro.codec", b"null").decode()
    except KeyError:
        raise ValueError("has no schema in its header") from None
    except UnicodeDecodeError:
        raise ValueError("holds damaged Avro data: its header is not valid UTF-8") from None
    except UnknownSchema as error:
        raise ValueError(f"{error}") from None
    if codec not in UNPACKERS:
        raise ValueError(f"is compressed with {codec}, which is none of {', '.join(UNPACKERS)}")
    from fastavro import schemaless_reader

    row = 0
    while (count := _number(file, may_end=True)) is not None:
        block = _unpacked(_exactly(file, _size(file)), codec)
        if _exactly(file, SYNC_BYTES) != marker:
            raise ValueError("holds damaged Avro data: a block does not end with the file's marker")
        if not 0 <= count <= max(len(block), 1):
            raise ValueError("holds damaged Avro data: a block has more rows than bytes")
        content = io.BytesIO(block)
        for _ in range(count):
            row += 1
            try:
                record: Any = schemaless_reader(content, schema, None)
            except MemoryError:
                raise
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                raise ValueError(f"holds damaged Avro data in row {row:,}: {problem}") from error
            yield record
        if content.tell() != len(block):
            raise ValueError(f"holds damaged Avro data: a block goes on after row {row:,}")


def _metadata(file: BinaryIO) -> dict[str, bytes]:
    """Return the header's map: of blocks of pairs, the last of which is empty."""
    found: dict[str, bytes] = {}
    total = 0
    while count := _number(file):
        if count < 0:
            # The block's bytes follow.
            count = -count
            _size(file)
        for _ in range(count):
            key, value = _exactly(file, _size(file)), _exactly(file, _size(file))
            total += len(key) + len(value) + 2
            if total > LARGEST_BLOCK_BYTES:
                raise ValueError("has too long a header")
            found[key.decode("utf-8", "replace")] = value
    return found


def _size(file: BinaryIO) -> int:
    size = _number(file) or 0
    if size < 0:
        raise ValueError("holds damaged Avro data: a length is negative")
    if size > LARGEST_BLOCK_BYTES:
        raise ValueError(TOO_LARGE)
    return size


def _number(file: BinaryIO, may_end: bool = False) -> int | None:
    """Return the next number, of seven bits a byte, zigzag; None at the file's end if that may be here."""
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte:
            if may_end and not shift:
                return None
            raise ValueError(_CUT)
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7
        if shift > 63:
            raise ValueError("holds damaged Avro data: a number has more than 64 bits")


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise ValueError(_CUT)
    return content


def _unpacked(block: bytes, codec: str) -> bytes:
    try:
        found = UNPACKERS[codec](block)
    except _TooLarge:
        raise ValueError(TOO_LARGE) from None
    except ImportError as error:
        raise DecoderUnavailable(extras.missing("avro", "Avro needs", error)) from error
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"holds damaged {codec} data: {error}") from error
    if len(found) > LARGEST_BLOCK_BYTES:
        raise ValueError(TOO_LARGE)
    return found


def _deflate(block: bytes) -> bytes:
    return _at_most(zlib.decompressobj(-zlib.MAX_WBITS), block)


def _at_most(decompressor: Any, block: bytes) -> bytes:
    """Return what a block unpacks to, or a byte more than it may have."""
    found: bytes = decompressor.decompress(block, LARGEST_BLOCK_BYTES + 1)
    if not decompressor.eof and len(found) <= LARGEST_BLOCK_BYTES:
        raise ValueError("it is cut off")
    return found


def _zstandard(block: bytes) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(block) as reader:
        return reader.read(LARGEST_BLOCK_BYTES + 1)


def _snappy(block: bytes) -> bytes:
    from cramjam import snappy

    content, checksum = block[:-4], block[-4:]
    # The length comes first: seven bits a byte.
    if _plain_number(content) > LARGEST_BLOCK_BYTES:
        raise _TooLarge
    found = bytes(snappy.decompress_raw(content))
    if zlib.crc32(found).to_bytes(4, "big") != checksum:
        raise ValueError("its checksum differs")
    return found


def _plain_number(content: bytes) -> int:
    value = 0
    for place, byte in enumerate(content[:5]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    return value


UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": lambda block: _at_most(bz2.BZ2Decompressor(), block),
    "xz": lambda block: _at_most(lzma.LZMADecompressor(), block),
}
