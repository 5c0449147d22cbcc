"""The only writer of the ledger and of results: one transaction a batch, one a rollup."""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import Error as DjangoDatabaseError
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.db.models import F, Q, QuerySet

from kpis import clock
from kpis.catalog.closing import ahead_until, closing_time
from kpis.catalog.feeds import FEEDS, Feed
from kpis.catalog.folding import fold
from kpis.catalog.intervals import EPOCH, LAST_DAY, LENGTHS, ONE_HOUR, Interval, Length
from kpis.catalog.kpis import KPI, kpis_of, lengths_of
from kpis.clock import Clocks
from kpis.engine.aggregate import TOTALS_COLUMNS, Results
from kpis.engine.scratch import ScratchError
from kpis.engine.table import rows
from kpis.lake import Lake, LakeFile
from kpis.live.counts import add_live_counts
from kpis.models import (
    Batch,
    BatchInterval,
    DueCompaction,
    DueRollup,
    IntervalSummary,
    LostFile,
    Reject,
    Run,
    StreamOffset,
    StreamShard,
    Watermark,
)
from kpis.models import LakeFile as StoredLakeFile
from kpis.models.results import result_model
from kpis.pipeline import Report
from kpis.reference.subscribers import subscribers_at
from kpis.sources.batch import Step, Version
from kpis.sources.directory import FoundFile
from kpis.sources.messages import Origin, Position, Reached
from kpis.stages.ledger import Change, Entry, Keys, TakenBack
from kpis.store.binding import LAKE_FILE_COLUMNS, bind, lake_file_row, lake_files
from kpis.store.bulk import insert_rows
from kpis.store.dialects import dialect

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# How the command of a consumer's run begins.
CONSUMER = "consume_stream "
TRY_AGAIN_SECONDS = 0.02
# So long after whoever holds the lock took it, at most, its run is recorded.
RECORDED_WITHIN_SECONDS = 0.2
# How long whoever is no consumer waits for a turn among them.
PATIENCE_SECONDS = 60
NAMES_A_QUERY = 500
# Of more names than these it takes longer to ask for them than to read all that the ledger has.
MOST_NAMES = 10_000
STARTS_A_QUERY = 500
FOLDERS_A_QUERY = 400
# Intervals that are this close to each other are asked for at once.
CLOSE = timedelta(hours=6)
ROWS_A_STATEMENT = 1000
INTERVAL_COLUMNS = ["interval_start_timestamp", "interval_end_timestamp", "interval", "rank"]
# Of the statuses of files' batches: what the files give counts.
KNOWN = {Batch.Status.IN, Batch.Status.DUPLICATE}
# What goes over with a content to the name by which it counts from now on.
CONTENT = ("key", "digest", "kpis", "lines", "records", "rejects", "read_again_at", "taken_in_at", "run")
SUMMARY_CHANGES = [
    "total",
    "mean",
    "first_figured_at",
    "groups",
    "records",
    "batches",
    "revision",
    "state",
    "reason",
    "updated_at",
    "previous_total",
    "previous_mean",
    "previous_updated_at",
]
TAKEN_BACK = "called final before its end by a clock that was ahead, and provisional again"


# The reference tables that KPIs are joined with: what each held at a moment.
REFERENCES = {"subscribers": subscribers_at}


class AlreadyRunning(Exception):
    """Another run works on this database."""


class Overtaken(Exception):
    """Another consumer has taken in messages of this batch: what was read of its partition counts no more."""


class SeveralFailed(Exception):
    """A batch of several messages failed as a whole: those that are not to blame can go in without the others."""


class StoreError(Exception):
    """The database cannot be used; the message names it, says why, and what to do where that is known."""


@contextmanager
def telling() -> Iterator[None]:
    """Turns whatever the database refuses into StoreError."""
    try:
        yield
    except DjangoDatabaseError as error:
        reason = " ".join(str(error.args[-1] if error.args else error).split()).rstrip(".")
        raise StoreError(f"Cannot use the database {dialect().location}: {reason}.{_advice(error)}") from error


def _advice(error: DjangoDatabaseError) -> str:
    with suppress(DjangoDatabaseError):
        if isinstance(error, OperationalError | ProgrammingError) and Run._meta.db_table not in _tables():
            return " It lacks the tables: run manage.py migrate."
    return ""


def _tables() -> list[str]:
    connection.close()
    return connection.introspection.table_names()


@contextmanager
def exclusive(patience: float = 0) -> Iterator[None]:
    """Lets one run at a time work on the database, from whatever host; raises AlreadyRunning.

    ``patience`` are the seconds to wait while a consumer or pruning works, which soon ends its step. The lock belongs
    to the database connection (for SQLite: to the process), so it ends with its holder, however that ends.
    """
    began, is_logged = time.monotonic(), False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(_run_lock())
                break
            except AlreadyRunning:
                waited = time.monotonic() - began
                if waited >= patience or (waited >= RECORDED_WITHIN_SECONDS and not _takes_turns()):
                    raise
                if waited >= RECORDED_WITHIN_SECONDS and not is_logged:
                    logger.debug("lock busy", extra={"patience": patience})
                    is_logged = True
            time.sleep(TRY_AGAIN_SECONDS)
        yield


