"""The lake: partials and rejects as Parquet files in one tree, a folder here or objects of a bucket.

A file's place depends only on the batch it came from: ``partials/<KPI>/year=/month=/day=/hour=/<key>.parquet``,
where the key names the batch and its content. The lake does not say which batches count: the ledger does, and
whoever reads partials passes the ledger's keys. So a file that lies here before its batch is in the ledger, or
after the batch was replaced, is never counted.

Nothing appears half-written: a batch's files are written aside, and then put into place, each whole or not at all: in
a folder they are renamed, in a bucket an object appears when the store has all of it. Beforehand
``staging/<key>/plan.json`` says which files will appear and which the batch replaces, so that the next run can tell
from the ledger which of them to remove after a broken one. In between some of a batch's files may be there and others
not: the ledger does not have it yet.

A closed hour's partials of a KPI are compacted to one file, ``compacted-<digest>.parquet``, whose ``batch`` column and
metadata tell whose rows it holds; a batch's own file, where there is one, goes before.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path, PurePosixPath

import duckdb

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.storage import Storage

STAGING = PurePosixPath("staging")
PLAN = "plan.json"
SUPERSEDED = "superseded.json"
COMPACTED = "compacted-"
COMPACTING = "compacting-"
# A table has two files, more where they are small: few enough that what one table holds fits into memory, and many
# enough that a query does not name too many tables, each of which takes memory.
FILES_A_TABLE = 2
MOST_FILES_A_TABLE = 256
TABLE_BYTES = 2**20
# A partial that lies over more hours is written in one pass, where it has few enough rows to be sorted out in memory.
FEW_HOURS = 4
ROWS_A_PASS = 500_000
# Half of what DuckDB takes by itself, and so half of the memory that a file takes while it is written.
ROW_GROUP = 61_440
HOUR_FOLDERS = ("year", "month", "day", "hour")
# SQL for the number of hours from 1970 to the hour of a row.
HOUR_NUMBER = "date_diff('hour', TIMESTAMP '1970-01-01', interval_start)"
MEND = (
    "Put it back from a backup; or put the batch's file back into the data folder with a blank line more at its end, "
    "so that it is taken in anew. The batch is the one whose key is the file's name; messages of a stream, whose "
    "batch is named topic/partition/offsets, come back from a backup alone."
)


class LakeError(Exception):
    """The lake cannot be read or written, or lacks a file; the message names the place and says why."""


class DamagedFile(LakeError):
    """One file of the lake is missing or damaged, and the others can be used."""

    def __init__(self, message: str, path: PurePosixPath, kind: str):
        super().__init__(message)
        self.path, self.kind = path, kind


@dataclass(frozen=True)
class PartialFile:
    """A file of partials: its size in bytes, and of a compacted one the keys of the batches to take from it."""

    size: int
    keys: frozenset[str] | None = None


class Lake:
    """The lake in a tree of files, read and written through a DuckDB connection."""

    def __init__(self, storage: Storage, connection: duckdb.DuckDBPyConnection):
        self.storage = storage
        self._connection = connection
        storage.open_to(connection)

    def stage(self, key: str, folder: PurePosixPath | None = None) -> Staging:
        """A place aside, in a folder of the tree where one is named, for the files of the batch with this key.

        Raises LakeError.
        """
        return Staging(self, key, folder)

    @contextmanager
    def partials(self, kpi: KPI, hours: Mapping[datetime, Collection[str]]) -> Iterator[list[str]]:
        """SQL for tables of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        Raises LakeError when a batch's file is missing, and when the query that
        is made of the SQL finds one damaged.
        """
        with self.tables(self.files(kpi, hours)) as tables:
            yield tables

    def files(self, kpi: KPI, hours: Mapping[datetime, Collection[str]]) -> dict[PurePosixPath, PartialFile]:
        """The files of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        Raises LakeError when a batch's file is missing.
        """
        files: dict[PurePosixPath, PartialFile] = {}
        for hour, keys in sorted(hours.items()):
            files |= self._files_with(kpi, hour, keys)
        return files

    @contextmanager
    def tables(self, files: Mapping[PurePosixPath, PartialFile]) -> Iterator[list[str]]:
        """SQL for tables of the files' partials; raises LakeError when the query made of it finds one damaged."""
        paths, tables = list(files), []
        whole: list[list[str]] = []
        size = 0
        for path, file in files.items():
            if file.keys is None:
                if (
                    not whole
                    or len(whole[-1]) >= MOST_FILES_A_TABLE
                    or (len(whole[-1]) >= FILES_A_TABLE and size + file.size > TABLE_BYTES)
                ):
                    whole.append([])
                    size = 0
                whole[-1].append(self._literal(path))
                size += file.size
            else:
                listed = ", ".join(f"'{key}'" for key in sorted(file.keys))
                tables.append(f"(FROM read_parquet({self._literal(path)}) WHERE batch IN ({listed}))")
        tables += [f"read_parquet([{', '.join(some)}])" for some in whole]
        try:
            yield tables
        except duckdb.Error:
            for path in paths:
                self._read_through(path)
            raise

    def _files_with(self, kpi: KPI, hour: datetime, keys: Collection[str]) -> dict[PurePosixPath, PartialFile]:
        """The files that hold the batches' partials of an hour, compacted ones with the keys to take from them."""
        if not keys:
            return {}
        folder = partial_path(kpi, hour, "").parent
        with self._telling(folder):
            there = self.storage.there(folder, [partial_path(kpi, hour, key).name for key in keys])
        files = {folder / name: PartialFile(size) for name, size in sorted(there.items())}
        lacking = {key for key in keys if partial_path(kpi, hour, key) not in files}
        if lacking:
            compacted = self._compacted(kpi, hour)
            with self._telling(folder):
                sizes = self.storage.there(folder, [path.name for path in compacted])
            for path in compacted:
                held = self._keys_in(path)
                found = lacking & held
                if found:
                    files[path] = PartialFile(sizes[path.name], None if found == held else frozenset(found))
                    lacking -= found
        if lacking:
            path = partial_path(kpi, hour, min(lacking))
            message = f"The lake lacks {self.storage.url(path)}, which the ledger counts on. {MEND}"
            raise DamagedFile(message, path, "missing")
        return files

    def _compacted(self, kpi: KPI, hour: datetime) -> list[PurePosixPath]:
        folder = partial_path(kpi, hour, "").parent
        with self._telling(folder):
            names = self.storage.names(folder)
        return [folder / name for name in names if fnmatchcase(name, f"{COMPACTED}*.parquet")]

    def _keys_in(self, path: PurePosixPath) -> set[str]:
        """The keys of the batches whose partials a compacted file holds."""
        query = f"SELECT decode(value) FROM parquet_kv_metadata({self._literal(path)}) WHERE decode(key) = 'batches'"
        with self._reading(path):
            found = self._connection.execute(query).fetchall()
        return set(found[0][0].split(",")) if found else set()

    def compact(self, kpi: KPI, hour: datetime, keys: Collection[str]) -> bool:
        """Puts an hour's partials of the batches with the keys into one file; whether there was anything to do."""
        files = self._files_with(kpi, hour, keys)
        compacted = self._compacted(kpi, hour)
        if len({*files, *compacted}) < 2:
            return False
        listed = ",".join(sorted(keys))
        name = COMPACTED + hashlib.sha256(f"{kpi.name} {hour:%Y%m%d%H} {listed}".encode()).hexdigest()[:24]
        path = partial_path(kpi, hour, name)
        staging = self.stage(f"{COMPACTING}{name}")
        with self.partials(kpi, {hour: keys}) as tables:
            staging.add(path, " UNION ALL BY NAME ".join(f"FROM {table}" for table in tables), batches=listed)
        staging.publish(replaces=[])
        staging.supersede(old for old in {*files, *compacted} if old != path)
        self._settle_compaction(staging.name)
        return True

    def _settle_compaction(self, name: str) -> None:
        """Ends a compaction: removes what it supersedes once that is noted, else the new file."""
        folder = STAGING / name
        with self._telling(folder):
            for plan in (SUPERSEDED, PLAN):
                paths = self._planned(folder / plan)
                if paths is not None:
                    self.storage.remove(paths)
                    break
            self.storage.remove_folder(folder)

    def _planned(self, plan: PurePosixPath) -> list[PurePosixPath] | None:
        """The files that a plan names; None where there is none."""
        text = self.storage.read(plan)
        return None if text is None else [PurePosixPath(path) for path in json.loads(text)]

    def passed_over(self) -> list[PurePosixPath]:
        """The files of which a compaction that is under way, or broke off, left the rows in another file as well."""
        passed: list[PurePosixPath] = []
        with self._telling(STAGING):
            for name in self.storage.names(STAGING):
                for plan in (SUPERSEDED, PLAN) if name.startswith(COMPACTING) else ():
                    paths = self._planned(STAGING / name / plan)
                    if paths is not None:
                        passed.extend(paths)
                        break
        return passed

    def prune(self, feed: Feed, kpis: Iterable[KPI], before: datetime, dry_run: bool) -> tuple[int, int]:
        """Removes all that the lake has of a feed and its KPIs in the hours that end before a moment (UTC).

        Gives the number of files and their bytes; ``dry_run`` only counts them.
        """
        files = size = 0
        for root in _roots(feed, kpis):
            with self._telling(root):
                for folder, found in groupby(self.storage.files(root), key=lambda file: file[0].parent):
                    hour = _hour_of(folder.relative_to(root))
                    if hour is None:
                        continue
                    if hour + ONE_HOUR.delta > before:
                        break
                    sizes = [file_size for _, file_size in found]
                    files += len(sizes)
                    size += sum(sizes)
                    if not dry_run:
                        self.storage.remove_folder(folder, below=root)
        return files, size

    def oldest_hour(self, feed: Feed, kpis: Iterable[KPI]) -> datetime | None:
        """The start (UTC) of the oldest hour of which the lake has files of a feed and its KPIs; None for none."""
        hours: list[datetime] = []
        for root in _roots(feed, kpis):
            with self._telling(root):
                found = (_hour_of(path.parent.relative_to(root)) for path, _ in self.storage.files(root))
                hours += [hour for hour in [next((hour for hour in found if hour), None)] if hour]
        return min(hours, default=None)

    def _read_through(self, path: PurePosixPath) -> None:
        """Reads every value of a file; raises LakeError where it is damaged."""
        with self._reading(path):
            self._connection.execute(f"SELECT max(COLUMNS(*)) FROM read_parquet({self._literal(path)})").fetchall()

    @contextmanager
    def _reading(self, path: PurePosixPath) -> Iterator[None]:
        """Tells of a file that cannot be read, or is damaged, by LakeError."""
        try:
            yield
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            with self._telling(path):
                self.storage.raise_failure()
            url = self.storage.url(path)
            raise DamagedFile(f"The lake's file {url} is damaged: {_reason(error)}. {MEND}", path, "damaged") from error

    def settle(self, name: str, keep: Callable[[str], bool]) -> None:
        """Ends a staging: of the files that it planned to add or replace, those of batches to keep stay."""
        folder = STAGING / name
        with self._telling(folder):
            planned = self._planned(folder / PLAN) or []
            self.storage.remove([path for path in planned if not keep(path.stem)])
            self.storage.remove_folder(folder)

    def discard(self, folder: PurePosixPath) -> None:
        """Removes a folder of staging with whatever was put aside there, if it is there."""
        with self._telling(folder):
            if self.storage.names(folder):
                self.storage.remove_folder(folder)

    def recover(self, is_in: Callable[[str], bool]) -> int:
        """Settles what broken runs left in staging, by whether the ledger has each key; how many there were."""
        with self._telling(STAGING):
            names = self.storage.names(STAGING)
            if names:
                self.storage.discard_unfinished()
        for name in names:
            if name.startswith(COMPACTING):
                self._settle_compaction(name)
            else:
                self.settle(name, is_in)
        return len(names)

    def count(self, table: str) -> int:
        """The number of rows of a table of the connection."""
        return self._connection.table(table).shape[0]

    def write(self, path: Path, query: str, batches: str = "", by: str = "") -> None:
        """Writes a query's rows to a Parquet file here; ``batches``, comma-separated keys, go into its metadata.

        With a column in ``by``, writes one file for each of its values instead, ``<by>=<value>/data_0.parquet`` in the
        folder ``path``, without the column; at most ROWS_A_PASS rows.
        """
        options = (
            f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, ROW_GROUP_SIZE {ROW_GROUP}"
        )
        if batches:
            options += f", KV_METADATA {{batches: '{batches}'}}"
        if by:
            options += f", PARTITION_BY ({by})"
        with telling(str(path)), self._one_thread() if by else nullcontext():
            self._connection.execute(f"COPY ({query}) TO {_quoted(str(path))} ({options})")

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Lets DuckDB use one thread, so that rows are written in their order."""
        ((threads,),) = self._connection.execute("SELECT current_setting('threads')").fetchall()
        self._connection.execute("SET threads = 1")
        try:
            yield
        finally:
            self._connection.execute(f"SET threads = {threads}")

    def _literal(self, path: PurePosixPath) -> str:
        """A file as SQL for DuckDB's readers, which would take brackets and stars in its place for a pattern."""
        return _quoted("".join(f"[{c}]" if c in "[*?" else c for c in self.storage.url(path)))

    def _telling(self, path: PurePosixPath) -> AbstractContextManager[None]:
        return telling(self.storage.url(path))


