"""Merge: compute intervals' results from the partials of their batches, a bounded number of hours at a time.

An interval needs one lake file per KPI, batch and hour. A batch may touch a single interval or a thousand hours, so the
hours are merged in groups: each reads only the files of its own hours and holds no more than one group's partials in
memory.

A lake file that is missing or damaged stops only the intervals that need it: they keep their rows, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR, Length, timestamp
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import kpis_of
from kpis.engine.aggregate import Partials
from kpis.engine.incremental import IncrementalPartials, PartialsOf
from kpis.engine.kept import KeptPartials
from kpis.engine.merging import results_of_partials
from kpis.engine.recent import RecentPartials
from kpis.engine.results import Results, kept_results
from kpis.engine.table import registered
from kpis.engine.version_source import VersionSource
from kpis.lake import Counted, DamagedFile, Lake, PartialFile
from kpis.stages.ledger import Keys
from kpis.stages.room import out_of_memory

if TYPE_CHECKING:
    import duckdb

    from kpis.engine.versions import ReferenceVersions

HOURS_A_GROUP = 48
# Up to so many hours are merged directly from the lake's files, as for nearly every file. Not for a stream's batch, nor
# for hours whose recent partials are cached: each batch would read again what those before it read.
FEW_HOURS = 2
# What a group of hours may have in the lake; a larger group is halved, down to FEW_HOURS.
GROUP_BYTES = 4 * 2**20
GROUP_FILES = 5_000
# The ledger is asked for hours this close to each other at once.
CLOSE_HOURS = 6 * ONE_HOUR.delta
LACKS_KPI = "has records of a batch that was ingested before the KPI was there"

# Returns the batches in the intervals from a start to an end (UTC, excluded), as far as they count.
KeysBetween = Callable[[datetime, datetime], Keys]


class MergesLarge(Protocol):
    """The part of ``stages.engine.Cluster`` that merges partials."""

    def merges(self, kpi: KPI, size: int) -> bool: ...


class Merging(Protocol):
    """The parts of ``stages.engine.Engine`` that merging uses."""

    @property
    def connection(self) -> duckdb.DuckDBPyConnection: ...
    @property
    def lake(self) -> Lake: ...
    @property
    def incremental(self) -> IncrementalPartials: ...
    @property
    def recent(self) -> RecentPartials: ...
    @property
    def kept(self) -> KeptPartials: ...
    @property
    def versions(self) -> ReferenceVersions: ...
    def merge_elsewhere(
        self,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results | None:
        """Return a cluster's results if it merges these files; else None."""


@dataclass(frozen=True)
class Fresh:
    """The batches that are being committed: their partials by KPI id, which need not be read from the lake.

    ``hours`` has by hour (start, UTC) the keys of those that have records in it. A stream's batches ``are_followed`` by
    others of the same hours.
    """

    hours: Mapping[datetime, Collection[str]] = field(default_factory=dict)
    partials: Mapping[int, Partials] = field(default_factory=dict)
    are_followed: bool = False

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of all of the batches."""
        return frozenset(key for keys in self.hours.values() for key in keys)


def merged(
    kpis: Collection[KPI],
    length: Length,
    starts: Collection[datetime],
    keys_between: KeysBetween,
    counted: Counted,
    references: VersionSource,
    merging: Merging,
    top_n: int,
    fresh: Fresh | None = None,
) -> Iterator[Results]:
    """Yield the results of the given KPIs of a feed in the intervals of a length that start at ``starts`` (UTC).

    Each interval and KPI comes once. Where a lake file of it cannot be read, or a batch of it was ingested before the
    KPI was there, it comes without rows and with the reason: what it has stays. ``counted`` gives the files that
    count in some of the lake's folders, ``references`` the versions that attributes come from. Raises TotalTooLarge.
    """
    fresh = fresh or Fresh()
    for some in _groups(length, sorted(starts)):
        keys = keys_in(length, some, keys_between)
        for kpi in kpis:
            lacking = _lacking(kpi, length, keys)
            if without := [start for start in some if start in lacking]:
                yield kept_results(kpi, length, without, LACKS_KPI, again=False)
            if whole := [start for start in some if start not in lacking]:
                yield from _merged(_Work(kpi, length, whole, keys, counted, references, fresh, top_n), merging)
    merging.recent.trim()


def merged_incrementally(
    feed: Feed,
    starts: Collection[datetime],
    keys: Keys,
    counted: Counted,
    references: VersionSource,
    fresh: Fresh,
    merging: Merging,
    top_n: int,
) -> Iterator[Results]:
    """Yield what ``merged`` does for the few intervals that a stream's batches touch, from incremental partials."""
    for kpi in kpis_of(feed, feed.interval):
        source, length = kpi.source, feed.interval
        lacking = _lacking(kpi, length, keys)
        partials: dict[str, None] = {}
        whole = []
        for start in sorted(starts):
            if start in lacking:
                yield kept_results(kpi, length, [start], LACKS_KPI, again=False)
                continue
            others, own = keys[start].keys() - fresh.keys, keys[start].keys() & fresh.keys
            try:
                with _tables(merging.connection, fresh.partials[source.id]) as tables:
                    name = merging.incremental.merge(
                        source, start, others, own, tables, _partials_of(source, start, counted, merging)
                    )
            except DamagedFile as error:
                yield kept_results(kpi, length, [start], error.public_reason, str(error))
                continue
            partials[name] = None
            whole.append(start)
        if kpi.attributes:
            merging.versions.prepare(kpi, partials, references)
        found = results_of_partials(lambda: merging.connection, kpi, length, partials, whole, top_n)
        yield replace(found, starts=tuple(whole))
    merging.incremental.trim()


