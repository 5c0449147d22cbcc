"""``manage.py update_network_stats``: ingest new files, and write the KPIs of the intervals that they touch."""

from __future__ import annotations

import logging
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, datetime
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import close_old_connections

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEEDS
from kpis.console import moments
from kpis.engine.scratch import ScratchError
from kpis.formats.bounds import Bounds
from kpis.ingest.events import log_event, log_watch, logged_run
from kpis.ingest.watch import Watch
from kpis.lake import LakeError
from kpis.management.arguments import local_moment
from kpis.management.engines import add_engine_argument, chosen_engine
from kpis.management.lines import closing_line, event_line, one_line
from kpis.management.output import WRONG_USE, BestEffort, WorkCommand
from kpis.management.stopping import Stopped, stoppable, stopping
from kpis.sources.arrivals import arrivals_in
from kpis.sources.directory import FoundFile, SourceError, SourceLost, Unfinished
from kpis.sources.places import found_in, named
from kpis.stages.engine import EngineError
from kpis.storage import SCHEME, Address, BucketAddress, address
from kpis.store.errors import AlreadyRunning, StoreError, translate_errors
from kpis.store.ledger import DatabaseLedger

GOES_ON = "What was ingested before stays; the next run goes on from there."
FILE_EVENTS = pipeline.Ingested | pipeline.Unchanged | pipeline.Duplicate | pipeline.Failed


