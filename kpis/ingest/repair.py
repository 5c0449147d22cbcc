"""The repair of a lake: rebuild what the ledger needs of it, or record what is lost.

Missing or damaged data is rebuilt from the first of these that has it: another file of the lake whose digest is right,
the source file, if it still has the content that the ledger knows, the batch's archived records in the lake, and for
rejects the database. What none of them has is recorded as lost for good (``LostFile``), and the intervals that need it
are marked as incomplete, with the reason. Files that the ledger does not refer to are removed.

Each batch is repaired in one transaction, so that the next repair continues one that was killed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath

from django.db import transaction

from kpis import clock, pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import FEEDS, KPIS, lengths_of
from kpis.engine.aggregate import TotalTooLarge, partial_of_records
from kpis.engine.file_reader import write_rejects
from kpis.formats.bounds import UNBOUNDED
from kpis.ingest.incomplete import incomplete_in, mark_incomplete
from kpis.ingest.lost import (
    Finding,
    Lost,
    Part,
    Sources,
    describe,
    file_of,
    folder_of,
    lost_file,
    rejects_in,
    within,
)
from kpis.ingest.remake import (
    add_partial,
    add_records,
    add_rejects,
    is_same,
    load_records,
    options_of,
    other_names,
)
from kpis.lake import LakeError, LakeFile, Staging
from kpis.lake.layout import partials_file, partials_folder, records_file
from kpis.lake.survey import MISSING, Progress, Survey, adoptable, survey
from kpis.models import Batch, BatchInterval, DueCompaction, DueRollup, LostFile, Reject
from kpis.models import LakeFile as StoredLakeFile
from kpis.stages.prepare import prepare
from kpis.store.binding import rebind
from kpis.store.kpi_sets import kpi_ids
from kpis.store.lake_files import lake_files
from kpis.store.ledger import DatabaseLedger
from kpis.store.watermarks import closed_until

KINDS = ("rejects", "records")
START = ("interval_start_timestamp",)
KEYS_A_QUERY = 500


class Repair:
    """A repair of the lake. The caller holds the lock."""

    def __init__(
        self,
        ledger: DatabaseLedger,
        engine: pipeline.Engine,
        options: pipeline.Options,
        sources: Sources,
        dry_run: bool = False,
        progress: Progress = lambda done, all_: None,
    ):
        self._ledger, self._engine, self._lake = ledger, engine, engine.lake
        self._options = replace(options, bounds=UNBOUNDED, max_reject_ratio=1)
        self._sources, self._dry_run, self._progress = sources, dry_run, progress

    def run(self, digested: bool = True) -> Iterator[Finding]:
        """Yield the findings while the lake is repaired; with ``dry_run`` nothing is changed.

        Raises WrongLake if the lake is another database's, and LakeError if it cannot be used.
        """
        note = rebind(self._lake, self._ledger, self._dry_run)
        if note:
            yield Finding(note, "would be written" if self._dry_run else "written")
        if not self._dry_run:
            self._lake.recover(self._ledger)
        found = survey(self._lake, lake_files(StoredLakeFile.objects.all()), digested, self._progress)
        for file, reason in sorted(found.bad.items(), key=lambda item: item[0].path):
            yield Finding(f"{file.path} {reason}")
        lost_before = self._lost_before()
        for lost in self._lost(found):
            yield from self._mend(lost, found, lost_before[lost.batch.pk])
        yield from self._tidy(found)

    # The missing parts.

    def _lost(self, found: Survey) -> list[Lost]:
        """Return what the healthy files lack of the ingested batches, oldest first."""
        parts: dict[str, set[Part]] = defaultdict(set)
        # One a folder: several bad files may have had rows of a batch.
        files: dict[str, dict[PurePosixPath, LakeFile]] = defaultdict(dict)
        for feed in FEEDS.values():
            for part, keys in self._needed(feed).items():
                for key in self._lacking(folder_of(part), keys, found):
                    parts[key].add(part)
        # A batch's own file first: its digest is known.
        for file in sorted(found.bad, key=lambda file: not file.key):
            if file.path.parts[0] in KINDS and file.feed in FEEDS:
                for one in [file] if file.key else rejects_in(file):
                    if file.key or self._lacking(file.path.parent, {one.key}, found):
                        files[one.key].setdefault(one.path.parent, one)
        for gone in LostFile.objects.filter(kpi=0, batch__feed__in=FEEDS).select_related("batch"):
            # A part that was recorded as lost may have been found again.
            file = file_of(gone)
            if self._lacking(file.path.parent, {file.key}, found):
                files[file.key].setdefault(file.path.parent, file)
        lost = []
        for some in _batched(sorted(parts.keys() | files.keys()), KEYS_A_QUERY):
            for batch in Batch.objects.filter(key__in=some, status=Batch.Status.IN):
                theirs = files[batch.key].values()
                kinds = {kind: [one for one in theirs if one.path.parts[0] == kind] for kind in KINDS}
                lost.append(Lost(batch, parts[batch.key], **kinds))
        return sorted(lost, key=lambda one: one.batch.pk)

    def _needed(self, feed: Feed) -> dict[Part, set[str]]:
        """Return the keys of the batches whose partials the ledger needs, by KPI and hour."""
        kept_from = self._ledger.kept_from(feed)
        intervals = BatchInterval.objects.filter(batch__feed=feed.name, batch__status=Batch.Status.IN)
        if kept_from:
            intervals = intervals.filter(interval_start_timestamp__gte=kept_from)
        needed: dict[Part, set[str]] = defaultdict(set)
        columns = intervals.order_by().values_list("interval_start_timestamp", "batch__key", "batch__kpi_set__kpis")
        for start, key, kpis in columns.iterator(chunk_size=10_000):
            # Partials of a KPI that the catalog has no more are kept, but not repaired.
            for kpi in kpi_ids(kpis) & KPIS.keys():
                needed[kpi, ONE_HOUR.floor(start)].add(key)
        return needed

    def _lacking(self, folder: PurePosixPath, keys: set[str], found: Survey) -> set[str]:
        """Return those keys for which no healthy file of the folder has rows."""
        there = found.healthy.get(folder, [])
        lacking = keys - {file.key for file in there}
        for file in there if lacking else ():
            if not file.key:
                lacking -= self._lake.keys_in(file.path)
        return lacking

    def _lost_before(self) -> dict[int, set[tuple[str, datetime]]]:
        """Return what is recorded as lost, by batch: the folders and the hours."""
        before: dict[int, set[tuple[str, datetime]]] = defaultdict(set)
        for batch, folder, hour in LostFile.objects.values_list("batch", "folder", "interval_start_timestamp"):
            before[batch].add((folder, hour))
        return before

    # The sources, in the order in which they are tried.

    def _mend(self, lost: Lost, found: Survey, lost_before: Collection[tuple[str, datetime]]) -> Iterator[Finding]:
        """Yield a finding for each part that a batch lacks, rebuilt from the first source that has it."""
        for place, make in (
            ("found elsewhere in the lake", lambda left: self._adopt(left, found)),
            ("rebuilt from its source file", self._from_source),
            ("rebuilt from its archived records", lambda left: self._from_records(left, found)),
            ("rebuilt from the database", self._from_database),
        ):
            made = make(lost) if lost else None
            if made:
                lost = lost.without(made)
                yield Finding(describe(made), f"would be {place}" if self._dry_run else place)
        # Known losses are not reported again.
        news = Lost(
            lost.batch,
            {part for part in lost.parts if (str(folder_of(part)), part[1]) not in lost_before},
            [file for file in lost.rejects if (str(file.path.parent), file.hour) not in lost_before],
            [file for file in lost.records if (str(file.path.parent), file.hour) not in lost_before],
        )
        if news:
            yield Finding(
                describe(news), "would be recorded as lost" if self._dry_run else "lost for good", is_lost=True
            )
            if not self._dry_run:
                self._give_up(news)

    def _adopt(self, lost: Lost, found: Survey) -> Lost | None:
        """Adopt files of the lake that the ledger does not refer to and that have what a batch lacks."""
        made, added = Lost(lost.batch), []
        wanted: list[tuple[LakeFile, Part | None]] = [
            (partials_file(KPIS[kpi], hour, lost.batch.key, lost.batch.key), (kpi, hour)) for kpi, hour in lost.parts
        ]
        wanted += [(file, None) for file in [*lost.rejects, *lost.records]]
        for file, part in wanted:
            folder = file.path.parent
            orphans = found.orphans.get(folder, {})
            with suppress(LakeError):
                adopted = adoptable(self._lake, folder, orphans, lost.batch.key)
                if adopted is None:
                    continue
                name, digest = adopted
                stored = orphans[name]
                key = lost.batch.key if name.startswith(f"{lost.batch.key}.") else ""
                counted = replace(file, path=folder / name, key=key, digest=digest, size=stored.size, etag=stored.etag)
                added.append(counted)
                found.healthy[folder].append(counted)
                if part:
                    made.parts.add(part)
                else:
                    getattr(made, file.path.parts[0]).append(file)
        if made and not self._dry_run:
            # A compacted file may have been adopted for another batch before.
            known = self._ledger.counts([file.path for file in added])
            self._note(made, [file for file in added if file.path not in known])
        return made or None

    def _from_source(self, lost: Lost) -> Lost | None:
        """Read the batch's source file again, if a file with its content exists."""
        batch, feed = lost.batch, lost.feed
        options = replace(
            options_of(batch, self._options),
            # The records are needed too.
            archive_feeds=frozenset({feed.name}) if lost.records else frozenset(),
        )
        # The content of one batch may be found under other names.
        names = {batch.name, *other_names(batch)}
        for file in self._sources(feed, names):
            if self._dry_run:
                return lost
            fetched = file.fetched(self._engine.scratch)
            try:
                with prepare(fetched, self._engine, options) as one:
                    if not is_same(one.entry, batch):
                        continue
                    staging = self._lake.stage(batch.key)
                    for kpi, hour in sorted(lost.parts):
                        with one.partial(self._engine.connection, kpi) as table:
                            add_partial(staging, KPIS[kpi].source, hour, table)
                    for rejects in lost.rejects:
                        add_rejects(staging, feed, rejects.hour)
                    for records in lost.records:
                        add_records(staging, feed, records.hour, one.records, self._engine.connection)
                    self._publish(staging, lost)
                    return lost
            finally:
                fetched.close()
        return None

    def _from_records(self, lost: Lost, found: Survey) -> Lost | None:
        """Aggregate a batch's archived records again, for the hours of which the lake has them."""
        batch, feed = lost.batch, lost.feed
        hours = {}
        for _, hour in lost.parts:
            folder = records_file(feed, hour, batch.key).path.parent
            kept = [file for file in found.healthy.get(folder, []) if file.key == batch.key]
            if kept:
                hours[hour] = kept[0]
        made = Lost(batch, {(kpi, hour) for kpi, hour in lost.parts if hour in hours})
        if not made or self._dry_run:
            return made or None
        staging = self._lake.stage(batch.key)
        for hour, file in hours.items():
            load_records(self._lake, self._engine.connection, feed, file)
            starts = list(BatchInterval.objects.filter(batch=batch, **within(hour)).values_list(*START, flat=True))
            for kpi in sorted(kpi for kpi, of in made.parts if of == hour):
                try:
                    with partial_of_records(self._engine.connection, KPIS[kpi].source, starts) as table:
                        add_partial(staging, KPIS[kpi].source, hour, table)
                except TotalTooLarge:
                    # The batch was ingested, so these are not its records.
                    made.parts.discard((kpi, hour))
        self._publish(staging, made)
        return made or None

    def _from_database(self, lost: Lost) -> Lost | None:
        """Write a batch's rejects from the database, if that has all of them."""
        batch = lost.batch
        kept = list(Reject.objects.filter(batch=batch).values_list("line", "column", "reason", "text"))
        if not lost.rejects or len(kept) != batch.rejects:
            return None
        made = Lost(batch, rejects=lost.rejects)
        if not self._dry_run:
            staging = self._lake.stage(batch.key)
            write_rejects(self._engine.connection, kept)
            for file in lost.rejects:
                add_rejects(staging, lost.feed, file.hour)
            self._publish(staging, made)
        return made

    # The changes to the ledger.

    def _publish(self, staging: Staging, made: Lost) -> None:
        files = staging.publish([])
        self._note(made, files)
        self._lake.finalize(staging.name, self._ledger)

    @transaction.atomic
    def _note(self, made: Lost, files: Collection[LakeFile]) -> None:
        """Add rebuilt files to the ledger, and mark the intervals that could not be computed as due."""
        self._ledger.exchange_files(files, [])
        for kpi, hour in made.parts:
            folder = partials_folder(KPIS[kpi], hour)
            LostFile.objects.filter(batch=made.batch, folder=folder).delete()
            self._compute_again(made.feed, hour)
        for file in [*made.rejects, *made.records]:
            LostFile.objects.filter(batch=made.batch, folder=file.path.parent).delete()

    def _compute_again(self, feed: Feed, hour: datetime) -> None:
        """Mark the incomplete intervals that touch an hour as due."""
        kept_from = self._ledger.kept_from(feed)
        for length in lengths_of(feed):
            for start in incomplete_in(feed, length, hour):
                if kept_from and start < kept_from:
                    # A part of this week or month was pruned.
                    continue
                DueRollup.objects.update_or_create(
                    feed=feed.name,
                    interval=length.code,
                    interval_start_timestamp=start,
                    defaults={"changed": True},
                )
        if ONE_HOUR.at(hour).is_closed(closed_until(feed)):
            DueCompaction.objects.get_or_create(feed=feed.name, interval_start_timestamp=hour)

    @transaction.atomic
    def _give_up(self, lost: Lost) -> None:
        """Record what is lost for good, and mark the intervals that need it as incomplete."""
        batch, now = lost.batch, clock.now()
        reason = f"the lake has lost what it had of {batch.title}, and neither its source nor its records are there"
        for kpi, hour in lost.parts:
            lost_file(batch, partials_folder(KPIS[kpi], hour), kpi, hour, reason, now)
        for file in [*lost.rejects, *lost.records]:
            lost_file(batch, file.path.parent, 0, file.hour, reason, now)
        for kpi, hour in sorted(lost.parts):
            starts = set(BatchInterval.objects.filter(batch=batch, **within(hour)).values_list(*START, flat=True))
            for one in KPIS.values():
                if one.source.id == kpi:
                    mark_incomplete(one, starts, f"Cannot be computed again: {reason}.", now)

    def _tidy(self, found: Survey) -> Iterator[Finding]:
        """Yield what was removed: damaged files from the ledger, files it does not refer to from the lake."""
        # A rebuilt file has the same name if it has the same content.
        bad = {file.path for file in found.bad if self._dry_run or not self._is_made(file)}
        if bad and not self._dry_run:
            self._ledger.exchange_files([], bad)
        listed = {folder / name for folder, names in found.orphans.items() for name in names}
        listed -= {file.path for files in found.healthy.values() for file in files}
        listed |= {file.path for file in found.bad if file.path in bad and found.bad[file] != MISSING}
        removed = sorted(listed)
        if removed:
            if not self._dry_run:
                self._lake.storage.remove(removed)
            yield Finding(f"{len(removed):,} files that nothing refers to", _would("removed", self._dry_run))

    def _is_made(self, file: LakeFile) -> bool:
        """Return True if a damaged file has been rebuilt."""
        return dict(self._lake.verifier.digests([file.path])).get(file.path) == file.digest != ""


def _batched(values: list[str], size: int) -> Iterable[list[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _would(done: str, dry_run: bool) -> str:
    return f"would be {done}" if dry_run else done
