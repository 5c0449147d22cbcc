"""The ledger as the pipeline sees it: which batches are in, and what a run writes; kept in memory here.

``store.DatabaseLedger`` keeps the same ledger in the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis import clock
from kpis.catalog.feeds import FEEDS, Feed
from kpis.catalog.intervals import Interval, Length
from kpis.catalog.kpis import KPI, KPIS, lengths_of
from kpis.clock import Clocks
from kpis.engine.aggregate import Results
from kpis.engine.live import LiveCounts
from kpis.engine.reader import Reject
from kpis.engine.table import frame
from kpis.lake import FileLedger, Lake, LakeFile
from kpis.sources.directory import FoundFile, Version
from kpis.sources.messages import Messages

if TYPE_CHECKING:
    import pandas as pd

# By the start (UTC) of an interval: the keys of the batches in it, each with its KPIs' ids.
Keys = dict[datetime, dict[str, frozenset[int]]]


@dataclass(frozen=True)
class Entry:
    """A batch in the ledger.

    ``is_in`` tells whether its records count, else ``reason`` says why it failed and ``retry`` whether the next
    run tries again by itself; or its content counts by the batch that ``duplicate_of`` names, and ``is_renamed`` tells
    that its own file was gone when the content turned up there. ``key`` names its files in the lake, ``digest`` is the
    BLAKE3 of its unpacked content, ``reading`` says how it was read, and ``kpis`` are the ids of the KPIs whose
    partials the lake has. ``intervals`` counts its records by the start (UTC) of its feed's intervals.
    ``read_again_at`` is the moment (UTC) from which on reading it again gives more: rows that were too far ahead of the
    clock are records then. ``lacks_day`` is True for a file that was read just now where a row of it leaves the day to
    the file's name or the command.
    """

    file: FoundFile
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
class Change:
    """What one batch changes, to be written as one: its entry, its first rejects, and the intervals it touched.

    ``touched`` are the starts (UTC) of the feed's intervals that the batch touches or its former content touched;
    ``results`` is read once and has what each of the feed's KPIs gives there now: nothing, where no records are left;
    some of it is computed as it is read, which raises TotalTooLarge. The batch closes its feed's intervals that end at
    ``closed_until`` (UTC) or before, as far as the clocks have come; None: no further ones. ``live`` counts a
    stream's messages for the live page. ``files`` are those of the lake that count from then on, and ``replaced`` the
    paths of those that no longer do.

    ``heir`` names the duplicate that holds the batch's former content from now on, with its intervals and rejects.
    ``renamed`` names duplicates of the entry's content whose files are gone; where the batch ``duplicate_of`` is among
    them, its content counts by this entry's name from now on.
    """

    entry: Entry
    first_rejects: list[Reject]
    touched: frozenset[datetime]
    results: Iterable[Results]
    closed_until: datetime | None = None
    live: LiveCounts | None = None
    files: Collection[LakeFile] = ()
    replaced: Collection[PurePosixPath] = ()
    heir: str = ""
    renamed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class TakenBack:
    """A feed's intervals were called closed up to ``former`` by a clock that was ahead; now they are up to ``until``.

    Both are UTC. Those that end later are provisional again.
    """

    feed: Feed
    former: datetime
    until: datetime


def closing_time(start: datetime, is_message: bool, feed: Feed, lateness: timedelta, now: datetime) -> datetime:
    """Up to when (UTC) records in the feed's interval that starts at ``start`` close its intervals, at the moment
    ``now`` that is not before ``start``: a file's up to the interval's end, messages up to ``lateness`` before."""
    return start - lateness if is_message else min(start + feed.interval.delta, now)


class Ledger(FileLedger, Protocol):
    """What a run needs to know, and the only way in which it writes."""

    def bind(self, lake: Lake) -> None:
        """Checks that the lake is this ledger's, and makes it so where both are new or of version 0.1.0.

        Raises WrongLake where it is another's or is not there; then nothing was written to it.
        """

    def clocks(self) -> Clocks:
        """What the clocks at hand say now."""

    def heed_clocks(self, clocks: Clocks, lateness: timedelta) -> list[TakenBack]:
        """Takes back what is closed ahead of every clock, and closes what records close that were ahead when they came.

        ``lateness`` is how late a stream's messages may come.
        """

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        """Which versions of a feed's files are in with the partials of just these KPIs, with no rows that were too far
        ahead of the clock; maybe others than asked for."""

    def entries(self, files: Collection[FoundFile]) -> dict[tuple[str, str], Entry]:
        """The entries of the files that are known, by feed name and batch name; without their intervals."""

    def with_digest(self, feed: Feed, digest: str) -> list[Entry]:
        """The feed's files that are in, with records, and have this content; without their intervals."""

    def duplicates(self, entry: Entry) -> list[str]:
        """The names of a batch's duplicates, the oldest first, without those that were renamed."""

    def intervals(self, entry: Entry) -> set[datetime]:
        """The starts (UTC) of the intervals in which a batch has records."""

    def files_of(self, key: str) -> list[LakeFile]:
        """The files of the lake that count and have the rows of just the batch with a key."""

    def keys(self, feed: Feed, start: datetime, end: datetime) -> Keys:
        """The batches in each of the feed's intervals from start to end (excluded)."""

    def commit(self, change: Change) -> None:
        """Writes a batch's change, all or nothing, and marks the longer intervals that it touches as due."""

    def touch(self, entry: Entry, file: FoundFile) -> None:
        """Notes that a known file has a new time of change, but the same content, of which the entry has the digest."""

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        """The due rollups, oldest first: of intervals that have closed, and of open ones that changed since they were
        last figured; those that never were only ``with_open``. With them the feeds' own intervals that could not be
        computed with their batches."""

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        """By start (UTC): when a closed interval was first figured, or now where it never was."""

    def reference(self, table: str, moment: datetime) -> pd.DataFrame:
        """A table that partials are joined with, as it was at a moment (UTC)."""

    def commit_rollup(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        moments: Mapping[datetime, datetime],
    ) -> None:
        """Replaces longer intervals' results, and marks those that have closed as no longer due.

        ``moments`` (UTC), by start, are those of the references that the results were computed with.
        """

    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        """Replaces the results of the feed's intervals that start at ``starts`` (UTC)."""

    def due_compactions(self) -> list[tuple[Feed, Interval]]:
        """The hours that were rolled up when closed, and not compacted since."""

    def compacted(self, feed: Feed, hour: Interval) -> None:
        """Notes that an hour was compacted."""

    def kept_from(self, feed: Feed) -> datetime | None:
        """The moment (UTC) before which the lake was pruned of the feed; None where it never was."""


