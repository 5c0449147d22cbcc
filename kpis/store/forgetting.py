"""Remove from the database what it has of a declared feed or KPI, and record what of the catalog is applied."""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection, transaction
from django.db.models import Q

from kpis import clock
from kpis.catalog.file.definitions import Definition
from kpis.catalog.kpis import KPI
from kpis.models import (
    AppliedEntry,
    Batch,
    BatchInterval,
    DueCompaction,
    DueReference,
    DueRollup,
    IntervalSummary,
    KPISet,
    LakeBinding,
    LakeFile,
    LiveCount,
    LiveFeed,
    LostFile,
    Reject,
    StreamConsumer,
    StreamPosition,
    Watermark,
)
from kpis.models.result_models import result_model
from kpis.store.applied import FORMER
from kpis.store.bulk import chunks
from kpis.store.days import note_zone
from kpis.store.due import mark_due, mark_rollups_due
from kpis.store.kpi_sets import kpi_ids, save_kpi_set

BATCHES_A_QUERY = 500


@transaction.atomic
def forget_kpi(entry: Definition, table: str) -> None:
    """Delete a KPI's rows, summaries and partials from the database, and have no batch refer to them."""
    kpi_id = int(entry.key)
    for one in KPISet.objects.all():
        ids = kpi_ids(one.kpis)
        if kpi_id in ids:
            Batch.objects.filter(kpi_set=one).update(kpi_set=save_kpi_set(ids - {kpi_id}))
            # Each KPI that is forgotten would double the sets that are kept.
            one.delete()
    LakeFile.objects.filter(folder__startswith=f"partials/{entry.name}/").delete()
    LostFile.objects.filter(kpi=kpi_id).delete()
    IntervalSummary.objects.filter(kpi=kpi_id).delete()
    with connection.cursor() as cursor:
        if table in connection.introspection.table_names(cursor):
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


@transaction.atomic
def forget_feed(name: str, kept: Collection[int] = (), with_streams: bool = False) -> None:
    """Delete a feed's batches from the database, but for those with the ids ``kept``, which count records alone.

    ``with_streams`` also deletes how far its streams are ingested, so that they are read from their beginning.
    """
    for model in (LakeFile, DueRollup, DueReference, DueCompaction):
        model.objects.filter(feed=name).delete()
    for of_batch in (LostFile, Reject):
        of_batch.objects.filter(batch__feed=name).delete()
    BatchInterval.objects.filter(batch__feed=name).exclude(batch__in=kept).delete()
    for duplicates in (True, False):
        gone = Batch.objects.filter(feed=name, duplicate_of__isnull=not duplicates).exclude(pk__in=kept).order_by()
        for some in chunks(list(gone.values_list("pk", flat=True)), BATCHES_A_QUERY):
            Batch.objects.filter(pk__in=some).delete()
    Batch.objects.filter(pk__in=kept).update(kpi_set=None)
    if kept:
        Watermark.objects.filter(feed=name).update(kept_from=None)
    else:
        Watermark.objects.filter(feed=name).delete()
    if with_streams:
        for of_stream in (StreamPosition, StreamConsumer, LiveCount, LiveFeed):
            of_stream.objects.filter(feed=name).delete()


@transaction.atomic
def compute_again(kpi: KPI, table: str) -> None:
    """Delete a KPI's results that can be computed from the lake, and mark their intervals as due.

    Those of lengths that it has no more are deleted too.
    """
    if (binding := LakeBinding.objects.first()) is not None:
        # What is marked as due below are days of the time zone that is set now.
        note_zone(binding)
    feed, codes = kpi.feed, [length.code for length in kpi.lengths]
    kept_from = Watermark.objects.filter(feed=feed.name).values_list("kept_from", flat=True).first()
    starts = BatchInterval.objects.filter(batch__feed=feed.name, batch__status=Batch.Status.IN).order_by()
    # An empty condition joined by OR would be left out.
    there = Q() if kept_from is None else Q(interval_start_timestamp__gte=kept_from)
    gone = Q() if kept_from is None else there | ~Q(interval__in=codes)
    IntervalSummary.objects.filter(gone, kpi=kpi.id).delete()
    with connection.cursor() as cursor:
        is_there = table in connection.introspection.table_names(cursor)
    if is_there:
        result_model(kpi).objects.filter(gone).delete()
    due = set(starts.filter(there).values_list("interval_start_timestamp", flat=True).distinct())
    if feed.interval in kpi.lengths:
        mark_due(feed, feed.interval, due)
    mark_rollups_due(feed, due)


def begin_applying(entry: Definition) -> None:
    """Record that an entry is being applied: until ``record_applied`` no run works on the database.

    The name that a KPI had is kept until ``forget_former_names``, as its table and its folder in the lake go by it.
    """
    former = AppliedEntry.objects.filter(kind=entry.kind, key=entry.key).exclude(name=entry.name)
    for name in former.values_list("name", flat=True):
        AppliedEntry.objects.update_or_create(kind=FORMER, key=name, defaults={"name": name, "applied_at": clock.now()})
    values = {"name": entry.name, "definition": "", "is_removed": False, "applied_at": clock.now()}
    AppliedEntry.objects.update_or_create(kind=entry.kind, key=entry.key, defaults=values)


def record_applied(entry: Definition) -> None:
    """Record that the tables and the lake have what an entry says."""
    values = {"name": entry.name, "definition": entry.text, "is_removed": False, "applied_at": clock.now()}
    AppliedEntry.objects.update_or_create(kind=entry.kind, key=entry.key, defaults=values)


def begin_dropping(entry: Definition) -> None:
    """Record that an entry is being dropped: if the catalog has it again before that is done, it is computed again."""
    AppliedEntry.objects.filter(kind=entry.kind, key=entry.key).update(definition="")


def forget_former_names() -> None:
    """Delete the names that KPIs had, once their tables and folders are gone."""
    AppliedEntry.objects.filter(kind=FORMER).delete()


def record_removed(entry: Definition) -> None:
    """Record that the catalog lacks an entry whose rows are kept."""
    found = AppliedEntry.objects.filter(kind=entry.kind, key=entry.key)
    found.update(is_removed=True, applied_at=clock.now())


def record_dropped(entry: Definition) -> None:
    """Delete the record of an entry that has no rows any more."""
    AppliedEntry.objects.filter(kind=entry.kind, key=entry.key).delete()
