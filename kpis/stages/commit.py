"""Commit: write prepared batches to the lake, merge the intervals that they touch, and commit both to the ledger."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import PurePosixPath

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR, to_text
from kpis.catalog.registry import kpis_of, lengths_of, whole_from
from kpis.engine.aggregate import TotalTooLarge
from kpis.engine.incremental import MOST_INTERVALS
from kpis.engine.results import Results
from kpis.lake import Counted, LakeFile, Staging, counted_with
from kpis.lake.layout import shared_name
from kpis.stages.engine import Engine
from kpis.stages.events import Duplicate, Event, Failed, Ingested, Unchanged
from kpis.stages.identity import heir_of, is_same, twin_of
from kpis.stages.ledger import BatchChange, Change, Entry, Keys, Ledger, Refused
from kpis.stages.merge import Fresh, KeysBetween, keys_in, merged, merged_incrementally
from kpis.stages.options import Duplicates, Options
from kpis.stages.prepared import Prepared, Source, sources, stage
from kpis.stages.replaced import replaced_files
from kpis.stages.room import out_of_room, out_of_room_errors

# So many rows of results are held at once, and more by one group of hours.
ROWS_AHEAD = 250_000


@dataclass(frozen=True)
class _Member:
    """A batch that is committed: ``leaving`` is the entry whose content it replaces, ``heir`` as in ``BatchChange``.

    ``left`` are the intervals (starts, UTC) that the former content touched.
    """

    one: Prepared
    former: Entry | None = None
    leaving: Entry | None = None
    left: frozenset[datetime] = frozenset()
    heir: str = ""


def ingest(
    batches: Sequence[tuple[Prepared, Entry | None]], ledger: Ledger, engine: Engine, options: Options
) -> Iterator[Event]:
    """Ingest prepared batches of one feed together: write their files, merge their intervals, commit. Yield the events.

    Each comes with its former entry in the ledger, whose content it replaces; all have different names and contents.
    Batches that need more than to be counted, such as duplicates, come after all others, one by one. Where the lake,
    the ledger or a total refuses the batches, they are halved until the one to blame is alone and fails.
    """
    feed = batches[0][0].entry.file.feed
    known = ledger.entries([former.file for _, former in batches if former is not None])
    formers = [(one, known.get((feed.name, one.entry.file.name)) if former else None) for one, former in batches]
    whole = whole_from(feed, ledger.kept_from(feed))
    twins = _with_twins([one.entry for one, _ in formers], feed, ledger, options)
    together, others = [], []
    for one, former in formers:
        member = None if one.entry.digest in twins else _member(one, former, whole, ledger)
        if member is not None:
            together.append(member)
        else:
            others.append((one, former))
    if together:
        yield from _commit(together, ledger, engine, options)
    for one, former in others:
        yield _ingest_alone(one, former, ledger, engine, options)


def _with_twins(entries: Collection[Entry], feed: Feed, ledger: Ledger, options: Options) -> set[str]:
    """Return the contents (digests) of batches that the ledger has, maybe by another name."""
    if options.duplicates is Duplicates.COUNT:
        return set()
    digests = [entry.digest for entry in entries if entry.is_in and entry.records and entry.file.counts_by_content]
    return {other.digest for other in ledger.with_digests(feed, digests)} if digests else set()


def _member(one: Prepared, former: Entry | None, whole: datetime, ledger: Ledger) -> _Member | None:
    """Return a batch as one to commit with others, if it only counts and replaces; else None."""
    entry = one.entry
    if not entry.is_in:
        return None
    leaving = former if former is not None and former.is_in else None
    if former is not None and former.is_known and (is_same(entry, former) or heir_of(entry, former, ledger)):
        return None
    left = frozenset(ledger.intervals(leaving)) if leaving else frozenset()
    if any(start < whole for start in chain(entry.intervals, left)):
        return None
    return _Member(one, former, leaving, left)


def _commit(members: Sequence[_Member], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Commit batches in one transaction, or in halves if they are refused; one that is refused alone fails."""
    staging = engine.lake.stage(shared_name([member.one.entry.key for member in members]))
    try:
        ledger.commit(_publish(members, staging, ledger, engine, options))
    except out_of_room_errors(TotalTooLarge, Refused) as error:
        if isinstance(error, out_of_room_errors()):
            engine.make_room()
        if len(members) == 1:
            engine.lake.finalize(staging.name, ledger)
            yield _refused(members[0], error, ledger, engine, options)
            return
        middle = len(members) // 2
        placed = [_in_place(member, staging) for member in members]
        for half in (placed[:middle], placed[middle:]):
            yield from _commit(half, ledger, engine, options)
        # Last, as what executors wrote and the group put into place would be gone.
        engine.lake.finalize(staging.name, ledger)
        return
    engine.lake.finalize(staging.name, ledger)
    _keep([member.one for member in members], engine)
    yield from (Ingested(member.one.entry, member.left | frozenset(member.one.entry.intervals)) for member in members)


