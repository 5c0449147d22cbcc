"""Plan: which files a run ingests, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH
from kpis.catalog.registry import partial_kpi_ids
from kpis.sources.batch import Version
from kpis.sources.directory import FoundFile
from kpis.stages.identity import is_changed, is_reread, reading_of
from kpis.stages.ledger import Entry, Ledger
from kpis.stages.options import Options


class IngestReason(StrEnum):
    """The reason why a file is ingested."""

    NEW = "new"
    CHANGED = "changed"
    RETRIED = "tried again"
    NEW_KPI = "for a new KPI"
    VERIFIED = "verified"
    AHEAD = "with rows no longer ahead of the clock"


# Of files whose content decides whether they are ingested at all.
BY_CONTENT = {IngestReason.CHANGED, IngestReason.VERIFIED}
# A file to ingest, with its entry in the ledger (None: it has none) and the reason.
Planned = tuple[FoundFile, "Entry | None", IngestReason]


def known_to(ledger: Ledger) -> Callable[[Feed, Collection[Version]], Iterable[Version]]:
    """Return a callable that filters out versions already ingested: of a feed's versions, those that ``plan`` skips.

    A source uses it so that ``plan`` need not look at every file again. ``plan`` decides on all others itself.
    """
    return lambda feed, versions: ledger.known(feed, partial_kpi_ids(feed), versions)


def plan(files: Iterable[FoundFile], ledger: Ledger, options: Options) -> list[Planned]:
    """Return the files to ingest, in their order, each with its entry in the ledger and the reason.

    A file whose time of change differs from the ledger's counts as changed here; ``run`` looks at its content.
    """
    files = list(files)
    entries = ledger.entries(files)
    planned: list[Planned] = []
    latest = ledger.clocks().latest if any(entry.read_again_at for entry in entries.values()) else EPOCH
    for file in files:
        entry = entries.get((file.feed.name, file.name))
        if entry is None or entry.is_renamed:
            planned.append((file, entry, IngestReason.NEW))
        elif entry.read_again_at is not None and entry.read_again_at <= latest:
            # Before what may have changed, which is not read where its content is known after all.
            planned.append((file, entry, IngestReason.AHEAD))
        elif entry.is_known and not partial_kpi_ids(file.feed) <= entry.kpis:
            # Before what may have changed, for the same reason.
            planned.append((file, entry, IngestReason.NEW_KPI))
        elif is_changed(file, entry) or is_reread(file, entry, options):
            planned.append((file, entry, IngestReason.CHANGED))
        elif not entry.is_known and (entry.retry or options.retry_failed or entry.reading != reading_of(file, options)):
            planned.append((file, entry, IngestReason.RETRIED))
        elif entry.is_known and options.verify:
            planned.append((file, entry, IngestReason.VERIFIED))
    return planned