def _takes_turns() -> bool:
    """True if what works now does so step by step, and leaves the lock to others in between."""
    running = Run.objects.filter(outcome=Run.Outcome.RUNNING)
    return running.filter(Q(command__startswith=CONSUMER) | Q(command__startswith=Run.PRUNE)).exists()


@contextmanager
def _run_lock() -> Iterator[None]:
    with ExitStack() as stack:
        try:
            is_ours = stack.enter_context(dialect().run_lock())
        except OSError as error:
            place, reason = error.filename, error.strerror
            raise StoreError(f"Cannot write {place}, which lets one run at a time work: {reason}.") from error
        if not is_ours:
            raise AlreadyRunning
        yield


def _check_lock() -> None:
    """Raises StoreError where the lock is held apart from the connection that writes, and was lost."""
    if not dialect().holds_run_lock():
        raise StoreError(
            f"The connection to {dialect().location} that lets one run at a time work was closed: nothing of this step "
            "was written. The pooler must leave an idle transaction open (PgBouncer: idle_transaction_timeout = 0)."
        )


@contextmanager
def recorded_run(command: str, report: Report, former: Run | None = None) -> Iterator[Run]:
    """Records a run in the ledger: its start, and at its end the report's counts and the outcome or traceback.

    ``former`` is one that goes on, as a consumer's does with each batch. Runs that never recorded an end are recorded
    as broken off: whoever holds the lock knows that none works.
    """
    Run.objects.filter(outcome=Run.Outcome.RUNNING).update(
        outcome=Run.Outcome.BROKEN, traceback="The process ended without a word."
    )
    run = former or Run(started_at=clock.now(), command=command, host=socket.gethostname(), process=os.getpid())
    run.outcome, run.ended_at, run.traceback = Run.Outcome.RUNNING, None, ""
    run.save()
    try:
        yield run
    except BaseException:
        run.outcome = Run.Outcome.BROKEN
        run.traceback = traceback.format_exc()
        raise
    else:
        run.outcome = Run.Outcome.INCOMPLETE if report.failed else Run.Outcome.SUCCEEDED
    finally:
        run.ended_at = clock.now()
        run.batches, run.failed_batches, run.duplicate_batches = report.files, report.failed, report.duplicates
        run.records, run.rejects = report.records, report.rejects
        run.intervals, run.rollups = report.intervals, report.rollups
        _save_end(run)


def _save_end(run: Run) -> None:
    try:
        run.save()
    except DjangoDatabaseError:
        # The connection may be what broke the run: one more try over a new one, then the next run records it.
        connection.close()
        try:
            run.save()
        except DjangoDatabaseError:
            connection.close()


def database_time() -> datetime:
    """The time (UTC) by the clock of the database's host."""
    return dialect().host_time() or clock.now()


