"""A Kinesis stream's shards: which of them a consumer reads, and the records in an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kpis.sources.kinesis_aggregated import HashKeys, unpacked
from kpis.sources.messages import Refused

FIRST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Share:
    """Which part of a stream's shards a process reads: the ``number``-th of ``of``, from 1."""

    number: int = 1
    of: int = 1

    def has(self, shard: str) -> bool:
        """Whether a shard is among them; Kinesis numbers a stream's shards as they come."""
        return int(re.sub(r"[^0-9]", "", shard) or 0) % self.of == self.number - 1


@dataclass
class Shard:
    """A shard that is being read: up to which record, and when it may be asked for the next ones (monotonic)."""

    name: str
    beginning: str
    keys: HashKeys
    read_to: str | None
    iterator: str | None = None
    # What the next records must begin with, which was the last before.
    known: str | None = None
    due_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    is_at_tip: bool = False
    is_read_out: bool = False
    # What was read last had come by then (Unix time), as far as Kinesis told.
    moment: float | None = None


def parts_of(record: Mapping[str, Any], shard: Shard) -> list[tuple[str, bytes | Refused]]:
    """A record's user records that were not read before, with their sequence numbers: itself, or those in it."""
    number, data = record["SequenceNumber"], record["Data"]
    found = unpacked(data, shard.keys)
    if found is None:
        return [(number, data)]
    known, _, place = (shard.read_to or "").partition(":")
    read = int(place) + 1 if known == number and place else 0
    return [(f"{number}:{place}", part) for place, part in enumerate(found)][read:]


def hash_keys(listed: Mapping[str, Any]) -> HashKeys:
    keys = listed["HashKeyRange"]
    return HashKeys(int(keys["StartingHashKey"]), int(keys["EndingHashKey"]))


def beginnings_of(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The sequence number at which each listed shard began."""
    return {shard["ShardId"]: shard["SequenceNumberRange"]["StartingSequenceNumber"] for shard in listed}
