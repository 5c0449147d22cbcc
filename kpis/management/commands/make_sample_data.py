"""``manage.py make_sample_data``: write files of sample data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.catalog.formats import CSV
from kpis.catalog.intervals import EPOCH, LAST_DAY
from kpis.management.output import WorkCommand
from kpis.sample import BAD_OF, MAKERS, write_file


class Command(WorkCommand):
    help = "Writes files of realistic sample data; the same seed gives the same bytes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="DIR", type=Path, help="the folder to write to; created if it is missing")
        parser.add_argument("--feed", required=True, help=f"the feed: {', '.join(MAKERS)}")
        parser.add_argument(
            "--start",
            required=True,
            metavar="ISO",
            help="start of the first interval, UTC: 2021-07-18T00:00:00Z",
        )
        parser.add_argument(
            "--intervals",
            type=int,
            default=12,
            metavar="N",
            help="how many intervals: of 15 minutes for pm, of 5 for the others (default: 12)",
        )
        parser.add_argument(
            "--rows",
            type=int,
            default=10_000,
            metavar="N",
            help=(
                "rows of an interval in the busiest hour, which is 20:00 to 21:00 local time: from 19:00Z on for "
                "ipflow, from 04:00Z for the others, whose records are from California; other hours have fewer, "
                "but for pm, whose counters are as many all day (default: 10000)"
            ),
        )
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="0 or more (default: 1)")
        parser.add_argument(
            "--files",
            type=int,
            default=1,
            metavar="N",
            help="files that share an interval's rows (default: 1)",
        )
        parser.add_argument(
            "--bad", type=int, default=0, metavar="N", help=f"how many of {BAD_OF:,} rows are wrong (default: 0)"
        )
        parser.add_argument(
            "--subscribers",
            metavar="FILE",
            type=Path,
            help=(
                "with --feed antenna: also write the devices' subscribers to this CSV file, for load_subscribers; "
                "they depend on --rows and --seed alone"
            ),
        )

    def handle(
        self,
        *,
        folder: Path,
        feed: str,
        start: str,
        intervals: int,
        rows: int,
        seed: int,
        files: int,
        bad: int,
        subscribers: Path | None,
        verbosity: int,
        **options: Any,
    ) -> None:
        for option, value, minimum in (
            ("--intervals", intervals, 1),
            ("--rows", rows, 1),
            ("--files", files, 1),
            ("--seed", seed, 0),
            ("--bad", bad, 0),
        ):
            if value < minimum:
                raise CommandError(f"{option} must be at least {minimum}, not {value}.", returncode=2)
        if feed not in MAKERS:
            raise CommandError(f"--feed must be one of {', '.join(MAKERS)}, not {feed!r}.", returncode=2)
        sample = MAKERS[feed]
        first = _moment(start)
        span = sample.span
        if not span.is_aligned(first):
            raise CommandError(f"--start must be aligned to {span}: {start} is not.", returncode=2)
        if first < EPOCH:
            raise CommandError("--start must not be before 1970.", returncode=2)
        if intervals > (LAST_DAY - first) / span.delta:
            raise CommandError("The intervals would go beyond 9999-12-30.", returncode=2)
        if subscribers and not sample.subscribers:
            raise CommandError(f"--subscribers goes with --feed antenna, not with {feed}.", returncode=2)

        made = size = 0
        target = folder
        try:
            for path in sample.make(folder, first, intervals, rows, seed, files, bad):
                made, size = made + 1, size + path.stat().st_size
                if verbosity > 1:
                    self.stdout.write(str(path))
            if subscribers and sample.subscribers:
                target = subscribers
                columns = sample.subscribers(rows, seed)
                write_file(subscribers, CSV(), columns)
        except OSError as error:
            raise CommandError(f"Cannot write to {target}: {error.strerror}.") from error
        if verbosity:
            self.stdout.write(f"{made:,} files, {size:,} bytes in {folder}")
            if subscribers:
                self.stdout.write(f"{len(columns['id']):,} subscribers in {subscribers}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--start must be like 2021-07-18T00:00:00Z, not {text!r}.", returncode=2) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
