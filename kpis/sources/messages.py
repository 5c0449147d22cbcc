"""Messages as a batch: a range of one partition's offsets, or of one shard's records.

They are spooled into a file with one message per line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from blake3 import blake3

from kpis.catalog.closing import closed_by_stream
from kpis.catalog.feeds import Feed
from kpis.engine.file_reader import Reading, Reject, add_rejects
from kpis.engine.table import registered
from kpis.formats.line_days import LineDays
from kpis.sources.batch import Step
from kpis.sources.directory import FoundFile, moment_of_change
from kpis.sources.positions import FIRST_ORIGIN, Origin, Partition, Position

if TYPE_CHECKING:
    import duckdb

# The source of messages that is built in.
KAFKA = "kafka"

# A blank line that follows another line.
BLANK_LINE = re.compile(rb"\n[ \t\v\f]*\n")


@dataclass(frozen=True)
class Refused:
    """A message that is a reject in any feed, with its ``reason``, and the ``column`` that is to blame."""

    value: bytes
    reason: str
    column: str = ""


def message_mark(moment: int | None, value: bytes | None) -> str:
    """Return a message's mark, made of its time (Unix ms) and its value's digest: another message has another one."""
    return f"{'' if moment is None else moment}-{blake3(value or b'').hexdigest()[:16]}"


@dataclass(frozen=True, kw_only=True)
class Messages(FoundFile):
    """A range of a partition's messages, spooled: as a batch, the counterpart of ``FoundFile``.

    The batch starts at the ledger's ``position`` (None if it has nothing of the partition), and ends before
    ``next_offset``. Each of the ``count`` messages is either a line of the file, from ``first_line`` on, whose offsets
    are ``offsets`` (int64; topics have gaps), or one of the ``rejects``, which could not be a line; their number is the
    offset. ``last_message`` is the mark of the last one.
    """

    # What it comes from, as ``consume_stream --source`` and the ledger call it.
    source: ClassVar[str] = KAFKA

    topic: str
    partition: Partition
    position: Position | None
    next_offset: Any
    first_line: int
    offsets: np.ndarray = field(compare=False)
    rejects: list[Reject] = field(compare=False)
    origin: Origin = FIRST_ORIGIN
    last_message: str = ""
    # When the newest message arrived, by the broker's clock (UTC); None if unknown.
    arrived: datetime | None = field(default=None, compare=False)
    # The days on which the messages that are lines were sent, for a feed whose rows may lack the day.
    days: LineDays | None = field(default=None, compare=False)

    def encode(self) -> dict[str, Any]:
        """Encode the batch, without its content, as JSON for another process."""
        names = ("name", "size", "modified_ns", "topic", "partition", "next_offset", "first_line", "count")
        fields = {name: getattr(self, name) for name in (*names, "last_message")}
        return {**fields, "position": self.position and asdict(self.position), "origin": asdict(self.origin)}

    @property
    def new_position(self) -> Position:
        """The partition's position with this batch."""
        return Position.of_topic(int(self.next_offset), self.origin, self.last_message)

    @property
    def middle(self) -> int:
        """An offset at which several messages can be split into two non-empty halves: the second begins there."""
        first = int(self.name.rpartition("/")[2].partition("-")[0])
        return (first + int(self.next_offset)) // 2

    @property
    def kind(self) -> str:
        return "messages"

    @property
    def place(self) -> Mapping[str, Any]:
        return {"topic": self.topic, "partition": self.partition, "offsets": self.name.rpartition("/")[2]}

    @property
    def is_followed(self) -> bool:
        return True

    @property
    def counts_by_content(self) -> bool:
        return False

    @property
    def is_divisible(self) -> bool:
        return self.count > 1

    @property
    def step(self) -> Step:
        return Step(self.source, self.topic, str(self.partition), self.position, self.new_position)

    def closes(
        self, starts: Collection[datetime], newest: datetime | None, lateness: timedelta, now: datetime
    ) -> datetime | None:
        return closed_by_stream(newest, lateness)

    def completed(self, reading: Reading, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Reading:
        """Return the reading with the messages that could not be a line added as rejects, each with its offset."""
        connection = connect()
        if reading.rejects:
            lines = np.arange(len(self.offsets)) + self.first_line
            with registered(connection, "offsets", {"line": lines, "message": self.offsets}) as table:
                connection.execute(f"UPDATE rejects SET line = message FROM {table} WHERE rejects.line = {table}.line")
        add_rejects(connection, self.rejects)
        count = len(self.rejects)
        if self.days is not None:
            # The records depend on them as on the lines.
            reading = replace(reading, digest=blake3(reading.digest.encode() + self.days.days.tobytes()).hexdigest())
        return replace(reading, lines=reading.lines + count, rejects=reading.rejects + count)

    @property
    def count(self) -> int:
        """The number of messages."""
        return len(self.offsets) + len(self.rejects)

    @property
    def age_key(self) -> tuple[datetime, str]:
        return moment_of_change(self.modified_ns), self.name

    def halves(self) -> tuple[Messages, Messages]:
        """Split the batch, of at least two messages, into two halves in files of their own, in order.

        The file of both is removed.
        """
        last = int(_all_offsets(self.offsets, self.rejects)[(self.count - 1) // 2])
        lines = int(np.searchsorted(self.offsets, last, side="right"))
        paths = [self.path.with_name(f"{self.path.name}{number}") for number in (1, 2)]
        with self.path.open("rb") as file:
            header = b"".join(islice(file, self.first_line - 1))
            for path, count in zip(paths, (lines, None), strict=True):
                with path.open("wb") as half:
                    half.write(header)
                    half.writelines(islice(file, count))
        self.path.unlink()
        first = self.offsets[:lines], [reject for reject in self.rejects if reject[0] <= last]
        second = self.offsets[lines:], [reject for reject in self.rejects if reject[0] > last]
        halves = self._half(paths[0], *first, after=None), self._half(paths[1], *second, after=last)
        days = (None, None) if self.days is None else (self.days.part(0, lines), self.days.part(lines, None))
        made = [replace(half, arrived=self.arrived, days=some) for half, some in zip(halves, days, strict=True)]
        return made[0], made[1]

    def _half(self, path: Path, offsets: np.ndarray, rejects: list[Reject], after: int | None) -> Messages:
        """Return the batch of the first half, or of the messages after the offset ``after``, in a file of its own."""
        position = self.position if after is None else Position.of_topic(after + 1, self.origin)
        half = batch_of(
            self.feed, self.topic, self.partition, position, self.origin, path, self.first_line, offsets, rejects
        )
        # The mark of the message in the middle is not known.
        return half if after is None else replace(half, last_message=self.last_message)


def decode_messages(feed: Feed, encoded: dict[str, Any]) -> Messages:
    """Return the batch that ``Messages.encode`` encoded, without its content; its offsets are placeholders."""
    known = {name: value for name, value in encoded.items() if name not in ("count", "position", "origin")}
    offsets = np.broadcast_to(np.int64(-1), encoded["count"])
    position, origin = encoded["position"] and Position.decode(encoded["position"]), Origin(**encoded["origin"])
    return Messages(feed, path=Path(), offsets=offsets, rejects=[], position=position, origin=origin, **known)


def batch_of(
    feed: Feed,
    topic: str,
    partition: Partition,
    position: Position | None,
    origin: Origin,
    path: Path,
    first_line: int,
    offsets: np.ndarray,
    rejects: list[Reject],
) -> Messages:
    """Return the batch of the messages in a file, which are lines, and of the rejects; there must be messages."""
    every = _all_offsets(offsets, rejects)
    status = with_a_line(path)
    return Messages(
        feed,
        f"{origin.named(topic)}/{partition}/{every[0]}-{every[-1]}",
        path,
        status.st_size,
        status.st_mtime_ns,
        topic=topic,
        partition=partition,
        position=position,
        next_offset=int(every[-1]) + 1,
        first_line=first_line,
        offsets=offsets,
        rejects=rejects,
        origin=origin,
    )


def with_a_line(path: Path) -> os.stat_result:
    """Return the file's status; an empty file gets a line first."""
    if not path.stat().st_size:
        # An empty file would not be read as the feed's; a blank line is not a row.
        path.write_bytes(b"\n")
    return path.stat()


def _all_offsets(offsets: np.ndarray, rejects: list[Reject]) -> np.ndarray:
    """Return the offsets of the messages that are lines and of those that are rejects, in order."""
    return np.sort(np.concatenate([offsets, np.array([reject[0] for reject in rejects], dtype=np.int64)]))
