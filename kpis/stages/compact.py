"""Compact: put each closed hour's partials into one file a KPI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, to_text
from kpis.catalog.registry import partial_kpis
from kpis.lake import DamagedFile
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed
from kpis.stages.ledger import Ledger
from kpis.stages.room import OUT_OF_ROOM


def compact_hours(due: Iterable[tuple[Feed, Interval]], ledger: Ledger, engine: Engine) -> Iterator[Event]:
    """Yield the failures of compacting the due hours, except those that were compacted or failed lately."""
    for feed, hour in engine.compacted.left_out(engine.failing.left_out(due)):
        try:
            compact(feed, hour, ledger, engine)
            engine.compacted.add([(feed.name, hour)])
        except (DamagedFile, *OUT_OF_ROOM) as error:
            engine.failing.add([(feed.name, hour)])
            yield Failed(f"{feed.name}, compaction of the hour from {to_text(hour.start)}", str(error))


def compact(feed: Feed, hour: Interval, ledger: Ledger, engine: Engine) -> None:
    """Put a closed hour's partials into one file a KPI; raises DamagedFile once all other KPIs are done."""
    engine.use_cores(1)
    batches = {key: kpis for found in ledger.keys(feed, hour.start, hour.end).values() for key, kpis in found.items()}
    damaged = None
    for kpi in partial_kpis(feed):
        try:
            engine.lake.compact(kpi, hour.start, [key for key, kpis in batches.items() if kpi.id in kpis], ledger)
        except DamagedFile as error:
            damaged = damaged or error
    if damaged is not None:
        raise damaged
    ledger.compacted(feed, hour)
