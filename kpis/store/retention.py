"""Deletes what is past its retention: results, batches, runs, rejects, live counts, and files of the lake.

Each step is one short transaction, or the removal of one day's files, and takes the ledger's lock for itself, so that
runs and consumers work in between. Killed at any moment, pruning leaves every interval and batch whole; the next call
goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from kpis.catalog.intervals import ONE_HOUR, Length
from kpis.catalog.live import counted_from
from kpis.catalog.registry import FEEDS, KPIS, lengths_of, partial_kpis
from kpis.models import (
    Batch,
    BatchInterval,
    IntervalSummary,
    LakeFile,
    LiveCount,
    Reject,
    ResultPruning,
    Run,
    StreamConsumer,
)
from kpis.models.result_models import result_model
from kpis.pipeline import Engine, Report
from kpis.store.binding import check, record_pruning
from kpis.store.errors import AlreadyRunning
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import RETRY_SECONDS, ledger_lock
from kpis.store.runs import recorded_run

ROWS_A_STEP = 20_000
SUMMARIES_A_STEP = 5_000
BATCHES_A_STEP = 500
RUNS_A_STEP = 2_000
DAY = timedelta(days=1)


class Kind(StrEnum):
    """The kinds of data that can be pruned."""

    RESULTS = "results"
    LAKE = "lake"
    BATCHES = "batches"
    REJECTS = "rejects"
    RUNS = "runs"
    LIVE = "live"


@dataclass(frozen=True)
class Pruned:
    """The result of one step: it deleted, or would delete, ``count`` rows or files of ``what`` before a moment (UTC).

    ``size`` is that of files, in bytes. ``note`` says what stays although it is older, and why.
    """

    what: str
    unit: str
    count: int
    before: datetime
    size: int | None = None
    note: str = ""


class Turns:
    """Takes the ledger's lock in turn with runs and consumers; all turns are recorded as one run, ``command``.

    If the lock is not free within ``patience`` seconds, a turn raises AlreadyRunning.
    """

    def __init__(self, command: str, patience: float):
        self._command, self._patience = f"{Run.PRUNE}{command}", patience
        self._run: Run | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        began = time.monotonic()
        while True:
            try:
                with ledger_lock(), recorded_run(self._command, Report(), self._run) as self._run:
                    yield
                break
            except AlreadyRunning:
                if time.monotonic() - began >= self._patience:
                    raise
            time.sleep(RETRY_SECONDS)
        # Another process that waits for the lock tries every RETRY_SECONDS.
        time.sleep(2 * RETRY_SECONDS)


def prune_lake(engine: Engine, moment: datetime, dry_run: bool, turns: Turns) -> Iterator[Pruned]:
    """Yield a ``Pruned`` per feed after deleting its lake files of hours that ended by a moment (UTC).

    Files that a rollup still needs stay. Works a day at a time. First the ledger records that nothing is left there,
    so that no run refers to a file that is deleted; then the lake records it too, for a ledger that is restored from
    before. Raises LakeError.
    """
    ledger = DatabaseLedger()
    for feed in FEEDS.values():
        kpis = partial_kpis(feed)
        before = ledger.prunable_before(feed, moment)
        if dry_run:
            check(engine.lake.storage)
            files, size = engine.lake.prune(feed, kpis, before, dry_run=True)
        else:
            with turns.turn():
                ledger.bind(engine.lake)
                oldest = engine.lake.oldest_hour(feed, kpis)
            files = size = 0
            is_more = True
            while is_more:
                with turns.turn():
                    # Queried again: a run may have left rollups due in between.
                    before = ledger.prunable_before(feed, moment)
                    step = min(oldest + DAY, before) if oldest else before
                    ledger.keep_from(feed, step)
                    record_pruning(engine.lake.storage, ledger)
                    some_files, some_bytes = engine.lake.prune(feed, kpis, step, dry_run=False)
                    oldest = engine.lake.oldest_hour(feed, kpis)
                    is_more = step < before
                files, size = files + some_files, size + some_bytes
        stays = before < ONE_HOUR.floor(moment)
        longest = lengths_of(feed)[-1]
        why = f"a rollup of them is due{f', or their {longest} is not as old' if longest.is_calendar else ''}"
        note = f"later hours stay, as {why}" if stays else ""
        yield Pruned(feed.name, "files", files, before, size, note)


def prune_results(lengths: Collection[Length], before: datetime, dry_run: bool, turns: Turns) -> Iterator[Pruned]:
    """Yield a ``Pruned`` per step after deleting the results of intervals that ended by a moment (UTC).

    An interval is deleted with all of its rows and summaries in one transaction.
    """
    for length in lengths:
        models = [result_model(kpi) for kpi in KPIS.values() if length in kpi.lengths]
        what = f"results, {length}"
        if dry_run:
            count = sum(_ended(model.objects.all(), length, before).count() for model in models)
            yield Pruned(what, "rows", count, before)
            continue
        yield Pruned(what, "rows", 0, before)
        is_more = True
        while is_more:
            with turns.turn(), transaction.atomic():
                last = _last_of_step(length, before)
                is_more = last is not None
                count = 0
                for model in models:
                    rows = _ended(model.objects.all(), length, before)
                    count += _deleted(rows.filter(interval_start_timestamp__lte=last) if last else rows)
                until = length.end(last) if last else before
                _deleted(_ended(IntervalSummary.objects.all(), length, until))
                _record_pruned_results(length, until)
            yield Pruned(what, "rows", count, before)


def _ended(rows: QuerySet, length: Length, before: datetime) -> QuerySet:
    """Filter rows by intervals of a length that ended by a moment (UTC)."""
    # Filtered by both, as only the starts are indexed.
    return rows.filter(
        interval=length.code, interval_start_timestamp__lt=before, interval_end_timestamp__lte=before
    ).order_by()


def _last_of_step(length: Length, before: datetime) -> datetime | None:
    """Return the start (UTC) of the last of the oldest intervals that one step deletes; None for none."""
    summaries = _ended(IntervalSummary.objects.all(), length, before).order_by("interval_start_timestamp")
    found = summaries.values_list("interval_start_timestamp", "kpi", "groups")[:SUMMARIES_A_STEP]
    last, rows = None, 0
    for start, some in groupby(found, key=lambda row: row[0]):
        # Of a top list only the first groups are rows.
        rows += sum(1 if kpi in KPIS and KPIS[kpi].top else groups for _, kpi, groups in some)
        if last is not None and rows > ROWS_A_STEP:
            break
        last = start
    return last


def _record_pruned_results(length: Length, before: datetime) -> None:
    ResultPruning.objects.get_or_create(interval=length.code, defaults={"before": before})
    ResultPruning.objects.filter(interval=length.code, before__lt=before).update(before=before)


def prune_batches(
    before: datetime, names_in_place: Callable[[], Collection[tuple[str, str]]], dry_run: bool, turns: Turns
) -> Iterator[Pruned]:
    """Yield a ``Pruned`` per step after deleting batches ingested before a moment (UTC), their intervals and rejects.

    Deletes only batches of which the lake has nothing left, and whose file, or a duplicate's, is not among
    ``names_in_place``, the feed and name of each file in the data folder: it would look new. If such a file comes
    back, it fails, as its hours are no longer in the lake, so nothing counts twice. The positions of streams stay.
    """
    in_place = names_in_place()
    for feed in FEEDS.values():
        kept_from = DatabaseLedger().kept_from(feed)
        old = Batch.objects.filter(feed=feed.name, ingested_at__lt=before)
        free = _free(old, kept_from)
        kept = 0
        removed: set[int] = set()
        # Duplicates first: as long as there is one, the batch by which its content counts stays.
        for of_kind in (free.exclude(duplicate_of=None), free.filter(duplicate_of=None)):
            reached = 0
            while some := list(
                of_kind.filter(pk__gt=reached).order_by("pk").values_list("pk", "name")[:BATCHES_A_STEP]
            ):
                reached = some[-1][0]
                duplicates = Batch.objects.filter(duplicate_of__in=[pk for pk, _ in some])
                needed_by = {of for pk, of in duplicates.values_list("pk", "duplicate_of") if pk not in removed}
                gone = [pk for pk, name in some if (feed.name, name) not in in_place and pk not in needed_by]
                kept += len(some) - len(gone)
                removed.update(gone)
                if gone and not dry_run:
                    with turns.turn(), transaction.atomic():
                        # A run may have ingested some of them again since.
                        still = of_kind.filter(pk__in=gone, duplicates=None)
                        _remove_batches(list(still.values_list("pk", flat=True)))
        count = len(removed)
        needed = old.count() - (count if dry_run else 0) - kept
        notes = [f"{needed:,} stay whose records the lake has"] if needed else []
        notes += [f"{kept:,} stay whose files are in the data folder"] if kept else []
        yield Pruned(f"batches of {feed.name}", "rows", count, before, note=", ".join(notes))


def _free(batches: QuerySet[Batch], kept_from: datetime | None) -> QuerySet[Batch]:
    """Filter batches by those of which the lake keeps nothing, so that no interval is recomputed from them."""
    intervals = BatchInterval.objects.filter(batch=OuterRef("pk"))
    if kept_from is not None:
        intervals = intervals.filter(interval_start_timestamp__gte=kept_from)
    files = LakeFile.objects.filter(key=OuterRef("key")).exclude(key="")
    return batches.filter(~Exists(intervals), ~Exists(files))


def _remove_batches(keys: list[int]) -> None:
    _deleted(BatchInterval.objects.filter(batch__in=keys))
    _deleted(Reject.objects.filter(batch__in=keys))
    _deleted(Batch.objects.filter(pk__in=keys))


def prune_rejects(before: datetime, dry_run: bool, turns: Turns) -> Iterator[Pruned]:
    """Yield a ``Pruned`` after deleting the rejects of batches that were ingested before a moment (UTC).

    The database has the first rejects of each batch; their counts stay, and so do all rejects in the lake.
    """
    if dry_run:
        yield Pruned("rejects", "rows", Reject.objects.filter(batch__ingested_at__lt=before).count(), before)
        return
    yield Pruned("rejects", "rows", 0, before)
    reached = 0
    batches = Batch.objects.filter(Exists(Reject.objects.filter(batch=OuterRef("pk"))), ingested_at__lt=before)
    while some := list(batches.filter(pk__gt=reached).order_by("pk").values_list("pk", flat=True)[:BATCHES_A_STEP]):
        reached = some[-1]
        with turns.turn(), transaction.atomic():
            still = list(Batch.objects.filter(pk__in=some, ingested_at__lt=before).values_list("pk", flat=True))
            count = _deleted(Reject.objects.filter(batch__in=still))
        yield Pruned("rejects", "rows", count, before)


def prune_runs(before: datetime, dry_run: bool, turns: Turns) -> Iterator[Pruned]:
    """Yield a ``Pruned`` after deleting the runs that ended before a moment (UTC) without a batch in the ledger."""
    old = Run.objects.filter(ended_at__lt=before).exclude(outcome=Run.Outcome.RUNNING)
    free = old.filter(~Exists(Batch.objects.filter(run=OuterRef("pk"))))
    if dry_run:
        count = free.count()
    else:
        count = 0
        reached = 0
        while some := list(free.filter(pk__gt=reached).order_by("pk").values_list("pk", flat=True)[:RUNS_A_STEP]):
            reached = some[-1]
            with turns.turn(), transaction.atomic():
                # Queried again: a consumer's run may have gone on.
                still = list(free.filter(pk__in=some).values_list("pk", flat=True))
                count += _deleted(Run.objects.filter(pk__in=still))
    kept = old.count() - (count if dry_run else 0)
    note = f"{kept:,} stay that ingested batches of the ledger" if kept else ""
    yield Pruned("runs", "rows", count, before, note=note)


def prune_live(before: datetime, now: datetime, dry_run: bool, turns: Turns) -> Iterator[Pruned]:
    """Yield a ``Pruned`` per kind after deleting live counts that no page shows any more, and silent consumers."""
    counts = [
        LiveCount.objects.filter(length=length, start_timestamp__lt=min(before, counted_from(length, now)))
        for length in LiveCount.Length.values
    ]
    found = [*counts, StreamConsumer.objects.filter(reported_at__lt=before)]
    if dry_run:
        yield Pruned("live counts", "rows", sum(rows.count() for rows in found), before)
        return
    with turns.turn(), transaction.atomic():
        # At most some thousand rows a feed are kept at all.
        count = sum(_deleted(rows) for rows in found)
    yield Pruned("live counts", "rows", count, before)


def _deleted(rows: QuerySet) -> int:
    return rows.order_by().delete()[0]