class DatabaseLedger:
    """The ledger in the database, written to by one run; see ``stages.ledger.Ledger`` for what its methods promise."""

    def __init__(self, run: Run | None = None):
        self._run = run

    def clocks(self) -> Clocks:
        return Clocks(clock.now(), database_time())

    def heed_clocks(self, clocks: Clocks, lateness: timedelta) -> list[TakenBack]:
        taken_back = []
        for mark in Watermark.objects.order_by("feed"):
            feed = FEEDS[mark.feed]
            former = mark.closed_until
            if _is_ahead(feed, mark, clocks.latest):
                _take_back(feed, mark, clocks.latest)
                if former is not None and former > clocks.latest:
                    taken_back.append(TakenBack(feed, former, clocks.latest))
            if mark.ahead_until is not None:
                _catch_up(feed, mark, clocks.earliest, lateness)
        return taken_back

    def known(self, feed: Feed, kpis: frozenset[int], versions: Collection[Version]) -> Iterable[Version]:
        batches = Batch.objects.filter(feed=feed.name).order_by()
        columns = ("name", "size", "mark")
        wanted = {"kpis": _kpi_text(kpis), "read_again_at": None}
        if len(versions) > MOST_NAMES:
            return batches.filter(status__in=KNOWN, **wanted).values_list(*columns)
        # Asked for a status as well, SQLite would look among all that have it instead of for the names.
        names = _named(batches, [name for name, _, _ in versions])
        rows_of_names = (row for some in names for row in some.values_list(*columns, "status", *wanted))
        return [row[:3] for row in rows_of_names if row[3] in KNOWN and row[4:] == tuple(wanted.values())]

    def entries(self, files: Collection[FoundFile]) -> dict[tuple[str, str], Entry]:
        by_name = {(file.feed.name, file.name): file for file in files}
        batches = Batch.objects.filter(feed__in={feed for feed, _ in by_name}).order_by()
        return {
            name: _entry(batch, by_name[name])
            for some in _named(batches.select_related("duplicate_of"), sorted({name for _, name in by_name}))
            for batch in some
            if (name := (batch.feed, batch.name)) in by_name
        }

    def with_digest(self, feed: Feed, digest: str) -> list[Entry]:
        batches = Batch.objects.filter(digest=digest, feed=feed.name, status=Batch.Status.IN, records__gt=0)
        # Only a stream's batch has a slash in its name.
        found = batches.exclude(name__contains="/").order_by("pk")
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

    def bind(self, lake: Lake) -> None:
        bind(lake, self)

    def files(self, folders: Collection[PurePosixPath]) -> list[LakeFile]:
        return [
            file
            for some in _chunks([str(folder) for folder in folders], FOLDERS_A_QUERY)
            for file in lake_files(StoredLakeFile.objects.filter(folder__in=some))
        ]

    def files_of(self, key: str) -> list[LakeFile]:
        return list(lake_files(StoredLakeFile.objects.filter(key=key)))

    def counts(self, paths: Collection[PurePosixPath]) -> set[PurePosixPath]:
        return set(_files_at(paths))

    @transaction.atomic
    def exchange_files(self, added: Collection[LakeFile], removed: Collection[PurePosixPath]) -> None:
        gone = _files_at([*removed, *(file.path for file in added)])
        for some in _chunks(list(gone.values()), ROWS_A_STATEMENT):
            StoredLakeFile.objects.filter(pk__in=some).delete()
        insert_rows(StoredLakeFile, LAKE_FILE_COLUMNS, map(lake_file_row, added))

    def keys_in(self, keys: Collection[str]) -> set[str]:
        """Which of the keys are those of batches that are in."""
        found = Batch.objects.filter(status=Batch.Status.IN).order_by()
        return {
            key
            for some in _chunks(list(keys), NAMES_A_QUERY)
            for key in found.filter(key__in=some).values_list("key", flat=True)
        }

    def keys(self, feed: Feed, start: datetime, end: datetime) -> Keys:
        found: Keys = {}
        for moment, key, kpis in _intervals_between(feed, start, end, "batch__key", "batch__kpis"):
            found.setdefault(moment, {})[key] = _kpi_ids(kpis)
        lost = LostFile.objects.filter(
            interval_start_timestamp__gte=ONE_HOUR.floor(start), interval_start_timestamp__lt=end, kpi__gt=0
        )
        # Those of other feeds too, as in _intervals_between; they are few.
        for key, hour, kpi in lost.order_by().values_list("batch__key", "interval_start_timestamp", "kpi"):
            for moment in found:
                if key in found[moment] and ONE_HOUR.floor(moment) == hour:
                    found[moment][key] -= {kpi}
        return found

    @transaction.atomic
    def commit(self, change: Change) -> None:
        entry, feed = change.entry, change.entry.file.feed
        if entry.file.step is not None:
            self._advance(entry.file.step, entry)
        closed_until = self._raise_watermark(entry, change.closed_until, self.clocks().earliest)
        if change.heir:
            _hand_over(_batch(feed, entry.file.name), _batch(feed, change.heir))
        batch, is_new = self._save_batch(entry)
        if not is_new:
            BatchInterval.objects.filter(batch=batch).delete()
            Reject.objects.filter(batch=batch).delete()
            LostFile.objects.filter(batch=batch).delete()
        BatchInterval.objects.bulk_create(
            (BatchInterval(batch=batch, interval_start_timestamp=start, records=records))
            for start, records in entry.intervals.items()
        )
        Reject.objects.bulk_create(
            Reject(
                batch=batch,
                line=line,
                column=column,
                reason=reason,
                text=text,
                sequence_number=entry.file.sequence_number(line),
            )
            for line, column, reason, text in change.first_rejects
        )
        self._rename(batch, change.renamed)
        self.exchange_files(change.files, change.replaced)
        self._replace(feed, feed.interval, change.results, closed_until)
        self._mark_due(feed, change.touched)
        if change.live:
            add_live_counts(feed.name, change.live, clock.now())

    @transaction.atomic
    def close_by_clock(self, feed: Feed, lateness: timedelta) -> bool:
        """Closes a feed's intervals that ended ``lateness`` ago by every clock; True once none is open.

        Closes no further than the longest interval that has records: where there is nothing to close, a clock that is
        wrong changes nothing.
        """
        mark = Watermark.objects.filter(feed=feed.name).first()
        if mark is None or mark.interval_end_timestamp is None:
            return mark is None
        last = lengths_of(feed)[-1].at(mark.interval_end_timestamp - feed.interval.delta).end
        _close(feed, mark, mark.interval_end_timestamp, min(last, self.clocks().earliest - lateness), mark.ahead_until)
        return mark.ahead_until is None and mark.closed_until is not None and mark.closed_until >= last

    def touch(self, entry: Entry, file: FoundFile) -> None:
        batches = Batch.objects.filter(feed=file.feed.name, name=file.name)
        values = {"modified_ns": file.modified_ns, "etag": file.etag, "mark": file.mark, "digest": entry.digest}
        batches.update(size=file.size, reading=entry.reading, **values)

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        due = []
        closed_until = dict(Watermark.objects.values_list("feed", "closed_until"))
        for rollup in DueRollup.objects.all():
            feed = FEEDS[rollup.feed]
            interval = Interval(LENGTHS[rollup.interval], rollup.interval_start_timestamp)
            # A feed's shortest interval is due only where it could not be computed with its batch.
            if (
                interval.length == feed.interval
                or interval.is_closed(closed_until.get(feed.name))
                or (rollup.changed and (with_open or _summaries(feed, interval).exists()))
            ):
                due.append((feed, interval))
        return due

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        moments = dict.fromkeys(starts, clock.now())
        for some in _chunks(sorted(starts), STARTS_A_QUERY):
            computed = _summaries_of(feed, length).filter(
                Q(total__isnull=False) | Q(mean__isnull=False),
                state__in=[IntervalSummary.State.FINAL, IntervalSummary.State.INCOMPLETE],
                interval_start_timestamp__in=some,
            )
            columns = "interval_start_timestamp", "first_figured_at"
            moments |= dict(computed.order_by("-first_figured_at").values_list(*columns))
        return moments

    def reference(self, table: str, moment: datetime) -> pd.DataFrame:
        return REFERENCES[table](moment)

    @transaction.atomic
    def commit_rollup(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        moments: Mapping[datetime, datetime],
    ) -> None:
        closed_until = _closed_until(feed)
        self._replace(feed, length, results, closed_until, moments)
        starts = set(starts) - {
            start for result in results if result.reason and result.again for start in result.starts
        }
        for some in _chunks(sorted(starts), STARTS_A_QUERY):
            due = DueRollup.objects.filter(feed=feed.name, interval=length.code, interval_start_timestamp__in=some)
            closed = [start for start in some if length == feed.interval or length.at(start).is_closed(closed_until)]
            if length == ONE_HOUR:
                DueCompaction.objects.bulk_create(
                    [DueCompaction(feed=feed.name, interval_start_timestamp=start) for start in closed],
                    ignore_conflicts=True,
                )
            due.filter(interval_start_timestamp__in=closed).delete()
            due.update(changed=False)

    @transaction.atomic
    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        self._replace(feed, feed.interval, results, _closed_until(feed))
        self._mark_due(feed, starts)

    def due_compactions(self) -> list[tuple[Feed, Interval]]:
        return [
            (FEEDS[due.feed], Interval(ONE_HOUR, due.interval_start_timestamp)) for due in DueCompaction.objects.all()
        ]

    def compacted(self, feed: Feed, hour: Interval) -> None:
        DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp=hour.start).delete()

    def kept_from(self, feed: Feed) -> datetime | None:
        return Watermark.objects.filter(feed=feed.name).values_list("kept_from", flat=True).first()

    def positions(self, feed: Feed, topic: str) -> dict[int, Position]:
        """Up to where each of a topic's partitions is ingested; partitions without any batch are left out."""
        return {
            one.partition: Position(one.next_offset, Origin(one.topic_id, one.generation), one.last_message)
            for one in StreamOffset.objects.filter(feed=feed.name, topic=topic).order_by()
        }

    def reached(self, feed: Feed, stream: str) -> dict[str, Reached]:
        """Up to where each shard of a Kinesis stream is in; those are lacking that nothing is in of."""
        return {
            shard.shard: Reached(
                shard.sequence_number or None,
                shard.is_ended,
                shard.beginning,
                Origin(shard.stream_created, shard.generation),
            )
            for shard in StreamShard.objects.filter(feed=feed.name, stream=stream)
        }

    def end_shard(self, feed: Feed, stream: str, shard: str, reached: Reached) -> None:
        """Notes that a shard ended with the record that ``reached`` names, where that is the last that is in."""
        place = {"feed": feed.name, "stream": stream, "shard": shard}
        values = _shard_values(reached)
        if reached.sequence_number is None:
            _, is_new = StreamShard.objects.get_or_create(**place, defaults=values)
            if not is_new:
                # What is there may be of a former stream of the name.
                StreamShard.objects.filter(**place, generation__lt=reached.origin.generation).update(**values)
        else:
            there = StreamShard.objects.filter(**place, sequence_number=reached.sequence_number)
            there.filter(generation=reached.origin.generation).update(is_ended=True)

    def prunable_before(self, feed: Feed, moment: datetime) -> datetime:
        """The latest whole hour, not after the moment (UTC), before which no rollup of the feed is still to come."""
        due = DueRollup.objects.filter(feed=feed.name).values_list("interval_start_timestamp", flat=True).first()
        return ONE_HOUR.floor(min(moment, due) if due else moment)

    @transaction.atomic
    def keep_from(self, feed: Feed, moment: datetime) -> None:
        """Notes that the lake keeps nothing of a feed before a moment (UTC)."""
        StoredLakeFile.objects.filter(feed=feed.name, interval_start_timestamp__lt=moment).delete()
        earlier = Q(kept_from=None) | Q(kept_from__lt=moment)
        Watermark.objects.filter(earlier, feed=feed.name).update(kept_from=moment)
        DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp__lt=moment).delete()

    def _advance(self, step: Step, entry: Entry) -> None:
        """Advance a partition's position to the end of a batch, if it is at the batch's beginning.

        Raises Overtaken where it is not, SeveralFailed where the batch failed and can be divided, and ScratchError
        where only its file failed.
        """
        batch = entry.file
        if entry.retry:
            raise ScratchError(f"{batch.path}, where the messages of {batch.name} are spooled, {entry.reason}.")
        if batch.is_divisible and not entry.is_in:
            raise SeveralFailed
        place: dict[str, Any] = {"feed": batch.feed.name}
        if isinstance(step.after, Reached):
            ends: type[StreamOffset | StreamShard] = StreamShard
            place |= {"stream": step.topic, "shard": step.partition}
            values_of: Callable[[Any], dict[str, Any]] = _shard_values
        else:
            ends, values_of = StreamOffset, _offset_values
            place |= {"topic": step.topic, "partition": step.partition}
        values = values_of(step.after)
        if step.before is None:
            _, is_ours = ends.objects.get_or_create(**place, defaults=values)
        else:
            is_ours = ends.objects.filter(**place, **values_of(step.before)).update(**values)
        if not is_ours:
            raise Overtaken(f"Another consumer has taken in {step.topic}/{step.partition} meanwhile.")

    def _save_batch(self, entry: Entry) -> tuple[Batch, bool]:
        """Writes a batch as it is now; gives it, and whether its name is new."""
        status = Batch.Status.DUPLICATE if entry.duplicate_of else Batch.Status.FAILED
        values = {
            "status": Batch.Status.IN if entry.is_in else status,
            "duplicate_of": _batch(entry.file.feed, entry.duplicate_of) if entry.duplicate_of else None,
            "reason": entry.reason,
            "retry": entry.retry,
            "read_again_at": entry.read_again_at,
            "key": entry.key,
            "digest": entry.digest,
            "reading": entry.reading,
            "kpis": _kpi_text(entry.kpis),
            "size": entry.file.size,
            "modified_ns": entry.file.modified_ns,
            "etag": entry.file.etag,
            "mark": entry.file.mark,
            "lines": entry.lines,
            "records": entry.records,
            "rejects": entry.rejects,
            "taken_in_at": clock.now(),
            "run": self._run,
        }
        batch = Batch.objects.filter(feed=entry.file.feed.name, name=entry.file.name).first()
        if batch is None:
            return Batch.objects.create(feed=entry.file.feed.name, name=entry.file.name, **values), True
        if batch.digest != entry.digest:
            batch.revision += 1
        for name, value in values.items():
            setattr(batch, name, value)
        batch.save()
        return batch, False

    def _rename(self, batch: Batch, names: Collection[str]) -> None:
        """Notes that the files of some duplicates of a batch's content are gone; where that by whose name it counted is
        among them, it counts by the batch's from now on."""
        if not names:
            return
        first, now = batch.duplicate_of, clock.now()
        if first is not None and first.name in names:
            _hand_over(first, batch)
            values = {
                "key": "",
                "read_again_at": None,
                "lines": 0,
                "records": 0,
                "rejects": 0,
                "taken_in_at": now,
                "run": self._run,
            }
            Batch.objects.filter(pk=first.pk).update(status=Batch.Status.RENAMED, duplicate_of=batch, **values)
        others = Batch.objects.filter(feed=batch.feed, name__in=names, status=Batch.Status.DUPLICATE)
        others.exclude(pk=batch.pk).update(status=Batch.Status.RENAMED, taken_in_at=now, run=self._run)

    def _mark_due(self, feed: Feed, starts: Collection[datetime]) -> None:
        for length in lengths_of(feed)[1:]:
            _put_due(feed, length, {length.floor(start) for start in starts})

    def _raise_watermark(self, entry: Entry, closed_until: datetime | None, now: datetime) -> datetime | None:
        """Raises the watermark to what a batch brings, as far as the clocks have come (``now``); returns up to when the
        feed's intervals have closed."""
        feed = entry.file.feed
        mark = Watermark.objects.filter(feed=feed.name).first()
        newest = max((start + feed.interval.delta for start in entry.intervals if start <= now), default=None)
        ahead = ahead_until(feed, now, ((start, entry.file.is_followed) for start in entry.intervals))
        if closed_until is not None:
            closed_until = min(closed_until, now)
        if mark is None and entry.intervals:
            mark = Watermark.objects.create(
                feed=feed.name, interval_end_timestamp=newest, closed_until=closed_until, ahead_until=ahead
            )
        elif mark is not None:
            newest, ahead = _later(newest, mark.interval_end_timestamp), _later(ahead, mark.ahead_until)
            _close(feed, mark, newest, closed_until, ahead)
        return mark and mark.closed_until

    def _replace(
        self,
        feed: Feed,
        length: Length,
        results: Iterable[Results],
        closed_until: datetime | None,
        moments: Mapping[datetime, datetime] | None = None,
    ) -> None:
        """Puts the results in the place of what the intervals had, with a summary for each that has any."""
        _check_lock()
        for starts, some_results in groupby(results, lambda result: result.starts):
            of_the_same = []
            for result in some_results:
                if result.reason:
                    self._keep(feed, result)
                    continue
                of_the_same.append(result)
                model = result_model(result.kpi)
                for some in _chunks(sorted(starts), STARTS_A_QUERY):
                    model.objects.filter(interval=length.code, interval_start_timestamp__in=some).delete()
                folded = [dimension.folded_column for dimension in result.kpi.folded]
                insert_rows(model, [*INTERVAL_COLUMNS, *result.kpi.columns, *folded], _rows(result))
            self._summarise(feed, length, starts, of_the_same, closed_until, moments or {})

    def _keep(self, feed: Feed, result: Results) -> None:
        """Marks intervals whose results could not be computed as incomplete; what they have stays.

        Those that can be computed once the lake is mended become due.
        """
        now = clock.now()
        counts = _counts(feed, result.length, result.starts)
        former = _former_summaries(result.length, result.starts, [result])
        changed = []
        for start in result.starts:
            interval = Interval(result.length, start)
            summary = former.get((result.kpi.id, start))
            reason = result.reason
            if summary is None:
                if not result.again:
                    lost = _lost_in(result.kpi, interval)
                    if lost is None:
                        continue
                    reason = f"Cannot be computed: {lost.reason}."
                records, batches = counts[start]
                summary = IntervalSummary(
                    kpi=result.kpi.id,
                    interval=result.length.code,
                    interval_start_timestamp=interval.start,
                    interval_end_timestamp=interval.end,
                    groups=0,
                    records=records,
                    batches=batches,
                    first_figured_at=now,
                )
            elif summary.state == IntervalSummary.State.INCOMPLETE and (
                summary.reason == result.reason or not result.again
            ):
                # What was lost for good has the reason that tells how.
                continue
            else:
                summary.pk = None
                summary.revision += 1
                summary.previous_total, summary.previous_mean = summary.total, summary.mean
                summary.previous_updated_at = summary.updated_at
            summary.state, summary.reason, summary.updated_at = IntervalSummary.State.INCOMPLETE, reason, now
            changed.append(summary)
        _put(changed, unique=["interval_start_timestamp", "interval", "kpi"], changes=SUMMARY_CHANGES)
        if result.again:
            _put_due(feed, result.length, result.starts)

    def _summarise(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        closed_until: datetime | None,
        moments: Mapping[datetime, datetime],
    ) -> None:
        now = clock.now()
        counts = _counts(feed, length, starts)
        former = _former_summaries(length, starts, results)
        summaries = []
        for result in results:
            for start, total, groups in rows({name: result.totals[name] for name in TOTALS_COLUMNS}):
                interval = Interval(length, start.replace(tzinfo=UTC))
                summary = former.pop((result.kpi.id, interval.start), None)
                if summary is None:
                    summary = IntervalSummary(
                        kpi=result.kpi.id,
                        interval=length.code,
                        interval_start_timestamp=interval.start,
                        interval_end_timestamp=interval.end,
                    )
                else:
                    summary.pk = None
                    summary.revision += 1
                    summary.previous_total, summary.previous_mean = summary.total, summary.mean
                    summary.previous_updated_at = summary.updated_at
                    summary.reason = ""
                summary.first_figured_at = moments.get(interval.start) or summary.first_figured_at or now
                if result.kpi.measure.is_mean:
                    summary.mean = total
                else:
                    summary.total = total
                summary.groups = groups
                summary.records, summary.batches = counts[interval.start]
                closed = interval.is_closed(closed_until)
                summary.state = IntervalSummary.State.FINAL if closed else IntervalSummary.State.PROVISIONAL
                summary.reason = ""
                summary.updated_at = now
                summaries.append(summary)
        _put(summaries, unique=["interval_start_timestamp", "interval", "kpi"], changes=SUMMARY_CHANGES)
        IntervalSummary.objects.filter(pk__in=[summary.pk for summary in former.values()]).delete()