def _keep(batches: Iterable[Prepared], engine: Engine) -> None:
    """Keep the partials of committed batches for rollups, as far as they are in memory."""
    for one in batches:
        found = {kpi: columns for kpi, tables in one.partials.items() for columns in tables.values() if columns}
        if found and not one.entry.file.is_followed:
            engine.kept.add(one.entry.key, found)


def _in_place(member: _Member, staging: Staging) -> _Member:
    """Return a batch of a refused group with what executors wrote for it where the group has put it."""
    if member.one.written is None:
        return member
    placed = [(aside, staging.placed.get(aside)) for aside in member.one.written]
    written = {(file.path if file else aside): file or member.one.written[aside] for aside, file in placed}
    return replace(member, one=replace(member.one, written=written))


def _refused(member: _Member, error: Exception, ledger: Ledger, engine: Engine, options: Options) -> Failed:
    """Let a batch fail that was refused."""
    one, former = member.one, member.former
    if not isinstance(error, out_of_room_errors()):
        return _fail(
            replace(one, entry=replace(one.entry, is_in=False, reason=str(error))), member, ledger, engine, options
        )
    retry = not one.entry.file.is_divisible
    entry = replace(one.entry, is_in=False, reason=out_of_room(error), retry=retry)
    if retry and former is not None and former.is_known:
        return Failed(entry.file.name, entry.reason)
    return _fail(replace(one, entry=entry), member, ledger, engine, options)


def _ingest_alone(one: Prepared, former: Entry | None, ledger: Ledger, engine: Engine, options: Options) -> Event:
    """Ingest a prepared batch and return what happened.

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
    left = frozenset(ledger.intervals(leaving)) if leaving else frozenset()
    member = _Member(one, former, leaving, left, heir)
    reason = _pruned_reason(left if twin else left | entry.intervals.keys(), entry.file.feed, ledger)
    if reason:
        if leaving is not None:
            return Failed(name, reason)
        entry, twin = replace(entry, is_in=False, reason=reason), None
    if twin is not None:
        return _pass_over(member, twin, ledger, engine, options)
    if not entry.is_in:
        return _fail(replace(one, entry=entry), member, ledger, engine, options)
    (event,) = _commit([member], ledger, engine, options)
    return event


def _pass_over(member: _Member, twin: Entry, ledger: Ledger, engine: Engine, options: Options) -> Event:
    """Record that a file is a duplicate of an ingested batch, or its new name; remove what the file gave before."""
    one, file = member.one, member.one.entry.file
    lying = {name: file.has_beside(name) for name in (twin.file.name, *ledger.duplicates(twin)) if name != file.name}
    renamed = not lying[twin.file.name]
    gone = frozenset(name for name, is_there in lying.items() if not is_there)
    entry = replace(one.entry, is_in=False, duplicate_of=twin.file.name, key="", lines=0, records=0, rejects=0)
    kept = BatchChange(replace(entry, intervals={}), [], member.heir, gone)
    _commit_without(kept, member, ledger, engine, options)
    if renamed and not (entry.kpis <= twin.kpis and one.entry.records == twin.records):
        # Only this file is left to give what the batch lacks: a new KPI, or records that were ahead of the clock.
        (former,) = ledger.entries([file]).values()
        return _ingest_alone(one, former, ledger, engine, options)
    return Duplicate(file, twin.file.name, renamed)


def _fail(one: Prepared, member: _Member, ledger: Ledger, engine: Engine, options: Options) -> Failed:
    """Record that a file failed; remove what its former content gave, which is no longer what the file says."""
    entry = replace(one.entry, key="", kpis=frozenset(), records=0, intervals={})
    _commit_without(BatchChange(entry, one.first_rejects, member.heir), member, ledger, engine, options)
    return Failed(one.entry.file.name, one.entry.reason)


def _commit_without(change: BatchChange, member: _Member, ledger: Ledger, engine: Engine, options: Options) -> None:
    """Commit a batch that counts nothing, and remove what its former content gave."""
    staging, files, replaced = None, list[LakeFile](), list[PurePosixPath]()
    if member.leaving is not None:
        staging = engine.lake.stage(f"without-{member.leaving.key}")
        replaced = replaced_files([(member.leaving, member.left)], staging, ledger, engine.lake)
        files = staging.publish(replaced)
    member = replace(member, one=Prepared(change.entry))
    results = _results([member], {}, counted_with(ledger.files, files, replaced), ledger, engine, options)
    feed = change.entry.file.feed
    ledger.commit(Change(feed, [change], member.left, _ahead(results), files=files, replaced=replaced))
    if staging is not None:
        engine.lake.finalize(staging.name, ledger)


def _publish(members: Sequence[_Member], staging: Staging, ledger: Ledger, engine: Engine, options: Options) -> Change:
    """Publish the batches' files in the lake; return the change with the results of every interval that they touch."""
    batches = [member.one for member in members]
    feed = batches[0].entry.file.feed
    found = {kpi: sources(batches, kpi) for kpi in set().union(*(one.partials for one in batches))}
    stage(batches, found, staging, options)
    leaving = [(member.leaving, member.left) for member in members if member.leaving is not None]
    replaced = replaced_files(leaving, staging, ledger, engine.lake)
    files = staging.publish(replaced)
    counted = counted_with(ledger.files, files, replaced)
    now = options.at_hand.earliest
    closes = [one.entry.file.closes(one.entry.intervals, one.newest, options.allowed_lateness, now) for one in batches]
    return Change(
        feed,
        [BatchChange(one.entry, one.first_rejects, member.heir) for member, one in zip(members, batches, strict=True)],
        _touched(members),
        _ahead(_results(members, found, counted, ledger, engine, options)),
        closed_until=max((moment for moment in closes if moment is not None), default=None),
        live=[one.live for one in batches if one.live is not None],
        files=files,
        replaced=replaced,
    )


