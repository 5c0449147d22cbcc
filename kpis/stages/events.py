"""The events of a run, for its report, the command's output and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, Length
from kpis.catalog.registry import FEEDS
from kpis.sources.batch import Batch
from kpis.sources.positions import Recreated
from kpis.stages.ledger import Entry, Reopened

# At most this many unfinished files are named.
MAX_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Ingested:
    """A batch was ingested: its ledger entry, and the starts (UTC) of its feed's intervals that were written."""

    entry: Entry
    touched: frozenset[datetime]


@dataclass(frozen=True)
class Unchanged:
    """A file was written again with the content that the ledger has."""

    file: Batch


@dataclass(frozen=True)
class Duplicate:
    """A file has the content of the batch that was ingested as ``of``, and is not counted again.

    ``renamed`` is True if no file named ``of`` is left beside it: the batch then takes this file's name.
    """

    file: Batch
    of: str
    renamed: bool = False


@dataclass(frozen=True)
class Skipped:
    """Files of a feed that were not read, as their names mark them as unfinished; see ``FileNames``."""

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
class Rejoined:
    """Intervals of a length, by their starts (UTC), have other results by attributes, as the reference changed."""

    feed: Feed
    length: Length
    reference: str
    changed: frozenset[datetime]


@dataclass(frozen=True)
class Rebuilt:
    """An hour's short intervals, by their starts (UTC), were recomputed from the lake."""

    feed: Feed
    hour: Interval
    touched: frozenset[datetime]


Event = Ingested | Unchanged | Duplicate | Skipped | Failed | RolledUp | Rejoined | Rebuilt | Reopened | Recreated


def batch_of(event: Event) -> str:
    """Return the name of the batch that was ingested or failed; empty for other events."""
    match event:
        case Ingested(entry, _):
            return entry.file.name
        case Failed(what, _):
            return what
    return ""


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
            case Rejoined(feed, length, _, changed) if length == feed.interval:
                self._touched |= {(feed.name, start) for start in changed}
            case Rejoined(_, _, _, changed):
                self.rollups += len(changed)
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

    def events(self, former: UnfinishedFiles | None = None) -> list[Skipped]:
        """Return one event for each feed that has unfinished files which ``former`` does not have."""
        known = former._names if former else {}
        found = {feed: sorted(names - known.get(feed, set())) for feed, names in sorted(self._names.items())}
        return [Skipped(FEEDS[feed], tuple(names)) for feed, names in found.items() if names]


def skipped_line(event: Skipped) -> str:
    """Return a line that names the first unfinished files of a feed, and how finished files' names end."""
    names = ", ".join(event.names[:MAX_NAMES_SHOWN])
    more = len(event.names) - MAX_NAMES_SHOWN
    return (
        f"skipped as unfinished: {names}{f' and {more:,} more' if more > 0 else ''} "
        f"(names of {event.feed.name} files end in {' or '.join(event.feed.endings)}, or as FEED_FILES says)"
    )