class Command(WorkCommand):
    help = (
        "Ingests the files of the data folder that the ledger does not know, or that changed, and writes the KPIs of "
        "every interval that they touch; rolls up the hours that have closed. Ends with 0 if everything was ingested, "
        "with 1 if a file failed, with 2 for wrong use. With --watch it ingests files as they land, and ends with 0 "
        "on a signal, after the current files."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", type=_place, metavar="FILE", help="these files instead of the folder's")
        parser.add_argument(
            "--data-dir", type=_place, help="the folder or s3://bucket/prefix to read (default: DATA_DIR)"
        )
        parser.add_argument(
            "--feed", choices=sorted(FEEDS), help="the FILEs' feed, or the only feed to ingest from the folder"
        )
        parser.add_argument(
            "--interval-from",
            choices=[str(one) for one in pipeline.IntervalFrom],
            default=str(pipeline.IntervalFrom.RECORD),
            help="whether the row's timestamps or the file's name determine its interval",
        )
        parser.add_argument(
            "--date", type=_day, help="the day (YYYY-MM-DD, UTC) of records whose file does not have it"
        )
        parser.add_argument("--dry-run", action="store_true", help="report what would be ingested, and change nothing")
        parser.add_argument(
            "--verify", action="store_true", help="digest every known file, also if its size and times are unchanged"
        )
        parser.add_argument("--retry-failed", action="store_true", help="retry failed files, also unchanged ones")
        parser.add_argument(
            "--rebuild",
            nargs=2,
            metavar=("START", "END"),
            type=local_moment,
            help="recompute the results from START to END (excluded) from the lake; ISO 8601, in TIME_ZONE where there "
            "is no offset or Z",
        )
        parser.add_argument(
            "--rebuild-days",
            action="store_true",
            help="recompute all days, weeks and months from the lake, as after a change of TIME_ZONE",
        )
        parser.add_argument(
            "--rollup-open-hours", action="store_true", help="also write hours that are still open, marked provisional"
        )
        parser.add_argument("--watch", action="store_true", help="keep running, and ingest files as they land")
        parser.add_argument("--queue-url", help="with --watch: the SQS queue of a bucket's events")

        add_engine_argument(parser)

    def handle(
        self,
        *,
        files: list[Address],
        data_dir: Address | None,
        feed: str | None,
        rebuild: tuple[datetime, datetime] | None,
        rebuild_days: bool,
        dry_run: bool,
        watch: bool,
        queue_url: str | None,
        engine: str,
        verbosity: int,
        **options: Any,
    ) -> None:
        started = time.monotonic()
        folder = data_dir or settings.DATA_DIR
        if watch and (files or rebuild or rebuild_days or dry_run or options["retry_failed"] or options["verify"]):
            raise CommandError(
                "--watch takes no files, rebuild, dry run, verifying or failed files to try again.",
                returncode=WRONG_USE,
            )
        if queue_url and not (watch and isinstance(folder, BucketAddress)):
            raise CommandError("--queue-url is for --watch over s3://bucket/prefix.", returncode=WRONG_USE)
        if (rebuild or rebuild_days) and (files or feed or data_dir or dry_run or (rebuild and rebuild_days)):
            option = "--rebuild-days" if rebuild_days else "--rebuild"
            other = " or other rebuild" if rebuild and rebuild_days else ""
            raise CommandError(f"{option} takes no files, folder, feed or dry run{other}.", returncode=WRONG_USE)
        if rebuild and rebuild[0] >= rebuild[1]:
            raise CommandError("--rebuild needs a START before its END.", returncode=WRONG_USE)
        chosen = pipeline.Options(
            top_n=settings.TOP_N,
            interval_from=pipeline.IntervalFrom(options["interval_from"]),
            date=options["date"],
            reread=bool(files),
            retry_failed=options["retry_failed"],
            roll_up_open=options["rollup_open_hours"],
            max_reject_ratio=settings.MAX_REJECT_RATIO,
            bounds=Bounds(
                settings.MAX_UNPACKED_MB * 2**20,
                settings.MAX_UNPACKED_RATIO,
                settings.MAX_REJECTS,
                settings.MAX_HOURS_PER_FILE,
            ),
            archive_feeds=settings.ARCHIVE_FEEDS,
            verify=options["verify"],
            duplicates=pipeline.Duplicates(settings.DUPLICATES),
            allowed_lateness=settings.ALLOWED_LATENESS,
            max_clock_ahead=settings.MAX_CLOCK_AHEAD,
            group_batches=settings.GROUP_FILES,
            group_bytes=settings.GROUP_MB * 2**20,
            group_seconds=settings.GROUP_SECONDS,
        )
        self.verbosity = verbosity
        only = FEEDS[feed] if feed else None
        if watch:
            self._watch(folder, queue_url, only, chosen, engine)
            return
        report, unfinished = pipeline.Report(), pipeline.UnfinishedFiles()
        try:
            with stoppable(), translate_errors():
                if rebuild or rebuild_days:
                    found: list[FoundFile] = []
                elif files:
                    found = named(files, settings.FEED_FILES, only)
                else:
                    found = new_in(folder, only, unfinished=unfinished.add, every=options["verify"])
                if dry_run:
                    self._print_plan(pipeline.plan(found, DatabaseLedger(), chosen), unfinished)
                    return
                self._work(found, rebuild, chosen, report, engine, unfinished=unfinished, days=rebuild_days)
        except AlreadyRunning:
            self._say("Another run is under way on this database; nothing was done.")
            return
        except SourceLost as error:
            raise CommandError(f"{error} {GOES_ON}") from error
        except SourceError as error:
            raise CommandError(str(error), returncode=WRONG_USE) from error
        except Stopped as stopped:
            raise CommandError(f"{stopped} {GOES_ON}", returncode=128 + stopped.signal) from stopped
        except (EngineError, LakeError, ScratchError, StoreError) as error:
            raise CommandError(f"{one_line(error)} {GOES_ON}") from error
        self._say(closing_line(report, time.monotonic() - started))
        if report.failed:
            sys.exit(1)

    def _watch(
        self, folder: Address, queue_url: str | None, feed: Feed | None, chosen: pipeline.Options, engine: str
    ) -> None:
        reported = pipeline.UnfinishedFiles()
        with stopping() as is_stopped:

            def run(names: Collection[str] | None, is_due: bool) -> None:
                nonlocal reported
                close_old_connections()
                unfinished = pipeline.UnfinishedFiles()
                with translate_errors():
                    found = new_in(folder, feed, names, unfinished.add)
                    if names is None:
                        # Each is named once for as long as it exists; a file that has just arrived may still be in
                        # transfer.
                        for event in unfinished.events(reported):
                            self._say(event_line(event))
                            log_event(event)
                        reported = unfinished
                    if is_due or is_news(found, names, chosen):
                        started, report = time.monotonic(), pipeline.Report()
                        self._work(found, None, chosen, report, engine, is_stopped)
                        if report.files or report.failed or report.duplicates or report.rollups:
                            self._say(closing_line(report, time.monotonic() - started))

            every = settings.WATCH_LISTING_SECONDS, settings.WATCH_POLL_SECONDS
            try:
                Watch(arrivals_in(folder, queue_url or ""), run, is_stopped, self._report_watch, *every).work()
            except SourceLost as error:
                raise CommandError(f"{error} {GOES_ON}") from error
            except SourceError as error:
                raise CommandError(str(error), returncode=WRONG_USE) from error
            self._report_watch(logging.INFO, "watch ended", "a signal came")

    def _report_watch(self, level: int, event: str, detail: str) -> None:
        log_watch(level, event, detail)
        if level == logging.INFO:
            self._say(f"{event}: {detail}")
        elif not settings.LOG_FORMAT:
            self.stderr.write(f"{event}: {detail}")

    def _work(
        self,
        found: Iterable[FoundFile],
        rebuild: tuple[datetime, datetime] | None,
        chosen: pipeline.Options,
        report: pipeline.Report,
        engine_name: str,
        is_stopped: Callable[[], bool] = lambda: False,
        unfinished: pipeline.UnfinishedFiles | None = None,
        days: bool = False,
    ) -> None:
        command = " ".join(sys.argv[1:])
        with (
            logged_run(command, report) as run,
            chosen_engine(engine_name).open() as engine,
        ):
            ledger = DatabaseLedger(run)
            if rebuild:
                start, end = rebuild
                self._say(f"rebuilding {moments.span(start, end)} ({moments.zone_name()})")
                files, events = 0, pipeline.rebuild(start, end, ledger, engine, chosen)
            elif days:
                self._say(f"rebuilding days, weeks and months ({moments.zone_name()})")
                files, events = 0, pipeline.rebuild_days(ledger, engine, chosen)
            else:
                planned = pipeline.plan(found, ledger, chosen)
                until_stopped = takewhile(lambda _: not is_stopped(), planned)
                files, events = len(planned), pipeline.run(until_stopped, ledger, engine, chosen)
            skipped: Iterable[pipeline.Event] = unfinished.events() if unfinished else []
            for event in self._shown(chain(skipped, events), files):
                report.add(event)
                log_event(event)

    def _shown(self, events: Iterable[pipeline.Event], files: int) -> Iterator[pipeline.Event]:
        """Yield the events, and show each: on a progress bar on a terminal, else as a line.

        With LOG_FORMAT standard error is for log lines alone; failures are among them.
        """
        if self.verbosity and files and self.stderr.isatty() and not settings.LOG_FORMAT:
            from tqdm import tqdm

            # Not by Django's wrapper, which ends every text with a line feed.
            terminal = BestEffort(sys.stderr)
            with tqdm(total=files, unit="file", file=terminal) as bar:
                for event in events:
                    if isinstance(event, pipeline.Failed):
                        bar.write(event_line(event), file=terminal)
                    bar.update(isinstance(event, FILE_EVENTS))
                    yield event
            return
        for event in events:
            if not isinstance(event, pipeline.Failed):
                self._say(event_line(event))
            elif not settings.LOG_FORMAT:
                self.stderr.write(event_line(event))
            yield event

    def _print_plan(self, planned: list[pipeline.Planned], unfinished: pipeline.UnfinishedFiles) -> None:
        for event in unfinished.events():
            self._say(event_line(event))
        for file, _, why in planned:
            self._say(f"would ingest {file.name} ({file.feed.name}, {why}, {file.size:,} bytes)")
        self._say(f"would ingest {len(planned):,} files; nothing was changed")

    def _say(self, text: str) -> None:
        if self.verbosity:
            self.stdout.write(text)


def new_in(
    folder: Address,
    feed: Feed | None,
    names: Collection[str] | None = None,
    unfinished: Unfinished = lambda feed, name: None,
    every: bool = False,
) -> list[FoundFile]:
    """Return the files of a place that are new or changed; ``names`` limits them to files of these names.

    ``unfinished`` is called with the feed and the name of each file that is skipped as unfinished. ``every`` returns
    the files that the ledger has as well.
    """
    known = {} if every else {"known": pipeline.known_to(DatabaseLedger())}
    return found_in(folder, settings.FEED_FILES, feed, names=names, unfinished=unfinished, **known)


def is_news(found: list[FoundFile], names: Collection[str] | None, chosen: pipeline.Options) -> bool:
    """Return True if there is something to ingest. Failed files count if they were reported or a listing is due."""
    planned = pipeline.plan(found, DatabaseLedger(), chosen) if found else ()
    return any(names is not None or why is not pipeline.IngestReason.RETRIED for _, _, why in planned)


def _place(text: str) -> Address:
    try:
        return address(text) if text.startswith(SCHEME) else Path(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{error}") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2017-03-01") from None
