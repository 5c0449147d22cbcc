"""A batch, as the stages of a run ask it: a file, or a range of a stream's messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kpis.catalog.feeds import Feed

if TYPE_CHECKING:
    import duckdb

    from kpis.engine.reader import Reading

# What a listing tells of a file: its name, its size in bytes, and its mark, see ``FoundFile``. A plain tuple, since a
# folder may hold hundreds of thousands of files.
Version = tuple[str, int, str]


@dataclass(frozen=True)
class Step:
    """From where to where a batch advances a partition of a topic (a shard of a stream) in the ledger.

    ``before`` is where the ledger must stand (None: it has nothing of the partition), ``after`` where it stands with
    the batch.
    """

    topic: str
    partition: int | str
    before: Any
    after: Any


class Batch(Protocol):
    """What is ingested once, as one.

    ``name`` identifies it within its feed, ``path`` is where its rows can be read, ``size`` is in bytes,
    ``modified_ns`` in ns since 1970-01-01T00:00Z, and ``problem`` says why it cannot be read, where that is known
    beforehand. ``etag`` and ``mark`` are those of ``FoundFile``. ``arrived`` is when its newest message came, by the
    broker's clock (UTC), where that says so.
    """

    @property
    def feed(self) -> Feed: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...
    @property
    def modified_ns(self) -> int: ...
    @property
    def problem(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def mark(self) -> str: ...
    @property
    def arrived(self) -> datetime | None: ...

    @property
    def version(self) -> Version:
        """A value that changes with its content, known without reading it."""

    @property
    def age_key(self) -> tuple[datetime, str]:
        """Sorts batches from the oldest on."""

    @property
    def kind(self) -> str:
        """Its name in log lines: ``file`` or ``messages``."""

    @property
    def place(self) -> Mapping[str, Any]:
        """Its origin as fields of log lines."""

    @property
    def is_followed(self) -> bool:
        """True if others of the same intervals follow, as in a stream: it is read once, and its rows tell their time.

        A file has its intervals as a whole, may be read again, and its name may tell the interval.
        """

    @property
    def counts_by_content(self) -> bool:
        """True if the same content under another name is the same batch; messages at other offsets are others."""

    @property
    def is_divisible(self) -> bool:
        """True if it can be ingested in halves where it cannot be as one."""

    @property
    def step(self) -> Step | None:
        """The position that it advances; None for a file, which has none."""

    def closes(
        self, starts: Collection[datetime], newest: datetime | None, lateness: timedelta, now: datetime
    ) -> datetime | None:
        """Return up to when (UTC) it closes its feed's intervals; None where it closes none.

        ``starts`` are those of the intervals with its records, ``newest`` its newest record's time, ``lateness`` how
        late messages may come, and ``now`` what the clocks say.
        """

    def completed(self, reading: Reading, connection: duckdb.DuckDBPyConnection) -> Reading:
        """Return the reading of its rows, completed by rejects that could not be a row, in the connection's tables."""

    def sequence_number(self, line: int) -> str:
        """Return the sequence number of the record at a line, where its stream has them; else an empty text."""

    def has_beside(self, name: str) -> bool:
        """True if a file of this name lies in the same place."""
