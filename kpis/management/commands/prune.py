"""``manage.py prune``: remove data that is older than an age, beside runs and consumers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis import pipeline
from kpis.catalog.intervals import BY_SHORT_NAME, to_text
from kpis.engine.scratch import ScratchError
from kpis.lake import LakeError
from kpis.management.ages import age
from kpis.management.output import WRONG_USE, WorkCommand
from kpis.sources.directory import SourceError
from kpis.sources.places import found_in
from kpis.store import retention
from kpis.store.binding import lake_options
from kpis.store.errors import AlreadyRunning, StoreError, translate_errors
from kpis.store.ledger import DatabaseLedger
from kpis.store.retention import Kind, Pruned

# Results are removed only if they are named explicitly.
DEFAULT = [Kind.LAKE, Kind.BATCHES, Kind.REJECTS, Kind.RUNS, Kind.LIVE]


class Command(WorkCommand):
    help = (
        "Removes what is older than an age: files of the lake, batches of the ledger, rejects, runs and live counts; "
        "results only with --kind results or --interval. Works in short steps beside runs and consumers. May be "
        "killed at any time: the next call continues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", required=True, type=age, metavar="AGE", help="an age in days or hours: 90d, 36h"
        )
        parser.add_argument(
            "--kind",
            action="append",
            choices=[str(kind) for kind in Kind],
            dest="kinds",
            help="what to remove; may be given again (default: all but results)",
        )
        parser.add_argument(
            "--interval",
            action="append",
            choices=list(BY_SHORT_NAME),
            dest="intervals",
            help="results of this interval length; may be given again (default: all lengths)",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
        parser.add_argument(
            "--wait",
            type=int,
            default=600,
            metavar="SECONDS",
            help="how long to wait for a run that is at work (default: 600)",
        )

    def handle(
        self,
        *,
        older_than: timedelta,
        kinds: list[str] | None,
        intervals: list[str] | None,
        dry_run: bool,
        wait: int,
        verbosity: int,
        **options: Any,
    ) -> None:
        if intervals and kinds and Kind.RESULTS not in kinds:
            raise CommandError("--interval is for --kind results.", returncode=WRONG_USE)
        chosen = set(kinds or ([Kind.RESULTS] if intervals else DEFAULT))
        lengths = [BY_SHORT_NAME[name] for name in intervals or BY_SHORT_NAME]
        # The earlier of the two clocks: one that is ahead must not remove anything too soon.
        with translate_errors():
            now = DatabaseLedger().clocks().earliest
        before = now - older_than
        turns = retention.Turns(" ".join(sys.argv[2:]), wait)
        # The lake first: batches are removed only where it was pruned.
        steps: dict[Kind, Callable[[], Iterator[Pruned]]] = {
            Kind.LAKE: lambda: _prune_lake(before, dry_run, turns),
            Kind.BATCHES: lambda: retention.prune_batches(before, _names_in_place, dry_run, turns),
            Kind.REJECTS: lambda: retention.prune_rejects(before, dry_run, turns),
            Kind.RUNS: lambda: retention.prune_runs(before, dry_run, turns),
            Kind.LIVE: lambda: retention.prune_live(before, now, dry_run, turns),
            Kind.RESULTS: lambda: retention.prune_results(lengths, before, dry_run, turns),
        }
        try:
            with translate_errors():
                for kind, prune in steps.items():
                    if kind in chosen:
                        self._print(prune(), dry_run, verbosity)
        except AlreadyRunning:
            reason = f"A run has been under way for {wait} s; the next call removes the rest."
            raise CommandError(reason) from None
        except (LakeError, ScratchError, SourceError, StoreError) as error:
            raise CommandError(f"{error} What was removed stays removed; the next call continues.") from error

    def _print(self, pruned: Iterable[Pruned], dry_run: bool, verbosity: int) -> None:
        """Print a line for each kind of thing that was removed; with -v 2 also one for each step."""
        done = "would remove" if dry_run else "removed"
        for what, steps in groupby(pruned, key=lambda one: one.what):
            count = 0
            for one in steps:
                count += one.count
                if verbosity > 1:
                    self.stdout.write(f"{what}: {count:,} {one.unit} up to {to_text(one.before)}")
            if verbosity:
                # The last step's time is how far the pruning got.
                size = "" if one.size is None else f", {one.size:,} bytes"
                note = f" ({one.note})" if one.note else ""
                self.stdout.write(f"{done} {count:,} {one.unit} of {what} before {to_text(one.before)}{size}{note}")


def _prune_lake(before: datetime, dry_run: bool, turns: retention.Turns) -> Iterator[Pruned]:
    with pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options()) as engine:
        yield from retention.prune_lake(engine, before, dry_run, turns)


def _names_in_place() -> set[tuple[str, str]]:
    """Return the feed and name of each file in the data folder."""
    return {(file.feed.name, file.name) for file in found_in(settings.DATA_DIR, settings.FEED_FILES)}
