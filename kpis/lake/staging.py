"""Staging: the files of a batch or a compaction are written aside, and then put into place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import partial_kpis
from kpis.engine.aggregate import Partials
from kpis.lake.errors import translate_errors
from kpis.lake.layout import STAGING, LakeFile, archived_columns, partials_file, records_file, rejects_file

if TYPE_CHECKING:
    from kpis.lake.lake import Lake

PLAN = "plan.json"
# A partial over more hours is written in one pass, if it has few enough rows to be sorted in memory.
FEW_HOURS = 4
ROWS_A_PASS = 500_000
# SQL for the number of hours from 1970 to the hour of a row.
HOUR_NUMBER = "date_diff('hour', TIMESTAMP '1970-01-01', interval_start)"


class Staging:
    """Files that are written aside; ``publish`` puts them into place.

    While one is written, those before it are digested and synced.
    """

    def __init__(self, lake: Lake, name: str, folder: PurePosixPath | None = None):
        self.name = name
        self._lake, self._storage = lake, lake.storage
        self._folder = folder or STAGING / name
        self._written: dict[Path, Future[LakeFile]] = {}
        self._adopted: dict[PurePosixPath, LakeFile] = {}
        with self._translate_errors():
            self._aside = self._storage.aside(self._folder)

    def add_batch(
        self,
        feed: Feed,
        intervals: Collection[datetime],
        partials: Mapping[int, Partials],
        moment: datetime,
        with_rejects: bool,
        with_records: bool,
    ) -> None:
        """Write what the lake keeps of a batch: its partials by KPI id, its rejects and, where wanted, its records.

        ``intervals`` are the starts (UTC) of those that it has records in. The rejects go to the hour of the first of
        them, or of ``moment`` (UTC) if there is none.
        """
        hours = sorted({ONE_HOUR.floor(start) for start in intervals})
        for kpi in partial_kpis(feed) if hours else []:
            (table,) = partials[kpi.id]
            self.add_partial(kpi, table, hours)
        if with_rejects:
            self.add_rejects(feed, min(intervals, default=moment))
        if with_records:
            self.add_records(feed, hours)

    def add_partial(self, kpi: KPI, table: str, hours: Collection[datetime]) -> None:
        """Write a KPI's partial from a table, one file for each hour (start, UTC), in its order and with the key."""
        self._add_hours(table, hours, lambda hour: partials_file(kpi, hour, self.name, self.name))

    def add_records(self, feed: Feed, hours: Collection[datetime]) -> None:
        """Write the records in the connection's table ``records``, one file for each hour (start, UTC), by time."""
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in archived_columns(feed).items())
        self._add_hours(
            "records",
            hours,
            lambda hour: records_file(feed, hour, self.name),
            f"interval_start, {columns}",
            f' ORDER BY interval_start, "{feed.moment.column}"',
        )

    def _add_hours(
        self,
        table: str,
        hours: Collection[datetime],
        file_of: Callable[[datetime], LakeFile],
        columns: str = "*",
        order: str = "",
    ) -> None:
        """Write a table's rows, one file for each hour (start, UTC), with the key."""
        rows = f"SELECT {columns}, '{self.name}' AS batch"
        if len(hours) > FEW_HOURS and self._lake.count(table) <= ROWS_A_PASS:
            folder = self._aside / "hours"
            self._lake.write(folder, f"{rows}, {HOUR_NUMBER} AS hour_number FROM {table}{order}", by="hour_number")
            for hour in hours:
                (found,) = (folder / f"hour_number={int(hour.timestamp()) // 3600}").iterdir()
                self._seal(found.rename(self._new()), file_of(hour))
            shutil.rmtree(folder)
            return
        for hour in hours:
            end = hour + ONE_HOUR.delta
            within = f" WHERE interval_start >= {_timestamp(hour)} AND interval_start < {_timestamp(end)}"
            self.add(file_of(hour), f"{rows} FROM {table}{within if len(hours) > 1 else ''}{order}")

    def _new(self) -> Path:
        return self._aside / f"{len(self._written)}.parquet"

    def _seal(self, written: Path, file: LakeFile) -> None:
        self._written[written] = self._lake.sealed(written, file)

    def add_rejects(self, feed: Feed, moment: datetime) -> None:
        """Write the rejects in the connection's table ``rejects`` to the hour of the moment (UTC)."""
        query = f"SELECT '{self.name}' AS batch, line, \"column\", reason, text FROM rejects ORDER BY line"
        self.add(rejects_file(feed, moment, self.name), query)

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
            published = [
                *(replace(file, etag=self._storage.put(place, file.path)) for place, file in written.items()),
                *(replace(file, etag=self._storage.move(place, file.path)) for place, file in self._adopted.items()),
            ]
            self._storage.sync()
        self._lake.verifier.trust(written.values())
        return published

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


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"