class Staging:
    """A batch's files while they are written aside; ``publish`` puts them into place."""

    def __init__(self, lake: Lake, name: str, folder: PurePosixPath | None = None):
        self.name = name
        self._lake, self._storage = lake, lake.storage
        self._folder = folder or STAGING / name
        self._paths: dict[Path, PurePosixPath] = {}
        self._adopted: dict[PurePosixPath, PurePosixPath] = {}
        with self._telling():
            self._aside = self._storage.aside(self._folder)

    def add_partial(self, kpi: KPI, table: str, hours: Collection[datetime]) -> None:
        """Writes a KPI's partial from a table, one file for each hour (start, UTC), in its order and with the key."""
        self._add_hours(table, hours, lambda hour: partial_path(kpi, hour, self.name))

    def add_records(self, feed: Feed, hours: Collection[datetime]) -> None:
        """Writes the records in the connection's table ``records``, one file for each hour (start, UTC), by time."""
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in archived_columns(feed).items())
        self._add_hours(
            "records",
            hours,
            lambda hour: records_path(feed, hour, self.name),
            f"interval_start, {columns}",
            f' ORDER BY interval_start, "{feed.moment.column}"',
        )

    def _add_hours(
        self,
        table: str,
        hours: Collection[datetime],
        path_of: Callable[[datetime], PurePosixPath],
        columns: str = "*",
        order: str = "",
    ) -> None:
        """Writes a table's rows, one file for each hour (start, UTC), with the key."""
        rows = f"SELECT {columns}, '{self.name}' AS batch"
        if len(hours) > FEW_HOURS and self._lake.count(table) <= ROWS_A_PASS:
            folder = self._aside / "hours"
            self._lake.write(folder, f"{rows}, {HOUR_NUMBER} AS hour_number FROM {table}{order}", by="hour_number")
            for hour in hours:
                (found,) = (folder / f"hour_number={int(hour.timestamp()) // 3600}").iterdir()
                self._paths[found.rename(self._new())] = path_of(hour)
            shutil.rmtree(folder)
            return
        for hour in hours:
            end = hour + ONE_HOUR.delta
            within = f" WHERE interval_start >= {_timestamp(hour)} AND interval_start < {_timestamp(end)}"
            self.add(path_of(hour), f"{rows} FROM {table}{within if len(hours) > 1 else ''}{order}")

    def _new(self) -> Path:
        return self._aside / f"{len(self._paths)}.parquet"

    def add_rejects(self, feed: Feed, moment: datetime) -> None:
        """Writes the rejects in the connection's table ``rejects`` to the hour of the moment (UTC)."""
        path = rejects_path(feed, moment, self.name)
        query = f"SELECT '{self.name}' AS batch, line, \"column\", reason, text FROM rejects ORDER BY line"
        self.add(path, query)

    def add(self, path: PurePosixPath, query: str, batches: str = "") -> None:
        """Writes a query's rows to a file that is to lie at the path in the lake."""
        written = self._new()
        self._lake.write(written, query, batches)
        self._paths[written] = path

    def publish(self, replaces: Iterable[PurePosixPath]) -> None:
        """Puts the files into place; ``replaces`` are those that go once the ledger has the batch."""
        with self._telling():
            self._write_plan(PLAN, [*self._paths.values(), *self._adopted.values(), *replaces])
            for written, path in self._paths.items():
                self._storage.put(written, path)
            for aside, path in self._adopted.items():
                self._storage.move(aside, path)

    def put_aside(self) -> dict[PurePosixPath, PurePosixPath]:
        """Puts the files into the staging's folder of the tree, for another process to ``adopt``.

        Gives where each lies, and where it is to lie.
        """
        put = {self._folder / written.name: path for written, path in self._paths.items()}
        with self._telling():
            for written in self._paths:
                self._storage.put(written, self._folder / written.name)
        return put

    def adopt(self, aside: Mapping[PurePosixPath, PurePosixPath]) -> None:
        """Takes files over that lie aside in the tree, as ``put_aside`` gives them."""
        self._adopted.update(aside)

    def supersede(self, paths: Iterable[PurePosixPath]) -> None:
        """Notes that what was published holds all that is in these files, which can go from here on."""
        with self._telling():
            self._write_plan(SUPERSEDED, paths)

    def _write_plan(self, name: str, paths: Iterable[PurePosixPath]) -> None:
        self._storage.write(self._folder / name, json.dumps([str(path) for path in paths]))

    def _telling(self) -> AbstractContextManager[None]:
        return telling(self._storage.url(self._folder))


