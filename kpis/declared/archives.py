"""Partials of declared KPIs from the archived records of batches that cannot be read again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db import transaction

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import DECLARED_KPIS, FEEDS
from kpis.declared.losses import NamesInPlace, archived_batches, gone_batches, without_kpi
from kpis.engine.aggregate import partial_of_records
from kpis.ingest.remake import add_partial, load_records
from kpis.lake import LakeFile
from kpis.models import Batch, BatchInterval
from kpis.store.due import mark_due, mark_rollups_due
from kpis.store.kpi_sets import kpi_ids, save_kpi_set
from kpis.store.ledger import DatabaseLedger

# By a batch's id: the KPIs that it lacks.
Lacking = Mapping[int, list[KPI]]


def lacking_batches(names_in_place: NamesInPlace) -> Lacking:
    """Return the batches without partials of a declared KPI that only their archived records can give."""
    lacking: dict[int, list[KPI]] = defaultdict(list)
    for kpi in DECLARED_KPIS.values():
        batches = Batch.objects.filter(feed=kpi.feed.name, status=Batch.Status.IN, records__gt=0)
        gone = gone_batches(without_kpi(batches, kpi), kpi.feed.name, names_in_place)
        for batch in archived_batches(gone, kpi.feed.name):
            lacking[batch].append(kpi)
    return lacking


def aggregate_archives(lacking: Lacking, ledger: DatabaseLedger, engine: pipeline.Engine) -> Iterator[Batch]:
    """Yield each batch once its archived records are aggregated and its intervals are due. The caller holds the lock.

    Each batch is one transaction. Raises DamagedFile and TotalTooLarge.
    """
    ledger.bind(engine.lake)
    engine.lake.recover(ledger)
    for batch in Batch.objects.filter(pk__in=lacking).select_related("kpi_set").order_by("pk"):
        _aggregate(batch, lacking[batch.pk], ledger, engine)
        yield batch


def _aggregate(batch: Batch, kpis: list[KPI], ledger: DatabaseLedger, engine: pipeline.Engine) -> None:
    feed = FEEDS[batch.feed]
    starts: dict[datetime, list[datetime]] = defaultdict(list)
    for start in BatchInterval.objects.filter(batch=batch).values_list("interval_start_timestamp", flat=True):
        starts[ONE_HOUR.floor(start)].append(start)
    files = {file.hour: file for file in ledger.files_of(batch.key) if file.path.parts[0] == "records"}
    staging = engine.lake.stage(batch.key)
    for hour in sorted(starts):
        load_records(engine.lake, engine.connection, feed, files[hour])
        for kpi in kpis:
            with partial_of_records(engine.connection, kpi, starts[hour]) as table:
                add_partial(staging, kpi, hour, table)
    _commit(batch, feed, kpis, staging.publish([]), {one for found in starts.values() for one in found}, ledger)
    engine.lake.finalize(staging.name, ledger)


@transaction.atomic
def _commit(
    batch: Batch, feed: Feed, kpis: list[KPI], files: list[LakeFile], starts: set[datetime], ledger: DatabaseLedger
) -> None:
    """Add the batch's partials to the ledger, and mark its intervals as due."""
    ledger.exchange_files(files, [])
    there = kpi_ids(batch.kpi_set.kpis) if batch.kpi_set else frozenset()
    batch.kpi_set = save_kpi_set(there | {kpi.id for kpi in kpis})
    batch.save(update_fields=["kpi_set"])
    mark_due(feed, feed.interval, starts)
    mark_rollups_due(feed, starts)