def _lost_in(kpi: KPI, interval: Interval) -> LostFile | None:
    """Something that the lake has lost for good of a KPI in an interval; None where there is nothing."""
    return LostFile.objects.filter(
        kpi=kpi.source.id,
        interval_start_timestamp__gte=ONE_HOUR.floor(interval.start),
        interval_start_timestamp__lt=interval.end,
    ).first()


def _put_due(feed: Feed, length: Length, starts: Collection[datetime]) -> None:
    """Marks intervals of a length as due."""
    due = [DueRollup(feed=feed.name, interval=length.code, interval_start_timestamp=start) for start in sorted(starts)]
    _put(due, unique=["feed", "interval", "interval_start_timestamp"], changes=["changed"])


def _files_at(paths: Collection[PurePosixPath]) -> dict[PurePosixPath, int]:
    """The lake's files at the paths that count, each with its row's id."""
    wanted, found = set(paths), {}
    for some in _chunks(sorted(wanted), FOLDERS_A_QUERY):
        rows_there = StoredLakeFile.objects.filter(
            folder__in={str(path.parent) for path in some}, name__in=[path.name for path in some]
        )
        # All of the folders with all of the names: those that were not asked for are left out here.
        for row, folder, name in rows_there.order_by().values_list("pk", "folder", "name"):
            found[PurePosixPath(folder, name)] = row
    return {path: found[path] for path in found.keys() & wanted}


