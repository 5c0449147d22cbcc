"""The story of a run: raw records become exact KPIs per interval. Each stage is a module of ``kpis.stages``.

1. *Plan*: keep the batches that the ledger does not have as they are, oldest first, each with the reason.
2. *Prepare*: read each once into records and rejects, and reduce the records to partials. Changes no ledger and needs
   no lock. The scanner reads the next files meanwhile, or a cluster's executors do all of it.
3. *Group*: gather prepared batches until there are as many of them, or as many bytes or seconds, as the options allow.
4. *Lake*: write the group's partials, rejects and (where wanted) records aside, then rename them into place.
5. *Merge*: compute each interval that the group touches once, from the partials of all batches in it.
6. *Commit*: one transaction writes the batches' ledger rows and replaces the rows of those intervals. Where the
   database or a total refuses that, or memory runs out, the group is halved until the batch to blame is alone: it
   fails, with its reason.
7. *Roll up*: merge the longer intervals that closed or changed.
8. *Compact*: put each closed hour's partials into one file a KPI, and the many small ones of a stream into larger ones.

Stages are imported once they have something to do: numpy and DuckDB take longer to import than a run over nothing new.
DuckDB is imported once there is something that only it can do; a run over plain files with few partials does without.

Free of Django: ``run`` works on any ledger, the database's or one in memory, and ``compute`` answers for a folder in a
notebook::

    from kpis import pipeline
    tables = pipeline.compute("var/sample")
    tables["ServiceTrafficVolume"]
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis.catalog.calendar import in_zone
from kpis.catalog.registry import KPIS
from kpis.formats.bounds import FileError
from kpis.sources.places import found_in
from kpis.sources.positions import Recreated
from kpis.stages.due import compact, roll_up
from kpis.stages.engine import Cluster, Engine, engine
from kpis.stages.events import (
    MAX_NAMES_SHOWN,
    Duplicate,
    Event,
    Failed,
    Ingested,
    Rebuilt,
    Rejoined,
    Report,
    RolledUp,
    Skipped,
    Unchanged,
    UnfinishedFiles,
    batch_of,
    skipped_line,
)
from kpis.stages.identity import known_digest
from kpis.stages.ledger import Entry, Ledger, Reopened
from kpis.stages.options import Duplicates, IntervalFrom, Options
from kpis.stages.plan import BY_CONTENT, IngestReason, Planned, known_to, plan
from kpis.storage import address

if TYPE_CHECKING:
    import pandas as pd

    from kpis.stages.group import Group
    from kpis.stages.prepared import Prepared

__all__ = [
    "MAX_NAMES_SHOWN",
    "Cluster",
    "Duplicate",
    "Duplicates",
    "Engine",
    "Entry",
    "Event",
    "Failed",
    "IngestReason",
    "Ingested",
    "IntervalFrom",
    "Ledger",
    "Options",
    "Planned",
    "Rebuilt",
    "Recreated",
    "Rejoined",
    "Reopened",
    "Report",
    "RolledUp",
    "Skipped",
    "Unchanged",
    "UnfinishedFiles",
    "batch_of",
    "compute",
    "engine",
    "known_to",
    "plan",
    "rebuild",
    "rebuild_days",
    "roll_up",
    "run",
    "run_group",
    "run_prepared",
    "skipped_line",
]


def run(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of ingesting the planned files in groups, then of due rollups and compactions.

    Raises LakeError, ScratchError, SourceLost, or what the ledger raises, when nothing more can be done; the next run
    then goes on.
    """
    _begin(ledger, engine)
    options = replace(options, clocks=ledger.clocks())
    yield from ledger.adjust_watermarks(options.at_hand, options.allowed_lateness)
    # Those of former runs: an hour that this one rolls up may well be touched again soon.
    compactions = ledger.due_compactions()
    files = iter(planned)
    first = next(files, None)
    if first is not None:
        yield from (_run_on_cluster if engine.cluster else _run_here)(chain([first], files), ledger, engine, options)
    yield from roll_up(ledger, engine, options)
    yield from compact(compactions, ledger, engine)


