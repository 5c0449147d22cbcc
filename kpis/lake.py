"""The lake: partials and rejects as Parquet files under one folder.

A file's place depends only on the batch it came from: ``partials/<KPI>/year=/month=/day=/hour=/<key>.parquet``,
where the key names the batch and its content. The lake does not say which batches count: the ledger does, and
whoever reads partials passes the ledger's keys. So a file that lies here before its batch is in the ledger, or
after the batch was replaced, is never counted.

Nothing appears half-written: a batch's files are written aside, in ``staging/<key>/``, and then moved into place.
Beforehand ``staging/<key>/plan.json`` says which files will appear and which the batch replaces, so that the next
run can tell from the ledger which of them to remove after a broken one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath

import duckdb
import pandas as pd

from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI

PLAN = "plan.json"
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
    def partials(self, kpi: KPI, hours: Mapping[datetime, Collection[str]]) -> Iterator[str | None]:
        """SQL for a table of a KPI's partials: of each hour (start, UTC) those of the batches with the keys.

        None where there are none at all. Raises LakeError when a batch's file is missing, and when the query that
        is made of the SQL finds one damaged.
        """
        paths = [
            self.root / partial_path(kpi, hour, key) for hour, keys in sorted(hours.items()) for key in sorted(keys)
        ]
        for path in paths:
            with _telling(path):
                if not path.exists():
                    raise LakeError(f"The lake lacks {path}, which the ledger counts on. {MEND}")
        try:
            yield f"read_parquet([{', '.join(_literal(path) for path in paths)}])" if paths else None
        except duckdb.Error:
            for path in paths:
                self._read_through(path)
            raise

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
            self.settle(name, is_in)
        return len(names)

    @contextmanager
    def registered(self, frame: pd.DataFrame) -> Iterator[str]:
        """The name by which a query for ``write`` can read a frame."""
        self._connection.register("frame_to_write", frame)
        try:
            yield "frame_to_write"
        finally:
            self._connection.unregister("frame_to_write")

    def write(self, path: Path, query: str) -> None:
        """Writes a query's rows to a Parquet file, and waits until the disk has them."""
        with _telling(path):
            self._connection.execute(
                f"COPY ({query}) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2)"
            )
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

    def add_partial(self, kpi: KPI, partial: pd.DataFrame, hours: Collection[datetime]) -> None:
        """Writes a KPI's partial, one file for each hour (start, UTC), in its order and with the batch's key."""
        with self._lake.registered(partial) as table:
            for hour in hours:
                path = partial_path(kpi, hour, self.name)
                rows = f"SELECT *, '{self.name}' AS batch FROM {table}"
                if len(hours) > 1:
                    rows += f" WHERE date_trunc('hour', interval_start) = TIMESTAMP '{hour:%Y-%m-%d %H:%M:%S}'"
                self._write(path, rows)

    def add_rejects(self, feed: Feed, moment: datetime) -> None:
        """Writes the rejects in the connection's table ``rejects`` to the hour of the moment (UTC)."""
        path = rejects_path(feed, moment, self.name)
        query = f"SELECT '{self.name}' AS batch, line, \"column\", reason, text FROM rejects ORDER BY line"
        self._write(path, query)

    def publish(self, replaces: Iterable[PurePosixPath]) -> None:
        """Moves the files into place; ``replaces`` are those that go once the ledger has the batch."""
        with _telling(self._folder):
            self._write_plan([str(path) for path in [*self._paths.values(), *replaces]])
            for written, path in self._paths.items():
                target = self._lake.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(written, target)

    def _write_plan(self, paths: list[str]) -> None:
        # Renamed into place when it is whole: half a plan would say nothing about files that may be there.
        written = self._folder / f"{PLAN}.part"
        with written.open("w") as file:
            json.dump(paths, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(written, self._folder / PLAN)

    def _write(self, path: PurePosixPath, query: str) -> None:
        written = self._folder / f"{len(self._paths)}.parquet"
        self._lake.write(written, query)
        self._paths[written] = path


def rejects_path(feed: Feed, moment: datetime, key: str) -> PurePosixPath:
    """Where in the lake a batch's rejects lie, by the hour of a moment (UTC)."""
    return PurePosixPath("rejects", feed.name, *_hour_folders(moment), f"{key}.parquet")


def partial_path(kpi: KPI, hour: datetime, key: str) -> PurePosixPath:
    """Where in the lake a batch's partial of a KPI lies for one hour (any moment of it, UTC)."""
    return PurePosixPath("partials", kpi.name, *_hour_folders(hour), f"{key}.parquet")


def _hour_folders(moment: datetime) -> list[str]:
    return [f"year={moment:%Y}", f"month={moment:%m}", f"day={moment:%d}", f"hour={moment:%H}"]


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