def _offset_values(position: Position) -> dict[str, Any]:
    """What the ledger has of a partition, by column."""
    return {
        "next_offset": position.next_offset,
        "topic_id": position.origin.id,
        "generation": position.origin.generation,
        "last_message": position.last_message,
    }


def _shard_values(reached: Reached) -> dict[str, Any]:
    """What the ledger has of a shard, by column."""
    return {
        "sequence_number": reached.sequence_number or "",
        "is_ended": reached.is_ended,
        "beginning": reached.beginning,
        "stream_created": reached.origin.id,
        "generation": reached.origin.generation,
    }


def _put(rows: list[Any], unique: list[str], changes: list[str]) -> None:
    """Adds rows to their table, and changes those that are there by their unique columns."""
    if rows:
        # MySQL and MariaDB take whatever unique columns the table has, and no list of them.
        target = unique if connection.features.supports_update_conflicts_with_target else None
        type(rows[0]).objects.bulk_create(
            rows, batch_size=ROWS_A_STATEMENT, update_conflicts=True, unique_fields=target, update_fields=changes
        )


def _rows(result: Results) -> Iterator[tuple[Any, ...]]:
    """A KPI's rows as its table has them: INTERVAL_COLUMNS, dimensions, values and folded dimensions."""
    columns = {name: result.rows[name] for name in ("interval_start", "rank", *result.kpi.columns)}
    for dimension in result.kpi.folded:
        names = result.rows[dimension.name].tolist()
        columns[dimension.folded_column] = np.array([fold(name) for name in names], dtype=object)

    @cache
    def bounds(start: datetime) -> tuple[datetime, datetime]:
        interval = Interval(result.length, start.replace(tzinfo=UTC))
        return interval.start, interval.end

    for start, rank, *values in rows(columns):
        yield *bounds(start), result.length.code, rank, *values