def _partials_of(kpi: KPI, start: datetime, counted: Counted, merging: Merging) -> PartialsOf:
    """Return a callable that opens the lake's partials of some batches in the hour of a moment (UTC)."""
    return lambda keys: merging.lake.partials(kpi, {ONE_HOUR.floor(start): keys}, counted)


@dataclass(frozen=True)
class _Work:
    """One KPI's intervals to merge, with the batches in the feed's intervals.

    ``in_memory`` has all of their partials, if all are in memory.
    """

    kpi: KPI
    length: Length
    starts: list[datetime]
    keys: Keys
    lake_files: Counted
    references: VersionSource
    fresh: Fresh
    top_n: int
    in_memory: Partials | None = None

    @property
    def at_hand(self) -> Partials:
        return self.fresh.partials.get(self.kpi.source.id, {})

    @property
    def own(self) -> frozenset[str]:
        """The keys of the batches whose partials are at hand."""
        return self.fresh.keys if self.at_hand else frozenset()

    def needed(self) -> dict[datetime, set[str]]:
        """Return the batches whose partials are needed, by interval; an interval may have none."""
        needed: dict[datetime, set[str]] = {start: set() for start in self.starts}
        for start, found in self.keys.items():
            if (interval := self.length.floor(start)) in needed:
                needed[interval].update(found)
        return needed

    def hours(self) -> dict[datetime, set[str]]:
        """Return the batches whose partials are needed, by hour; for some hours there may be none."""
        hours: dict[datetime, set[str]] = {}
        for start in self.starts:
            for hour in ONE_HOUR.starts(start, self.length.end(start)):
                hours.setdefault(hour, set())
        wanted = set(self.starts)
        for start, found in self.keys.items():
            if self.length.floor(start) in wanted:
                hours[ONE_HOUR.floor(start)].update(found)
        return hours

    def counted(self) -> dict[datetime, set[str]]:
        """Return all batches by hour, for the hours that ``keys`` has."""
        hours: dict[datetime, set[str]] = {}
        for start, found in self.keys.items():
            hours.setdefault(ONE_HOUR.floor(start), set()).update(found)
        return hours

    def halves(self) -> tuple[_Work, _Work]:
        middle = len(self.starts) // 2
        return replace(self, starts=self.starts[:middle]), replace(self, starts=self.starts[middle:])


def _merged(work: _Work, merging: Merging) -> Iterator[Results]:
    """Yield the results of the work; in parts if it is too large or a part of it cannot be read."""
    for part in _by_place(work, merging.kept):
        yield from _merged_or_halved(part, merging)


def _by_place(work: _Work, kept: KeptPartials) -> Iterator[_Work]:
    """Yield the work on the intervals whose partials are all in memory, and on the others."""
    # What follows a stream's batch needs its partials with the recent ones.
    if work.fresh.are_followed or None in work.at_hand.values():
        yield work
        return
    before = kept.of(work.kpi.source.id)
    held = work.own | before.keys()
    needed = work.needed()
    in_memory = [start for start in work.starts if needed[start] <= held]
    if in_memory:
        keys = set().union(*(needed[start] for start in in_memory)) - work.own
        others = {f"kept_{number}": before[key] for number, key in enumerate(sorted(keys))}
        yield replace(work, starts=in_memory, in_memory={**work.at_hand, **others})
    if len(in_memory) < len(work.starts):
        found = frozenset(in_memory)
        yield replace(work, starts=[start for start in work.starts if start not in found])


def _merged_or_halved(work: _Work, merging: Merging) -> Iterator[Results]:
    """Yield the results of the work, in halves if that needs too much memory or a file that cannot be read."""
    try:
        found = _merge(work, merging)
    except out_of_memory():
        # What is cached of other intervals may leave no room.
        merging.recent.clear()
        merging.incremental.clear()
        if len(work.starts) == 1:
            raise
        found = None
    except DamagedFile as error:
        if len(work.starts) == 1:
            yield kept_results(work.kpi, work.length, work.starts, error.public_reason, str(error))
            return
        found = None
    if found is not None:
        yield replace(found, starts=tuple(work.starts))
        return
    for half in work.halves():
        yield from _merged_or_halved(half, merging)