def rejects_path(feed: Feed, moment: datetime, key: str) -> PurePosixPath:
    """Where in the lake a batch's rejects lie, by the hour of a moment (UTC)."""
    return PurePosixPath("rejects", feed.name, *_hour_folders(moment), f"{key}.parquet")


def records_path(feed: Feed, hour: datetime, key: str) -> PurePosixPath:
    """Where in the lake a batch's archived records lie for one hour (any moment of it, UTC)."""
    return PurePosixPath("records", feed.name, *_hour_folders(hour), f"{key}.parquet")


def archived_columns(feed: Feed) -> dict[str, str]:
    """What the archive keeps of a feed's records: columns, each with its SQL over the records.

    A column that has the name of one of the hour's folders goes by the feed's name and its own, as any engine takes
    the folder's for it; a time of day is kept as text, as no other engine reads such a type from Parquet.
    """
    return {
        f"{feed.name}_{column.name}" if column.name in HOUR_FOLDERS else column.name: (
            f'CAST("{column.name}" AS VARCHAR)' if column.type.sql_type == "TIME" else f'"{column.name}"'
        )
        for column in feed.columns
    }


def partial_path(kpi: KPI, hour: datetime, key: str) -> PurePosixPath:
    """Where in the lake a batch's partial of a KPI lies for one hour (any moment of it, UTC)."""
    return PurePosixPath("partials", kpi.name, *_hour_folders(hour), f"{key}.parquet")


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"


