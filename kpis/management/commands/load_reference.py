"""``manage.py load_reference``: load the versions of a reference from a CSV or GeoJSON file."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis.catalog.columns import BadValue
from kpis.catalog.columns.timestamps import ISOTimestamp
from kpis.catalog.intervals import EPOCH, to_text
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import REFERENCES
from kpis.management.lines import one_line
from kpis.management.output import BestEffort, WorkCommand
from kpis.reference.files import ReferenceFileError
from kpis.store.errors import AlreadyRunning, StoreError, translate_errors
from kpis.store.locks import PATIENCE_SECONDS, ledger_lock
from kpis.store.references import Progress, load_reference


class Command(WorkCommand):
    help = (
        "Loads a reference of the catalog (CATALOG) from a CSV file with a header, or from GeoJSON. If the file has "
        "valid_from or valid_to, the reference's versions become its rows; else its rows hold from now on, or from "
        "--as-of; the first time, from the beginning. Prints how many versions it added, changed, ended and removed. "
        "If a row is wrong it is named, and nothing is loaded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the reference")
        parser.add_argument("file", type=Path, metavar="FILE", help="the CSV or .geojson file")
        parser.add_argument(
            "--as-of",
            type=_moment,
            metavar="TIME",
            help="when the rows of a file without valid_from and valid_to begin to hold, such as 2026-03-01 or "
            "2026-03-01T12:00:00Z",
        )
        parser.add_argument(
            "--partial", action="store_true", help="leave keys that the file lacks as they are: else they end"
        )

    def handle(
        self, *, name: str, file: Path, as_of: datetime | None, partial: bool, verbosity: int, **options: Any
    ) -> None:
        reference = _reference(name)
        try:
            with (
                translate_errors(),
                self._progress(verbosity) as progress,
                ledger_lock(PATIENCE_SECONDS, applied_only=False),
            ):
                loaded = load_reference(
                    reference,
                    file,
                    as_of=as_of,
                    is_partial=partial,
                    memory_mb=settings.MEMORY_LIMIT_MB,
                    progress=progress,
                )
        except AlreadyRunning:
            raise CommandError("Another process is at work on this database; nothing was loaded.") from None
        except ReferenceFileError as error:
            raise CommandError("\n".join([*error.rows, f"{error}"])) from error
        except StoreError as error:
            raise CommandError(one_line(error)) from error
        if verbosity:
            if loaded.ignored:
                self.stdout.write(f"columns left out, which the reference does not have: {', '.join(loaded.ignored)}")
            since = "the beginning" if loaded.moment == EPOCH else loaded.moment and to_text(loaded.moment)
            self.stdout.write(f"{loaded.counts}{f'; holds from {since} on' if since else ''}")
            if loaded.due:
                unit = "interval" if loaded.due == 1 else "intervals"
                self.stdout.write(f"the next update_network_stats computes {loaded.due:,} {unit} again")

    @contextmanager
    def _progress(self, verbosity: int) -> Iterator[Progress]:
        """Give what is told of rows, and shows them as a bar on a terminal."""
        if not verbosity or not self.stderr.isatty() or settings.LOG_FORMAT:
            yield lambda rows: None
            return
        from tqdm import tqdm

        with tqdm(unit="row", unit_scale=True, file=BestEffort(sys.stderr)) as bar:
            yield bar.update


def _moment(text: str) -> datetime:
    """Return the time (UTC) that an argument names, at least EPOCH; raises ArgumentTypeError."""
    try:
        found = ISOTimestamp(days=True).parse(text)
    except BadValue as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
    return max(EPOCH, found.replace(tzinfo=UTC))


def _reference(name: str) -> ReferenceTable:
    if name in REFERENCES:
        return REFERENCES[name]
    if not REFERENCES:
        raise CommandError("The catalog (CATALOG) has no references.")
    near = get_close_matches(name, REFERENCES, 1)
    told = f"did you mean {near[0]}?" if near else f"it has {', '.join(REFERENCES)}."
    raise CommandError(f"The catalog (CATALOG) has no reference {name!r}: {told}")
