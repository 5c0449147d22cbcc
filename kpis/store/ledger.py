"""The ledger in the database: the only writer of batches and results, in one transaction a group and one a rollup."""

from __future__ import annotations

from datetime import datetime

from django.db import DataError, IntegrityError, transaction

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.engine.results import Results
from kpis.lake import Lake
from kpis.live.counts import add_live_counts
from kpis.models import Run
from kpis.stages.ledger import Change, Refused
from kpis.store.batches import BatchLedger, save_batches
from kpis.store.binding import bind
from kpis.store.due import mark_rollups_due
from kpis.store.errors import one_line
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

    def commit(self, change: Change) -> None:
        try:
            self._commit(change)
        except (DataError, IntegrityError) as error:
            raise Refused(f"the database refuses it: {one_line(error)}") from error

    @transaction.atomic
    def _commit(self, change: Change) -> None:
        feed, entries = change.feed, [one.entry for one in change.batches]
        for entry in entries:
            self.advance_with(entry)
        until = raise_watermark(feed, entries, change.closed_until, self.clocks().earliest)
        save_batches(change, self._run)
        self.exchange_files(change.files, change.replaced)
        replace_results(feed, feed.interval, change.results, until)
        mark_rollups_due(feed, change.touched)
        for counts in change.live:
            add_live_counts(feed.name, counts, clock.now())

    @transaction.atomic
    def commit_rebuild(self, feed: Feed, starts: frozenset[datetime], results: list[Results]) -> None:
        replace_results(feed, feed.interval, results, closed_until(feed))
        mark_rollups_due(feed, starts)
