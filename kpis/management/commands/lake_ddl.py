"""``manage.py lake_ddl``: print the statements that define the lake's tables in another engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis.lake import LakeError
from kpis.lake.ddl import DIALECTS, FILE, statements
from kpis.management.output import WRONG_USE, AnswerCommand
from kpis.store.binding import check, lake_storage


class Command(AnswerCommand):
    help = (
        "Prints the CREATE statements of the lake's tables (each feed's records and rejects, each KPI's partials) for "
        "another engine, partitioned by hour and with units as comments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dialect", required=True, choices=sorted(DIALECTS), help="the engine")
        parser.add_argument(
            "--location", help="the lake's address for the engine, such as s3://bucket/lake (default: LAKE_DIR)"
        )

    def handle(self, *, dialect: str, location: str | None, **options: Any) -> None:
        chosen = DIALECTS[dialect]
        if chosen.remote and "://" not in (location or str(settings.LAKE_DIR)):
            raise CommandError(f"{chosen.name} needs --location, such as s3://bucket/lake.", returncode=WRONG_USE)
        # For these two, some statements for a local lake depend on the files that exist.
        looks_into_lake = location is None and dialect in ("duckdb", "spark") and isinstance(settings.LAKE_DIR, Path)
        if location is None:
            location = str(settings.LAKE_DIR)
            if dialect != "duckdb" and isinstance(settings.LAKE_DIR, Path):
                location = f"{FILE}{location}"
        try:
            if looks_into_lake:
                check(lake_storage())
            self.stdout.write("\n".join(statements(chosen, location)))
        except LakeError as error:
            raise CommandError(str(error)) from error
