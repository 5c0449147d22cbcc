"""SQL over the lake: DuckDB views of its tables, limited to the rows that the ledger counts.

The views, by name:

- one per feed (``antenna``): its archived records;
- one per KPI (``AppTrafficVolume``): the values of all groups in the feed's own intervals, merged from the partials;
- one per KPI's partials (``AppTrafficVolume_partials``): from which values of any longer span can be merged;
- one per reference (``cells``): its versions in the database, for the attributes of partials;
- ``rejects``, and ``batches``, the ledger.

Each has ``year``, ``month``, ``day``, ``hour`` and ``hour_start``, which come from the folders' names: a condition on
these reads only the folders that it needs. A KPI that is joined with a reference table cannot be computed from the lake
alone, nor one by attributes: their views have the rows in the database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import duckdb
import pandas as pd
from duckdb.sqltypes import DuckDBPyType

from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.references import VALID_FROM, VALID_TO, ReferenceTable
from kpis.catalog.registry import FEEDS, KPIS, REFERENCES, partial_kpis
from kpis.catalog.result_columns import Fraction, Label, WholeNumber
from kpis.catalog.sql import listed, quoted
from kpis.engine.aggregate import finished_groups, groups_of_partials
from kpis.engine.folding import add_fold
from kpis.engine.scratch import ScratchError, scratch
from kpis.lake import HOUR_FOLDERS, Lake, LakeError, LakeFile, translate_errors
from kpis.lake.tables import LakeTable, empty, escaped, literal, partials_table, records_table, rejects_table, scan_of
from kpis.storage import Address, Storage, storage_at

# The table of the ledger's batches: columns with their types in DuckDB.
BATCH_COLUMNS = {
    "feed": "VARCHAR",
    "name": "VARCHAR",
    "status": "VARCHAR",
    "reason": "VARCHAR",
    "key": "VARCHAR",
    "size": "BIGINT",
    "lines": "BIGINT",
    "records": "BIGINT",
    "rejects": "BIGINT",
    "revision": "INTEGER",
    "taken_in_at": "TIMESTAMP",
}
# The types of values that the database has.
_TYPES = {WholeNumber: "BIGINT", Fraction: "DOUBLE", Label: "VARCHAR"}
ROWS_A_FETCH = 1000
# DuckDB's names of types of moments, and of nested types.
ZONED = "timestamp with time zone"
MOMENTS = ("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns", ZONED)
NESTED = ("list", "array", "struct", "map")
MOMENT = re.compile(r"([0-9]{4,}-[0-9]{2}-[0-9]{2}) ([0-9:.]+)(?:\+00)?")
EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE\b|\s*\([^)]*\))?", re.IGNORECASE)


class QueryError(Exception):
    """A query that cannot be answered; the message gives the reason."""


class LedgerTables(Protocol):
    """The ledger's data for the views. Moments are UTC, in frames without a zone."""

    def batches(self, feeds: Collection[str]) -> Iterable[pd.DataFrame]:
        """Yield the feeds' batches, in frames of bounded length with the columns of ``BATCH_COLUMNS``."""

    def lacking(self, kpi: KPI) -> Collection[datetime]:
        """Yield the starts of the intervals in which a batch lacks the KPI's partial, as it is older than the KPI."""

    def files(self, folder: PurePosixPath) -> Iterable[LakeFile]:
        """Return the files below a table's folder that count, in the order of their paths."""

    def versions(self, reference: ReferenceTable) -> Iterable[pd.DataFrame]:
        """Yield the versions of a reference: its key, ``valid_from``, ``valid_to``, its texts and its place."""

    def rows(self, kpi: KPI) -> Iterable[pd.DataFrame]:
        """Yield a KPI's rows as the database has them: ``interval_start``, ``interval_end``, dimensions and values."""


@dataclass(frozen=True)
class Answer:
    """The result of a query: the names and DuckDB types of its columns, and its rows, fetched on demand."""

    names: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


def view_names() -> list[str]:
    """Return the views that a query can read, in the order of the module's docstring."""
    kpis = [kpi.name for kpi in KPIS.values()]
    partials = [partials_table(kpi).name for kpi in partial_kpis()]
    return [*FEEDS, *kpis, *partials, *REFERENCES, "rejects", "batches"]


