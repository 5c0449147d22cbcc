"""``manage.py repair_lake``: rebuild what the lake has lost, or report what cannot be rebuilt."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.engine.scratch import ScratchError
from kpis.ingest.events import log_event, log_finding, logged_run
from kpis.ingest.lost import Sources
from kpis.ingest.remake import sources_in
from kpis.ingest.repair import Repair
from kpis.lake import LakeError
from kpis.lake.survey import Progress
from kpis.management.lines import event_line, one_line
from kpis.management.output import BestEffort, WorkCommand
from kpis.management.stopping import Stopped, stoppable
from kpis.models import Run
from kpis.sources.directory import FoundFile, SourceError
from kpis.sources.places import found_in
from kpis.store.binding import lake_options
from kpis.store.errors import AlreadyRunning, StoreError, translate_errors
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import PATIENCE_SECONDS, ledger_lock

GOES_ON = "What was repaired before stays; run it again to continue."


class Command(WorkCommand):
    help = (
        "Compares the lake with what the database refers to. Rebuilds what is missing or damaged from other files of "
        "the lake, from the data folder's files or from archived records. Marks intervals that need what is lost as "
        "incomplete, with the reason, and removes files that nothing refers to. Ends with 0, with 1 if it could not "
        "continue or a dry run found something."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="report what is wrong, and change nothing")
        parser.add_argument(
            "--sizes-only",
            action="store_true",
            help="compare only sizes and etags, without reading files for their digests",
        )

    def handle(self, *, dry_run: bool, sizes_only: bool, verbosity: int, **options: Any) -> None:
        chosen = pipeline.Options(top_n=settings.TOP_N, archive_feeds=settings.ARCHIVE_FEEDS)
        report = pipeline.Report()
        found = lost = 0
        try:
            with (
                stoppable(),
                translate_errors(),
                self._turn(dry_run, report) as run,
                pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options()) as engine,
            ):
                ledger = DatabaseLedger(run)
                with self._progress(verbosity) as progress:
                    repair = Repair(ledger, engine, chosen, self._sources(), dry_run, progress)
                    for finding in repair.run(digested=not sizes_only):
                        found += 1
                        lost += finding.is_lost
                        log_finding(str(finding), finding.is_lost)
                        if finding.is_lost and not settings.LOG_FORMAT:
                            self.stderr.write(str(finding))
                        elif verbosity and not finding.is_lost:
                            self.stdout.write(str(finding))
                for event in () if dry_run else pipeline.roll_up(ledger, engine, chosen):
                    report.add(event)
                    log_event(event)
                    if isinstance(event, pipeline.Failed):
                        self.stderr.write(event_line(event))
                    elif verbosity:
                        self.stdout.write(event_line(event))
        except AlreadyRunning:
            raise CommandError("A run is under way on this database; nothing was repaired.") from None
        except Stopped as stopped:
            raise CommandError(f"{stopped} {GOES_ON}", returncode=128 + stopped.signal) from stopped
        except (LakeError, ScratchError, StoreError) as error:
            raise CommandError(one_line(error)) from error
        if verbosity:
            self.stdout.write(f"{found:,} findings, {lost:,} lost{'; nothing was changed' if dry_run else ''}")
        if report.failed or (dry_run and found):
            sys.exit(1)

    @contextmanager
    def _turn(self, dry_run: bool, report: pipeline.Report) -> Iterator[Run | None]:
        """Record a run and hold the lock; a dry run does neither."""
        if dry_run:
            with ledger_lock(PATIENCE_SECONDS):
                yield None
        else:
            with logged_run(" ".join(sys.argv[1:]), report) as run:
                yield run

    def _sources(self) -> Sources:
        """Return a function that lists the data folder's files at its first call."""
        listed: dict[tuple[str, str], FoundFile] | None = None

        def sources(feed: Feed, names: Collection[str]) -> list[FoundFile]:
            nonlocal listed
            if listed is None:
                try:
                    found = found_in(settings.DATA_DIR, settings.FEED_FILES)
                except SourceError as error:
                    self.stderr.write(f"{one_line(error)} No file can be read again.")
                    found = []
                listed = {(file.feed.name, file.name): file for file in found}
            return sources_in(listed)(feed, names)

        return sources

    @contextmanager
    def _progress(self, verbosity: int) -> Iterator[Progress]:
        """Return a callback that shows how many files have been read, as a bar on a terminal."""
        if not verbosity or not self.stderr.isatty() or settings.LOG_FORMAT:
            yield lambda done, of: None
            return
        from tqdm import tqdm

        with tqdm(unit="file", file=BestEffort(sys.stderr)) as bar:

            def show(done: int, of: int) -> None:
                bar.total = of
                bar.update(done - bar.n)

            yield show