def _batch(feed: Feed, name: str) -> Batch:
    return Batch.objects.get(feed=feed.name, name=name)


def _hand_over(giver: Batch, taker: Batch) -> None:
    """Lets a batch's content count by one of its duplicates, with all that the ledger has of it."""
    for name in CONTENT:
        setattr(taker, name, getattr(giver, name))
    taker.status, taker.duplicate_of = Batch.Status.IN, None
    taker.save()
    for model in (BatchInterval, Reject):
        model.objects.filter(batch=giver).update(batch=taker)
    Batch.objects.filter(duplicate_of=giver).exclude(pk=taker.pk).update(duplicate_of=taker)


def _entry(batch: Batch, file: FoundFile) -> Entry:
    """A batch's entry; its file is the one found, with the size, time of change and etag that the ledger has."""
    return Entry(
        file=replace(file, size=batch.size, modified_ns=batch.modified_ns, etag=batch.etag, mark=batch.mark),
        is_in=batch.status == Batch.Status.IN,
        reason=batch.reason,
        retry=batch.retry,
        read_again_at=batch.read_again_at,
        key=batch.key,
        digest=batch.digest,
        reading=batch.reading,
        kpis=_kpi_ids(batch.kpis),
        lines=batch.lines,
        records=batch.records,
        rejects=batch.rejects,
        duplicate_of=batch.duplicate_of.name if batch.duplicate_of else "",
        is_renamed=batch.status == Batch.Status.RENAMED,
    )


