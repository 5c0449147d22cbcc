"""``manage.py register_lake``: register the lake's tables and hours in a catalog that other engines read."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis.lake import LakeError
from kpis.management.output import WRONG_USE, WorkCommand
from kpis.storage import BucketAddress
from kpis.store.binding import check, lake_storage


class Command(WorkCommand):
    help = (
        "Creates and updates the lake's tables (each feed's records and rejects, each KPI's partials) in a catalog, "
        "with one partition an hour, and removes the partitions of hours that were pruned. Changes nothing that is up "
        "to date."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--catalog", required=True, choices=["glue"], help="the catalog: AWS Glue's")
        parser.add_argument(
            "--database",
            required=True,
            type=_name,
            metavar="NAME",
            help="the catalog's database; created if it is missing",
        )

    def handle(self, *, database: str, verbosity: int, **options: Any) -> None:
        lake = settings.LAKE_DIR
        if not isinstance(lake, BucketAddress):
            raise CommandError("LAKE_DIR must be s3://bucket/prefix to be registered.", returncode=WRONG_USE)
        try:
            # If its client is not installed, the storage raises the error.
            storage = lake_storage()
            check(storage)
            from kpis.lake import glue

            try:
                done = glue.register(lake, storage, database)
            except glue.CatalogError as error:
                raise CommandError(str(error)) from error
        except LakeError as error:
            raise CommandError(str(error)) from error
        if verbosity:
            self.stdout.write(
                f"tables: {done.tables_created:,} created, {done.tables_updated:,} updated, "
                f"{done.tables_unchanged:,} unchanged; partitions: {done.partitions_added:,} added, "
                f"{done.partitions_updated:,} updated, {done.partitions_removed:,} removed, "
                f"{done.partitions_unchanged:,} unchanged{'' if done.changes else '; nothing was changed'}"
            )


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,128}", text):
        raise ArgumentTypeError(f"{text!r} is not a name of lower-case letters, digits and underscores")
    return text