def run_group(group: Group, ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Ingest a group of prepared batches that are new; then roll up and compact as ``run`` does.

    The batches' events come first, one each.
    """
    from kpis.stages.commit import ingest

    yield from _run_after(lambda: ingest(group.batches, ledger, engine, options), ledger, engine, options)


def run_prepared(batches: Iterable[Prepared], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of ingesting prepared batches that are new, then of rollups and compactions as in ``run``.

    Batches may be prepared while they are iterated over. Their events come first.
    """
    from kpis.stages.group import Groups

    def ingested() -> Iterator[Event]:
        groups = Groups(ledger, engine, options)
        for one in batches:
            yield from groups.add(one, None)
        yield from groups.commit()

    yield from _run_after(ingested, ledger, engine, options)


def _run_after(
    ingested: Callable[[], Iterator[Event]], ledger: Ledger, engine: Engine, options: Options
) -> Iterator[Event]:
    """Roll up and compact what is due after batches are ingested; yield the events."""
    from kpis.stages.compact import join_files

    _begin(ledger, engine)
    reopened = ledger.adjust_watermarks(ledger.clocks(), options.allowed_lateness)
    compactions = ledger.due_compactions()
    own = []
    for event in ingested():
        own.append(event)
        yield event
    yield from reopened
    yield from roll_up(ledger, engine, options)
    yield from compact(compactions, ledger, engine)
    join_files(own, ledger, engine)


def rebuild(start: datetime, end: datetime, ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of recomputing every interval from start to end (UTC, excluded) from the lake, hour by hour.

    Longer intervals are recomputed where they hold one of these.
    """
    from kpis.stages.rebuild import rebuild_hours

    _begin(ledger, engine)
    yield from ledger.adjust_watermarks(ledger.clocks(), options.allowed_lateness)
    options = replace(options, recompute=True)
    yield from rebuild_hours(start, end, ledger, engine, options)
    yield from roll_up(ledger, engine, options, within=(start, end))


def rebuild_days(ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of computing days, weeks and months again, in the time zone that is set now."""
    _begin(ledger, engine)
    yield from ledger.adjust_watermarks(ledger.clocks(), options.allowed_lateness)
    ledger.restart_days()
    yield from roll_up(ledger, engine, options)


def compute(folder: str | Path, time_zone: str = "UTC", **options: Any) -> dict[str, pd.DataFrame]:
    """Return every KPI's rows over the files of a folder, or of ``s3://bucket/prefix``, by the KPI's name.

    Needs no database: for a notebook. The frames are those of ``MemoryLedger.table``; ``options`` are those of
    ``Options``, and open intervals are computed too. Days, weeks and months are those of ``time_zone``. Warns of
    unfinished files. Raises FileError for the first file that cannot be ingested.
    """
    from kpis.stages.memory_ledger import MemoryLedger

    ledger = MemoryLedger()
    unfinished = UnfinishedFiles()
    chosen = Options(roll_up_open=True, **options)
    with (
        tempfile.TemporaryDirectory(prefix="network-analysis-lake-") as lake_dir,
        engine(Path(lake_dir)) as made,
        in_zone(time_zone),
    ):
        found = found_in(address(str(folder)), unfinished=unfinished.add)
        for left in unfinished.events():
            warnings.warn(skipped_line(left), stacklevel=2)
        for event in run(plan(found, ledger, chosen), ledger, made, chosen):
            if isinstance(event, Failed):
                raise FileError(f"{event.what}: {event.reason}")
    return {kpi.name: ledger.table(kpi) for kpi in KPIS.values()}


def _begin(ledger: Ledger, engine: Engine) -> None:
    """Check that the lake is the ledger's, remove what broken runs left in it, and forget what former runs kept."""
    engine.kept.clear()
    ledger.bind(engine.lake)
    engine.lake.recover(ledger)


def _run_here(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of the planned files, ingested here in groups unless the ledger knows their content."""
    from kpis.stages.group import Groups
    from kpis.stages.prepare import prepare
    from kpis.stages.read import scanned_ahead

    groups = Groups(ledger, engine, options)
    for (file, entry, why), scan_of_file in scanned_ahead(planned, engine.scratch, options):
        digest = known_digest(file, entry, options) if why in BY_CONTENT and entry is not None else ""
        if digest and entry is not None:
            ledger.touch(replace(entry, digest=digest), file)
            yield Unchanged(file)
        else:
            with prepare(file, engine, options, scan_of_file) as one:
                events = groups.add(one, entry)
            # Not within the block, as the consumer of events may stop here with the connection closed.
            yield from events
    yield from groups.commit()


def _run_on_cluster(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of the planned files, ingested in groups as the cluster has prepared them."""
    from kpis.stages.group import Groups

    groups = Groups(ledger, engine, options)
    assert engine.cluster is not None  # noqa: S101  what run says
    with engine.cluster.prepare(planned, engine, options) as prepared:
        for (_, entry, _), one in prepared:
            yield from groups.add(one, entry)
        yield from groups.commit()
