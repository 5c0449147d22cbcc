"""``manage.py check_catalog``: say what ``apply_catalog`` would change."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.declared.apply import plan_changes
from kpis.lake import LakeError
from kpis.management.catalog import add_place_argument, names_in
from kpis.management.lines import one_line
from kpis.management.output import AnswerCommand
from kpis.sources.directory import SourceError
from kpis.storage import Address
from kpis.store.applied import kept_entries
from kpis.store.errors import StoreError, translate_errors


class Command(AnswerCommand):
    help = (
        "Says how the catalog files (CATALOG) differ from what was applied to the database: a line for each feed, KPI "
        "and table that apply_catalog would change, and for each that loses what cannot be computed again. Changes "
        "nothing. Ends with 0 if there is nothing to apply, with 1 if there is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_place_argument(parser)
        parser.add_argument("--drop", action="store_true", help="also say what apply_catalog --drop would drop")

    def handle(self, *, data_dir: Address | None, drop: bool, verbosity: int, **options: Any) -> None:
        try:
            with translate_errors():
                plan = plan_changes(names_in(data_dir), drop)
                plan.tables.check_migrations()
                kept = kept_entries()
        except (LakeError, SourceError, StoreError) as error:
            raise CommandError(one_line(error)) from error
        if verbosity:
            for line in plan.lines():
                self.stdout.write(line)
            if plan.is_empty:
                self.stdout.write("The catalog is applied.")
                for entry in [] if drop else kept:
                    self.stdout.write(f"{entry.title}: was removed; its rows stay until apply_catalog --drop")
        if not plan.is_empty:
            sys.exit(1)
