"""``manage.py load_subscribers``: add and change subscribers from a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.management.output import WorkCommand
from kpis.reference.subscribers import SubscriberError, load_subscribers


class Command(WorkCommand):
    help = (
        "Adds or changes the subscribers of a CSV file (id,name,email,quota; quota in bytes an hour). If a row is "
        "wrong it is named, and nothing is loaded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the CSV file")

    def handle(self, *, file: Path, verbosity: int, **options: Any) -> None:
        try:
            loaded = load_subscribers(file)
        except SubscriberError as error:
            raise CommandError(str(error)) from error
        if verbosity:
            self.stdout.write(f"{loaded.added:,} added, {loaded.changed:,} changed, {loaded.unchanged:,} unchanged")
