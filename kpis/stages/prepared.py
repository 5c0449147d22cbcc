"""A prepared batch: the output of ``prepare``, and what is committed, alone or with others in a group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import partial_kpis
from kpis.catalog.sql import quoted
from kpis.engine.aggregate import Partials
from kpis.engine.file_reader import Reject
from kpis.engine.live import LiveCounts
from kpis.engine.table import Columns, Texts, joined, registered
from kpis.lake import LakeFile, Rows, Staging
from kpis.stages.ledger import Entry
from kpis.stages.options import Options

if TYPE_CHECKING:
    import duckdb

# Larger tables in memory are not joined, as that copies them.
SMALL_ROWS = 10_000
# The column that says of which of the group's batches a row is.
NUMBER = "batch number"
# The records of the batch that was read last, where the bulk reader read it.
RECORDS_TABLE = Rows("FROM records")


@dataclass(frozen=True)
class Prepared:
    """A parsed and aggregated batch: its entry, its first rejects and, unless it failed, its partials by KPI id.

    ``rejects`` is SQL for a table, and ``records`` are the rows to archive, if those of its feed are archived. With a
    ``number``, the rejects, and the partials that are not in memory, are those rows of tables that it shares with
    others which have that number. ``written`` maps files that a cluster's executor wrote to the lake's staging to what
    they become in the lake; then there are no partials here. Of a stream's batch, ``newest`` is the newest of its
    records' times (UTC) that are not ahead of the clock, and ``live`` counts its messages for the live page.
    """

    entry: Entry
    first_rejects: list[Reject] = field(default_factory=list)
    partials: Mapping[int, Partials] = field(default_factory=dict)
    written: Mapping[PurePosixPath, LakeFile] | None = None
    newest: datetime | None = None
    live: LiveCounts | None = None
    rejects: str = "rejects"
    records: Rows = RECORDS_TABLE
    number: int | None = None

    @contextmanager
    def partial(self, connection: duckdb.DuckDBPyConnection, kpi_id: int) -> Iterator[str]:
        """Let queries read a KPI's partial; yield its table."""
        ((table, columns),) = self.partials[kpi_id].items()
        with nullcontext(table) if columns is None else registered(connection, table, columns) as name:
            yield name


@dataclass(frozen=True)
class Source:
    """A table of partials: its SQL, its columns if they are in memory, and SQL for the key of a row's batch.

    ``keys`` are those of the batches in memory, of which NUMBER has the place if there are several.
    """

    table: str
    columns: Columns | None
    batch: str
    keys: tuple[str, ...] = ()

    @property
    def rows(self) -> Rows:
        """The rows to write into the lake."""
        without = f" EXCLUDE ({quoted(NUMBER)})" if NUMBER in self.batch else ""
        query = f"SELECT *{without}, {self.batch} AS batch FROM {self.table}"
        if self.columns is None:
            return Rows(query)
        places = self.columns.get(NUMBER, np.zeros(len(self.columns["interval_start"]), dtype=np.int32))
        table = {name: column for name, column in self.columns.items() if name != NUMBER}
        return Rows(query, {self.table: self.columns}, table=table | {"batch": Texts(self.keys, places)})


def sources(batches: Sequence[Prepared], kpi_id: int) -> list[Source]:
    """Return the tables of a KPI's partials of several batches, as few as can be."""
    found: list[Source] = []
    small: list[tuple[str, Columns]] = []
    shared: dict[str, dict[int, str]] = defaultdict(dict)
    for batch in batches:
        key = batch.entry.key
        for table, columns in batch.partials.get(kpi_id, {}).items():
            if columns is not None and len(columns["interval_start"]) <= SMALL_ROWS:
                small.append((key, columns))
            elif columns is not None or batch.number is None:
                name = table if columns is None else f"partial_{kpi_id}_{len(found)}"
                found.append(Source(name, columns, f"'{key}'", () if columns is None else (key,)))
            else:
                shared[table][batch.number] = key
    if small:
        found.append(_joined(small, f"partial_{kpi_id}_joined"))
    for table, keys in shared.items():
        found.append(Source(_rows_of(keys, table), None, _key_of(keys)))
    return found


