"""The ledger's tables for SQL over the lake, read from the database in data frames of bounded length."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
from django.db.models import QuerySet

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable
from kpis.lake import LakeFile
from kpis.lake.views import BATCH_COLUMNS
from kpis.models import Batch, BatchInterval, KPISet, LostFile, ReferenceVersion
from kpis.models import LakeFile as StoredLakeFile
from kpis.models.result_models import result_model
from kpis.store.dialects import dialect
from kpis.store.kpi_sets import kpi_ids
from kpis.store.lake_files import lake_files

ROWS_A_FRAME = 20_000
# Columns of the batches' view that the database calls otherwise.
BATCH_SOURCES = {"taken_in_at": "ingested_at"}


class DatabaseLedgerTables:
    """See ``kpis.lake.views.LedgerTables`` for what its methods promise."""

    def batches(self, feeds: Collection[str]) -> Iterator[pd.DataFrame]:
        sources = [BATCH_SOURCES.get(column, column) for column in BATCH_COLUMNS]
        rows = Batch.objects.filter(feed__in=feeds).order_by("id").values_list(*sources)
        return _frames(rows, list(BATCH_COLUMNS))

    def lacking(self, kpi: KPI) -> Collection[datetime]:
        having = [one.pk for one in KPISet.objects.all() if kpi.id in kpi_ids(one.kpis)]
        of_feed = BatchInterval.objects.filter(batch__feed=kpi.feed.name).order_by()
        starts = of_feed.exclude(batch__kpi_set__in=having)
        lacking = {_plain(start) for start in starts.values_list("interval_start_timestamp", flat=True).distinct()}
        for batch, hour in LostFile.objects.filter(kpi=kpi.source.id).values_list("batch", "interval_start_timestamp"):
            within = {"interval_start_timestamp__gte": hour, "interval_start_timestamp__lt": hour + ONE_HOUR.delta}
            lost = BatchInterval.objects.filter(batch=batch, **within)
            lacking |= {_plain(start) for start in lost.values_list("interval_start_timestamp", flat=True)}
        return lacking

    def files(self, folder: PurePosixPath) -> Iterator[LakeFile]:
        below = StoredLakeFile.objects.filter(folder__startswith=f"{folder}/")
        return iter(sorted(lake_files(below), key=lambda file: file.path))

    def versions(self, reference: ReferenceTable) -> Iterator[pd.DataFrame]:
        stored = ReferenceVersion.objects.filter(reference__name=reference.name).order_by("key", "valid_from")
        columns = ("key", "valid_from", "valid_to", "name", "latitude", "longitude", "attributes")
        for frame in _frames(stored.values_list(*columns), list(columns)):
            found = {reference.key: frame["key"], **{name: frame[name] for name in ("valid_from", "valid_to")}}
            for name in reference.texts:
                of_version = frame["attributes"].map(lambda attributes, name=name: attributes.get(name))
                found[name] = frame["name"] if name == reference.shown else of_version
            for name, of_place in zip(reference.place or (), ("latitude", "longitude"), strict=False):
                found[name] = frame[of_place]
            yield pd.DataFrame(found)

    def rows(self, kpi: KPI) -> Iterator[pd.DataFrame]:
        length = min(kpi.lengths, key=lambda length: length.usual_minutes)
        rows = result_model(kpi).objects.filter(interval=length.code).order_by("interval_start_timestamp", "rank")
        columns = ["interval_start_timestamp", "interval_end_timestamp", *kpi.columns]
        return _frames(rows.values_list(*columns), columns)


def _frames(rows: QuerySet, columns: list[str]) -> Iterator[pd.DataFrame]:
    with dialect().cursor_scope():
        found = rows.iterator(chunk_size=ROWS_A_FRAME)
        while some := list(islice(found, ROWS_A_FRAME)):
            yield pd.DataFrame([[_plain(value) for value in row] for row in some], columns=columns)


def _plain(value: Any) -> Any:
    """Convert a datetime to UTC without a zone; return any other value as it is."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
