"""A sample, read by the feed of its entry: how many rows are records, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from kpis.catalog.feeds import Feed
from kpis.engine.reader import Reader
from kpis.formats.bounds import UNBOUNDED

MOST_REASONS = 20


@dataclass(frozen=True)
class Reason:
    """A reason why rows are rejects: how many, and the line and text of the first."""

    column: str
    reason: str
    rejects: int
    line: int
    text: str


@dataclass(frozen=True)
class Trial:
    """What a feed makes of a sample: its ``records`` and ``rejects``, and the ``reasons``, the most frequent first."""

    records: int
    rejects: int
    reasons: list[Reason]


def try_feed(path: Path, feed: Feed) -> Trial:
    """Read a whole file by a feed; raises FileError if it cannot be read as such a file."""
    with duckdb.connect() as connection:
        reading = Reader(connection, bounds=UNBOUNDED).read(path, feed)
        rows = connection.execute(
            'SELECT "column", reason, count(*), min(line), arg_min(text, line) FROM rejects '
            "GROUP BY ALL ORDER BY count(*) DESC, min(line) LIMIT ?",
            [MOST_REASONS],
        ).fetchall()
    return Trial(reading.records, reading.rejects, [Reason(*row) for row in rows])
