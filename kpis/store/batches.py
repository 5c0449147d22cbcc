"""The ledger's batches: the ingested versions of files, and the outcome of each batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from django.db.models import Q, QuerySet

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.models import Batch, BatchInterval, KPISet, LostFile, Reject, Run
from kpis.sources.batch import Batch as SourceBatch
from kpis.sources.batch import Version
from kpis.sources.directory import FoundFile
from kpis.stages.ledger import Change, Entry, Keys
from kpis.store.bulk import ROWS_A_STATEMENT, chunks, insert_rows
from kpis.store.intervals import intervals_between
from kpis.store.kpi_sets import kpi_ids, save_kpi_set, sets_with

NAMES_A_QUERY = 500
# For more names than these, reading all that the ledger has is faster than asking for them.
MOST_NAMES = 10_000
# The statuses of batches whose files' content counts.
KNOWN = {Batch.Status.IN, Batch.Status.DUPLICATE}
# The columns that go with a content to the batch by which it counts from now on.
CONTENT = ("key", "digest", "kpi_set", "lines", "records", "rejects", "read_again_at", "ingested_at", "run")
# The columns of a batch whose content counts by another.
NO_CONTENT: dict[str, Any] = {"key": "", "read_again_at": None, "lines": 0, "records": 0, "rejects": 0}


class BatchLedger:
    """The part of the ledger that has the batches."""

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        batches = Batch.objects.filter(feed=feed.name).order_by()
        columns = ("name", "size", "mark")
        if len(versions) > MOST_NAMES:
            having = sets_with(kpis)
            of_sets = Q(kpi_set__in=having - {None}) | (Q(kpi_set=None) if None in having else Q())
            return batches.filter(of_sets, status__in=KNOWN, read_again_at=None).values_list(*columns)
        # Asked for a status as well, SQLite would look among all that have it instead of for the names.
        names = _named(batches, [name for name, _, _ in versions])
        rows = [row for some in names for row in some.values_list(*columns, "status", "kpi_set", "read_again_at")]
        having = sets_with(kpis) if rows else set()
        return [row[:3] for row in rows if row[3] in KNOWN and row[4] in having and row[5] is None]

    def entries(self, files: Collection[SourceBatch]) -> dict[tuple[str, str], Entry]:
        by_name = {(file.feed.name, file.name): file for file in files}
        batches = Batch.objects.filter(feed__in={feed for feed, _ in by_name}).order_by()
        return {
            name: _entry(batch, by_name[name])
            for some in _named(batches.select_related("duplicate_of", "kpi_set"), sorted({name for _, name in by_name}))
            for batch in some
            if (name := (batch.feed, batch.name)) in by_name
        }

    def with_digests(self, feed: Feed, digests: Collection[str]) -> list[Entry]:
        # Asked for more, or for an order, SQLite would look among all of the feed's instead of for the digests.
        batches = Batch.objects.select_related("kpi_set").order_by()
        found = [
            batch
            for some in chunks(list(digests), NAMES_A_QUERY)
            for batch in batches.filter(digest__in=some)
            # Only a stream's batch has a slash in its name.
            if (batch.feed, batch.status) == (feed.name, Batch.Status.IN) and batch.records and "/" not in batch.name
        ]
        found.sort(key=lambda batch: batch.pk)
        return [_entry(batch, FoundFile(feed, batch.name, Path(), 0, 0)) for batch in found]

    def duplicates(self, entry: Entry) -> list[str]:
        batches = Batch.objects.filter(
            duplicate_of__feed=entry.file.feed.name,
            duplicate_of__name=entry.file.name,
            status=Batch.Status.DUPLICATE,
        )
        return list(batches.order_by("pk").values_list("name", flat=True))

    def intervals(self, entry: Entry) -> set[datetime]:
        starts = BatchInterval.objects.filter(batch__feed=entry.file.feed.name, batch__name=entry.file.name)
        return set(starts.values_list("interval_start_timestamp", flat=True))

    def keys(self, feed: Feed, start: datetime, end: datetime) -> Keys:
        found: Keys = {}
        for moment, key, kpis in intervals_between(feed, start, end, "batch__key", "batch__kpi_set__kpis"):
            found.setdefault(moment, {})[key] = kpi_ids(kpis)
        lost = LostFile.objects.filter(
            interval_start_timestamp__gte=ONE_HOUR.floor(start), interval_start_timestamp__lt=end, kpi__gt=0
        )
        # Those of other feeds too, as in intervals_between; they are few.
        for key, hour, kpi in lost.order_by().values_list("batch__key", "interval_start_timestamp", "kpi"):
            for moment in found:
                if key in found[moment] and ONE_HOUR.floor(moment) == hour:
                    found[moment][key] -= {kpi}
        return found

    def touch(self, entry: Entry, file: SourceBatch) -> None:
        batches = Batch.objects.filter(feed=file.feed.name, name=file.name)
        values = {"modified_ns": file.modified_ns, "etag": file.etag, "mark": file.mark, "digest": entry.digest}
        batches.update(size=file.size, reading=entry.reading, **values)


def save_batches(change: Change, run: Run | None) -> None:
    """Write a change's batches with their intervals and rejects, and what becomes of their duplicates."""
    feed = change.feed
    for one in change.batches:
        if one.heir:
            _hand_over(_batch(feed, one.entry.file.name), _batch(feed, one.heir))
    saved = _save_entries(feed, [one.entry for one in change.batches], run)
    of_batches = [(saved[one.entry.file.name], one) for one in change.batches]
    insert_rows(
        BatchInterval,
        ["batch", "interval_start_timestamp", "records"],
        ((batch.pk, start, count) for batch, one in of_batches for start, count in one.entry.intervals.items()),
    )
    insert_rows(
        Reject,
        ["batch", "line", "column", "reason", "text", "sequence_number"],
        (
            (batch.pk, *reject, one.entry.file.sequence_number(reject[0]))
            for batch, one in of_batches
            for reject in one.first_rejects
        ),
    )
    for batch, one in of_batches:
        _rename(batch, one.renamed, run)


