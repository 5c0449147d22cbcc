"""The protocol between the stages and the ledger: which batches were ingested, and what a run writes.

``store.DatabaseLedger`` implements it in the database, ``MemoryLedger`` in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, Length
from kpis.catalog.kpis import Reference
from kpis.clock import Clocks
from kpis.engine.results import Results
from kpis.engine.table import Columns
from kpis.engine.version_source import VersionSource
from kpis.lake import FileLedger, Lake, LakeFile
from kpis.sources.batch import Batch, Version

if TYPE_CHECKING:
    from kpis.engine.file_reader import Reject
    from kpis.engine.live import LiveCounts

# By the start (UTC) of an interval: the keys of the batches in it, each with its KPIs' ids.
Keys = dict[datetime, dict[str, frozenset[int]]]


@dataclass(frozen=True)
class Entry:
    """A batch in the ledger.

    ``is_in`` is True if its records count. If not, it failed for a ``reason``, and the next run retries it if ``retry``
    is True; or its content counts as the batch ``duplicate_of``, and ``is_renamed`` is True if its own file was gone
    when the content was found under that name. ``key`` names its files in the lake, ``digest`` is the BLAKE3 of its
    unpacked content, ``reading`` describes how it was read, and ``kpis`` are the ids of the KPIs whose partials the
    lake has. ``intervals`` counts its records by the start (UTC) of its feed's intervals. ``read_again_at`` is the time
    (UTC) from which reading it again gives more records, as rows were too far ahead of the clock. ``lacks_day`` is True
    for a file that was just read if a row of it has no day of its own.
    """

    file: Batch
    is_in: bool
    reason: str = ""
    retry: bool = False
    key: str = ""
    digest: str = ""
    reading: str = ""
    kpis: frozenset[int] = frozenset()
    lines: int = 0
    records: int = 0
    rejects: int = 0
    intervals: dict[datetime, int] = field(default_factory=dict)
    read_again_at: datetime | None = None
    duplicate_of: str = ""
    is_renamed: bool = False
    lacks_day: bool = False

    @property
    def is_known(self) -> bool:
        """True if what the file gives counts, by this batch or as a duplicate by another."""
        return self.is_in or bool(self.duplicate_of and not self.is_renamed)


@dataclass(frozen=True)
class DueReference:
    """An interval whose KPIs by attributes of a reference are due, with what changed the reference."""

    feed: Feed
    interval: Interval
    reference: str
    reason: str


class Refused(Exception):
    """The ledger cannot store what a change says; the message says why."""


@dataclass(frozen=True)
class BatchChange:
    """The changes of a batch itself: its entry and its first rejects.

    ``heir`` names the duplicate that holds the batch's former content from now on, with its intervals and rejects.
    ``renamed`` names duplicates of the entry's content whose files are gone; where the batch ``duplicate_of`` is among
    them, its content counts by this entry's name from now on. Of several batches of a change, none has either.
    """

    entry: Entry
    first_rejects: list[Reject]
    heir: str = ""
    renamed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    """The changes of batches of one feed that are committed in one transaction.

    ``touched`` are the starts (UTC) of the feed's intervals that the batches touch or their former contents touched;
    ``results`` is read once and has what each of the feed's KPIs gives there now: nothing, where no records are left;
    some of it is computed as it is read, which raises TotalTooLarge. The batches close the feed's intervals that end at
    ``closed_until`` (UTC) or before, as far as the clocks have come; None: no further ones. ``live`` counts a
    stream's messages for the live page. ``files`` are those of the lake that count from then on, and ``replaced`` the
    paths of those that no longer do.
    """

    feed: Feed
    batches: Sequence[BatchChange]
    touched: frozenset[datetime]
    results: Iterable[Results]
    closed_until: datetime | None = None
    live: Sequence[LiveCounts] = ()
    files: Collection[LakeFile] = ()
    replaced: Collection[PurePosixPath] = ()


@dataclass(frozen=True)
class Reopened:
    """Intervals of a feed were reopened that a clock that was ahead had closed.

    They were closed up to ``former`` (UTC). Those that end after ``until`` (UTC) are provisional again.
    """

    feed: Feed
    former: datetime
    until: datetime


class Ledger(FileLedger, VersionSource, Protocol):
    """The interface between a run and the ledger: a run reads and writes it only through these methods."""

    def bind(self, lake: Lake) -> None:
        """Check that the lake is this ledger's; bind it to this ledger where both are new or of version 0.1.0.

        Raises WrongLake where it is another's or is not there; then nothing was written to it.
        """

    def clocks(self) -> Clocks:
        """Return the present clocks."""

    def adjust_watermarks(self, clocks: Clocks, lateness: timedelta) -> list[Reopened]:
        """Reopen intervals that were closed ahead of every clock, and close those that the clocks have reached since.

        The latter have records that were ahead of the clocks when they were ingested. ``lateness`` is how late a
        stream's messages may come. Returns what was reopened.
        """

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        """Return the versions of a feed's files that were ingested with the partials of these KPIs, and maybe others.

        Without those that have rows too far ahead of the clock; maybe with others than asked for.
        """

    def entries(self, files: Collection[Batch]) -> dict[tuple[str, str], Entry]:
        """Return the known batches' entries by feed name and batch name; without their intervals."""

    def with_digests(self, feed: Feed, digests: Collection[str]) -> list[Entry]:
        """Return the feed's ingested files that have records and one of these contents; without their intervals."""

    def duplicates(self, entry: Entry) -> list[str]:
        """Return the names of a batch's duplicates, oldest first, without those that were renamed."""

    def intervals(self, entry: Entry) -> set[datetime]:
        """Return the starts (UTC) of the intervals in which a batch has records."""

    def files_of(self, key: str) -> list[LakeFile]:
        """Return the lake's files that count and have rows of the batch with this key only."""

    def keys(self, feed: Feed, start: datetime, end: datetime) -> Keys:
        """Return the batches in each of the feed's intervals from start to end (excluded)."""

    def commit(self, change: Change) -> None:
        """Write a change in one transaction, and mark the longer intervals that it touches as due.

        Raises Refused if the ledger cannot store it, and what reading the results raises; then nothing is changed.
        """

    def touch(self, entry: Entry, file: Batch) -> None:
        """Record a known file's new version; its content, whose digest the entry has, is the same."""

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        """Return the due rollups, oldest first.

        Those are intervals that have closed, and open ones that changed since they were last computed; open ones that
        never were only ``with_open``. Also the feeds' own intervals that could not be computed with their batches.
        """

    def days_problem(self) -> str:
        """Return why days, weeks and months cannot be computed, as the stored ones are of another time zone; or ""."""

    def restart_days(self) -> None:
        """Delete days, weeks and months, and mark those of the time zone as due, as far as the lake has all of them."""

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        """Return by start (UTC) when a closed interval was first computed, or now where it never was."""

    def reference(self, reference: Reference, moment: datetime) -> Columns:
        """Return the table that partials are joined with, with its columns, as it was at a moment (UTC)."""

    def due_references(self) -> list[DueReference]:
        """Return the computed intervals whose references changed since, oldest first."""

    def commit_references(self, due: Sequence[DueReference], results: list[Results]) -> set[datetime]:
        """Write the results that differ from those that are stored, as revisions with their reasons.

        ``due`` are intervals of one feed, length and reference, which are no longer due but for those that could not be
        computed. Returns the starts (UTC) of those of which a result differs.
        """

    def commit_rollup(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        moments: Mapping[datetime, datetime],
    ) -> None:
        """Replace longer intervals' results, and mark those that have closed as no longer due.

        ``moments`` (UTC), by start, are those of the references that the results were computed with.
        """

    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        """Replace the results of the feed's intervals that start at ``starts`` (UTC)."""

    def due_compactions(self) -> list[tuple[Feed, Interval]]:
        """Return the hours that were rolled up when closed, and not compacted since."""

    def compacted(self, feed: Feed, hour: Interval) -> None:
        """Record that an hour was compacted."""

    def kept_from(self, feed: Feed) -> datetime | None:
        """Return the moment (UTC) before which the lake was pruned of the feed; None where it never was."""
