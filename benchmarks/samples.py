"""Folders of each feed's sample files, the same bytes for the same seed; they are made once and kept."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kpis.catalog.formats import CSV
from kpis.sample import SAMPLES, make_files, write_file
from kpis.sample.chance import below, bits, words_of
from kpis.sample.day import SPAN

SEED = 1
# The busiest hour of the samples' networks, in which each interval has as many rows as the next.
BUSIEST = {
    "ipflow": datetime(2021, 7, 18, 19, tzinfo=UTC),
    "antenna": datetime(2021, 7, 18, 4, tzinfo=UTC),
    "coverage": datetime(2021, 7, 18, 4, tzinfo=UTC),
    "cdr": datetime(2021, 7, 18, 4, tzinfo=UTC),
}


@dataclass(frozen=True)
class Sampled:
    """Sample files of a feed: of each interval's rows, ``files`` files have equal parts."""

    feed: str
    rows: int
    intervals: int = 12
    files: int = 1

    def made(self, cache: Path) -> list[Path]:
        """Return the files, in order; make them unless they are in the cache."""
        folder = cache / f"{self.feed}-{self.intervals}x{self.rows}-{self.files}-{SEED}"
        if not folder.exists():
            sample, aside = SAMPLES[self.feed], folder.with_name(f"{folder.name}.tmp")
            shutil.rmtree(aside, ignore_errors=True)
            for _ in make_files(sample, aside, BUSIEST[self.feed], self.intervals, self.rows, SEED, self.files):
                pass
            if sample.subscribers:
                write_file(subscribers_of(folder), CSV(), sample.subscribers(self.rows, SEED))
            aside.rename(folder)
        return sorted(folder.iterdir())


@dataclass(frozen=True)
class Scattered:
    """One file of IP flows, each row in one of so many intervals, in no order."""

    rows: int
    intervals: int

    def made(self, cache: Path) -> list[Path]:
        """Return the file; make it unless it is in the cache."""
        folder, sample = cache / f"scattered-{self.intervals}x{self.rows}-{SEED}", SAMPLES["ipflow"]
        if not folder.exists():
            ((interval, columns),) = sample.intervals(BUSIEST["ipflow"], 1, self.rows, SEED)
            draws = bits(words_of(SEED, self.intervals).random_raw(self.rows), 0, 31)
            later = below(self.intervals, draws, 31) * SPAN.milliseconds
            for name in ("interval_start_timestamp", "interval_end_timestamp"):
                columns[name] = columns[name] + later
            folder.mkdir(parents=True)
            write_file(folder / sample.file_name(interval, 1, 1), CSV(), columns)
        return sorted(folder.iterdir())


def subscribers_of(folder: Path) -> Path:
    """Return the file with the subscribers whose devices are in the folder's files; it exists for antenna messages."""
    return folder.with_name(f"{folder.name}.subscribers.csv")
