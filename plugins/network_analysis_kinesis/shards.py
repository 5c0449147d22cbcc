"""A Kinesis stream's shards: those that a consumer reads, and the records in a response."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kpis.sources.messages import Refused
from network_analysis_kinesis.aggregated import HashKeys, unpacked

FIRST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Share:
    """The part of a stream's shards that a process reads: the ``number``-th of ``of``, from 1."""

    number: int = 1
    of: int = 1

    def has(self, shard: str) -> bool:
        """Return True if a shard is among them; Kinesis numbers a stream's shards in the order of their creation."""
        return int(re.sub(r"[^0-9]", "", shard) or 0) % self.of == self.number - 1


@dataclass
class Shard:
    """A shard that is being read: its position, and when it may be asked for the next records (monotonic)."""

    name: str
    beginning: str
    keys: HashKeys
    read_to: str | None
    iterator: str | None = None
    # The last record that was read, with which the next response must begin.
    known: str | None = None
    due_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    is_at_tip: bool = False
    is_read_out: bool = False
    # The records that were read last had arrived by then (Unix time), as far as Kinesis reports.
    moment: float | None = None


def parts_of(record: Mapping[str, Any], shard: Shard) -> list[tuple[str, bytes | Refused]]:
    """Return a record's user records that were not read before, with their sequence numbers: itself, or its parts."""
    number, data = record["SequenceNumber"], record["Data"]
    found = unpacked(data, shard.keys)
    if found is None:
        return [(number, data)]
    known, _, place = (shard.read_to or "").partition(":")
    read = int(place) + 1 if known == number and place else 0
    return [(f"{number}:{place}", part) for place, part in enumerate(found)][read:]


def hash_keys(listed: Mapping[str, Any]) -> HashKeys:
    """Return the range of a listed shard's hash keys."""
    keys = listed["HashKeyRange"]
    return HashKeys(int(keys["StartingHashKey"]), int(keys["EndingHashKey"]))


def beginnings_of(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the sequence number at which each listed shard began."""
    return {shard["ShardId"]: shard["SequenceNumberRange"]["StartingSequenceNumber"] for shard in listed}
