"""The findings of a repair of the lake: lost parts of batches, and what was done about them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from django.db.models import Min

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR, to_text
from kpis.catalog.registry import FEEDS, KPIS
from kpis.catalog.sql import quoted
from kpis.lake import LakeFile
from kpis.lake.layout import partials_folder, records_file, rejects_file
from kpis.models import Batch, BatchInterval, LostFile
from kpis.sources.directory import FoundFile

# A KPI's partials of one hour (start, UTC), by the KPI's id.
Part = tuple[int, datetime]


@dataclass
class Lost:
    """The parts of a batch that the lake lacks: partials, and files of its rejects and records."""

    batch: Batch
    parts: set[Part] = field(default_factory=set)
    rejects: list[LakeFile] = field(default_factory=list)
    records: list[LakeFile] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.parts or self.rejects or self.records)

    @property
    def feed(self) -> Feed:
        return FEEDS[self.batch.feed]

    def without(self, other: Lost) -> Lost:
        """Return the parts that are still lost after those of ``other`` were rebuilt."""
        return Lost(
            self.batch,
            self.parts - other.parts,
            [file for file in self.rejects if file not in other.rejects],
            [file for file in self.records if file not in other.records],
        )


@dataclass(frozen=True)
class Finding:
    """A problem of the lake, and what was done about it."""

    what: str
    outcome: str = ""
    is_lost: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.outcome}" if self.outcome else self.what


# Returns the files of the data folder that have these names.
Sources = Callable[[Feed, Collection[str]], list[FoundFile]]


def folder_of(part: Part) -> PurePosixPath:
    """Return the lake's folder of a part."""
    kpi, hour = part
    return partials_folder(KPIS[kpi], hour)


def within(hour: datetime) -> dict[str, datetime]:
    """Return the filter for interval starts within an hour (start, UTC)."""
    return {"interval_start_timestamp__gte": hour, "interval_start_timestamp__lt": hour + ONE_HOUR.delta}


def describe(lost: Lost) -> str:
    """Describe a batch's lost parts."""
    kinds = []
    if lost.parts:
        hours = sorted({hour for _, hour in lost.parts})
        names = ", ".join(KPIS[kpi].name for kpi in sorted({kpi for kpi, _ in lost.parts}))
        span = to_text(hours[0]) if len(hours) == 1 else f"{to_text(hours[0])} to {to_text(hours[-1])}"
        kinds.append(f"partials of {names} of {span}")
    kinds += ["rejects"] * bool(lost.rejects) + ["records"] * bool(lost.records)
    return f"{lost.batch.title}, {' and '.join(kinds)}"


def file_of(gone: LostFile) -> LakeFile:
    """Return a lost file of rejects or records, as the ledger had it."""
    batch, hour = gone.batch, gone.interval_start_timestamp
    if gone.folder.startswith("rejects/"):
        return rejects_file(FEEDS[batch.feed], hour, [batch.key])
    return records_file(FEEDS[batch.feed], hour, batch.key)


def rejects_in(file: LakeFile) -> list[LakeFile]:
    """Return the files of rejects, one a batch, that stand for one which batches share, by the ledger.

    One for each batch that has rejects and whose first record is in the file's hour, except batches that are recorded
    as lost.
    """
    first = Min("intervals__interval_start_timestamp")
    there = BatchInterval.objects.filter(batch__feed=file.feed, **within(file.hour)).values("batch")
    lost = LostFile.objects.filter(folder=file.path.parent).values("batch")
    batches = Batch.objects.filter(pk__in=there, status=Batch.Status.IN, rejects__gt=0).exclude(pk__in=lost)
    keys = batches.annotate(first=first).filter(first__gte=file.hour).order_by("pk").values_list("key", flat=True)
    return [rejects_file(FEEDS[file.feed], file.hour, [key]) for key in keys]


def lost_file(batch: Batch, folder: PurePosixPath, kpi: int, hour: datetime, reason: str, now: datetime) -> None:
    LostFile.objects.update_or_create(
        batch=batch,
        folder=folder,
        defaults={"kpi": kpi, "interval_start_timestamp": hour, "reason": reason, "noted_at": now},
    )


def of_hour(hour: datetime, column: str = "interval_start") -> str:
    """Return an SQL condition for the rows of an hour (start, UTC), by a column with the start of their interval."""
    return f"date_trunc('hour', {quoted(column)}) = TIMESTAMP '{hour:%Y-%m-%d %H:%M:%S}'"
