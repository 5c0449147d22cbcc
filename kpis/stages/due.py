"""Due: roll up and compact what is due, and import what computes only if something is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed
from kpis.stages.ledger import Ledger
from kpis.stages.options import Options


def roll_up(
    ledger: Ledger, engine: Engine, options: Options, within: tuple[datetime, datetime] | None = None
) -> Iterator[Event]:
    """Yield the events of computing the longer intervals that are due from their partials, oldest first.

    ``within`` computes only those that touch the time from its start to its end (UTC, excluded). What the run kept for
    this in memory is dropped at the end.
    """
    due = [
        (feed, interval)
        for feed, interval in ledger.due_rollups(options.roll_up_open)
        if not within or (interval.start < within[1] and within[0] < interval.end)
    ]
    if any(interval.length.is_calendar for _, interval in due) and (problem := ledger.days_problem()):
        days = [one for one in due if one[1].length.is_calendar]
        due = [one for one in due if not one[1].length.is_calendar]
        # Said once in a while, as by a consumer that commits several batches a second.
        if list(engine.failing.left_out(days)):
            yield Failed("days, weeks and months", problem)
            engine.failing.add((feed.name, interval) for feed, interval in days)
    if due:
        from kpis.stages.rollup import roll_up_due

        yield from roll_up_due(due, ledger, engine, options)
    engine.kept.clear()


def compact(due: Collection[tuple[Feed, Interval]], ledger: Ledger, engine: Engine) -> Iterator[Event]:
    """Yield the events of the due hours whose compaction fails."""
    if due:
        from kpis.stages.compact import compact_hours

        yield from compact_hours(due, ledger, engine)
