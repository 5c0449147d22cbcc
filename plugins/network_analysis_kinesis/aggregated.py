"""Aggregated records: several user records that Kinesis's producer library packs into one record of a stream.

The format is that of https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md: four bytes
(F3 89 9A C2), a protobuf message, and the MD5 of that. It has been the same since 2014 and uses only three of
protobuf's rules, so it is parsed here, without protobuf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5

from kpis.sources.messages import Refused

# Never the beginning of text: in UTF-8 the sequence is incomplete.
MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16
# The field numbers of the message and of its records.
PARTITION_KEYS, HASH_KEYS, RECORDS = 1, 2, 3
PARTITION_KEY, HASH_KEY, DATA = 1, 2, 3
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True)
class HashKeys:
    """The range of a shard's hash keys, both ends included."""

    first: int
    last: int


def unpacked(data: bytes, keys: HashKeys) -> list[bytes | Refused] | None:
    """Return the user records of an aggregated record, in order; None if the record is not aggregated.

    A damaged or empty one is refused as a whole. A user record whose key belongs to another shard is refused too: its
    producer notices that the shards were split or merged, and sends it again.
    """
    if not data.startswith(MAGIC):
        return None
    message, digest = data[len(MAGIC) : -DIGEST_BYTES], data[-DIGEST_BYTES:]
    if md5(message, usedforsecurity=False).digest() != digest:
        return [Refused(data, "is an aggregated record whose checksum does not match")]
    try:
        found = list(_user_records(message, keys))
    except (IndexError, ValueError) as error:
        return [Refused(data, f"is an aggregated record that cannot be read: {error}")]
    return found or [Refused(data, "is an aggregated record without records")]


def _user_records(message: bytes, keys: HashKeys) -> Iterator[bytes | Refused]:
    tables: dict[int, list[bytes]] = {PARTITION_KEYS: [], HASH_KEYS: [], RECORDS: []}
    for number, value in _fields(message):
        if number in tables:
            tables[number].append(_bytes(value))
    for record in tables[RECORDS]:
        values = dict(_fields(record))
        if PARTITION_KEY not in values or DATA not in values:
            raise ValueError("a record lacks its key or its data")
        if HASH_KEY in values:
            key = int(tables[HASH_KEYS][_number(values[HASH_KEY])])
        else:
            partition_key = tables[PARTITION_KEYS][_number(values[PARTITION_KEY])]
            key = int.from_bytes(md5(partition_key, usedforsecurity=False).digest())
        data = _bytes(values[DATA])
        yield data if keys.first <= key <= keys.last else Refused(data, "is another shard's, to which it is sent again")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and values of a protobuf message's fields; raises ValueError or IndexError if it is cut off."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == VARINT:
            value: int | bytes
            value, place = _varint(message, place)
        elif kind in (SIZED, EIGHT_BYTES, FOUR_BYTES):
            size, place = _varint(message, place) if kind == SIZED else (8 if kind == EIGHT_BYTES else 4, place)
            if place + size > len(message):
                raise ValueError("it ends too soon")
            value = message[place : place + size]
            place += size
        else:
            raise ValueError(f"it has a field of kind {kind}")
        yield tag >> 3, value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("it has a number of more than 64 bits")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("it has a number where bytes belong")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("it has bytes where a number belongs")
    return value
