"""The ledger in the database: the only writer of batches and results, in one transaction a batch and one a rollup."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.engine.aggregate import Results
from kpis.lake import Lake
from kpis.live.counts import add_live_counts
from kpis.models import Run
from kpis.stages.ledger import Change
from kpis.store.batches import BatchLedger, save_batch
from kpis.store.binding import bind
from kpis.store.due import mark_rollups_due
from kpis.store.lake_files import LakeFileLedger
from kpis.store.results import replace_results
from kpis.store.rollups import RollupLedger
from kpis.store.streams import StreamLedger
from kpis.store.watermarks import WatermarkLedger, closed_until, raise_watermark


class DatabaseLedger(BatchLedger, LakeFileLedger, WatermarkLedger, RollupLedger, StreamLedger):
    """The ledger in the database, written by one run; see ``kpis.stages.ledger.Ledger`` for what its methods promise.

    Each base class has the methods of one group of tables.
    """

    def __init__(self, run: Run | None = None):
        self._run = run

    def bind(self, lake: Lake) -> None:
        bind(lake, self)

    @transaction.atomic
    def commit(self, change: Change) -> None:
        entry, feed = change.entry, change.entry.file.feed
        self.advance_with(entry)
        until = raise_watermark(entry, change.closed_until, self.clocks().earliest)
        save_batch(change, self._run)
        self.exchange_files(change.files, change.replaced)
        replace_results(feed, feed.interval, change.results, until)
        mark_rollups_due(feed, change.touched)
        if change.live:
            add_live_counts(feed.name, change.live, clock.now())

    @transaction.atomic
    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        replace_results(feed, feed.interval, results, closed_until(feed))
        mark_rollups_due(feed, starts)