def _named(batches: QuerySet[Batch], names: list[str]) -> Iterator[QuerySet[Batch]]:
    """Those of the batches that have the names, some at a time."""
    for some in _chunks(names, NAMES_A_QUERY):
        yield batches.filter(name__in=some)


def _kpi_text(ids: frozenset[int]) -> str:
    return ",".join(str(kpi) for kpi in sorted(ids))


def _kpi_ids(text: str) -> frozenset[int]:
    return frozenset(int(kpi) for kpi in text.split(",") if kpi)


def _intervals_between(feed: Feed, start: datetime, end: datetime, *columns: str) -> Iterator[tuple]:
    """The start and the columns of each interval that a batch of the feed has records of, from start to end."""
    found = BatchInterval.objects.filter(interval_start_timestamp__gte=start, interval_start_timestamp__lt=end)
    # Those of other feeds too: asked for the feed, SQLite goes through all of its batches instead.
    for batch_feed, *values in found.order_by().values_list("batch__feed", "interval_start_timestamp", *columns):
        if batch_feed == feed.name:
            yield tuple(values)


def _counts(feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, tuple[int, int]]:
    """How many records and batches there are in the intervals of a length that start at ``starts`` (UTC)."""
    records: dict[datetime, int] = defaultdict(int)
    batches: dict[datetime, set[int]] = defaultdict(set)
    for start, end in _spans(starts, length):
        for moment, batch, count in _intervals_between(feed, start, end, "batch", "records"):
            records[length.floor(moment)] += count
            batches[length.floor(moment)].add(batch)
    return {start: (records[start], len(batches[start])) for start in starts}


def _spans(starts: Collection[datetime], length: Length) -> Iterator[tuple[datetime, datetime]]:
    """Spans from a start to an end that hold the intervals of a length, and little between them."""
    begin = end = None
    for start in sorted(starts):
        if begin is None or end is None or start - end > CLOSE:
            if begin is not None and end is not None:
                yield begin, end
            begin = start
        end = start + length.delta
    if begin is not None and end is not None:
        yield begin, end


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments, where there are both."""
    return max(one, other) if one is not None and other is not None else one or other


def _of_batches(feed: Feed, start: datetime, end: datetime) -> list[tuple[datetime, bool]]:
    """The feed's intervals that have records from start to end (UTC), and of each whether it is a stream's."""
    # Only a stream's batch has a slash in its name.
    return [(one, "/" in name) for one, name in _intervals_between(feed, start, end, "batch__name")]


@transaction.atomic
def _catch_up(feed: Feed, mark: Watermark, now: datetime, lateness: timedelta) -> None:
    """Raises the watermark to what records bring that were ahead of the clocks when they came, and no longer are."""
    delta = feed.interval.delta
    there = _of_batches(feed, (mark.closed_until or EPOCH + delta) - delta, now + timedelta.resolution)
    newest = _later(mark.interval_end_timestamp, max((start + delta for start, _ in there), default=None))
    until = max((closing_time(*one, feed=feed, lateness=lateness, now=now) for one in there), default=None)
    _close(feed, mark, newest, until, ahead_until(feed, now, _of_batches(feed, now - delta, LAST_DAY)))


def _is_ahead(feed: Feed, mark: Watermark, now: datetime) -> bool:
    """True if a feed's watermark says what no clock can know that has only come to ``now``."""
    newest, closed = mark.interval_end_timestamp, mark.closed_until
    return (newest is not None and newest - feed.interval.delta > now) or (closed is not None and closed > now)


