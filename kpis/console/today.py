"""The runs of the present day, by the zone's calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time

from django.db.models import Count, QuerySet, Sum

from kpis.console import moments
from kpis.models import Batch, Run

RUNS_SHOWN = 8


@dataclass
class Intake:
    """The counts of a feed's batches: ingested, failed and duplicate files, records and rejects."""

    feed: str
    batches: int = 0
    failed: int = 0
    duplicates: int = 0
    records: int = 0
    rejects: int = 0

    @property
    def reject_share(self) -> float | None:
        """The rejects' share of all rows, from 0 to 1."""
        rows = self.records + self.rejects
        return self.rejects / rows if rows else None


@dataclass(frozen=True)
class Today:
    """The start of the day, the number of its runs, the newest of them, the last run ever, and the feeds' counts."""

    since: datetime
    number: int
    runs: list[Run]
    last: Run | None
    intakes: list[Intake]


def today(now: datetime) -> Today:
    """Return the present day in the zone."""
    here = moments.local(now)
    since = datetime.combine(here.date(), time(0), here.tzinfo).astimezone(UTC)
    runs = Run.objects.filter(started_at__gte=since).order_by("-started_at").defer("traceback")
    # Naming the statuses lets the database use the index.
    batches = Batch.objects.filter(status__in=Batch.Status.values, ingested_at__gte=since)
    return Today(
        since=since,
        number=runs.count(),
        runs=list(runs[:RUNS_SHOWN]),
        last=Run.objects.defer("traceback").first(),
        intakes=intakes(batches),
    )


def intakes(batches: QuerySet[Batch]) -> list[Intake]:
    """Return the counts of these batches, by feed."""
    found: dict[str, Intake] = {}
    counts = batches.order_by().values_list("feed", "status").annotate(Count("id"), Sum("records"), Sum("rejects"))
    for feed, status, number, records, rejects in counts:
        intake = found.setdefault(feed, Intake(feed))
        if status == Batch.Status.IN:
            intake.batches, intake.records, intake.rejects = number, int(records), int(rejects)
        elif status == Batch.Status.FAILED:
            intake.failed = number
        else:
            intake.duplicates += number
    return [found[feed] for feed in sorted(found)]