def _hour_folders(moment: datetime) -> list[str]:
    values = (f"{moment:%Y}", f"{moment:%m}", f"{moment:%d}", f"{moment:%H}")
    return [f"{folder}={value}" for folder, value in zip(HOUR_FOLDERS, values, strict=True)]


def _hour_of(folder: PurePosixPath) -> datetime | None:
    """The start (UTC) of the hour that a folder below its table's is of; None where it is of none."""
    found = [part.partition("=") for part in folder.parts]
    if tuple(name for name, _, _ in found) != HOUR_FOLDERS:
        return None
    year, month, day, hour = (int(value) for _, _, value in found)
    return datetime(year, month, day, hour, tzinfo=UTC)


def _roots(feed: Feed, kpis: Iterable[KPI]) -> list[PurePosixPath]:
    """The folders of all that the lake has of a feed and its KPIs."""
    roots = [PurePosixPath("partials", kpi.name) for kpi in kpis]
    return [*roots, PurePosixPath("rejects", feed.name), PurePosixPath("records", feed.name)]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def telling(place: str) -> Iterator[None]:
    """Turns what keeps a place in the lake from being used into LakeError."""
    try:
        yield
    except OSError as error:
        raise LakeError(f"Cannot use the lake at {error.filename or place}: {error.strerror or error}.") from error
    except duckdb.IOException as error:
        raise LakeError(f"Cannot use the lake at {place}: {_reason(error)}.") from error


def _reason(error: duckdb.Error) -> str:
    """What the system said, where DuckDB tells its number among much else; else what DuckDB says first."""
    number = re.search(r'"errno":"(\d+)"', str(error))
    return os.strerror(int(number[1])) if number else str(error).splitlines()[0].rstrip(".")
