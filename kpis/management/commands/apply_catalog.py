"""``manage.py apply_catalog``: make the database and the lake fit the catalog files, and compute what is new."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from kpis import pipeline
from kpis.declared.apply import Application, NeedsDrop, plan_changes
from kpis.declared.archives import Lacking, aggregate_archives, lacking_batches
from kpis.engine.scratch import ScratchError
from kpis.lake import LakeError
from kpis.management.catalog import add_place_argument, names_in
from kpis.management.lines import one_line
from kpis.management.output import BestEffort, WorkCommand
from kpis.management.stopping import Stopped, stoppable
from kpis.models import Batch
from kpis.sources.directory import SourceError
from kpis.storage import Address
from kpis.store.binding import lake_options
from kpis.store.errors import AlreadyRunning, StoreError, translate_errors
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import PATIENCE_SECONDS, ledger_lock

GOES_ON = "Run apply_catalog again to continue."


class Command(WorkCommand):
    help = (
        "Makes the database and the lake fit the catalog files (CATALOG): writes the migrations of the KPIs' tables "
        "beside the first file and applies them, removes what was computed by former definitions, and computes it "
        "again from the data folder's files, or from archived records where a file is gone. A feed or KPI that the "
        "catalog has no more keeps its rows until --drop. Ends with 0, also if another process is at work, with 1 if "
        "something failed or needs --drop. If it is killed, run it again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_place_argument(parser)
        parser.add_argument(
            "--drop",
            action="store_true",
            help="drop the tables, rows and lake files of removed feeds and KPIs, and results that cannot be computed "
            "again by a changed definition",
        )
        parser.add_argument(
            "--no-backfill",
            action="store_true",
            help="do not read the data folder's files: the next update_network_stats does",
        )

    def handle(
        self, *, data_dir: Address | None, drop: bool, no_backfill: bool, verbosity: int, **options: Any
    ) -> None:
        try:
            with stoppable(), translate_errors(), ledger_lock(PATIENCE_SECONDS, applied_only=False):
                self._apply(data_dir, drop, verbosity)
        except AlreadyRunning:
            if verbosity:
                self.stdout.write("Another process is at work on this database; nothing was done.")
            return
        except Stopped as stopped:
            raise CommandError(f"{stopped} {GOES_ON}", returncode=128 + stopped.signal) from stopped
        except NeedsDrop as error:
            raise CommandError(one_line(error)) from error
        except (LakeError, ScratchError, SourceError, StoreError) as error:
            raise CommandError(f"{one_line(error)} {GOES_ON}") from error
        if not no_backfill:
            places = {} if data_dir is None else {"data_dir": data_dir}
            call_command("update_network_stats", verbosity=verbosity, stdout=self.stdout, stderr=self.stderr, **places)

    def _aggregate(self, lacking: Lacking, verbosity: int) -> None:
        """Aggregate archived records, with a progress bar on a terminal."""
        with pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options()) as engine:
            done: Iterable[Batch] = aggregate_archives(lacking, DatabaseLedger(), engine)
            if verbosity and self.stderr.isatty() and not settings.LOG_FORMAT:
                from tqdm import tqdm

                done = tqdm(done, total=len(lacking), unit="batch", file=BestEffort(sys.stderr))
            count = sum(1 for _ in done)
        if verbosity:
            batches = "batch" if count == 1 else "batches"
            self.stdout.write(f"aggregated the archived records of {count:,} {batches} that cannot be read again")

    def _apply(self, data_dir: Address | None, drop: bool, verbosity: int) -> None:
        names = names_in(data_dir)
        plan = plan_changes(names, drop)
        application = Application(plan)
        application.check(drop)
        if verbosity:
            for line in plan.lines():
                self.stdout.write(line)
        for line in application.run(names):
            if verbosity:
                self.stdout.write(line)
        if lacking := lacking_batches(names):
            self._aggregate(lacking, verbosity)
        if verbosity:
            self.stdout.write("The catalog was applied before." if plan.is_empty else "The catalog is applied.")
