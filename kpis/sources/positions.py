"""How far the partitions of a topic and the shards of a stream are ingested, and whether these are still the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The number of a partition, or the id of a shard.
Partition = int | str


@dataclass(frozen=True)
class Origin:
    """The topic (or stream) that messages come from, among those that had the same name one after the other.

    ``id`` is Kafka's topic id, or the time at which the Kinesis stream was created; empty if the source gives none.
    ``generation`` numbers them from 1.
    """

    id: str = ""
    generation: int = 1

    def named(self, name: str) -> str:
        """The topic's or stream's name in its batches' names: ``calls``, and ``calls@2`` after it was recreated."""
        # Names of topics and streams cannot contain an @.
        return name if self.generation == 1 else f"{name}@{self.generation}"


FIRST_ORIGIN = Origin()


@dataclass(frozen=True)
class Position:
    """How far a partition of a topic, or a shard of a Kinesis stream, is ingested.

    ``at`` is the offset of the partition's next message, or the sequence number of the shard's last ingested record
    (empty: none is). ``origin`` is the topic or stream that it belongs to. ``last_message`` is the ``message_mark`` of
    a partition's last ingested message, empty where not known. ``beginning`` is the sequence number at which a shard
    began, and ``is_ended`` true if the shard is ingested to its end.
    """

    at: str
    origin: Origin = Origin()
    last_message: str = ""
    beginning: str = ""
    is_ended: bool = False

    @classmethod
    def of_topic(cls, next_offset: int, origin: Origin = FIRST_ORIGIN, last_message: str = "") -> Position:
        """Return the position of a partition of which all before an offset is ingested."""
        return cls(str(next_offset), origin, last_message)

    @classmethod
    def of_shard(
        cls, sequence_number: str | None, beginning: str, origin: Origin = FIRST_ORIGIN, is_ended: bool = False
    ) -> Position:
        """Return the position of a shard that is ingested up to and with a record; None: none is."""
        return cls(sequence_number or "", origin, beginning=beginning, is_ended=is_ended)

    @property
    def next_offset(self) -> int:
        """The offset of a partition's next message."""
        return int(self.at)

    @property
    def sequence_number(self) -> str | None:
        """The sequence number of a shard's last ingested record; None: none is."""
        return self.at or None

    def next_in(self, origin: Origin) -> int:
        """Return the offset of the next message to ingest of a topic; 0 if the position is of another topic."""
        return self.next_offset if self.origin.generation == origin.generation else 0

    @classmethod
    def decode(cls, encoded: Mapping[str, Any]) -> Position:
        """Return the position that ``dataclasses.asdict`` encoded into a JSON object."""
        return cls(**{**encoded, "origin": Origin(**encoded["origin"])})


def by_number(positions: Mapping[str, Position]) -> dict[int, Position]:
    """Return the positions of a topic's partitions by their numbers."""
    return {int(partition): position for partition, position in positions.items()}


@dataclass(frozen=True)
class Recreated:
    """A topic or stream was deleted and created again under its name, and is read from its beginning.

    ``what`` names it; ``reason`` is the evidence, and says how its batches are named from now on.
    """

    what: str
    reason: str
