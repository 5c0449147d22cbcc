"""The events of a run, for its report, the command's output and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval
from kpis.catalog.registry import FEEDS
from kpis.sources.batch import Batch
from kpis.sources.stream import Recreated
from kpis.stages.ledger import Entry, TakenBack

# So many unfinished files are named.
MOST_NAMES_TOLD = 20


@dataclass(frozen=True)
class Ingested:
    """A batch was ingested: its entry, and the starts (UTC) of its feed's intervals that were written."""

    entry: Entry
    touched: frozenset[datetime]


@dataclass(frozen=True)
class Unchanged:
    """A file has a new version, but the content that the ledger knows."""

    file: Batch


@dataclass(frozen=True)
class Duplicate:
    """A file has the content of the batch that was ingested as ``of``, and does not count again.

    With ``renamed`` there is no file of that name beside it any more: the batch goes by this file's name from now on.
    """

    file: Batch
    of: str
    renamed: bool = False


@dataclass(frozen=True)
class LeftAlone:
    """Files of a feed whose names say that they are unfinished, so that they were not read; see ``FileNames``."""

    feed: Feed
    names: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A batch, a rollup or a compaction failed; ``what`` names it and ``reason`` says why."""

    what: str
    reason: str


@dataclass(frozen=True)
class RolledUp:
    """A longer interval was computed from its partials."""

    feed: Feed
    interval: Interval


@dataclass(frozen=True)
class Rebuilt:
    """An hour's short intervals, by their starts (UTC), were recomputed from the lake."""

    feed: Feed
    hour: Interval
    touched: frozenset[datetime]


Event = Ingested | Unchanged | Duplicate | LeftAlone | Failed | RolledUp | Rebuilt | TakenBack | Recreated


@dataclass
class Report:
    """The counts of a run, added up from its events."""

    files: int = 0
    failed: int = 0
    duplicates: int = 0
    records: int = 0
    rejects: int = 0
    rollups: int = 0
    failures: list[Failed] = field(default_factory=list)
    _touched: set[tuple[str, datetime]] = field(default_factory=set)

    @property
    def intervals(self) -> int:
        """The number of the feeds' own intervals that were written."""
        return len(self._touched)

    def add(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Ingested(entry, touched):
                self.files += 1
                self.records += entry.records
                self.rejects += entry.rejects
                self._touched |= {(entry.file.feed.name, start) for start in touched}
            case Duplicate():
                self.duplicates += 1
            case Rebuilt(feed, _, touched):
                self._touched |= {(feed.name, start) for start in touched}
            case Failed():
                self.failed += 1
                self.failures.append(event)
            case RolledUp():
                self.rollups += 1


class UnfinishedFiles:
    """Collects the unfinished files that a source finds in one run."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, feed: Feed, name: str) -> None:
        """Add an unfinished file of a feed."""
        self._names.setdefault(feed.name, set()).add(name)

    def events(self, former: UnfinishedFiles | None = None) -> list[LeftAlone]:
        """Return one event for each feed that has unfinished files which ``former`` does not have."""
        known = former._names if former else {}
        found = {feed: sorted(names - known.get(feed, set())) for feed, names in sorted(self._names.items())}
        return [LeftAlone(FEEDS[feed], tuple(names)) for feed, names in found.items() if names]


def left_alone_line(event: LeftAlone) -> str:
    """Return a line that names the first unfinished files of a feed, and how finished files' names end."""
    names = ", ".join(event.names[:MOST_NAMES_TOLD])
    more = len(event.names) - MOST_NAMES_TOLD
    return (
        f"left alone, as unfinished: {names}{f' and {more:,} more' if more > 0 else ''} "
        f"(names of {event.feed.name} files end in {' or '.join(event.feed.endings)}, or as FEED_FILES says)"
    )
