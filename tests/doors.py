"""Every feed through every door: which feed can come from which source by which engine, or why it cannot.

The list is walked by ``tests/spark/test_doors.py``, and is the table of docs/reference/sources.md.
"""

from __future__ import annotations

from dataclasses import dataclass

FOLDER, BUCKET, KAFKA, KINESIS = "folder", "bucket", "Kafka", "Kinesis"
LOCAL, SPARK = "local", "spark"
STREAMS = (KAFKA, KINESIS)
BUILT_IN = ("ipflow", "antenna", "coverage", "cdr")
# Declared in a catalog file, all with the same columns.
DECLARED = {"probe_csv": "CSV", "probe_json": "JSON lines", "probe_parquet": "Parquet"}

NO_MESSAGE = "a message is one row"
NO_CONNECTOR = "spark cannot read it"


@dataclass(frozen=True)
class Door:
    """A feed's way into the tables: from a source, by an engine; shut ``because`` of a reason, else open.

    The reason is what the command says.
    """

    feed: str
    source: str
    engine: str
    because: str = ""

    def __str__(self) -> str:
        return f"{self.feed} from {self.source} by {self.engine}"


def _reason(feed: str, source: str, engine: str) -> str:
    """Return why a feed cannot come from a source by an engine; empty if it can."""
    if source in STREAMS and feed == "probe_parquet":
        return NO_MESSAGE
    return NO_CONNECTOR if source == KINESIS and engine == SPARK else ""


DOORS = [
    Door(feed, source, engine, _reason(feed, source, engine))
    for feed in (*BUILT_IN, *DECLARED)
    for source in (FOLDER, BUCKET, *STREAMS)
    for engine in (LOCAL, SPARK)
]


def rows() -> list[tuple[str, ...]]:
    """Return the table: for each feed, what goes from each source, by engine; the heading comes first."""
    sources = list(dict.fromkeys(door.source for door in DOORS))
    found = [("feed", *sources)]
    for feed in dict.fromkeys(door.feed for door in DOORS):
        cells = [[door for door in DOORS if (door.feed, door.source) == (feed, source)] for source in sources]
        name = f"your own, {DECLARED[feed]}" if feed in DECLARED else f"[{feed}](feeds.md#{feed})"
        found.append((name, *(_cell(doors) for doors in cells)))
    return found


def _cell(doors: list[Door]) -> str:
    going = ", ".join(door.engine for door in doors if not door.because) or "no"
    reasons = dict.fromkeys(door.because for door in doors if door.because)
    return f"{going}: {'; '.join(reasons)}" if reasons else going
