"""``manage.py describe_feed``: a catalog entry for files like a sample."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.catalog.feeds import LONGEST_FEED_NAME
from kpis.catalog.file.entry import NAME
from kpis.catalog.registry import FEEDS, KPIS
from kpis.describe.entry import describe, line_to_edit, name_of
from kpis.formats.bounds import FileError
from kpis.management.output import WRONG_USE, AnswerCommand


class Command(AnswerCommand):
    help = (
        "Looks at a sample file and prints an entry for a catalog file that reads such files, with two or three KPIs "
        "to begin with, and how many of the sample's rows would be records. Redirect it to a file, read it through, "
        "and name that file in CATALOG."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            type=Path,
            help="a CSV or JSON lines file, which may be compressed, or a Parquet file",
        )
        parser.add_argument("--name", default="", help="the feed's name (default: from the file's)")

    def handle(self, *, file: Path, name: str, **options: Any) -> None:
        if name and not (re.fullmatch(NAME, name) and len(name) <= LONGEST_FEED_NAME):
            raise CommandError(
                f"--name must be up to {LONGEST_FEED_NAME} lower-case letters and digits, with single _ between them.",
                returncode=WRONG_USE,
            )
        try:
            entry = describe(file, name or name_of(file), FEEDS, KPIS.values())
        except FileError as error:
            raise CommandError(f"{file.name} {error}.") from None
        self.stdout.write(entry, ending="")
        line = line_to_edit(entry)
        if line is not None:
            self.stderr.write(
                f"Edit line {line} of this entry, and then the line of the column that it names: no column of "
                f"{file.name} looks like a time, and a feed needs one."
            )
