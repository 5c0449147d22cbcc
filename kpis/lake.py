"""The lake: partials and rejects as Parquet files under one folder.

A file's place depends only on the batch it came from: ``partials/<KPI>/year=/month=/day=/hour=/<key>.parquet``,
where the key names the batch and its content. The lake does not say which batches count: the ledger does, and
whoever reads partials passes the ledger's keys. So a file that lies here before its batch is in the ledger, or
after the batch was replaced, is never counted.

Nothing appears half-written: a batch's files are written aside, in ``staging/<key>/``, and then moved into place.
Beforehand ``staging/<key>/plan.json`` says which files will appear and which the batch replaces, so that the next
run can tell from the ledger which of them to remove after a broken one.

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
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import duckdb

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI

PLAN = "plan.json"
SUPERSEDED = "superseded.json"
COMPACTED = "compacted-"
COMPACTING = "compacting-"
# Few enough that what one table holds fits into memory, and many enough that a query does not name too many tables.
FILES_A_TABLE = 2
# Half of what DuckDB takes by itself, and so half of the memory that a file takes while it is written.
ROW_GROUP = 61_440
HOUR_FOLDERS = ("year", "month", "day", "hour")
MEND = (
    "Put it back from a backup; or put the batch's file back into the data folder with a blank line more at its end, "
    "so that it is taken in anew. The batch is the one whose key is the file's name."
)


class LakeError(Exception):
    """The lake cannot be read or written, or lacks a file; the message names the place and says why."""


class Lake:
    """The lake under the folder ``root``, read and written through a DuckDB connection."""

    def __init__(self, root: Path, connection: duckdb.DuckDBPyConnection):
        self.root = root.absolute()
        self._connection = connection

    def stage(self, key: str) -> Staging:
        """A place aside for the files of the batch with this key; raises LakeError."""
        return Staging(self, key)

    @contextmanager
    def partials(self, kpi: KPI, hours: Mapping[datetime, Collection[str]]) -> Iterator[list[str]]:
        """SQL for tables of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        Raises LakeError when a batch's file is missing, and when the query that
        is made of the SQL finds one damaged.
        """
        paths, whole, tables = [], [], []
        for hour, keys in sorted(hours.items()):
            for path, found in self._files_with(kpi, hour, keys).items():
                paths.append(path)
                if found is None:
                    whole.append(_literal(path))
                else:
                    listed = ", ".join(f"'{key}'" for key in sorted(found))
                    tables.append(f"(FROM read_parquet({_literal(path)}) WHERE batch IN ({listed}))")
        for start in range(0, len(whole), FILES_A_TABLE):
            tables.append(f"read_parquet([{', '.join(whole[start : start + FILES_A_TABLE])}])")
        try:
            yield tables
        except duckdb.Error:
            for path in paths:
                self._read_through(path)
            raise

    def _files_with(self, kpi: KPI, hour: datetime, keys: Collection[str]) -> dict[Path, set[str] | None]:
        """The files that hold the batches' partials of an hour, compacted ones with the keys to take from them."""
        files: dict[Path, set[str] | None] = {}
        lacking = set()
        for key in sorted(keys):
            path = self.root / partial_path(kpi, hour, key)
            with _telling(path):
                if path.exists():
                    files[path] = None
                else:
                    lacking.add(key)
        for path in self._compacted(kpi, hour) if lacking else []:
            found = lacking & self._keys_in(path)
            if found:
                files[path] = found
                lacking -= found
        if lacking:
            path = self.root / partial_path(kpi, hour, min(lacking))
            raise LakeError(f"The lake lacks {path}, which the ledger counts on. {MEND}")
        return files

    def _compacted(self, kpi: KPI, hour: datetime) -> list[Path]:
        return sorted((self.root / partial_path(kpi, hour, "")).parent.glob(f"{COMPACTED}*.parquet"))

    def _keys_in(self, path: Path) -> set[str]:
        """The keys of the batches whose partials a compacted file holds."""
        query = f"SELECT decode(value) FROM parquet_kv_metadata({_literal(path)}) WHERE decode(key) = 'batches'"
        try:
            found = self._connection.execute(query).fetchone()
        except duckdb.Error as error:
            raise LakeError(f"The lake's file {path} is damaged: {error}. {MEND}") from error
        return set(found[0].split(",")) if found else set()

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
        replaced = [old.relative_to(self.root) for old in {*files, *compacted} if old != self.root / path]
        staging.supersede([PurePosixPath(old) for old in replaced])
        self._settle_compaction(staging.name)
        return True

    def _settle_compaction(self, name: str) -> None:
        """Ends a compaction: removes what it supersedes once that is noted, else the new file."""
        folder = self.root / "staging" / name
        with _telling(folder):
            for plan in (SUPERSEDED, PLAN):
                if (folder / plan).exists():
                    for path in json.loads((folder / plan).read_text()):
                        (self.root / path).unlink(missing_ok=True)
                    break
            shutil.rmtree(folder)

    def prune(self, feed: Feed, kpis: Iterable[KPI], before: datetime, dry_run: bool) -> tuple[int, int]:
        """Removes all that the lake has of a feed and its KPIs in the hours that end before a moment (UTC).

        Gives the number of files and their bytes; ``dry_run`` only counts them.
        """
        roots = [self.root / "partials" / kpi.name for kpi in kpis]
        roots += [self.root / "rejects" / feed.name, self.root / "records" / feed.name]
        files = size = 0
        for root in roots:
            for folder in sorted(root.glob("year=*/month=*/day=*/hour=*")):
                if _hour_of(folder) + ONE_HOUR.delta > before:
                    continue
                with _telling(folder):
                    for path in folder.iterdir():
                        files += 1
                        size += path.stat().st_size
                    if not dry_run:
                        shutil.rmtree(folder)
                        _remove_empty(folder.parent, root)
        return files, size

    def _read_through(self, path: Path) -> None:
        """Reads every value of a file; raises LakeError where it is damaged."""
        try:
            self._connection.execute(f"SELECT max(COLUMNS(*)) FROM read_parquet({_literal(path)})").fetchall()
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise LakeError(f"The lake's file {path} is damaged: {_reason(error)}. {MEND}") from error

    def settle(self, name: str, keep: Callable[[str], bool]) -> None:
        """Ends a staging: of the files that it planned to add or replace, those of batches to keep stay."""
        folder = self.root / "staging" / name
        with _telling(folder):
            if (folder / PLAN).exists():
                for path in json.loads((folder / PLAN).read_text()):
                    if not keep(PurePosixPath(path).stem):
                        (self.root / path).unlink(missing_ok=True)
            shutil.rmtree(folder)

    def recover(self, is_in: Callable[[str], bool]) -> int:
        """Settles what broken runs left in staging, by whether the ledger has each key; how many there were."""
        folder = self.root / "staging"
        with _telling(folder):
            names = [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
        for name in names:
            if name.startswith(COMPACTING):
                self._settle_compaction(name)
            else:
                self.settle(name, is_in)
        return len(names)

    def write(self, path: Path, query: str, batches: str = "") -> None:
        """Writes a query's rows to a Parquet file, and waits until the disk has them.

        ``batches``, comma-separated keys, go into the file's metadata.
        """
        options = (
            f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, ROW_GROUP_SIZE {ROW_GROUP}"
        )
        if batches:
            options += f", KV_METADATA {{batches: '{batches}'}}"
        with _telling(path):
            self._connection.execute(f"COPY ({query}) TO {_quoted(path)} ({options})")
            with path.open("rb") as file:
                os.fsync(file.fileno())


class Staging:
    """A batch's files while they are written aside; ``publish`` moves them into place."""

    def __init__(self, lake: Lake, name: str):
        self.name = name
        self._lake = lake
        self._folder = lake.root / "staging" / name
        self._paths: dict[Path, PurePosixPath] = {}
        with _telling(self._folder):
            if self._folder.exists():
                shutil.rmtree(self._folder)
            self._folder.mkdir(parents=True)

    def add_partial(self, kpi: KPI, table: str, hours: Collection[datetime]) -> None:
        """Writes a KPI's partial from a table, one file for each hour (start, UTC), in its order and with the key."""
        for hour in hours:
            self.add(partial_path(kpi, hour, self.name), self._rows_of(table, hour, hours))

    def add_records(self, feed: Feed, hours: Collection[datetime]) -> None:
        """Writes the records in the connection's table ``records``, one file for each hour (start, UTC), by time."""
        for hour in hours:
            columns = ", ".join(f'{sql} AS "{name}"' for name, sql in archived_columns(feed).items())
            rows = self._rows_of("records", hour, hours, f"interval_start, {columns}")
            self.add(records_path(feed, hour, self.name), f'{rows} ORDER BY interval_start, "{feed.moment.column}"')

    def _rows_of(self, table: str, hour: datetime, hours: Collection[datetime], columns: str = "*") -> str:
        rows = f"SELECT {columns}, '{self.name}' AS batch FROM {table}"
        if len(hours) > 1:
            rows += f" WHERE date_trunc('hour', interval_start) = TIMESTAMP '{hour:%Y-%m-%d %H:%M:%S}'"
        return rows

    def add_rejects(self, feed: Feed, moment: datetime) -> None:
        """Writes the rejects in the connection's table ``rejects`` to the hour of the moment (UTC)."""
        path = rejects_path(feed, moment, self.name)
        query = f"SELECT '{self.name}' AS batch, line, \"column\", reason, text FROM rejects ORDER BY line"
        self.add(path, query)

    def add(self, path: PurePosixPath, query: str, batches: str = "") -> None:
        """Writes a query's rows to a file that is to lie at the path in the lake."""
        written = self._folder / f"{len(self._paths)}.parquet"
        self._lake.write(written, query, batches)
        self._paths[written] = path

    def publish(self, replaces: Iterable[PurePosixPath]) -> None:
        """Moves the files into place; ``replaces`` are those that go once the ledger has the batch."""
        with _telling(self._folder):
            self._write_plan([str(path) for path in [*self._paths.values(), *replaces]])
            for written, path in self._paths.items():
                target = self._lake.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(written, target)

    def supersede(self, paths: Iterable[PurePosixPath]) -> None:
        """Notes that what was published holds all that is in these files, which can go from here on."""
        with _telling(self._folder):
            self._write_plan([str(path) for path in paths], SUPERSEDED)

    def _write_plan(self, paths: list[str], name: str = PLAN) -> None:
        # Renamed into place when it is whole: half a plan would say nothing about files that may be there.
        written = self._folder / f"{name}.part"
        with written.open("w") as file:
            json.dump(paths, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, self._folder / name)


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


def _hour_folders(moment: datetime) -> list[str]:
    values = (f"{moment:%Y}", f"{moment:%m}", f"{moment:%d}", f"{moment:%H}")
    return [f"{folder}={value}" for folder, value in zip(HOUR_FOLDERS, values, strict=True)]


def _hour_of(folder: Path) -> datetime:
    """The start (UTC) of the hour that a folder is of."""
    year, month, day, hour = (int(part.partition("=")[2]) for part in folder.parts[-4:])
    return datetime(year, month, day, hour, tzinfo=UTC)


def _remove_empty(folder: Path, root: Path) -> None:
    """Removes a folder below the root, and those it lies in, as far as they are empty."""
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _literal(path: Path) -> str:
    """A path as SQL for DuckDB's readers, which would take brackets and stars in it for a pattern."""
    return _quoted(Path("".join(f"[{c}]" if c in "[*?" else c for c in str(path))))


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakeError(f"Cannot use the lake at {error.filename or path}: {error.strerror or error}.") from error
    except duckdb.IOException as error:
        raise LakeError(f"Cannot use the lake at {path}: {_reason(error)}.") from error


def _reason(error: duckdb.Error) -> str:
    """What the system said, where DuckDB tells its number among much else; else what DuckDB says first."""
    number = re.search(r'"errno":"(\d+)"', str(error))
    return os.strerror(int(number[1])) if number else str(error).splitlines()[0].rstrip(".")