@contextmanager
def answered(
    query: str, lake_dir: Address, ledger: LedgerTables, memory_limit_mb: int = 800, as_text: bool = False
) -> Iterator[Answer]:
    """Answer a query (one SELECT, or EXPLAIN of one) over the views; raises QueryError, also while it is read.

    The query can read the lake's files, and no others; it can write none. Moments are datetimes in UTC without a zone.
    ``as_text`` returns moments (ISO 8601, UTC), days and spans of time as text, since Python's types lack some of them:
    infinities, years beyond 9999, nanoseconds, months.
    """
    with _translate_errors(), _connected(query, lake_dir, ledger, memory_limit_mb) as connection:
        names, types = _columns_of(connection, query)
        casts = [cast_to(type_, as_text) for type_ in types]
        if any(casts):
            query = _with_casts(connection, query, casts)
        result = connection.execute(query)
        rows = _fetched(result)
        if as_text and any(casts):
            rows = (tuple(map(_with_moments, row, types)) for row in rows)
        yield Answer(names, [str(type_) for type_ in types], rows)


def write_parquet(query: str, path: Path, lake_dir: Address, ledger: LedgerTables, memory_limit_mb: int = 800) -> None:
    """Write a query's answer to a Parquet file, which appears once it is complete; raises QueryError."""
    part = path.absolute().with_name(f"{path.name}.part")
    try:
        with _translate_errors(), _connected(query, lake_dir, ledger, memory_limit_mb, may_write=part) as connection:
            connection.sql(query).write_parquet(str(part), compression="zstd")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _connected(
    query: str, lake_dir: Address, ledger: LedgerTables, memory_limit_mb: int, may_write: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection with the views that the query names, which can then access only the lake."""
    with scratch() as folder, _opened(lake_dir, folder) as storage:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_limit_mb}MB",
            "temp_directory": str(folder / "spill"),
            "python_enable_replacements": False,
            # No extension is loaded because a query names it.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(config=config) as connection:
            add_fold(connection)
            _check(connection, query)
            # Before the connection can read a bucket, as listing the files there keeps Python waiting.
            names = _names_in(connection, query)
            storage.open_to(connection)
            _Views(connection, Lake(storage, lambda: connection), ledger).create(names)
            root = storage.url(PurePosixPath())
            # The second is the location as the readers get it, escaped if it looks like a pattern.
            connection.execute("SET allowed_directories = ?", [[root, escaped(root)]])
            connection.execute("SET allowed_paths = ?", [[str(may_write)] if may_write else []])
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            yield connection


@contextmanager
def _opened(lake_dir: Address, folder: Path) -> Iterator[Storage]:
    """Open the lake's storage; translate its errors, which say more than DuckDB's."""
    with translate_errors(str(lake_dir)):
        storage = storage_at(lake_dir, folder)
    try:
        yield storage
    except duckdb.Error:
        with translate_errors(str(lake_dir)):
            storage.raise_failure()
        raise


class _Views:
    """Creates the views in a connection; their names are case-insensitive."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, lake: Lake, ledger: LedgerTables):
        self._connection = connection
        self._lake = lake
        self._ledger = ledger

    def create(self, names: Collection[str]) -> None:
        """Create the views of these names, and the table of batches of their feeds."""
        feeds = [feed for feed in FEEDS.values() if feed.name in names]
        kpis = [kpi for kpi in KPIS.values() if kpi.name in names]
        partials = [kpi for kpi in partial_kpis() if partials_table(kpi).name in names]
        if {"rejects", "batches"} & set(names):
            ledgers = set(FEEDS)
        else:
            ledgers = {feed.name for feed in feeds} | {kpi.feed.name for kpi in [*kpis, *partials]}
        self._load("batches", BATCH_COLUMNS, self._ledger.batches(ledgers))
        self._connection.execute("CREATE SCHEMA of_views")
        for feed in feeds:
            self._view(feed.name, self._counted(records_table(feed), feed))
        for kpi in kpis:
            self._view(kpi.name, self._stored(kpi) if kpi.is_joined else self._figures(kpi))
        for kpi in partials:
            self._view(partials_table(kpi).name, self._counted(partials_table(kpi), kpi.feed))
        for reference in REFERENCES.values():
            if reference.name in names:
                self._load(quoted(reference.name), _version_columns(reference), self._ledger.versions(reference))
        if "rejects" in names:
            self._view("rejects", " UNION ALL ".join(self._rejects(feed) for feed in FEEDS.values()))

    def _figures(self, kpi: KPI) -> str:
        """Return SQL for a KPI's values, merged from its partials.

        Also grouped by the folders' columns, which changes no group, so that conditions on them reach the files.
        """
        source = f"({self._counted(partials_table(kpi), kpi.feed)})"
        lacking = sorted(self._ledger.lacking(kpi))
        if lacking:
            self._load(
                f"of_views.{kpi.name}_lacking", {"interval_start": "TIMESTAMP"}, [pd.DataFrame({"start": lacking})]
            )
            source += f" WHERE interval_start NOT IN (FROM of_views.{kpi.name}_lacking)"
        interval = {name: quoted(name) for name in ("interval_start", *HOUR_FOLDERS, "hour_start")}
        groups = groups_of_partials(kpi, source, interval, interval.values(), kpi.measure.merge)
        return f"""
            SELECT interval_start, interval_start + INTERVAL {kpi.feed.interval.minutes} MINUTES AS interval_end,
                {listed(kpi.columns)}, {listed(HOUR_FOLDERS)}, hour_start
            FROM ({finished_groups(kpi, groups, interval)})"""

    def _stored(self, kpi: KPI) -> str:
        """Return SQL for a KPI's rows in the database, after loading them."""
        types = {column.name: column.type for column in partials_table(kpi.source).columns}
        columns = {"interval_start": "TIMESTAMP", "interval_end": "TIMESTAMP"}
        columns |= {name: types.get(name, "VARCHAR") for name in kpi.dimensions}
        of_results = {one.name: one.type for one in kpi.result_columns}
        columns |= {name: _TYPES[type(of_results[name])] for name in kpi.measure.values}
        table = f"of_views.{quoted(kpi.name)}"
        self._load(table, columns, self._ledger.rows(kpi))
        folders = ", ".join(f"CAST({folder}(interval_start) AS INTEGER) AS {folder}" for folder in HOUR_FOLDERS)
        return f"SELECT *, {folders}, date_trunc('hour', interval_start) AS hour_start FROM {table}"

    def _rejects(self, feed: Feed) -> str:
        """Return SQL for a feed's rejects, with their files' names."""
        return f"""
            SELECT '{feed.name}' AS feed, batch, batches.name AS file_name, line, "column", rejected.reason, text,
                {", ".join(HOUR_FOLDERS)}, hour_start
            FROM ({self._counted(rejects_table(feed), feed)}) AS rejected JOIN batches ON batches.key = batch"""

    def _counted(self, table: LakeTable, feed: Feed) -> str:
        """Return SQL for a table's rows whose batch the ledger counts, from the files that it refers to.

        Raises DamagedFile if one of these is missing or has another size.
        """
        files = list(self._ledger.files(table.folder))
        rows = empty(table)
        if files:
            self._lake.verifier.check_sizes(table.folder, files)
            stale = self._lake.stale_keys(files)
            name = f"files_of_{table.name}"
            urls = [escaped(self._lake.storage.url(file.path)) for file in files if file.path not in stale]
            if urls:
                self._connection.execute(f'SET VARIABLE "{name}" = $1', [urls])
                rows = scan_of(f"getvariable('{name}')", table)
            for path, keys in stale.items():
                listed = ", ".join(f"'{key}'" for key in sorted(keys))
                one = scan_of(literal(escaped(self._lake.storage.url(path))), table)
                rows += f" UNION ALL BY NAME FROM ({one}) WHERE batch NOT IN ({listed})"
        return f"FROM ({rows}) WHERE batch IN (SELECT key FROM batches WHERE status = 'in' AND feed = '{feed.name}')"

    def _view(self, name: str, query: str) -> None:
        self._connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")

    def _load(self, table: str, columns: dict[str, str], frames: Iterable[pd.DataFrame]) -> None:
        """Create a table of the frames' rows."""
        columns_sql = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
        self._connection.execute(f"CREATE TABLE {table} ({columns_sql})")
        for frame in frames:
            self._connection.register("frame_to_load", frame)
            self._connection.execute(f"INSERT INTO {table} FROM frame_to_load")
            self._connection.unregister("frame_to_load")


def _version_columns(reference: ReferenceTable) -> dict[str, str]:
    """Return the columns of a reference's view with their types."""
    columns = {reference.key: "BIGINT" if reference.key_kind == "integer" else "VARCHAR"}
    columns |= {VALID_FROM: "TIMESTAMP", VALID_TO: "TIMESTAMP"} | dict.fromkeys(reference.texts, "VARCHAR")
    return columns | dict.fromkeys(reference.place or (), "DOUBLE")


def _columns_of(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[list[str], list[DuckDBPyType]]:
    """Return the names and types of a query's columns, without executing it."""
    statement = connection.extract_statements(query)[0]
    if statement.type == duckdb.StatementType.EXPLAIN:
        return ["explain_key", "explain_value"], [duckdb.type("VARCHAR")] * 2
    described = connection.sql(query)
    return list(described.columns), list(described.types)


def cast_to(type_: DuckDBPyType, as_text: bool) -> str | None:
    """Return the SQL type to which a column is cast before Python reads its values; None if no cast is needed."""
    kind, children = type_.id, dict(type_.children) if type_.id in NESTED else {}
    if kind in MOMENTS or kind in ("date", "interval"):
        if as_text:
            return "VARCHAR"
        return "TIMESTAMP" if kind == ZONED else None
    if kind == "union":
        return "VARCHAR"
    casts = {name: cast_to(child, as_text) for name, child in children.items() if isinstance(child, DuckDBPyType)}
    if not any(casts.values()):
        return None
    types = {name: cast or str(children[name]) for name, cast in casts.items()}
    match kind:
        case "struct":
            return f"STRUCT({', '.join(f'{quoted(name)} {cast}' for name, cast in types.items())})"
        case "map":
            return f"MAP({types['key']}, {types['value']})"
        case "array":
            return f"{types['child']}[{children['size']}]"
    return f"{types['child']}[]"


def _with_casts(connection: duckdb.DuckDBPyConnection, query: str, casts: list[str | None]) -> str:
    """Return SQL for a query's rows with columns cast, by their positions."""
    columns = [f"c{number}" for number in range(len(casts))]
    # A view accepts the query whatever ends it, and its columns whatever their names.
    connection.execute(f"CREATE TEMP VIEW query_to_cast({', '.join(columns)}) AS {query}")
    expressions = [f"CAST({column} AS {cast})" if cast else column for column, cast in zip(columns, casts, strict=True)]
    return f"SELECT {', '.join(expressions)} FROM query_to_cast"


def _with_moments(value: Any, type_: Any) -> Any:
    """Return a value whose moments are text in DuckDB's format, with them in ISO 8601."""
    if value is None:
        return None
    if type_.id in MOMENTS:
        found = MOMENT.fullmatch(value)
        return f"{found[1]}T{found[2]}Z" if found else value
    if type_.id not in NESTED:
        return value
    children = dict(type_.children)
    match type_.id:
        case "struct":
            return {name: _with_moments(one, children[name]) for name, one in value.items()}
        case "map" if value.keys() == {"key", "value"} and isinstance(value["key"], list):
            # Values that Python cannot use as keys.
            return {name: [_with_moments(one, children[name]) for one in value[name]] for name in ("key", "value")}
        case "map":
            return {
                _with_moments(key, children["key"]): _with_moments(one, children["value"]) for key, one in value.items()
            }
    return [_with_moments(one, children["child"]) for one in value]


def _check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise QueryError unless the query only reads."""
    statements = connection.extract_statements(query)
    if len(statements) == 1 and statements[0].type == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE executes what it explains.
        statements = connection.extract_statements(EXPLAIN.sub("", query, count=1))
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryError("Give one SELECT: the lake can be read here, and nothing written.")


def _names_in(connection: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    """Return the names of the views that a query reads; all views if it reads other tables or cannot be analysed."""
    known = {name.lower(): name for name in view_names()}
    try:
        found = {name.strip('"').lower() for name in connection.get_table_names(EXPLAIN.sub("", query, count=1))}
    except duckdb.Error:
        found = set()
    return {known[name] for name in found} if found and found <= set(known) else set(known.values())


def _fetched(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(ROWS_A_FETCH):
        yield from rows


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.CatalogException as error:
        known = f"\nThe views are {', '.join(view_names())}." if "Table with name" in str(error) else ""
        raise QueryError(f"{error}{known}") from error
    except duckdb.IOException as error:
        raise QueryError(f"{error}\nWhere a run has changed the lake meanwhile, ask again.") from error
    except (duckdb.Error, ScratchError, LakeError) as error:
        raise QueryError(str(error)) from error
