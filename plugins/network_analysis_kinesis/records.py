"""Records of a shard as a batch, and the spool that they are gathered in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kpis.catalog.feeds import Feed
from kpis.engine.file_reader import Reject
from kpis.sources.messages import Messages, Refused, with_a_line
from kpis.sources.positions import FIRST_ORIGIN, Origin, Partition, Position
from kpis.sources.spool import Spool

KINESIS = "kinesis"


@dataclass(frozen=True, kw_only=True)
class ShardRecords(Messages):
    """Records of a shard, as a batch; see ``Messages``. The ``offsets`` are the records' places in the batch, from 1.

    ``next_offset`` is the sequence number of the last record. ``sequence_numbers`` are those of all records, in order:
    bytes, each a number in decimal digits, and for a part of an aggregated record a colon and its place there, from 0.
    ``beginning`` is the sequence number at which the shard began, which differs from that of another of its name.
    """

    source: ClassVar[str] = KINESIS

    sequence_numbers: np.ndarray = field(compare=False)
    beginning: str

    @classmethod
    def of_file(
        cls,
        feed: Feed,
        stream: str,
        shard: Partition,
        position: Position | None,
        origin: Origin,
        path: Path,
        first_line: int,
        offsets: np.ndarray,
        rejects: list[Reject],
        sequence_numbers: np.ndarray,
        beginning: str,
    ) -> ShardRecords:
        """Return the batch of the records in a file."""
        first, last = (sequence_numbers[place].decode() for place in (0, -1))
        status = with_a_line(path)
        return cls(
            feed,
            f"{origin.named(stream)}/{shard}/{first}-{last}",
            path,
            status.st_size,
            status.st_mtime_ns,
            topic=stream,
            partition=shard,
            position=position,
            next_offset=last,
            first_line=first_line,
            offsets=offsets,
            rejects=rejects,
            origin=origin,
            sequence_numbers=sequence_numbers,
            beginning=beginning,
        )

    @property
    def new_position(self) -> Position:
        return Position.of_shard(str(self.next_offset), self.beginning, self.origin)

    def sequence_number(self, line: int) -> str:
        """Return the sequence number of the record at a line, which is its place in the batch."""
        return str(self.sequence_numbers[line - 1].decode())

    def _half(self, path: Path, offsets: np.ndarray, rejects: list[Reject], after: int | None) -> ShardRecords:
        before = after or 0
        return ShardRecords.of_file(
            self.feed,
            self.topic,
            self.partition,
            replace(self.new_position, at=self.sequence_number(before)) if before else self.position,
            self.origin,
            path,
            self.first_line,
            offsets - before,
            [(place - before, column, reason, text) for place, column, reason, text in rejects],
            self.sequence_numbers[before : before + len(offsets) + len(rejects)],
            self.beginning,
        )


class ShardSpool(Spool):
    """Records of one shard that will be a batch; their sequence numbers are in memory too."""

    def __init__(self, feed: Feed, path: Path, beginning: str):
        super().__init__(feed, path)
        self._beginning = beginning
        self._sequence_numbers: list[bytes] = []

    def add_records(
        self,
        sequence_numbers: Sequence[str],
        values: Sequence[bytes | Refused],
        arrived: datetime | None = None,
        times: Sequence[int | None] = (),
    ) -> None:
        """Add records in the order of their sequence numbers.

        Parts of an aggregated record have its number, a colon and their place in it, from 0. For ``times`` see ``add``.
        """
        self._sequence_numbers += [number.encode() for number in sequence_numbers]
        self.add(range(self.count + 1, self.count + 1 + len(values)), values, arrived, times)

    def messages(self, topic: str, partition: Partition, position: Any, origin: Origin = FIRST_ORIGIN) -> ShardRecords:
        numbers = np.array(self._sequence_numbers)
        ended = self.ended()
        batch = ShardRecords.of_file(self.feed, topic, partition, position, origin, *ended, numbers, self._beginning)
        return replace(batch, arrived=self.arrived, days=self.line_days())
