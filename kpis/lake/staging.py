"""Staging: the files of a batch or a compaction are written aside, and then put into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import RECORD_START, aliased, quoted
from kpis.engine.table import TableColumn, one_text, registered
from kpis.lake.errors import translate_errors
from kpis.lake.layout import (
    STAGING,
    LakeFile,
    archived_columns,
    by_time,
    partials_file,
    records_file,
    rejects_file,
)

if TYPE_CHECKING:
    import duckdb

    from kpis.lake.lake import Lake

PLAN = "plan.json"
# More hours are written several in a pass, as many as have few enough rows to be sorted in memory.
FEW_HOURS = 4
ROWS_A_PASS = 500_000
# Files of so few rows are written without DuckDB, which makes larger ones smaller.
FEW_ROWS = 10_000
# Records that are in memory are, too: their texts have dictionaries already, of which DuckDB would make Python's texts.
MOST_RECORDS = 500_000
# SQL for the number of hours from 1970 to the hour of a row.
HOUR_NUMBER = "date_diff('hour', TIMESTAMP '1970-01-01', interval_start)"


@dataclass(frozen=True)
class Rows:
    """Rows to write: SQL that selects them; of partials, each with the key of its ``batch``.

    The SQL may name tables that are in memory (``columns``, by name), which are ``registered`` while it is executed;
    ``size`` is about how many bytes these take. The rows may be ``in_order`` already.
    """

    query: str
    columns: Mapping[str, Mapping[str, TableColumn]] = field(default_factory=dict)
    in_order: bool = False
    size: int = 0
    # The same rows, in the order of time, if they are in memory.
    table: Mapping[str, TableColumn] | None = None

    @contextmanager
    def registered(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let queries read the tables that are in memory."""
        with ExitStack() as stack:
            for name, columns in self.columns.items():
                stack.enter_context(registered(connection, name, columns))
            yield


