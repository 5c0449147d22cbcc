"""Past intervals, computed again from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from kpis.catalog.intervals import ONE_HOUR, to_text
from kpis.catalog.registry import FEEDS, kpis_of
from kpis.stages.engine import Engine
from kpis.stages.events import Event, Failed, Rebuilt
from kpis.stages.ledger import Ledger
from kpis.stages.merge import merged
from kpis.stages.options import Options


def rebuild_hours(start: datetime, end: datetime, ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Yield the events of recomputing the feeds' own intervals from start to end (UTC, excluded)."""
    for feed in FEEDS.values():
        kept_from = ledger.kept_from(feed)
        if kept_from and start < kept_from:
            yield Failed(f"{feed.name} before {to_text(kept_from)}", "is no longer in the lake, and stays as it is")
        hour = ONE_HOUR.at(max(start, kept_from) if kept_from else start)
        while hour.start < end:
            starts = frozenset(moment for moment in ledger.keys(feed, hour.start, hour.end) if start <= moment < end)
            if starts:
                results = merged(
                    kpis_of(feed, feed.interval),
                    feed.interval,
                    starts,
                    partial(ledger.keys, feed),
                    ledger.files,
                    ledger,
                    engine,
                    options.top_n,
                )
                ledger.commit_rebuild(feed, starts, list(results))
                yield Rebuilt(feed, hour, starts)
            hour = ONE_HOUR.at(hour.end)