def _joined(tables: list[tuple[str, Columns]], name: str) -> Source:
    """Return one table in memory of several, each of one batch (its key); sorted by time, as each of them is."""
    if len(tables) == 1:
        return Source(name, tables[0][1], f"'{tables[0][0]}'", (tables[0][0],))
    columns = joined([columns for _, columns in tables])
    counts = [len(one["interval_start"]) for _, one in tables]
    columns[NUMBER] = np.repeat(np.arange(len(tables), dtype=np.int32), counts)
    starts = columns["interval_start"]
    if (starts[1:] < starts[:-1]).any():
        order = np.argsort(starts, kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
    listed = ", ".join(f"'{key}'" for key, _ in tables)
    return Source(name, columns, f"[{listed}][{quoted(NUMBER)} + 1]", tuple(key for key, _ in tables))


def rejects_of(batches: Collection[Prepared]) -> str:
    """Return SQL for the rejects of batches, each with the key of its batch."""
    queries: list[str] = []
    shared: dict[str, dict[int, str]] = defaultdict(dict)
    for one in batches:
        if one.number is None:
            queries.append(f"SELECT *, '{one.entry.key}' AS batch FROM {one.rejects}")
        else:
            shared[one.rejects][one.number] = one.entry.key
    for table, keys in shared.items():
        queries.append(f"SELECT * EXCLUDE ({quoted(NUMBER)}), {_key_of(keys)} AS batch FROM {_rows_of(keys, table)}")
    return " UNION ALL BY NAME ".join(queries)


def _rows_of(keys: Mapping[int, str], table: str) -> str:
    """Return SQL for a shared table's rows of the batches with the numbers."""
    return f"(FROM {table} WHERE {quoted(NUMBER)} IN ({', '.join(map(str, keys))}))"


def _key_of(keys: Mapping[int, str]) -> str:
    """Return SQL for the key of a shared table's row, by the number of its batch."""
    mapped = ", ".join(f"{number}: '{key}'" for number, key in keys.items())
    return f"map {{{mapped}}}[{quoted(NUMBER)}]"


def stage(batches: Collection[Prepared], found: Mapping[int, list[Source]], staging: Staging, options: Options) -> None:
    """Add to a staging what the lake keeps of batches of one feed, or adopt what an executor wrote for them.

    ``found`` has the tables of their partials by KPI id. The rejects go to the hour of the first of the intervals that
    a batch has records in; if it has none, to a file of its own in the hour of its age.
    """
    hours: dict[datetime, list[str]] = defaultdict(list)
    rejected: dict[datetime, list[Prepared]] = defaultdict(list)
    for one in batches:
        if one.written is not None:
            staging.adopt(one.written)
            continue
        entry, feed = one.entry, one.entry.file.feed
        own = sorted({ONE_HOUR.floor(start) for start in entry.intervals})
        for hour in own:
            hours[hour].append(entry.key)
        if entry.rejects and entry.intervals:
            rejected[ONE_HOUR.floor(min(entry.intervals))].append(one)
        elif entry.rejects:
            staging.add_rejects(feed, entry.file.age_key[0], [entry.key], rejects_of([one]))
        if feed.name in options.archive_feeds:
            staging.add_records(feed, own, entry.key, one.records)
    feed = next(iter(batches)).entry.file.feed
    for hour, some in sorted(rejected.items()):
        staging.add_rejects(feed, hour, [one.entry.key for one in some], rejects_of(some))
    if hours:
        for kpi in partial_kpis(feed):
            staging.add_partials(kpi, [one.rows for one in found[kpi.id]], dict(sorted(hours.items())))
