"""Roll up: merge longer intervals from partials when they close or change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH, Interval, Length, to_text
from kpis.catalog.kpis import Reference
from kpis.catalog.registry import FEEDS, kpis_of
from kpis.engine.aggregate import TotalTooLarge
from kpis.engine.compiled import CORES
from kpis.engine.merge import can_merge
from kpis.engine.results import Results, kept_results
from kpis.engine.table import Columns, registered
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed, RolledUp
from kpis.stages.ledger import Ledger
from kpis.stages.merge import merged
from kpis.stages.options import Options
from kpis.stages.room import NO_ROOM, out_of_room, out_of_room_errors

# Longer intervals that are due within so long are merged together.
ROLLED_UP_TOGETHER = timedelta(days=1)


def roll_up_due(
    due: Iterable[tuple[Feed, Interval]], ledger: Ledger, engine: Engine, options: Options
) -> Iterator[Event]:
    """Yield the events of computing the longer intervals that are due from their partials, oldest first."""
    due = list(engine.failing.left_out(due))
    due.sort(key=lambda one: (_together(one[1]), one[0].name, one[1].length.usual_minutes, one[1].start))
    for (_, name, length), group in groupby(due, lambda one: (_together(one[1]), one[0].name, one[1].length)):
        feed, starts = FEEDS[name], [interval.start for _, interval in group]
        # Where DuckDB only fetches what is merged elsewhere, more would but take memory.
        engine.use_cores(1 if all(map(can_merge, kpis_of(feed, length))) else CORES)
        moments = (
            dict.fromkeys(starts, clock.now()) if options.recompute else ledger.reference_moments(feed, length, starts)
        )
        yield from _roll_up(starts, feed, length, moments, ledger, engine, options)


def _together(interval: Interval) -> datetime:
    return interval.start - (interval.start - EPOCH) % ROLLED_UP_TOGETHER


def _roll_up(
    starts: list[datetime],
    feed: Feed,
    length: Length,
    moments: Mapping[datetime, datetime],
    ledger: Ledger,
    engine: Engine,
    options: Options,
) -> Iterator[Event]:
    """Yield the events of longer intervals, computed in one transaction, with the references of their moments (UTC)."""
    try:
        results = list(_rollups(starts, feed, length, moments, ledger, engine, options))
    except out_of_room_errors(TotalTooLarge) as error:
        if len(starts) > 1:
            # Each on its own, so that only the one that fails is left out.
            for start in starts:
                yield from _roll_up([start], feed, length, moments, ledger, engine, options)
            return
        if isinstance(error, TotalTooLarge):
            yield Failed(_named(feed, length, starts), str(error))
            return
        engine.make_room()
        results = [kept_results(kpi, length, starts, NO_ROOM, out_of_room(error)) for kpi in kpis_of(feed, length)]
    ledger.commit_rollup(feed, length, starts, results, moments)
    yield from _rolled_up(results, starts, feed, length, engine)


def _rollups(
    starts: list[datetime],
    feed: Feed,
    length: Length,
    moments: Mapping[datetime, datetime],
    ledger: Ledger,
    engine: Engine,
    options: Options,
) -> Iterator[Results]:
    """Yield the results of longer intervals. Only KPIs with a reference are merged moment by moment."""
    merge = partial(
        merged,
        length=length,
        keys_between=partial(ledger.keys, feed),
        counted=ledger.files,
        references=ledger,
        merging=engine,
        top_n=options.top_n,
    )
    yield from merge([kpi for kpi in kpis_of(feed, length) if not kpi.reference], starts=starts)
    for kpi in kpis_of(feed, length):
        if kpi.reference:
            for moment in sorted({moments[start] for start in starts}):
                with _reference_table(kpi.reference, ledger.reference(kpi.reference, moment), engine):
                    yield from merge([kpi], starts=[start for start in starts if moments[start] == moment])


@contextmanager
def _reference_table(reference: Reference, columns: Columns, engine: Engine) -> Iterator[None]:
    """Let the connection's queries read a reference's table."""
    values = ", ".join(f'CAST("{one.name}" AS {one.type.sql_type}) AS "{one.name}"' for one in reference.columns)
    with registered(engine.connection, f"{reference.table}_to_insert", columns) as rows:
        engine.connection.execute(f"CREATE OR REPLACE TEMP TABLE {reference.table} AS SELECT {values} FROM {rows}")
    try:
        yield
    finally:
        engine.connection.execute(f"DROP TABLE {reference.table}")


def _rolled_up(
    results: Collection[Results], starts: Collection[datetime], feed: Feed, length: Length, engine: Engine
) -> Iterator[Event]:
    """Yield which of the intervals were computed, and which failed with what reason."""
    failed: dict[str, set[datetime]] = {}
    for one in results:
        if one.reason and one.again:
            failed.setdefault(one.detail, set()).update(one.starts)
    for reason, of_reason in failed.items():
        yield Failed(_named(feed, length, of_reason), reason)
    without = set().union(*failed.values())
    engine.failing.add((feed.name, length.at(start)) for start in without)
    yield from (RolledUp(feed, length.at(start)) for start in starts if start not in without)


def _named(feed: Feed, length: Length, starts: Collection[datetime]) -> str:
    first, last = to_text(min(starts)), to_text(max(starts))
    if len(starts) == 1:
        return f"{feed.name}, {length} from {first}"
    return f"{feed.name}, {len(starts)} intervals of {length} from {first} to {last}"