class MemoryLedger:
    """A ledger for a notebook or a test: it is gone when the process ends."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._closed: dict[str, datetime] = {}
        # Feeds that have records which were ahead of the clock when they came.
        self._ahead: set[str] = set()
        self._due: dict[tuple[str, Interval], bool] = {}
        self._rows: dict[tuple[int, Interval], pd.DataFrame] = {}
        self._files: dict[PurePosixPath, LakeFile] = {}

    def table(self, kpi: KPI) -> pd.DataFrame:
        """A KPI's rows: ``interval_start`` and ``interval_end`` (UTC), ``interval`` (the length's code), ``rank``,
        dimensions and values, in the order of time, length and rank."""
        import pandas as pd

        frames = [
            rows.assign(interval_end=rows["interval_start"] + interval.length.delta, interval=interval.length.code)
            for (kpi_id, interval), rows in self._rows.items()
            if kpi_id == kpi.id
        ]
        columns = ["interval_start", "interval_end", "interval", "rank", *kpi.columns]
        if not frames:
            return pd.DataFrame(columns=columns)
        return pd.concat(frames)[columns].sort_values(["interval_start", "interval", "rank"], ignore_index=True)

    def clocks(self) -> Clocks:
        return clock.host_clock()

    def heed_clocks(self, clocks: Clocks, lateness: timedelta) -> list[TakenBack]:
        now = clocks.latest
        taken_back = []
        for name, closed in list(self._closed.items()):
            if closed > now:
                self._closed[name] = now
                taken_back.append(TakenBack(FEEDS[name], closed, now))
                for kpi, interval in self._rows:
                    feed = KPIS[kpi].feed
                    if feed.name == name and interval.length != feed.interval and interval.end > now:
                        self._due.setdefault((name, interval), False)
        for entry in self._entries.values():
            feed = entry.file.feed
            if feed.name in self._ahead:
                is_message = isinstance(entry.file, Messages)
                self._close(
                    feed,
                    [closing_time(start, is_message, feed, lateness, now) for start in entry.intervals if start <= now],
                )
        return taken_back

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        return {
            entry.file.version
            for entry in self._entries.values()
            if entry.is_known and entry.file.feed == feed and entry.kpis == kpis and entry.read_again_at is None
        }

    def entries(self, files: Collection[FoundFile]) -> dict[tuple[str, str], Entry]:
        names = {(file.feed.name, file.name) for file in files}
        return {name: entry for name, entry in self._entries.items() if name in names}

    def with_digest(self, feed: Feed, digest: str) -> list[Entry]:
        return [
            entry
            for entry in self._entries.values()
            if (entry.file.feed, entry.digest) == (feed, digest)
            and entry.is_in
            and entry.records
            and not isinstance(entry.file, Messages)
        ]

    def duplicates(self, entry: Entry) -> list[str]:
        return [
            name
            for (feed, name), other in self._entries.items()
            if (feed, other.duplicate_of) == (entry.file.feed.name, entry.file.name) and other.is_known
        ]

    def intervals(self, entry: Entry) -> set[datetime]:
        return set(entry.intervals)

    def bind(self, lake: Lake) -> None:
        # A ledger in memory has a lake that is as new as itself.
        return None

    def files(self, folders: Collection[PurePosixPath]) -> list[LakeFile]:
        return [file for path, file in self._files.items() if path.parent in folders]

    def files_of(self, key: str) -> list[LakeFile]:
        return [file for file in self._files.values() if file.key == key]

    def counts(self, paths: Collection[PurePosixPath]) -> set[PurePosixPath]:
        return self._files.keys() & set(paths)

    def exchange_files(self, added: Collection[LakeFile], removed: Collection[PurePosixPath]) -> None:
        for path in removed:
            self._files.pop(path, None)
        self._files |= {file.path: file for file in added}

    def keys(self, feed: Feed, start: datetime, end: datetime) -> Keys:
        found: Keys = {}
        for entry in self._entries.values():
            if entry.file.feed == feed and entry.is_in:
                for moment in entry.intervals:
                    if start <= moment < end:
                        found.setdefault(moment, {})[entry.key] = entry.kpis
        return found

    def commit(self, change: Change) -> None:
        feed = change.entry.file.feed
        name, other = change.entry.file.name, change.entry.duplicate_of
        if change.heir:
            self._hand_over(feed, name, change.heir)
        self._entries[feed.name, name] = change.entry
        for gone in change.renamed - {other}:
            self._entries[feed.name, gone] = replace(self._entries[feed.name, gone], is_renamed=True)
        if other in change.renamed:
            nothing = replace(change.entry, file=self._entries[feed.name, other].file, is_renamed=True)
            self._hand_over(feed, other, name)
            self._entries[feed.name, other] = replace(nothing, duplicate_of=name)
        self.exchange_files(change.files, change.replaced)
        self._replace(feed, feed.interval, change.results)
        now = clock.now()
        if any(start + feed.interval.delta > now for start in change.entry.intervals):
            self._ahead.add(feed.name)
        if change.closed_until:
            self._close(feed, [min(change.closed_until, now)])
        for length in lengths_of(feed)[1:]:
            self._due |= {(feed.name, length.at(moment)): True for moment in change.touched}

    def _hand_over(self, feed: Feed, giver: str, taker: str) -> None:
        """Lets a batch's content count by the name of one of its duplicates, with all other duplicates."""
        for key, entry in self._entries.items():
            if key[0] == feed.name and entry.duplicate_of == giver:
                self._entries[key] = replace(entry, duplicate_of=taker)
        held, own = self._entries[feed.name, giver], self._entries[feed.name, taker]
        self._entries[feed.name, taker] = replace(held, file=own.file, reading=own.reading)

    def _close(self, feed: Feed, moments: list[datetime]) -> None:
        """Closes a feed's intervals that end at one of the moments (UTC) or before; what has stays closed."""
        known = [self._closed[feed.name]] if feed.name in self._closed else []
        if moments:
            self._closed[feed.name] = max([*moments, *known])

    def touch(self, entry: Entry, file: FoundFile) -> None:
        self._entries[file.feed.name, file.name] = replace(entry, file=file)

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        has_results = {interval for _, interval in self._rows}
        return [
            (FEEDS[feed], interval)
            for (feed, interval), changed in sorted(
                self._due.items(), key=lambda due: (due[0][1].start, due[0][0], due[0][1].length.minutes)
            )
            if interval.length == FEEDS[feed].interval
            or interval.is_closed(self._closed.get(feed))
            or (changed and (with_open or interval in has_results))
        ]

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        return dict.fromkeys(starts, clock.now())

    def reference(self, table: str, moment: datetime) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame({"user_id": pd.Series(dtype="str"), "email": pd.Series(dtype="str"), "quota": []})

    def commit_rollup(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        moments: Mapping[datetime, datetime],
    ) -> None:
        for interval in map(length.at, starts):
            if length == feed.interval or interval.is_closed(self._closed.get(feed.name)):
                self._due.pop((feed.name, interval), None)
            else:
                self._due[feed.name, interval] = False
        self._replace(feed, length, results)

    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        self._replace(feed, feed.interval, results)

    def due_compactions(self) -> list[tuple[Feed, Interval]]:
        # A ledger in memory ends with its run; compaction is for later ones.
        return []

    def compacted(self, feed: Feed, hour: Interval) -> None:
        return None

    def kept_from(self, feed: Feed) -> datetime | None:
        return None

    def _replace(self, feed: Feed, length: Length, results: Iterable[Results]) -> None:
        for result in results:
            if result.reason and result.again:
                self._due |= {(feed.name, length.at(start)): True for start in result.starts}
            for start in () if result.reason else result.starts:
                self._rows.pop((result.kpi.id, Interval(length, start)), None)
            for start, rows in frame(result.rows).groupby("interval_start"):
                self._rows[result.kpi.id, length.at(start.tz_localize("UTC").to_pydatetime())] = rows
