"""The protocol of a batch: a file, or a range of a stream's messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kpis.catalog.feeds import Feed

if TYPE_CHECKING:
    import duckdb

    from kpis.engine.file_reader import Reading
    from kpis.formats.line_days import LineDays
    from kpis.sources.positions import Position

# A file in a listing: its name, its size in bytes, and its mark, see ``FoundFile``. A plain tuple, since a folder may
# hold hundreds of thousands of files.
Version = tuple[str, int, str]


@dataclass(frozen=True)
class Step:
    """The advance of the ledger's position in a partition of a topic, or in a shard of a Kinesis stream.

    ``source`` is the stream's source, ``kafka`` or ``kinesis``. ``before`` is the position that the ledger must have
    (None: none), ``after`` the one that it has then.
    """

    source: str
    stream: str
    partition: str
    before: Position | None
    after: Position


class Batch(Protocol):
    """A unit of ingestion: it is ingested as a whole, and once.

    ``name`` identifies it within its feed, ``path`` is where its rows can be read, ``size`` is in bytes,
    ``modified_ns`` in ns since 1970-01-01T00:00Z, and ``problem`` is the reason why it cannot be read, if that is known
    beforehand. ``etag`` and ``mark`` are those of ``FoundFile``. ``arrived`` is when its newest message arrived, by the
    broker's clock (UTC), if known. ``days`` are those of messages whose rows may lack their day.
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
    def days(self) -> LineDays | None: ...

    @property
    def version(self) -> Version:
        """A value that changes with the content, known without reading it."""

    @property
    def age_key(self) -> tuple[datetime, str]:
        """The key that sorts batches from the oldest to the newest."""

    @property
    def kind(self) -> str:
        """Its name in log lines: ``file`` or ``messages``."""

    @property
    def place(self) -> Mapping[str, Any]:
        """The origin as fields of log lines."""

    @property
    def is_followed(self) -> bool:
        """True if later batches add to the same intervals, as in a stream; False for a file.

        A stream's batch is read once, and its rows have their own time. A file has its intervals as a whole, may be
        read again, and its name may give the interval.
        """

    @property
    def counts_by_content(self) -> bool:
        """True if the same content under another name is the same batch. Of a stream, it is other messages."""

    @property
    def is_divisible(self) -> bool:
        """True if the batch can be split into halves where it cannot be ingested as a whole."""

    @property
    def step(self) -> Step | None:
        """The step by which it advances the ledger; None for a file."""

    def closes(
        self, starts: Collection[datetime], newest: datetime | None, lateness: timedelta, now: datetime
    ) -> datetime | None:
        """Return the time (UTC) up to which it closes its feed's intervals; None if it closes none.

        ``starts`` are those of the intervals with its records, ``newest`` is its newest record's time, ``lateness`` how
        late messages may arrive, and ``now`` the present time.
        """

    def completed(self, reading: Reading, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Reading:
        """Return the reading of its rows, with the messages that could not be a row added as rejects.

        ``connect`` returns the connection that has the table ``rejects``; for a file it is not called.
        """

    def sequence_number(self, line: int) -> str:
        """Return the sequence number of the record at a line; empty if its stream has none."""

    def has_beside(self, name: str) -> bool:
        """Return True if the same place has a file of this name."""
