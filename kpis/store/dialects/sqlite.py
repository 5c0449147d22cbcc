"""SQLite: the lock is a file beside the database, and datetimes are texts that are parsed whenever a row is read."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.dateparse import parse_datetime

from kpis.store.dialects.base import Dialect

# What SQLite may keep in memory while a run works; other processes need little. Twice as much saved no time, neither in
# an empty database nor in one of 2,000,000 rows.
CACHE_KILOBYTES = 32 * 1024
# The length of SQLite's log, in pages (64 MB), from which a commit copies them to the database.
PAGES_A_CHECKPOINT = 16 * 1024
# More rows in a statement bring nothing, and older versions of SQLite take no more parameters.
MOST_ROWS, MOST_PARAMETERS = 30, 999
# The datetimes of the longest page that the API gives; so many take 4.5 MB.
_CACHED_DATETIMES = 20_000


class SQLite(Dialect):
    """The dialect of SQLite."""

    @property
    def location(self) -> str:
        return str(self.connection.settings_dict["NAME"])

    def host_time(self) -> datetime | None:
        return None

    @contextmanager
    def run_lock(self) -> Iterator[bool]:
        if self.connection.is_in_memory_db():
            yield True
            return
        # One path, even if the database is named through links.
        path = Path(f"{Path(self.connection.settings_dict['NAME']).resolve()}-run.lock")
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._tune_for_writing()
            yield True

    def insert(
        self, table: str, names: Sequence[str], constants: Sequence[Any], columns: Sequence[Sequence[Any]]
    ) -> None:
        width, count = len(columns), len(columns[0])
        # All rows' values, one row after the other.
        values: list[Any] = [None] * (width * count)
        for place, column in enumerate(columns):
            values[place::width] = column
        most = max(1, min(MOST_ROWS, (MOST_PARAMETERS - len(constants)) // width))
        whole = count - count % most
        with self.connection.cursor() as cursor:
            for rows, start, end in ((most, 0, whole), (count - whole, whole, count)):
                if start < end:
                    some = range(start * width, end * width, rows * width)
                    cursor.executemany(
                        _insert(table, tuple(names), len(constants), rows),
                        ((*constants, *values[first : first + rows * width]) for first in some),
                    )

    def _tune_for_writing(self) -> None:
        with self.connection.cursor() as cursor:
            # A transaction that does not fit is written and read back page by page.
            cursor.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")
            # Each commit changes pages all over the indexes: by default nearly every one copies them to the database.
            cursor.execute(f"PRAGMA wal_autocheckpoint = {PAGES_A_CHECKPOINT}")
            if settings.LAKE_SYNC and not self.connection.in_atomic_block:
                # A commit must be on the disk before the lake's files are removed that it replaces. By default SQLite
                # syncs only when it checkpoints its log, and a power cut would lose the last commits.
                cursor.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _snapshot_transaction(self) -> Iterator[None]:
        # A transaction of Django's would wait for a process that writes.
        with self.connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                if self.connection.connection is not None and self.connection.connection.in_transaction:
                    cursor.execute("ROLLBACK")


@cache
def _insert(table: str, names: tuple[str, ...], constants: int, rows: int) -> str:
    """Return the statement that inserts so many rows; its parameters are the constants and then each row's values."""
    width = len(names) - constants
    same = [f"?{number + 1}" for number in range(constants)]
    listed = ([*same, *(f"?{constants + row * width + number + 1}" for number in range(width))] for row in range(rows))
    # ABORT, the default, writes every page that a statement of several rows changes to a journal first, to undo only
    # the statement. A row that is refused here undoes the transaction.
    return f"INSERT OR FAIL INTO {table} ({', '.join(names)}) VALUES " + ", ".join(
        f"({', '.join(row)})" for row in listed
    )


@lru_cache(maxsize=_CACHED_DATETIMES)
def parsed_datetime(text: bytes) -> datetime | None:
    """Parse a datetime as Django stores it; raises ValueError for one that no calendar has."""
    return parse_datetime(text.decode())


def cache_datetimes() -> None:
    """Have this process parse each datetime once: all rows of an interval have the same ones.

    A page of the API takes a tenth less time where its datetimes were read before.
    """
    sqlite3.register_converter("datetime", parsed_datetime)