def _save_entries(feed: Feed, entries: Collection[Entry], run: Run | None) -> dict[str, Batch]:
    """Write entries as batches; returns these by their names. Of known ones, intervals and rejects are deleted."""
    of_feed, now = Batch.objects.filter(feed=feed.name).order_by(), clock.now()
    names = [entry.file.name for entry in entries]
    known = {batch.name: batch for some in _named(of_feed, names) for batch in some}
    kpi_sets = {kpis: save_kpi_set(kpis) for kpis in {entry.kpis for entry in entries}}
    new = []
    for entry in entries:
        values = _values(entry, kpi_sets[entry.kpis], run, now)
        batch = known.get(entry.file.name)
        if batch is None:
            new.append(Batch(feed=feed.name, name=entry.file.name, **values))
            continue
        if batch.digest != entry.digest:
            batch.revision += 1
        for name, value in values.items():
            setattr(batch, name, value)
        batch.save()
    for some in chunks([batch.pk for batch in known.values()], NAMES_A_QUERY):
        for model in (BatchInterval, Reject, LostFile):
            model.objects.filter(batch__in=some).delete()
    made = Batch.objects.bulk_create(new, batch_size=ROWS_A_STATEMENT)
    if any(batch.pk is None for batch in made):
        # MySQL does not return the keys.
        made = [batch for some in _named(of_feed, [batch.name for batch in made]) for batch in some]
    return known | {batch.name: batch for batch in made}


def _values(entry: Entry, kpi_set: KPISet | None, run: Run | None, now: datetime) -> dict[str, Any]:
    """Return an entry by the columns of its batch."""
    status = Batch.Status.DUPLICATE if entry.duplicate_of else Batch.Status.FAILED
    return {
        "status": Batch.Status.IN if entry.is_in else status,
        "duplicate_of": _batch(entry.file.feed, entry.duplicate_of) if entry.duplicate_of else None,
        "reason": entry.reason,
        "retry": entry.retry,
        "read_again_at": entry.read_again_at,
        "key": entry.key,
        "digest": entry.digest,
        "reading": entry.reading,
        "kpi_set": kpi_set,
        "size": entry.file.size,
        "modified_ns": entry.file.modified_ns,
        "etag": entry.file.etag,
        "mark": entry.file.mark,
        "lines": entry.lines,
        "records": entry.records,
        "rejects": entry.rejects,
        "ingested_at": now,
        "run": run,
    }


def _rename(batch: Batch, names: Collection[str], run: Run | None) -> None:
    """Record that the files of some duplicates of a batch's content are gone.

    If the batch by which the content counted is among them, the content counts by this one from now on.
    """
    if not names:
        return
    first, now = batch.duplicate_of, clock.now()
    if first is not None and first.name in names:
        _hand_over(first, batch)
        Batch.objects.filter(pk=first.pk).update(
            status=Batch.Status.RENAMED, duplicate_of=batch, ingested_at=now, run=run, **NO_CONTENT
        )
    others = Batch.objects.filter(feed=batch.feed, name__in=names, status=Batch.Status.DUPLICATE)
    others.exclude(pk=batch.pk).update(status=Batch.Status.RENAMED, ingested_at=now, run=run)


def _hand_over(giver: Batch, taker: Batch) -> None:
    """Make a batch's content count by one of its duplicates, with all rows that the ledger has of it."""
    for name in CONTENT:
        setattr(taker, name, getattr(giver, name))
    taker.status, taker.duplicate_of = Batch.Status.IN, None
    taker.save()
    for model in (BatchInterval, Reject):
        model.objects.filter(batch=giver).update(batch=taker)
    Batch.objects.filter(duplicate_of=giver).exclude(pk=taker.pk).update(duplicate_of=taker)


def _batch(feed: Feed, name: str) -> Batch:
    return Batch.objects.get(feed=feed.name, name=name)


def _entry(batch: Batch, file: SourceBatch) -> Entry:
    """Return a batch's entry; its file is the one found, with the size, time of change and etag of the ledger."""
    # A stream's batch is never looked up: it is new, or not ingested at all.
    found = cast(FoundFile, file)
    return Entry(
        file=replace(found, size=batch.size, modified_ns=batch.modified_ns, etag=batch.etag, mark=batch.mark),
        is_in=batch.status == Batch.Status.IN,
        reason=batch.reason,
        retry=batch.retry,
        read_again_at=batch.read_again_at,
        key=batch.key,
        digest=batch.digest,
        reading=batch.reading,
        kpis=kpi_ids(batch.kpi_set.kpis) if batch.kpi_set else frozenset(),
        lines=batch.lines,
        records=batch.records,
        rejects=batch.rejects,
        duplicate_of=batch.duplicate_of.name if batch.duplicate_of else "",
        is_renamed=batch.status == Batch.Status.RENAMED,
    )


def _named(batches: QuerySet[Batch], names: list[str]) -> Iterator[QuerySet[Batch]]:
    """Yield the batches that have the names, some at a time."""
    for some in chunks(names, NAMES_A_QUERY):
        yield batches.filter(name__in=some)
