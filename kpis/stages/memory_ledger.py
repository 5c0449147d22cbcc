"""The ledger in memory, for a notebook or a test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from kpis import clock
from kpis.catalog.closing import closing_time
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, Length
from kpis.catalog.kpis import KPI, Reference
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import FEEDS, KPIS, lengths_of
from kpis.clock import Clocks
from kpis.engine.results import Results
from kpis.engine.table import Columns, frame
from kpis.lake import Lake, LakeFile
from kpis.sources.batch import Batch, Version
from kpis.stages.ledger import BatchChange, Change, DueReference, Entry, Keys, Reopened

if TYPE_CHECKING:
    import pandas as pd


class MemoryLedger:
    """A ledger for a notebook or a test: it is gone when the process ends."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._closed: dict[str, datetime] = {}
        # Feeds with records that were ahead of the clock when they were ingested.
        self._ahead: set[str] = set()
        self._due: dict[tuple[str, Interval], bool] = {}
        self._rows: dict[tuple[int, Interval], pd.DataFrame] = {}
        self._files: dict[PurePosixPath, LakeFile] = {}

    def table(self, kpi: KPI) -> pd.DataFrame:
        """Return a KPI's rows, in the order of time, length and rank.

        Columns: ``interval_start`` and ``interval_end`` (UTC), ``interval`` (the length's code), ``rank``, dimensions
        and values.
        """
        import pandas as pd

        frames = [
            rows.assign(
                interval_end=np.datetime64(interval.end.replace(tzinfo=None), "us"), interval=interval.length.code
            )
            for (kpi_id, interval), rows in self._rows.items()
            if kpi_id == kpi.id
        ]
        columns = ["interval_start", "interval_end", "interval", "rank", *kpi.columns]
        if not frames:
            return pd.DataFrame(columns=columns)
        return pd.concat(frames)[columns].sort_values(["interval_start", "interval", "rank"], ignore_index=True)

    def clocks(self) -> Clocks:
        return clock.host_clock()

    def adjust_watermarks(self, clocks: Clocks, lateness: timedelta) -> list[Reopened]:
        now = clocks.latest
        reopened = []
        for name, closed in list(self._closed.items()):
            if closed > now:
                self._closed[name] = now
                reopened.append(Reopened(FEEDS[name], closed, now))
                for kpi, interval in self._rows:
                    feed = KPIS[kpi].feed
                    if feed.name == name and interval.length != feed.interval and interval.end > now:
                        self._due.setdefault((name, interval), False)
        for entry in self._entries.values():
            feed = entry.file.feed
            if feed.name in self._ahead:
                self._close(
                    feed,
                    [
                        closing_time(start, entry.file.is_followed, feed, lateness, now)
                        for start in entry.intervals
                        if start <= now
                    ],
                )
        return reopened

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        return {
            entry.file.version
            for entry in self._entries.values()
            if entry.is_known and entry.file.feed == feed and kpis <= entry.kpis and entry.read_again_at is None
        }

    def entries(self, files: Collection[Batch]) -> dict[tuple[str, str], Entry]:
        names = {(file.feed.name, file.name) for file in files}
        return {name: entry for name, entry in self._entries.items() if name in names}

    def with_digests(self, feed: Feed, digests: Collection[str]) -> list[Entry]:
        return [
            entry
            for entry in self._entries.values()
            if entry.file.feed == feed
            and entry.digest in digests
            and entry.is_in
            and entry.records
            and entry.file.counts_by_content
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
        # A ledger in memory has a lake of its own.
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
        feed = change.feed
        for one in change.batches:
            self._save(one)
        self.exchange_files(change.files, change.replaced)
        self._replace(feed, feed.interval, change.results)
        now = clock.now()
        if any(start + feed.interval.delta > now for one in change.batches for start in one.entry.intervals):
            self._ahead.add(feed.name)
        if change.closed_until:
            self._close(feed, [min(change.closed_until, now)])
        for length in lengths_of(feed)[1:]:
            self._due |= {(feed.name, length.at(moment)): True for moment in change.touched}

    def _save(self, one: BatchChange) -> None:
        """Write a batch's entry, and what becomes of its duplicates."""
        feed, name, other = one.entry.file.feed, one.entry.file.name, one.entry.duplicate_of
        if one.heir:
            self._hand_over(feed, name, one.heir)
        self._entries[feed.name, name] = one.entry
        for gone in one.renamed - {other}:
            self._entries[feed.name, gone] = replace(self._entries[feed.name, gone], is_renamed=True)
        if other in one.renamed:
            nothing = replace(one.entry, file=self._entries[feed.name, other].file, is_renamed=True)
            self._hand_over(feed, other, name)
            self._entries[feed.name, other] = replace(nothing, duplicate_of=name)

    def _hand_over(self, feed: Feed, giver: str, taker: str) -> None:
        """Make a batch's content count by the name of one of its duplicates, with all other duplicates."""
        for key, entry in self._entries.items():
            if key[0] == feed.name and entry.duplicate_of == giver:
                self._entries[key] = replace(entry, duplicate_of=taker)
        held, own = self._entries[feed.name, giver], self._entries[feed.name, taker]
        self._entries[feed.name, taker] = replace(held, file=own.file, reading=own.reading)

    def _close(self, feed: Feed, moments: list[datetime]) -> None:
        """Close a feed's intervals that end at one of the moments (UTC) or before."""
        known = [self._closed[feed.name]] if feed.name in self._closed else []
        if moments:
            self._closed[feed.name] = max([*moments, *known])

    def touch(self, entry: Entry, file: Batch) -> None:
        self._entries[file.feed.name, file.name] = replace(entry, file=file)

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        has_results = {interval for _, interval in self._rows}
        return [
            (FEEDS[feed], interval)
            for (feed, interval), changed in sorted(
                self._due.items(), key=lambda due: (due[0][1].start, due[0][0], due[0][1].length.usual_minutes)
            )
            if interval.length == FEEDS[feed].interval
            or interval.is_closed(self._closed.get(feed))
            or (changed and (with_open or interval in has_results))
        ]

    def days_problem(self) -> str:
        return ""

    def restart_days(self) -> None:
        return None

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        return dict.fromkeys(starts, clock.now())

    def reference(self, reference: Reference, moment: datetime) -> Columns:
        return {column.name: np.empty(0, dtype=object) for column in reference.columns}

    def reference_state(self, reference: ReferenceTable) -> object:
        return None

    def versions(self, reference: ReferenceTable, keys: Collection[str] | None) -> Iterable[Columns]:
        # Nothing was loaded.
        return ()

    def due_references(self) -> list[DueReference]:
        return []

    def commit_references(self, due: Sequence[DueReference], results: list[Results]) -> set[datetime]:
        return set()

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
