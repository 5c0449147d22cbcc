"""Messages as a batch: a range of one partition's offsets in a topic, spooled into a file with a message a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from kpis.catalog.feeds import Feed, Form
from kpis.engine.lines import Line
from kpis.engine.reader import Reject
from kpis.engine.rows import reject_text
from kpis.sources.directory import FoundFile, moment_of_change

# A message's offset and its value, which a tombstone lacks.
Message = tuple[int, bytes | None]


@dataclass(frozen=True, kw_only=True)
class Messages(FoundFile):
    """A range of a partition's messages, spooled: what ``FoundFile`` is for a file of a folder.

    The batch follows on what the ledger has: ``position`` is the offset up to which that is (None where it has
    nothing of the partition), ``next_offset`` the one up to which it is with this batch. Each of the ``count``
    messages is either a line of the file, from ``first_line`` on, whose offsets are ``offsets`` (int64; topics have
    gaps), or one of the ``rejects``, which could not be a line; their number is the offset.
    """

    topic: str
    partition: int
    position: int | None
    next_offset: int
    count: int
    first_line: int
    offsets: np.ndarray = field(compare=False)
    rejects: list[Reject] = field(compare=False)

    @property
    def age_key(self) -> tuple[datetime, str]:
        return moment_of_change(self.modified_ns), self.name


def spool(
    feed: Feed, topic: str, partition: int, position: int | None, messages: Sequence[Message], path: Path
) -> Messages:
    """Writes messages, at least one and in the order of their offsets, into a file, and gives the batch."""
    lines, offsets, rejects = [], [], []
    for offset, value in messages:
        flaw = _flaw(value)
        if flaw:
            rejects.append((offset, "", flaw, reject_text(Line(offset, value or b""))))
        elif value is not None:
            lines.append(value.rstrip(b"\r\n"))
            offsets.append(offset)
    # A message is a row whatever it says: none of them is the file's header.
    header = [] if feed.form is Form.JSON_LINES else [",".join(feed.column_names).encode()]
    with path.open("wb") as file:
        file.write(b"\n".join([*header, *lines, b""]) or b"\n")
    status = path.stat()
    first, last = messages[0][0], messages[-1][0]
    return Messages(
        feed,
        f"{topic}/{partition}/{first}-{last}",
        path,
        status.st_size,
        status.st_mtime_ns,
        topic=topic,
        partition=partition,
        position=position,
        next_offset=last + 1,
        count=len(messages),
        first_line=1 + len(header),
        offsets=np.array(offsets, dtype=np.int64),
        rejects=rejects,
    )


def _flaw(value: bytes | None) -> str:
    """Why a message cannot be a line of a file, or nothing; what ends its only line is no part of it."""
    if value is None:
        return "is null"
    line = value.rstrip(b"\r\n")
    if not line.strip():
        return "is empty"
    if b"\n" in line or b"\r" in line:
        return "holds a line end"
    if b"\0" in line:
        return "holds a NUL byte"
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            return "is not valid UTF-8"
    return ""
