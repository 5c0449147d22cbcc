"""Compact: put each closed hour's partials into one file a KPI, and a stream's small files into larger ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR, Interval, to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.lake import DamagedFile, LakeFile, combine
from kpis.lake.layout import partials_folder
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed, Ingested
from kpis.stages.ledger import Ledger
from kpis.stages.room import out_of_room_errors


def compact_hours(due: Iterable[tuple[Feed, Interval]], ledger: Ledger, engine: Engine) -> Iterator[Event]:
    """Yield the failures of compacting the due hours, except those that were compacted or failed lately."""
    for feed, hour in engine.compacted.left_out(engine.failing.left_out(due)):
        try:
            compact(feed, hour, ledger, engine)
            engine.compacted.add([(feed.name, hour)])
        except out_of_room_errors(DamagedFile) as error:
            engine.failing.add([(feed.name, hour)])
            yield Failed(f"{feed.name}, compaction of the hour from {to_text(hour.start)}", str(error))


def join_files(ingested: Iterable[Event], ledger: Ledger, engine: Engine) -> None:
    """Keep the lake's files of each hour few that a stream's batches have touched: join the smallest ones.

    An hour for which that fails is left for a while; what is wrong is reported where the hour is merged or compacted.
    """
    touched = {
        (event.entry.file.feed.name, ONE_HOUR.at(ONE_HOUR.floor(start)))
        for event in ingested
        if isinstance(event, Ingested) and event.entry.file.is_followed
        for start in event.touched
    }
    for feed, hour in engine.failing.left_out((FEEDS[name], hour) for name, hour in touched):
        folders = {partials_folder(kpi, hour.start): kpi for kpi in partial_kpis(feed)}
        found: dict[KPI, list[LakeFile]] = defaultdict(list)
        for file in ledger.files(folders):
            found[folders[file.path.parent]].append(file)
        try:
            for kpi, files in found.items():
                combine.join(engine.lake, kpi, hour.start, files, ledger)
        except out_of_room_errors(DamagedFile):
            engine.failing.add([(feed.name, hour)])


def compact(feed: Feed, hour: Interval, ledger: Ledger, engine: Engine) -> None:
    """Put a closed hour's partials into one file a KPI; raises DamagedFile once all other KPIs are done."""
    engine.use_cores(1)
    batches = {key: kpis for found in ledger.keys(feed, hour.start, hour.end).values() for key, kpis in found.items()}
    damaged = None
    for kpi in partial_kpis(feed):
        try:
            keys = [key for key, kpis in batches.items() if kpi.id in kpis]
            combine.compact(engine.lake, kpi, hour.start, keys, ledger)
        except DamagedFile as error:
            damaged = damaged or error
    if damaged is not None:
        raise damaged
    ledger.compacted(feed, hour)
