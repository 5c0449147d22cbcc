"""``manage.py prune_lake``: remove old hours from the lake, as ``prune --kind lake`` does; results stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis import pipeline
from kpis.catalog.intervals import to_text
from kpis.lake import LakeError
from kpis.management.ages import age
from kpis.management.output import WorkCommand
from kpis.store.binding import lake_options
from kpis.store.errors import AlreadyRunning
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import PATIENCE_SECONDS
from kpis.store.retention import Turns, prune_lake


class Command(WorkCommand):
    help = (
        "Removes partials, rejects and records of hours that ended before an age from the lake. Results stay but can "
        "no longer be recomputed: later files for those hours fail."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than", required=True, type=age, metavar="AGE", help="an age in days or hours: 90d, 36h"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")

    def handle(self, *, older_than: timedelta, dry_run: bool, verbosity: int, **options: Any) -> None:
        # The earlier of the two clocks: one that is ahead must not remove anything too soon.
        moment = DatabaseLedger().clocks().earliest - older_than
        try:
            with pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options()) as engine:
                for pruned in prune_lake(engine, moment, dry_run, Turns("lake", PATIENCE_SECONDS)):
                    if verbosity:
                        done = "would remove" if dry_run else "removed"
                        self.stdout.write(
                            f"{done} {pruned.count:,} files of {pruned.what} before {to_text(pruned.before)}, "
                            f"{pruned.size:,} bytes"
                        )
        except AlreadyRunning:
            raise CommandError("A run is under way on this database; the next call removes the rest.") from None
        except LakeError as error:
            raise CommandError(str(error)) from error