@transaction.atomic
def _take_back(feed: Feed, mark: Watermark, now: datetime) -> None:
    """Opens the intervals again that are closed ahead of every clock (``now`` is what the latest says)."""
    delta = feed.interval.delta
    if mark.interval_end_timestamp is not None and mark.interval_end_timestamp - delta > now:
        starts = BatchInterval.objects.filter(batch__feed=feed.name, interval_start_timestamp__lte=now)
        newest = starts.order_by("-interval_start_timestamp").values_list("interval_start_timestamp", flat=True).first()
        mark.interval_end_timestamp = newest and newest + delta
        mark.ahead_until = ahead_until(feed, now, _of_batches(feed, now - delta, LAST_DAY))
        mark.save(update_fields=["interval_end_timestamp", "ahead_until"])
    if mark.closed_until is None or mark.closed_until <= now:
        return
    mark.closed_until = now
    mark.ahead_until = ahead_until(feed, now, _of_batches(feed, now - delta, LAST_DAY))
    mark.save(update_fields=["closed_until", "ahead_until"])
    for length in lengths_of(feed):
        # Of what was pruned nothing could be computed again.
        since = max(now - length.delta, mark.kept_from or EPOCH)
        early = _summaries_of(feed, length).filter(
            state=IntervalSummary.State.FINAL, interval_end_timestamp__gt=now, interval_start_timestamp__gte=since
        )
        if length != feed.interval:
            starts = set(early.values_list("interval_start_timestamp", flat=True))
            due = [
                DueRollup(feed=feed.name, interval=length.code, interval_start_timestamp=start, changed=False)
                for start in sorted(starts)
            ]
            DueRollup.objects.bulk_create(due, ignore_conflicts=True)
        # MySQL assigns from left to right.
        early.update(
            previous_total=F("total"),
            previous_mean=F("mean"),
            previous_updated_at=F("updated_at"),
            revision=F("revision") + 1,
            state=IntervalSummary.State.PROVISIONAL,
            reason=TAKEN_BACK,
            updated_at=clock.now(),
        )
    DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp__gt=now - ONE_HOUR.delta).delete()


def _close(
    feed: Feed, mark: Watermark, newest: datetime | None, until: datetime | None, ahead: datetime | None
) -> None:
    """Sets a feed's watermark to the newest interval end and the newest that is ahead of the clock, and closes its
    intervals up to a moment (UTC), where that is later than before."""
    former = mark.closed_until
    # Where nothing is open, no summary is looked at.
    is_open = former is None or mark.ahead_until is not None or former < (mark.interval_end_timestamp or EPOCH)
    if until is None or (former is not None and until < former):
        until = former
    if (newest, until, ahead) == (mark.interval_end_timestamp, former, mark.ahead_until):
        return
    mark.interval_end_timestamp, mark.closed_until, mark.ahead_until = newest, until, ahead
    mark.save(update_fields=["interval_end_timestamp", "closed_until", "ahead_until"])
    if is_open and until is not None:
        opened = _summaries_of(feed, feed.interval).filter(
            state=IntervalSummary.State.PROVISIONAL, interval_end_timestamp__lte=until
        )
        if former is not None:
            # Of all before none is open, so they need not be looked at.
            opened = opened.filter(interval_start_timestamp__gt=former - feed.interval.delta)
        opened.update(state=IntervalSummary.State.FINAL)


def _closed_until(feed: Feed) -> datetime | None:
    return Watermark.objects.filter(feed=feed.name).values_list("closed_until", flat=True).first()


def _former_summaries(
    length: Length, starts: Collection[datetime], results: list[Results]
) -> dict[tuple[int, datetime], IntervalSummary]:
    """The summaries that the results' intervals have had until now, by KPI and start (UTC)."""
    kpis = [result.kpi.id for result in results]
    return {
        (summary.kpi, summary.interval_start_timestamp): summary
        for some in _chunks(sorted(starts), STARTS_A_QUERY)
        for summary in IntervalSummary.objects.filter(
            kpi__in=kpis, interval=length.code, interval_start_timestamp__in=some
        )
    }


def _summaries(feed: Feed, interval: Interval) -> QuerySet[IntervalSummary]:
    return _summaries_of(feed, interval.length).filter(interval_start_timestamp=interval.start)


def _summaries_of(feed: Feed, length: Length) -> QuerySet[IntervalSummary]:
    return IntervalSummary.objects.filter(kpi__in=[kpi.id for kpi in kpis_of(feed, length)], interval=length.code)


def _chunks(values: list, size: int) -> Iterator[list]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