def _touched(members: Sequence[_Member]) -> frozenset[datetime]:
    """Return the starts (UTC) of the intervals that batches, or what they replace, have records in."""
    return frozenset().union(*(member.left | member.one.entry.intervals.keys() for member in members))


def _results(
    members: Sequence[_Member],
    found: Mapping[int, Collection[Source]],
    counted: Counted,
    ledger: Ledger,
    engine: Engine,
    options: Options,
) -> Iterator[Results]:
    """Yield the results of every interval that batches of one feed touch; ``found`` are their partials by KPI id."""
    feed, touched = members[0].one.entry.file.feed, _touched(members)
    keys_between = _keys_with(members, feed, ledger)
    hours: dict[datetime, set[str]] = {}
    for entry in (member.one.entry for member in members if member.one.partials):
        for start in entry.intervals:
            hours.setdefault(ONE_HOUR.floor(start), set()).add(entry.key)
    fresh = Fresh(
        hours,
        {kpi: {one.table: one.columns for one in tables} for kpi, tables in found.items()},
        members[0].one.entry.file.is_followed,
    )
    if fresh.are_followed and fresh.partials and len(touched) <= MOST_INTERVALS:
        keys = keys_in(feed.interval, touched, keys_between)
        return merged_incrementally(feed, touched, keys, counted, ledger, fresh, engine, options.top_n)
    kpis = kpis_of(feed, feed.interval)
    return merged(kpis, feed.interval, touched, keys_between, counted, ledger, engine, options.top_n, fresh)


def _keys_with(members: Sequence[_Member], feed: Feed, ledger: Ledger) -> KeysBetween:
    """Return a callable that gives the batches in a feed's intervals, as they are once these are committed."""
    leaving = {member.leaving.key for member in members if member.leaving is not None}
    own: Keys = {}
    for member in members:
        entry = member.one.entry
        for start in entry.intervals:
            own.setdefault(start, {})[entry.key] = entry.kpis
    ordered = sorted(own)

    def keys_between(start: datetime, end: datetime) -> Keys:
        known = ledger.keys(feed, start, end)
        keys: Keys = {}
        for moment, found in known.items():
            keys[moment] = {key: kpis for key, kpis in found.items() if key not in leaving}
        for moment in ordered[bisect_left(ordered, start) : bisect_left(ordered, end)]:
            keys.setdefault(moment, {}).update(own[moment])
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


def _pruned_reason(touched: Collection[datetime], feed: Feed, ledger: Ledger) -> str:
    """Return why the feed's intervals that start at ``touched`` (UTC) cannot change; "" if they can."""
    kept_from, first = ledger.kept_from(feed), min(touched, default=None)
    if kept_from is None or first is None or first >= whole_from(feed, kept_from):
        return ""
    # The shortest interval that the lake was pruned of a part of: a week, say, if the record's day is whole.
    length = next(length for length in lengths_of(feed) if length.floor(first) < kept_from)
    what = f"the {length} from" if length.is_calendar else "the interval from"
    return f"touches {what} {to_text(length.floor(first))}, whose other records the lake no longer has"
