"""Shapes: folders of IP flows, the same bytes for the same seed; they are made once and kept."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kpis.sample.chance import below, bits, log_normal, lookup, words_of

SEED = 1
# 2021-07-18T19:00Z, in ms; an hour starts here, and a day.
START = 1_626_634_800_000
FIVE_MINUTES = 300_000
COLUMNS = (
    "interval_start_timestamp",
    "interval_end_timestamp",
    "msisdn",
    "bytes_uplink",
    "bytes_downlink",
    "service_id",
    "cell_id",
)

# msisdn: coprime to the number of numbers, so that each user gets one of their own, in no visible order.
MSISDN_BASE, MSISDN_STEP, MSISDN_COUNT = 31_600_000_000, 61_803_399, 100_000_000
CELL_BASE = 20_000
# Zipf's law: the n-th service has 1 / (n + 2) of the rows, scaled; cells are popular as 1 / (n + 10).
SERVICES = lookup(10**9 // (rank + 2) for rank in range(200))
SIZES_IN_1000 = log_normal(1.5)
TYPICAL_BYTES = 300


@dataclass(frozen=True)
class Shape:
    """Files of IP flows, one for each five minutes.

    ``users`` and ``cells`` are their numbers. A user has a home cell, and an eighth of the rows in one of the cells
    beside it; some users have many more rows than others, or with ``evenly`` all have equally many, so that every user
    occurs. ``bad`` is the share of the rows that are not records, in 1,000.
    """

    name: str
    files: int = 12
    rows: int = 1_000_000
    users: int = 200_000
    cells: int = 3_300
    evenly: bool = False
    bad: int = 0

    def made(self, cache: Path) -> list[Path]:
        """Return the files, in order; make them unless they are in the cache.

        If rows are bad, ``rejects.csv`` beside the files has them: file name, line number, nothing, text.
        """
        folder = cache / f"{self.name}-{self.files}x{self.rows}-{SEED}"
        if not folder.exists():
            aside = folder.with_name(f"{folder.name}.tmp")
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            for number, flows in enumerate(self._flows()):
                path = aside / file_name(START + number * FIVE_MINUTES)
                pl.DataFrame(dict(zip(COLUMNS, flows, strict=True))).write_csv(path)
                if self.bad:
                    with (aside / "rejects.csv").open("a", newline="") as file:
                        csv.writer(file).writerows(_spoil(path, self.bad, number))
            aside.rename(folder)
        return sorted(folder.glob("ipflow_data.*"))

    def _flows(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield each file's columns."""
        words = words_of(SEED, 0)
        popular = lookup(10**9 // (rank + 10) for rank in range(self.cells))
        word = words.random_raw(self.users)
        anywhere = below(self.cells, bits(word, 16, 31), 31)
        homes = np.where(bits(word, 47, 1) == 1, popular[bits(word, 0, 16)], anywhere)
        everyone = np.argsort(words.random_raw(self.files * self.rows)) if self.evenly else None
        for number in range(self.files):
            words = words_of(SEED, 1 + number)
            first, second = words.random_raw(self.rows), words.random_raw(self.rows)
            if everyone is None:
                draw = bits(first, 0, 31)
                # The square of an even draw: a tenth of the users have about a third of the rows.
                user = below(self.users, draw * draw >> 31, 31)
            else:
                user = everyone[number * self.rows : (number + 1) * self.rows] % self.users
            beside = np.where(bits(second, 0, 3) == 0, 1 + bits(second, 3, 2), 0)
            size = TYPICAL_BYTES * SIZES_IN_1000[bits(second, 16, 16)]
            uplink = size * bits(second, 32, 10) >> 12
            start = np.full(self.rows, START + number * FIVE_MINUTES)
            yield (
                start,
                start + FIVE_MINUTES,
                MSISDN_BASE + user * MSISDN_STEP % MSISDN_COUNT,
                uplink,
                size - uplink,
                1 + SERVICES[bits(first, 32, 16)],
                CELL_BASE + (homes[user] + beside) % self.cells,
            )


def file_name(start: int) -> str:
    """Return the name of the file of the interval that starts at a moment (Unix ms)."""
    return f"ipflow_data.ts-{start + FIVE_MINUTES}.1.csv"


def _spoil(path: Path, share: int, number: int) -> Iterator[tuple[str, int, str, str]]:
    """Make rows of a file bad, so many of each 1,000, each kind equally often; return the bad ones."""
    lines = path.read_text().splitlines()
    step = 1000 // share
    first = np.arange(1, len(lines) - step + 1, step)
    chosen = first + below(step, bits(words_of(SEED, number, 1).random_raw(len(first)), 0, 31), 31)
    for count, index in enumerate(chosen.tolist()):
        lines[index] = KINDS[count % len(KINDS)](lines[index].split(","))
        yield path.name, index + 1, "", lines[index]
    path.write_text("\n".join([*lines, ""]))


def _with(**changes: str) -> Callable[[list[str]], str]:
    return lambda fields: ",".join(changes.get(name, field) for name, field in zip(COLUMNS, fields, strict=True))


def _moved(start: int, end: int) -> Callable[[list[str]], str]:
    return lambda fields: ",".join([str(int(fields[0]) + start), str(int(fields[1]) + end), *fields[2:]])


# Each is bad for any reader. Values that some readers parse as another number, such as 1.5, are left out.
KINDS = (
    _with(service_id="web"),
    _with(bytes_uplink="-1"),
    _with(msisdn="0"),
    _with(cell_id=""),
    _with(bytes_downlink=str(2**63)),
    _with(service_id=str(2**31)),
    _moved(1_000, 1_000),
    _moved(0, FIVE_MINUTES),
    lambda fields: ",".join(fields[:-1]),
    lambda fields: ",".join([*fields, "7"]),
)
