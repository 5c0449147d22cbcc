"""Rebuilding a lost part of a batch from its source file or its archived records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

import duckdb

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import RECORD_START, aliased, quoted
from kpis.ingest.lost import Sources, of_hour
from kpis.lake import Expected, Lake, LakeFile, PartialFile, Rows, Staging, archived_columns, by_time
from kpis.lake.layout import partials_file, records_file
from kpis.models import Batch
from kpis.sources.directory import FoundFile


def options_of(batch: Batch, options: pipeline.Options) -> pipeline.Options:
    """Return the options with which a batch was read."""
    parts = dict(part.split("=", 1) for part in batch.reading.split() if "=" in part)
    return replace(
        options,
        interval_from=pipeline.IntervalFrom(parts.get("interval-from", pipeline.IntervalFrom.RECORD)),
        date=date.fromisoformat(parts["date"]) if "date" in parts else options.date,
    )


def other_names(batch: Batch) -> list[str]:
    """Return the names of files that were found to have the same content."""
    return list(batch.duplicates.values_list("name", flat=True))


def is_same(entry: pipeline.Entry, batch: Batch) -> bool:
    """Return True if a new reading agrees with the ledger's entry of the batch."""
    if not entry.is_in or entry.digest != batch.digest:
        return False
    counts = (entry.lines, entry.records, entry.rejects)
    stored = dict(batch.intervals.values_list("interval_start_timestamp", "records"))
    return counts == (batch.lines, batch.records, batch.rejects) and entry.intervals == stored


def add_partial(staging: Staging, kpi: KPI, hour: datetime, table: str) -> None:
    """Write a batch's partial of one hour from a table, as it was written at first."""
    file = partials_file(kpi, hour, staging.name, staging.name)
    staging.add(file, f"SELECT *, '{staging.name}' AS batch FROM {table} WHERE {of_hour(hour)}")


def add_rejects(staging: Staging, feed: Feed, hour: datetime) -> None:
    """Write a batch's rejects from the table ``rejects`` to a file of its own in an hour (start, UTC)."""
    staging.add_rejects(feed, hour, [staging.name], f"SELECT *, '{staging.name}' AS batch FROM rejects")


def add_records(
    staging: Staging, feed: Feed, hour: datetime, records: Rows, connection: duckdb.DuckDBPyConnection
) -> None:
    """Write a batch's records of one hour, as they were written at first."""
    columns = {"interval_start": quoted(RECORD_START)} | archived_columns(feed) | {"batch": f"'{staging.name}'"}
    rows = f"SELECT {aliased(columns)} FROM ({records.query}) WHERE {of_hour(hour, RECORD_START)}"
    with records.registered(connection):
        staging.add(records_file(feed, hour, staging.name), f"{rows}{by_time(feed)}")


def load_records(lake: Lake, connection: duckdb.DuckDBPyConnection, feed: Feed, file: LakeFile) -> None:
    """Load a file of archived records into the connection's table ``records``, with the feed's column types."""
    columns = {RECORD_START: "interval_start"} | {
        column.name: f"CAST({quoted(name)} AS {column.type.sql_type})"
        for name, column in zip(archived_columns(feed), feed.record_columns, strict=True)
    }
    with lake.tables({file.path: PartialFile(Expected.of(file))}) as (rows,):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE records AS SELECT {aliased(columns)} FROM {rows}")


def sources_in(files: Mapping[tuple[str, str], FoundFile]) -> Sources:
    """Return a function that looks files up in a listing, by feed and name."""
    return lambda feed, names: [files[feed.name, name] for name in sorted(names) if (feed.name, name) in files]
