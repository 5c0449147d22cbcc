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

    Before them, the intervals whose references changed are computed again. ``within`` computes only those that touch
    the time from its start to its end (UTC, excluded). What the run kept for this in memory is dropped at the end.
    """
    rejoins = [one for one in ledger.due_references() if not within or _touches(one.interval, within)]
    due = [
        (feed, interval)
        for feed, interval in ledger.due_rollups(options.roll_up_open)
        if not within or _touches(interval, within)
    ]
    days = [one for one in due if one[1].length.is_calendar]
    days += [(one.feed, one.interval) for one in rejoins if one.interval.length.is_calendar]
    if days and (problem := ledger.days_problem()):
        rejoins = [one for one in rejoins if not one.interval.length.is_calendar]
        due = [one for one in due if not one[1].length.is_calendar]
        # Said once in a while, as by a consumer that commits several batches a second.
        if list(engine.failing.left_out(days)):
            yield Failed("days, weeks and months", problem)
            engine.failing.add((feed.name, interval) for feed, interval in days)
    if rejoins:
        from kpis.stages.rejoin import rejoin_due

        yield from rejoin_due(rejoins, ledger, engine, options)
    if due:
        from kpis.stages.rollup import roll_up_due

        yield from roll_up_due(due, ledger, engine, options)
    engine.kept.clear()


def _touches(interval: Interval, within: tuple[datetime, datetime]) -> bool:
    return interval.start < within[1] and within[0] < interval.end


def compact(due: Collection[tuple[Feed, Interval]], ledger: Ledger, engine: Engine) -> Iterator[Event]:
    """Yield the events of the due hours whose compaction fails."""
    if due:
        from kpis.stages.compact import compact_hours

        yield from compact_hours(due, ledger, engine)