def _merge(work: _Work, merging: Merging) -> Results | None:
    """Return the results of the work; None if it is too large to merge at once."""

    def results(partials: Partials, of_one_batch: bool = False) -> Results:
        if work.kpi.attributes:
            merging.versions.prepare(work.kpi, partials, work.references)
        return results_of_partials(
            lambda: merging.connection, work.kpi, work.length, partials, work.starts, work.top_n, of_one_batch
        )

    if work.in_memory is not None:
        return results(work.in_memory)
    source, all_hours = work.kpi.source, work.hours()
    hours = {hour: keys for hour, keys in all_hours.items() if keys}
    own = work.own
    are_many = len(hours) > FEW_HOURS
    if hours and (are_many or work.fresh.are_followed or merging.recent.holds(source, all_hours)):
        lacking = merging.recent.lacking(source, all_hours, work.counted())
        files = merging.lake.files(source, _without(own, lacking), work.lake_files)
        if len(files) <= GROUP_FILES and sum(file.size for file in files.values()) <= GROUP_BYTES:
            return results(_recent(work, lacking, files, merging))
        if are_many and len(work.starts) > 1:
            return None
    of_one_batch = len({key for found in hours.values() for key in found}) == 1
    files = merging.lake.files(source, _without(own, hours), work.lake_files)
    elsewhere = merging.merge_elsewhere(work.kpi, work.length, files, work.starts, work.top_n)
    if elsewhere is not None:
        return elsewhere
    with merging.lake.tables(files) as tables:
        return results({**(work.at_hand if hours else {}), **dict.fromkeys(tables)}, of_one_batch)


def _recent(
    work: _Work,
    lacking: Mapping[datetime, set[str]],
    files: Mapping[PurePosixPath, PartialFile],
    merging: Merging,
) -> Partials:
    """Return the recent partials of the work's hours, after adding those they lack from the files."""
    source, recent = work.kpi.source, merging.recent
    with merging.lake.tables(files) as tables:
        recent.add(source, tables, _without(work.own, lacking))
    # The tables have all of the own batches' rows of an hour, also of those that are in none of these intervals.
    of_own = {hour: work.fresh.hours[hour] for hour, keys in lacking.items() if keys & work.own}
    if of_own:
        within = " OR ".join(
            f"(interval_start >= {timestamp(begin)} AND interval_start < {timestamp(end)})"
            for begin, end in _spans(sorted(of_own), ONE_HOUR.delta)
        )
        with _tables(merging.connection, work.at_hand) as tables:
            recent.add(source, [f"{table} WHERE {within}" for table in tables], of_own)
    name = recent.table(source)
    return {name: None} if name else {}


@contextmanager
def _tables(connection: duckdb.DuckDBPyConnection, partials: Partials) -> Iterator[list[str]]:
    """Let queries read partials; yield their tables."""
    with ExitStack() as stack:
        for table, columns in partials.items():
            if columns is not None:
                stack.enter_context(registered(connection, table, columns))
        yield list(partials)


def _without(own: Collection[str], hours: Mapping[datetime, set[str]]) -> dict[datetime, set[str]]:
    """Return the batches by hour without those whose partials are in memory."""
    return {hour: left for hour, keys in hours.items() if (left := keys - frozenset(own))}


def _groups(length: Length, starts: list[datetime]) -> Iterator[list[datetime]]:
    """Yield the intervals' starts, in order, in groups of at most HOURS_A_GROUP hours, or of one interval."""
    some: list[datetime] = []
    hours: set[datetime] = set()
    for start in starts:
        hour = ONE_HOUR.floor(start)
        if some and (length.usual_minutes > ONE_HOUR.minutes or len(hours | {hour}) > HOURS_A_GROUP):
            yield some
            some, hours = [], set()
        some.append(start)
        hours.add(hour)
    if some:
        yield some


def keys_in(length: Length, starts: Collection[datetime], keys_between: KeysBetween) -> Keys:
    """Return the batches in the feed's intervals of all hours that hold intervals of a length, or lie close by."""
    keys: Keys = {}
    first = last = None
    for start in sorted(starts):
        begin, end = ONE_HOUR.floor(start), ONE_HOUR.ceiling(length.end(start))
        if first is None or last is None or begin > last + CLOSE_HOURS:
            if first is not None and last is not None:
                keys |= keys_between(first, last)
            first = begin
        last = end
    if first is not None and last is not None:
        keys |= keys_between(first, last)
    return keys


def _spans(starts: list[datetime], delta: timedelta) -> list[tuple[datetime, datetime]]:
    """Return spans that cover all of the starts, in order, each ending ``delta`` after its last start."""
    spans: list[tuple[datetime, datetime]] = []
    for start in starts:
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], start + delta
        else:
            spans.append((start, start + delta))
    return spans


def _lacking(kpi: KPI, length: Length, keys: Keys) -> set[datetime]:
    """Return the intervals of a length that have batches which were ingested before a KPI was there."""
    return {
        length.floor(start)
        for start, found in keys.items()
        if any(kpi.source.id not in kpis for kpis in found.values())
    }
