"""The lake as a tree of files, written and read through a DuckDB connection."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.lake.errors import DamagedFile, reason_of, translate_errors
from kpis.lake.layout import STAGING, LakeFile, hour_of, partials_folder
from kpis.lake.staging import PLAN, Staging
from kpis.lake.verify import Expected, Verifier, Verify, digest_of
from kpis.storage import Storage

if TYPE_CHECKING:
    import duckdb

# A table has two files, more if they are small: few enough that one table's content fits into memory, and many enough
# that a query does not name too many tables, each of which takes memory.
FILES_A_TABLE = 2
MOST_FILES_A_TABLE = 256
TABLE_BYTES = 2**20
# Half of DuckDB's default, which halves the memory that a file takes while it is written.
ROW_GROUP = 61_440
SEALING_THREADS = 4
# The number of files of several batches whose keys are kept in memory.
MOST_KEPT = 1_000

# Returns the files that count in some of the lake's folders.
Counted = Callable[[Collection[PurePosixPath]], Iterable[LakeFile]]


def counted_with(counted: Counted, added: Collection[LakeFile], replaced: Iterable[PurePosixPath]) -> Counted:
    """Return a callable that gives the files that count once some are added and others replaced."""
    without = set(replaced)

    def counted_then(folders: Collection[PurePosixPath]) -> list[LakeFile]:
        others = [file for file in counted(folders) if file.path not in without]
        return [*others, *(file for file in added if file.path.parent in folders)]

    return counted_then


class FileLedger(Protocol):
    """The methods of the ledger that the lake needs; only the ledger knows which files count."""

    def files(self, folders: Collection[PurePosixPath]) -> Iterable[LakeFile]:
        """Return the files that count in some folders."""

    def counts(self, paths: Collection[PurePosixPath]) -> set[PurePosixPath]:
        """Return those of the paths whose files count."""

    def exchange_files(self, added: Collection[LakeFile], removed: Collection[PurePosixPath]) -> None:
        """Record in one transaction that some files count from now on, and that those at some paths no longer do."""


@dataclass(frozen=True)
class PartialFile:
    """A file of partials to read: its expected content, and if it has more batches, the keys of those to read."""

    expected: Expected
    keys: frozenset[str] | None = None

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.expected.size


class Lake:
    """The lake as a tree of files, read and written through a DuckDB connection that can read them.

    ``connect`` returns the connection, and is called when it is first needed.
    """

    def __init__(
        self, storage: Storage, connect: Callable[[], duckdb.DuckDBPyConnection], verify: Verify = Verify.ALWAYS
    ):
        self.storage, self._connect = storage, connect
        # The keys of the batches of files that have several; a file's name changes with its content.
        self._keys: OrderedDict[PurePosixPath, frozenset[str]] = OrderedDict()
        self._threads = ThreadPoolExecutor(SEALING_THREADS, thread_name_prefix="lake")
        self.verifier = Verifier(storage, self._threads, verify)

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        return self._connect()

    def stage(self, key: str, folder: PurePosixPath | None = None) -> Staging:
        """Return a staging, in a folder of the tree if one is named, for the files of the batch with this key.

        Raises LakeError.
        """
        return Staging(self, key, folder)

    @contextmanager
    def partials(self, kpi: KPI, hours: Mapping[datetime, Collection[str]], counted: Counted) -> Iterator[list[str]]:
        """Yield SQL for tables of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        Raises what ``files`` and ``tables`` raise.
        """
        with self.tables(self.files(kpi, hours, counted)) as tables:
            yield tables

    def files(
        self, kpi: KPI, hours: Mapping[datetime, Collection[str]], counted: Counted
    ) -> dict[PurePosixPath, PartialFile]:
        """Return the files of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        ``counted`` returns the files that count in some folders. Raises DamagedFile if a batch has none.
        """
        wanted = {partials_folder(kpi, hour): keys for hour, keys in sorted(hours.items()) if keys}
        found: dict[PurePosixPath, list[LakeFile]] = defaultdict(list)
        for file in counted(wanted) if wanted else ():
            found[file.path.parent].append(file)
        files: dict[PurePosixPath, PartialFile] = {}
        for folder, keys in wanted.items():
            files |= self._files_with(folder, keys, found[folder])
        return files

    def _files_with(
        self, folder: PurePosixPath, keys: Collection[str], counted: Iterable[LakeFile]
    ) -> dict[PurePosixPath, PartialFile]:
        """Return the folder's files with the batches' partials; of those of several, with the keys to take from them.

        A batch's own file takes precedence: others may have its rows as well, from before it was replaced.
        """
        files, lacking, several = {}, set(keys), []
        for file in sorted(counted, key=lambda file: file.path):
            if not file.key:
                several.append(file)
            elif file.key in lacking:
                files[file.path] = PartialFile(Expected.of(file))
                lacking.remove(file.key)
        for file in several if lacking else ():
            held = self.keys_in(file.path)
            found = lacking & held
            if found:
                files[file.path] = PartialFile(Expected.of(file), None if found == held else frozenset(found))
                lacking -= found
        if lacking:
            path = folder / f"{min(lacking)}.parquet"
            raise DamagedFile.missing(path, self.storage.url(path))
        return files

    @contextmanager
    def tables(self, files: Mapping[PurePosixPath, PartialFile], compaction: bool = False) -> Iterator[list[str]]:
        """Yield SQL for tables of the files' partials, after verifying the files.

        Raises DamagedFile for a file that is missing or damaged, also if the caller's query over the SQL finds that.
        """
        import duckdb

        self.verifier.check({path: file.expected for path, file in files.items()}, compaction)
        whole: list[list[str]] = []
        tables, size = [], 0
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
            for path in files:
                self._read_through(path)
            raise

    def keys_in(self, path: PurePosixPath) -> set[str]:
        """Return the keys of the batches whose partials a group's or a compacted file holds."""
        if path not in self._keys:
            query = (
                f"SELECT decode(value) FROM parquet_kv_metadata({self._literal(path)}) WHERE decode(key) = 'batches'"
            )
            with self._reading(path):
                found = self.connection.execute(query).fetchall()
            self._keys[path] = frozenset(found[0][0].split(",")) if found else frozenset()
        self._keys.move_to_end(path)
        while len(self._keys) > MOST_KEPT:
            self._keys.popitem(last=False)
        return set(self._keys[path])

    def stale_keys(self, files: Collection[LakeFile]) -> dict[PurePosixPath, set[str]]:
        """Return which batches' rows are not to be read from which of the files that count, as another one has them.

        That is so after a batch was replaced, and again got the content that it had. See ``files``.
        """
        folders: dict[PurePosixPath, list[LakeFile]] = defaultdict(list)
        for file in files:
            folders[file.path.parent].append(file)
        stale = {}
        for found in folders.values():
            read = {file.key for file in found if file.key}
            several = sorted(file.path for file in found if not file.key)
            for path in several if len(found) > 1 else ():
                keys = self.keys_in(path)
                if keys & read:
                    stale[path] = keys & read
                read |= keys
        return stale

    def prune(self, feed: Feed, kpis: Iterable[KPI], before: datetime, dry_run: bool) -> tuple[int, int]:
        """Remove the lake's files of a feed and its KPIs in the hours that end before a moment (UTC).

        Returns the number of files and their bytes; ``dry_run`` only counts them.
        """
        files = size = 0
        for root in _roots(feed, kpis):
            with self._translate_errors(root):
                for folder, found in groupby(self.storage.files(root), key=lambda file: file[0].parent):
                    hour = hour_of(folder.relative_to(root))
                    if hour is None:
                        continue
                    if hour + ONE_HOUR.delta > before:
                        break
                    sizes = [stored.size for _, stored in found]
                    files += len(sizes)
                    size += sum(sizes)
                    if not dry_run:
                        self.storage.remove_folder(folder, below=root)
        return files, size

    def oldest_hour(self, feed: Feed, kpis: Iterable[KPI]) -> datetime | None:
        """Return the start (UTC) of the oldest hour with files of a feed and its KPIs; None if there is none."""
        hours: list[datetime] = []
        for root in _roots(feed, kpis):
            with self._translate_errors(root):
                found = (hour_of(path.parent.relative_to(root)) for path, _ in self.storage.files(root))
                hours += [hour for hour in [next((hour for hour in found if hour), None)] if hour]
        return min(hours, default=None)

    def check(self, files: Mapping[PurePosixPath, PartialFile]) -> None:
        """Read files again; raises DamagedFile for the first that is missing or damaged."""
        self.verifier.check({path: file.expected for path, file in files.items()})
        for path, digest in self.verifier.digests(files):
            if files[path].expected.digest not in ("", digest):
                raise DamagedFile.damaged(path, self.storage.url(path), "its content is not what was written")
            self._read_through(path)

    def _read_through(self, path: PurePosixPath) -> None:
        """Read every value of a file; raises DamagedFile if that fails."""
        with self._reading(path):
            self.connection.execute(f"SELECT max(COLUMNS(*)) FROM read_parquet({self._literal(path)})").fetchall()

    @contextmanager
    def _reading(self, path: PurePosixPath) -> Iterator[None]:
        """Translate the error of reading a file into DamagedFile, or LakeError if the store is the cause."""
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            with self._translate_errors(path):
                self.storage.raise_failure()
                is_there = self.storage.there(path.parent, [path.name])
            if not is_there:
                raise DamagedFile.missing(path, self.storage.url(path)) from error
            raise DamagedFile.damaged(path, self.storage.url(path), reason_of(error)) from error

    def finalize(self, name: str, ledger: FileLedger) -> None:
        """Finish a staging: of the files that it planned to add or replace, keep those that the ledger refers to."""
        folder = STAGING / name
        with self._translate_errors(folder):
            planned = self._planned(folder / PLAN)
        counting = ledger.counts(planned) if planned else set()
        with self._translate_errors(folder):
            self.storage.remove([path for path in planned if path not in counting])
            self.storage.remove_folder(folder)

    def _planned(self, plan: PurePosixPath) -> list[PurePosixPath]:
        """Return the files that a plan names; empty if the plan does not exist or is incomplete."""
        try:
            return [PurePosixPath(path) for path in json.loads(self.storage.read(plan) or "[]")]
        except ValueError:
            return []

    def discard(self, folder: PurePosixPath) -> None:
        """Remove a folder of staging with all of its content, if it exists."""
        with self._translate_errors(folder):
            if self.storage.names(folder):
                self.storage.remove_folder(folder)

    def recover(self, ledger: FileLedger) -> int:
        """Finalize the stagings that interrupted runs left; return how many there were."""
        with self._translate_errors(STAGING):
            names = self.storage.names(STAGING)
            if names:
                self.storage.discard_unfinished()
        for name in names:
            self.finalize(name, ledger)
        return len(names)

    def rows_by(self, query: str, by: str) -> dict[int, int]:
        """Return how many of a query's rows have each value of an SQL expression, a whole number."""
        found = self.connection.execute(f"SELECT {by}, count(*) FROM ({query}) GROUP BY ALL").fetchall()
        return dict(found)

    def write(self, path: Path, query: str, batches: str = "", by: str = "") -> None:
        """Write a query's rows to a local Parquet file; ``batches``, comma-separated keys, go into its metadata.

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
        with translate_errors(str(path)), self._one_thread() if by else nullcontext():
            self.connection.execute(f"COPY ({query}) TO {_quoted(str(path))} ({options})")

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """Make DuckDB use one thread, so that rows are written in order."""
        ((threads,),) = self.connection.execute("SELECT current_setting('threads')").fetchall()
        self.connection.execute("SET threads = 1")
        try:
            yield
        finally:
            self.connection.execute(f"SET threads = {threads}")

    def sealed(self, written: Path, file: LakeFile) -> Future[LakeFile]:
        """Digest a file that was written aside, and sync it to the disk, while other work goes on.

        Returns the file with its name, digest and size.
        """
        return self._threads.submit(self._seal, written, file)

    def _seal(self, written: Path, file: LakeFile) -> LakeFile:
        digest = digest_of(written)
        self.storage.seal(written)
        return file.written(digest, written.stat().st_size)

    def _literal(self, path: PurePosixPath) -> str:
        """Return a file as an SQL literal for DuckDB's readers, which take brackets and stars in it for a pattern."""
        return _quoted("".join(f"[{c}]" if c in "[*?" else c for c in self.storage.url(path)))

    def _translate_errors(self, path: PurePosixPath) -> AbstractContextManager[None]:
        return translate_errors(self.storage.url(path))


def _roots(feed: Feed, kpis: Iterable[KPI]) -> list[PurePosixPath]:
    """Return the folders of all tables of a feed and its KPIs."""
    roots = [PurePosixPath("partials", kpi.name) for kpi in kpis]
    return [*roots, PurePosixPath("rejects", feed.name), PurePosixPath("records", feed.name)]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
