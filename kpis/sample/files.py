"""Sample data as files, in the format of each feed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import Format
from kpis.catalog.intervals import Interval, to_milliseconds
from kpis.sample.chance import below, bits, words_of
from kpis.sample.day import SPAN

# An interval's columns, of equal length: whole numbers, fractions, or texts as an array of objects.
Columns = dict[str, np.ndarray]

ROWS_AT_ONCE = 100_000
BAD_OF = 10_000

# The kinds of wrong rows: cut off, without a number, with a field too many.
_FAULTS: tuple[Callable[[str], str], ...] = (
    lambda line: line[: len(line) // 2] + "\n",
    lambda line: re.sub(r"\d+", "", line, count=1),
    lambda line: line[:-1] + ",0\n",
)


@dataclass(frozen=True)
class Sample:
    """The functions that make a feed's sample files.

    ``intervals(start, count, rows, seed)`` yields one interval after the other with its columns; ``rows`` are those of
    an interval in the day's busiest hour. ``file_name(interval, number, files)`` returns the name of the file with that
    number (1, 2...) of those that share the interval's rows. ``subscribers(rows, seed)``, if any, returns the
    subscribers whose devices are in the files made with these rows and this seed.
    """

    feed: Feed
    file_name: Callable[[Interval, int, int], str]
    intervals: Callable[[datetime, int, int, int], Iterator[tuple[Interval, Columns]]]
    subscribers: Callable[[int, int], Columns] | None = None
    span = SPAN

    @property
    def name(self) -> str:
        """The name of the feed."""
        return self.feed.name

    def make(
        self, folder: Path, start: datetime, intervals: int, rows: int, seed: int, files: int = 1, bad: int = 0
    ) -> Iterator[Path]:
        """Yield the path of each file written; see ``make_files``."""
        return make_files(self, folder, start, intervals, rows, seed, files, bad)


def make_files(
    sample: Sample, folder: Path, start: datetime, intervals: int, rows: int, seed: int, files: int = 1, bad: int = 0
) -> Iterator[Path]:
    """Yield the path of each file written, of the intervals from ``start`` (aware, aligned) on.

    ``files`` is the number of files that share an interval's rows, ``bad`` the number of wrong rows in BAD_OF. A file
    is written aside and then renamed, so that a process that watches the folder never sees half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for interval, columns in sample.intervals(start, intervals, rows, seed):
        parts = {name: np.array_split(values, files) for name, values in columns.items()}
        for number in range(files):
            path = folder / sample.file_name(interval, number + 1, files)
            part = {name: part[number] for name, part in parts.items()}
            lines = lines_of(sample.feed.format, part)
            if bad:
                words = words_of(
                    seed, to_milliseconds(interval.start), number, int.from_bytes(sample.feed.name.encode())
                )
                word = words.random_raw(len(next(iter(part.values()))))
                lines = _with_faults(lines, sample.feed.format, word, bad)
            write_text(path, lines)
            yield path


def write_file(path: Path, file_format: Format, columns: Columns) -> None:
    """Write columns as CSV with a header or as JSON lines, aside and then renamed."""
    write_text(path, lines_of(file_format, columns))


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Write a text of ASCII, in parts, aside and then renamed."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("w", encoding="ascii", newline="") as file:
            file.writelines(lines)
        os.replace(aside, path)
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()


def _with_faults(lines: Iterable[str], file_format: Format, word: np.ndarray, bad: int) -> Iterator[str]:
    """Yield the lines with ``bad`` of BAD_OF rows made wrong, by a random word for each row."""
    lines = iter(lines)
    if not file_format.has_keys:
        yield next(lines)
    is_bad = below(BAD_OF, bits(word, 0, 32), 32) < bad
    fault = below(len(_FAULTS), bits(word, 32, 16), 16)
    for line, spoil, which in zip(lines, is_bad.tolist(), fault.tolist(), strict=True):
        yield _FAULTS[which](line) if spoil else line


def lines_of(file_format: Format, columns: Columns) -> Iterable[str]:
    """Yield the columns as lines; texts hold nothing that needs quotes or escapes."""
    if file_format.has_keys:
        fields = (f'"{name}": ' + ('"%s"' if values.dtype == object else "%s") for name, values in columns.items())
        as_line = "{" + ", ".join(fields) + "}\n"
    else:
        as_line = ",".join(["%s"] * len(columns)) + "\n"
        yield ",".join(columns) + "\n"
    for first in range(0, len(next(iter(columns.values()))), ROWS_AT_ONCE):
        part = [values[first : first + ROWS_AT_ONCE].tolist() for values in columns.values()]
        yield from map(as_line.__mod__, zip(*part, strict=True))
