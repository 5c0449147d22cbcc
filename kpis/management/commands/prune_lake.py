"""``manage.py prune_lake``: removes what the lake has of old hours; results in the database stay."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta

from django.conf import settings
from django.core.management.base import CommandError

from kpis import pipeline
from kpis.catalog.feeds import FEEDS
from kpis.catalog.intervals import to_text
from kpis.catalog.kpis import KPIS
from kpis.lake import LakeError
from kpis.management.output import WorkCommand
from kpis.store import PATIENCE_SECONDS, AlreadyRunning, DatabaseLedger, exclusive


class Command(WorkCommand):
    help = (
        "Removes partials, rejects and records of hours that ended so long ago from the lake. Results stay as they "
        "are, but can no longer be figured again: later files for those hours fail."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--older-than", required=True, type=_age, metavar="AGE", help="an age in days or hours: 90d, 36h"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")

    def handle(self, *, older_than, dry_run, verbosity, **options):
        ledger = DatabaseLedger()
        # By the earlier clock: one that is ahead removes nothing too soon.
        moment = ledger.clocks().earliest - older_than
        try:
            with exclusive(PATIENCE_SECONDS), pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB) as engine:
                for feed in FEEDS.values():
                    before = ledger.prunable_before(feed, moment)
                    if not dry_run:
                        ledger.keep_from(feed, before)
                    kpis = [kpi for kpi in KPIS.values() if kpi.feed == feed and kpi.source is kpi]
                    files, size = engine.lake.prune(feed, kpis, before, dry_run)
                    if verbosity:
                        done = "would remove" if dry_run else "removed"
                        self.stdout.write(
                            f"{done} {files:,} files of {feed.name} before {to_text(before)}, {size:,} bytes"
                        )
        except AlreadyRunning:
            raise CommandError("A run is under way on this database; nothing was removed.") from None
        except LakeError as error:
            raise CommandError(str(error)) from error


def _age(text):
    found = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no age such as 90d or 36h")
    return timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))
