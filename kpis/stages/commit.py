"""Commit: write a prepared batch to the lake, merge the intervals that it touches, and commit both to the ledger."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

from kpis.catalog.intervals import to_text
from kpis.catalog.registry import kpis_of
from kpis.engine.aggregate import Results, TotalTooLarge
from kpis.engine.incremental import MOST_INTERVALS
from kpis.lake import LakeFile, counted_with
from kpis.stages.engine import Engine
from kpis.stages.events import Duplicate, Event, Failed, Ingested, Unchanged
from kpis.stages.identity import heir_of, is_same, twin_of
from kpis.stages.ledger import Change, Entry, Keys, Ledger
from kpis.stages.merge import Fresh, KeysBetween, keys_in, merged, merged_incrementally
from kpis.stages.options import Options
from kpis.stages.prepared import Prepared
from kpis.stages.room import OUT_OF_ROOM, out_of_room

# So many rows of results are held at once, and more by one group of hours.
ROWS_AHEAD = 250_000


def ingest(one: Prepared, former: Entry | None, ledger: Ledger, engine: Engine, options: Options) -> Event:
    """Ingest one prepared batch and return what happened: write its files, merge its intervals, commit.

    It replaces what its ``former`` entry in the ledger gave. A file with the content of an ingested batch becomes its
    duplicate. Where the former content has duplicates, one of them holds it from now on, so that it still counts.
    """
    entry, name = one.entry, one.entry.file.name
    if former is not None:
        # Another file of this run may have changed what it is.
        (former,) = ledger.entries([former.file]).values()
    if former is not None and former.is_known:
        if entry.retry:
            return Failed(name, entry.reason)
        if is_same(entry, former):
            ledger.touch(replace(former, reading=entry.reading), entry.file)
            return Unchanged(entry.file)
    twin = twin_of(entry, ledger, options)
    heir = heir_of(entry, former, ledger)
    # What goes with the former content, and what is there only now.
    leaving = former if former is not None and former.is_in and not heir else None
    gone = _pruned_start(replace(entry, intervals={}) if twin else entry, leaving, ledger)
    if gone:
        reason = f"touches the interval from {to_text(gone)}, whose other records the lake no longer has"
        if leaving is not None:
            return Failed(name, reason)
        entry, twin = replace(entry, is_in=False, reason=reason), None
    if twin is not None:
        return _pass_over(one, twin, leaving, heir, ledger, engine, options)
    if not entry.is_in:
        return _fail(replace(one, entry=entry), leaving, heir, ledger, engine, options)
    try:
        change = _publish(one, leaving, ledger, engine, options)
        ledger.commit(replace(change, heir=heir))
    except TotalTooLarge as error:
        engine.lake.finalize(entry.key, ledger)
        failed = replace(one, entry=replace(entry, is_in=False, reason=str(error)))
        return _fail(failed, leaving, heir, ledger, engine, options)
    except OUT_OF_ROOM as error:
        engine.make_room()
        engine.lake.finalize(entry.key, ledger)
        entry = replace(entry, is_in=False, reason=out_of_room(error), retry=not entry.file.is_divisible)
        if entry.retry and former is not None and former.is_known:
            return Failed(name, entry.reason)
        return _fail(replace(one, entry=entry), leaving, heir, ledger, engine, options)
    engine.lake.finalize(entry.key, ledger)
    return Ingested(entry, change.touched)


def _pass_over(
    one: Prepared, twin: Entry, leaving: Entry | None, heir: str, ledger: Ledger, engine: Engine, options: Options
) -> Event:
    """Record that a file is a duplicate of an ingested batch, or its new name; remove what the file gave before."""
    file = one.entry.file
    lying = {name: file.has_beside(name) for name in (twin.file.name, *ledger.duplicates(twin)) if name != file.name}
    renamed = not lying[twin.file.name]
    gone = frozenset(name for name, is_there in lying.items() if not is_there)
    entry = replace(one.entry, is_in=False, duplicate_of=twin.file.name, key="", lines=0, records=0, rejects=0)
    kept = replace(one, entry=replace(entry, intervals={}), first_rejects=[], partials={}, written=None)
    _commit_without(kept, leaving, ledger, engine, options, heir=heir, renamed=gone)
    if renamed and not (entry.kpis <= twin.kpis and one.entry.records == twin.records):
        # Only this file is left to give what the batch lacks: a new KPI, or records that were ahead of the clock.
        (former,) = ledger.entries([file]).values()
        return ingest(one, former, ledger, engine, options)
    return Duplicate(file, twin.file.name, renamed)


def _fail(one: Prepared, leaving: Entry | None, heir: str, ledger: Ledger, engine: Engine, options: Options) -> Failed:
    """Record that a file failed; remove what its former content gave, which is no longer what the file says."""
    entry = one.entry
    failed = Prepared(replace(entry, key="", kpis=frozenset(), records=0, intervals={}), one.first_rejects)
    _commit_without(failed, leaving, ledger, engine, options, heir=heir)
    return Failed(entry.file.name, entry.reason)


def _commit_without(
    one: Prepared, leaving: Entry | None, ledger: Ledger, engine: Engine, options: Options, **changes: Any
) -> None:
    """Commit a batch that counts nothing, and remove what its former entry ``leaving`` gave; see ``Change``."""
    staging, replaced = None, _files_of(leaving, ledger)
    if leaving is not None:
        staging = engine.lake.stage(f"without-{leaving.key}")
        staging.publish(replaced)
    ledger.commit(replace(_change(one, leaving, ledger, engine, options, replaced=replaced), **changes))
    if staging is not None:
        engine.lake.finalize(staging.name, ledger)


def _publish(one: Prepared, former: Entry | None, ledger: Ledger, engine: Engine, options: Options) -> Change:
    """Publish the batch's files in the lake, and return the change with the results of every interval it touches."""
    staging = engine.lake.stage(one.entry.key)
    one.stage(staging, options)
    replaced = _files_of(former, ledger)
    files = staging.publish(replaced)
    change = _change(one, former, ledger, engine, options, files, replaced)
    now = options.at_hand.earliest
    closed_until = one.entry.file.closes(one.entry.intervals, one.newest, options.allowed_lateness, now)
    return replace(change, closed_until=closed_until, live=one.live)