class Staging:
    """Files that are written aside; ``publish`` puts them into place.

    While one is written, those before it are digested and synced. ``placed`` are adopted files that are in place, by
    where they were aside.
    """

    def __init__(self, lake: Lake, name: str, folder: PurePosixPath | None = None):
        self.name = name
        self.placed: dict[PurePosixPath, LakeFile] = {}
        self._lake, self._storage = lake, lake.storage
        self._folder = folder or STAGING / name
        self._written: dict[Path, Future[LakeFile]] = {}
        self._adopted: dict[PurePosixPath, LakeFile] = {}
        with self._translate_errors():
            self._aside = self._storage.aside(self._folder)

    def add_partials(self, kpi: KPI, rows: Collection[Rows], hours: Mapping[datetime, Collection[str]]) -> None:
        """Write a KPI's partials, one file for each hour (start, UTC), in the rows' order.

        ``hours`` has the keys of the batches with rows in it; the file of only one of them has its name.
        """

        def file_of(hour: datetime) -> LakeFile:
            own = min(hours[hour]) if len(hours[hour]) == 1 else ""
            return partials_file(kpi, hour, own or self.name, own)

        tables = [one.table for one in rows]
        if len(tables) == 1 and tables[0] is not None and self._add_table(tables[0], hours, FEW_ROWS, file_of):
            return
        with ExitStack() as stack:
            for some in rows:
                stack.enter_context(some.registered(self._lake.connection))
            self._add_hours(" UNION ALL BY NAME ".join(f"({some.query})" for some in rows), hours, file_of)

    def _add_table(
        self,
        table: Mapping[str, TableColumn],
        hours: Mapping[datetime, Collection[str]],
        most_rows: int,
        file_of: Callable[[datetime], LakeFile],
    ) -> bool:
        """Write a table in memory, one file for each hour (start, UTC), unless one has more rows; then return False."""
        # As in the layers above, not before there is something to write.
        from kpis.lake.parquet import rows_between, write_table

        ordered = sorted(hours)
        parts = [rows_between(table, "interval_start", hour, hour + ONE_HOUR.delta) for hour in ordered]
        if max((part.stop - part.start for part in parts), default=0) > most_rows:
            return False
        for hour, part in zip(ordered, parts, strict=True):
            rows = {name: column[part] for name, column in table.items()}
            written, keys = self._new(), hours[hour]
            with translate_errors(str(written)):
                write_table(written, rows, {"batches": _listed(keys)} if len(keys) > 1 else {})
            self._seal(written, file_of(hour))
        return True

    def add_records(self, feed: Feed, hours: Collection[datetime], key: str, records: Rows) -> None:
        """Write a batch's records, one file for each hour (start, UTC), by time."""
        keys = {hour: [key] for hour in hours}
        if records.table is not None:
            table = dict(zip(["interval_start", *archived_columns(feed)], records.table.values(), strict=True))
            table["batch"] = one_text(key, len(table["interval_start"]))
            if self._add_table(table, keys, MOST_RECORDS, lambda hour: records_file(feed, hour, key)):
                return
        columns = {"interval_start": quoted(RECORD_START)} | archived_columns(feed) | {"batch": f"'{key}'"}
        with records.registered(self._lake.connection):
            self._add_hours(
                f"SELECT {aliased(columns)} FROM ({records.query})",
                keys,
                lambda hour: records_file(feed, hour, key),
                "" if records.in_order else by_time(feed),
            )

    def _add_hours(
        self,
        query: str,
        hours: Mapping[datetime, Collection[str]],
        file_of: Callable[[datetime], LakeFile],
        order: str = "",
    ) -> None:
        """Write a query's rows, one file for each hour (start, UTC), with the keys of its batches if it has several."""
        for some in self._passes(query, hours):
            end = some[-1] + ONE_HOUR.delta
            within = f" WHERE interval_start >= {_timestamp(some[0])} AND interval_start < {_timestamp(end)}"
            rows = f"FROM ({query}){within if len(hours) > 1 else ''}{order}"
            several = {key for hour in some if len(hours[hour]) > 1 for key in hours[hour]}
            if len(some) == 1:
                self.add(file_of(some[0]), f"SELECT * {rows}", _listed(several))
                continue
            folder = self._aside / "hours"
            self._lake.write(folder, f"SELECT *, {HOUR_NUMBER} AS hour_number {rows}", _listed(several), "hour_number")
            for hour in some:
                (found,) = (folder / f"hour_number={_hour_number(hour)}").iterdir()
                self._seal(found.rename(self._new()), file_of(hour))
            shutil.rmtree(folder)

    def _passes(self, query: str, hours: Collection[datetime]) -> Iterator[list[datetime]]:
        """Yield the hours in order, those together that are written in one pass over a query's rows."""
        if len(hours) <= FEW_HOURS:
            yield from ([hour] for hour in sorted(hours))
            return
        rows = self._lake.rows_by(query, HOUR_NUMBER)
        some: list[datetime] = []
        size = 0
        for hour in sorted(hours):
            size += rows[_hour_number(hour)]
            if some and size > ROWS_A_PASS:
                yield some
                some, size = [], rows[_hour_number(hour)]
            some.append(hour)
        yield some

    def _new(self) -> Path:
        return self._aside / f"{len(self._written)}.parquet"

    def _seal(self, written: Path, file: LakeFile) -> None:
        self._written[written] = self._lake.sealed(written, file)

    def add_rejects(self, feed: Feed, moment: datetime, keys: Collection[str], rows: str) -> None:
        """Write rejects of the batches with the keys, which SQL selects, to one file of the hour of a moment (UTC)."""
        query = f'SELECT batch, line, "column", reason, text FROM ({rows}) ORDER BY batch, line'
        self.add(rejects_file(feed, moment, keys), query, _listed(keys) if len(keys) > 1 else "")

    def add(self, file: LakeFile, query: str, batches: str = "") -> None:
        """Write a query's rows to a file; ``batches``, comma-separated keys, go into its metadata."""
        written = self._new()
        self._lake.write(written, query, batches)
        self._seal(written, file)

    def publish(self, replaces: Iterable[PurePosixPath]) -> list[LakeFile]:
        """Put the files into place and sync them; return them as the ledger is to keep them.

        ``replaces`` are removed once the ledger refers to the new ones. Raises LakeError.
        """
        with self._translate_errors():
            written = {place: sealed.result() for place, sealed in self._written.items()}
            added = [*written.values(), *self._adopted.values()]
            self._write_plan([*(file.path for file in added), *replaces])
            published = [replace(file, etag=self._storage.put(place, file.path)) for place, file in written.items()]
            for place, file in self._adopted.items():
                # Those in place already are a refused group's.
                etag = file.etag if place == file.path else self._storage.move(place, file.path)
                self.placed[place] = replace(file, etag=etag)
            self._storage.sync()
        self._lake.verifier.trust(written.values())
        return [*published, *self.placed.values()]

    def put_aside(self) -> dict[PurePosixPath, LakeFile]:
        """Put the files into the staging's folder of the tree, for another process to ``adopt``.

        Returns the place of each, and its final form.
        """
        with self._translate_errors():
            put = {self._folder / place.name: (place, sealed.result()) for place, sealed in self._written.items()}
            for path, (place, _) in put.items():
                self._storage.put(place, path)
        return {path: file for path, (_, file) in put.items()}

    def adopt(self, aside: Mapping[PurePosixPath, LakeFile]) -> None:
        """Take over files that another process put aside, as ``put_aside`` returns them."""
        self._adopted.update(aside)

    def _write_plan(self, paths: Iterable[PurePosixPath]) -> None:
        self._storage.write(self._folder / PLAN, json.dumps([str(path) for path in paths]))

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_errors(self._storage.url(self._folder))


def _listed(keys: Collection[str]) -> str:
    return ",".join(sorted(keys))


def _hour_number(hour: datetime) -> int:
    """Return HOUR_NUMBER of the rows of an hour (start, UTC)."""
    return int(hour.timestamp()) // 3600


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
