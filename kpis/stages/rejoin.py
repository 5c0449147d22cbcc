"""Rejoin: compute KPIs by attributes again, from the same partials, where their references changed since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH, Interval, Length, to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import kpis_of
from kpis.engine.aggregate import TotalTooLarge
from kpis.engine.compiled import CORES
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed, Rejoined
from kpis.stages.ledger import DueReference, Ledger
from kpis.stages.merge import merged
from kpis.stages.options import Options
from kpis.stages.rollup import ROLLED_UP_TOGETHER
from kpis.stages.room import out_of_room_errors


def rejoin_due(due: Sequence[DueReference], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of computing the intervals that are due, a day at a time, oldest first."""
    running = set(engine.failing.left_out((one.feed, one.interval) for one in due))
    due = sorted((one for one in due if (one.feed, one.interval) in running), key=_order)
    engine.use_cores(CORES)
    for _, same in groupby(due, key=lambda one: _order(one)[:-1]):
        some = list(same)
        yield from _rejoin(some, ledger, engine, options)


def _order(one: DueReference) -> tuple:
    start = one.interval.start
    return (start - EPOCH) // ROLLED_UP_TOGETHER, one.feed.name, one.interval.length.usual_minutes, one.reference, start


def _rejoin(due: Sequence[DueReference], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of intervals of one feed, length and reference, computed in one transaction."""
    feed, length, name = due[0].feed, due[0].interval.length, due[0].reference
    starts = [one.interval.start for one in due]
    try:
        results = list(
            merged(
                kpis_by(feed, length, name),
                length,
                starts,
                partial(ledger.keys, feed),
                ledger.files,
                ledger,
                engine,
                options.top_n,
            )
        )
    except out_of_room_errors(TotalTooLarge) as error:
        if len(due) > 1:
            # Each on its own, so that only the one that fails is left out.
            for one in due:
                yield from _rejoin([one], ledger, engine, options)
            return
        engine.make_room()
        engine.failing.add([(feed.name, Interval(length, starts[0]))])
        yield Failed(f"{feed.name}, {length} from {to_text(starts[0])}, by the reference {name}", str(error))
        return
    changed = ledger.commit_references(due, results)
    again = {start for one in results if one.reason and one.again for start in one.starts}
    engine.failing.add((feed.name, Interval(length, start)) for start in again)
    if changed:
        yield Rejoined(feed, length, name, frozenset(changed))


def kpis_by(feed: Feed, length: Length, reference: str) -> list[KPI]:
    """Return the KPIs of a feed and a length that group by attributes of a reference, by its name."""
    return [
        kpi
        for kpi in kpis_of(feed, length)
        if any(attribute.reference.name == reference for attribute in kpi.attributes)
    ]