def _change(
    one: Prepared,
    former: Entry | None,
    ledger: Ledger,
    engine: Engine,
    options: Options,
    files: Collection[LakeFile] = (),
    replaced: Collection[PurePosixPath] = (),
) -> Change:
    """Return what a batch changes; ``files`` are its own in the lake, ``replaced`` those of its former content."""
    entry = one.entry
    feed = entry.file.feed
    touched = frozenset(entry.intervals) | (ledger.intervals(former) if former else set())
    keys_between = _keys_of_batch(entry, former, ledger)
    counted = counted_with(ledger.files, files, replaced)
    fresh = Fresh(entry.key, one.partials, is_followed=entry.file.is_followed)
    if fresh.is_followed and one.partials and len(touched) <= MOST_INTERVALS:
        keys = keys_in(feed.interval, touched, keys_between)
        results = merged_incrementally(feed, entry.intervals, keys, counted, fresh, engine, options.top_n)
    else:
        kpis = kpis_of(feed, feed.interval)
        results = merged(kpis, feed.interval, touched, keys_between, counted, engine, options.top_n, fresh)
    return Change(entry, one.first_rejects, touched, _ahead(results), files=files, replaced=replaced)


def _keys_of_batch(entry: Entry, former: Entry | None, ledger: Ledger) -> KeysBetween:
    """Return a callable that gives the batches in a feed's intervals, as they are once this batch is committed."""
    feed, ordered = entry.file.feed, sorted(entry.intervals)

    def keys_between(start: datetime, end: datetime) -> Keys:
        known = ledger.keys(feed, start, end)
        keys: Keys = {}
        for moment, found in known.items():
            keys[moment] = {key: kpis for key, kpis in found.items() if former is None or key != former.key}
        for moment in ordered[bisect_left(ordered, start) : bisect_left(ordered, end)]:
            keys.setdefault(moment, {})[entry.key] = entry.kpis
        return keys

    return keys_between


def _ahead(results: Iterator[Results]) -> Iterable[Results]:
    """Compute the first ROWS_AHEAD rows of the results now, so that mostly all are before a transaction begins."""
    ahead: list[Results] = []
    rows = 0
    for one in results:
        ahead.append(one)
        rows += len(one.rows["rank"])
        if rows > ROWS_AHEAD:
            return chain(ahead, results)
    return ahead


def _files_of(entry: Entry | None, ledger: Ledger) -> list[PurePosixPath]:
    """Return the lake's files of an ingested batch."""
    return [file.path for file in ledger.files_of(entry.key)] if entry is not None and entry.is_in else []


def _pruned_start(entry: Entry, former: Entry | None, ledger: Ledger) -> datetime | None:
    """Return the first interval that a batch touches, or touched, where the lake was pruned; None for none."""
    kept_from = ledger.kept_from(entry.file.feed)
    touched = set(entry.intervals) | (ledger.intervals(former) if former else set())
    return min((start for start in touched if kept_from and start < kept_from), default=None)
