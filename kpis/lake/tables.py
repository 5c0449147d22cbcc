"""The lake's tables in SQL: columns, types and units, and the scan that reads each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import PurePosixPath

import duckdb

from kpis.catalog.dimensions import SPELLED
from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.catalog.sql import RECORD_START, aliased, listed, quoted
from kpis.engine.folding import add_fold
from kpis.lake import HOUR_FOLDERS, archived_columns, translate_errors
from kpis.storage import Storage

HOUR_START = "make_timestamp(year, month, day, hour, 0, 0)"
FILES = "/".join(f"{folder}=*" for folder in HOUR_FOLDERS) + "/*.parquet"


@dataclass(frozen=True)
class LakeColumn:
    """A column of the lake's files: its name, its type in DuckDB, and its unit, range or meaning ("" for none)."""

    name: str
    type: str
    unit: str = ""


@dataclass(frozen=True)
class LakeTable:
    """Files of one kind: their folder below the lake's root, which has a folder for each hour, and their columns."""

    name: str
    description: str
    folder: PurePosixPath
    columns: tuple[LakeColumn, ...]


@cache
def records_table(feed: Feed) -> LakeTable:
    """Return the table of a feed's archived records."""
    units = {name: column.kept_note for name, column in zip(archived_columns(feed), feed.record_columns, strict=True)}
    with _typed_records(feed) as connection:
        selected = {"interval_start": quoted(RECORD_START)} | archived_columns(feed) | {"batch": "''"}
        columns = _described(connection, f"SELECT {aliased(selected)} FROM records", units)
    return LakeTable(feed.name, feed.description, PurePosixPath("records", feed.name), columns)


@cache
def partials_table(kpi: KPI) -> LakeTable:
    """Return the table of a KPI's partials."""
    units = {dimension.name: dimension.unit(kpi.feed) for dimension in kpi.by}
    units |= kpi.measure.partial_units(kpi.unit) | {SPELLED: "records"}
    with _typed_records(kpi.feed) as connection:
        columns = {"interval_start": quoted(RECORD_START)} | kpi.partial_keys | kpi.partial_values | {"batch": "''"}
        query = f"SELECT {aliased(columns)} FROM records GROUP BY ALL"
        described = _described(connection, query, units)
    personal = " (about single subscribers)" if kpi.personal else ""
    description = f"Partials of: {kpi.description}{personal}"
    return LakeTable(f"{kpi.name}_partials", description, PurePosixPath("partials", kpi.name), described)


@cache
def rejects_table(feed: Feed) -> LakeTable:
    """Return the table of a feed's rejected rows."""
    columns = (
        LakeColumn("batch", "VARCHAR", "key of the batch"),
        LakeColumn("line", "BIGINT", "number of the line in the file, from 1"),
        LakeColumn("column", "VARCHAR", "empty for the row as a whole"),
        LakeColumn("reason", "VARCHAR"),
        LakeColumn("text", "VARCHAR", "the row as it is written in the file"),
    )
    description = f"Rejects of the feed {feed.name}"
    return LakeTable(f"{feed.name}_rejects", description, PurePosixPath("rejects", feed.name), columns)


def lake_tables() -> list[LakeTable]:
    """Return all tables of the lake: each feed's records, each KPI's partials, each feed's rejects."""
    return [
        *(records_table(feed) for feed in FEEDS.values()),
        *(partials_table(kpi) for kpi in partial_kpis()),
        *(rejects_table(feed) for feed in FEEDS.values()),
    ]


def scan(location: str, table: LakeTable) -> str:
    """Return SQL for the rows of all of a table's files, below the lake's location; see ``scan_of`` for the columns."""
    return scan_of(literal(f"{escaped(location)}/{table.folder}/{FILES}"), table)


def scan_of(files: str, table: LakeTable) -> str:
    """Return SQL for the rows of a table's files, which an SQL expression for a text or a list of texts names.

    Has the table's columns, ``year``, ``month``, ``day``, ``hour`` (from the folders' names) and ``hour_start``.
    """
    columns = listed(column.name for column in table.columns)
    types = ", ".join(f"'{folder}': INTEGER" for folder in HOUR_FOLDERS)
    return (
        f"SELECT {columns}, {', '.join(HOUR_FOLDERS)}, {HOUR_START} AS hour_start "
        f"FROM read_parquet({files}, hive_partitioning = true, hive_types = {{{types}}})"
    )


def empty(table: LakeTable) -> str:
    """Return SQL for an empty table with the columns of ``scan``."""
    types = {column.name: column.type for column in table.columns} | dict.fromkeys(HOUR_FOLDERS, "INTEGER")
    types["hour_start"] = "TIMESTAMP"
    return f"SELECT {aliased({name: f'CAST(NULL AS {type_})' for name, type_ in types.items()})} WHERE false"


def scan_what_is_there(storage: Storage, table: LakeTable) -> str:
    """Return ``scan`` of a lake that this process can list, or ``empty`` if the lake has no file of the table.

    Raises LakeError.
    """
    with translate_errors(storage.url(table.folder)):
        there = any(path.match(FILES) for path, _ in storage.files(table.folder))
    return scan(storage.url(PurePosixPath()), table) if there else empty(table)


def hours_of(storage: Storage, table: LakeTable) -> Iterator[tuple[str, ...]]:
    """Yield the hours of which a lake has files of a table, in order, as in the folders' names.

    Each is year, month, day and hour, with leading zeros. Raises LakeError.
    """
    with translate_errors(storage.url(table.folder)):
        found = (path.parent for path, _ in storage.files(table.folder) if path.match(FILES))
        for folder, _ in groupby(found):
            yield tuple(part.partition("=")[2] for part in folder.parts[-len(HOUR_FOLDERS) :])


@contextmanager
def _typed_records(feed: Feed) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection whose table ``records`` has a feed's columns, and no rows."""
    with duckdb.connect() as connection:
        add_fold(connection)
        columns = "".join(f", {quoted(column.name)} {column.type.sql_type}" for column in feed.record_columns)
        connection.execute(f"CREATE TABLE records ({quoted(RECORD_START)} TIMESTAMP{columns})")
        yield connection


def _described(connection: duckdb.DuckDBPyConnection, query: str, units: dict[str, str]) -> tuple[LakeColumn, ...]:
    units = units | {"interval_start": "start of the interval, UTC", "batch": "key of the batch"}
    rows = connection.execute(f"DESCRIBE {query}").fetchall()
    return tuple(LakeColumn(name, type_, units.get(name, "")) for name, type_, *_ in rows)


def escaped(location: str) -> str:
    """Escape a location so that DuckDB's readers find no pattern in it."""
    return "".join(f"[{c}]" if c in "[*?" else c for c in location.rstrip("/"))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
