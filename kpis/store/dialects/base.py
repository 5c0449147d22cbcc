"""The interface of a dialect, and what most databases have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from typing import Any

from django.db import Error as DatabaseError


class Verdict(StrEnum):
    """The state of a part of the installation: as it should be, worth knowing, or in need of repair."""

    OK = "ok"
    NOTE = "note"
    MEND = "mend"


@dataclass(frozen=True)
class Finding:
    """One line of ``manage.py doctor``: the verdict on a subject, and the reason."""

    verdict: Verdict
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.verdict:<5}{self.subject}: {self.text}"


class Dialect(ABC):
    """The interface to what databases do differently; it works on ``connection`` and keeps no state."""

    # The collation in which texts are equal only if all their characters are; None where that is the default.
    exact_collation: str | None = None

    # False where a comparison of tuples, (a, b) > (1, 2), has an index read from its start.
    reads_tuples_as_range = True

    def __init__(self, connection: Any):
        self.connection = connection

    @property
    def name(self) -> str:
        """The product's name."""
        return self.connection.display_name

    @property
    def location(self) -> str:
        """The database's address, without the names and passwords of users."""
        place = self.connection.settings_dict
        host, port = (place[part] or "the default" for part in ("HOST", "PORT"))
        return f"{place['NAME']} at {host}, port {port}"

    @abstractmethod
    def host_time(self) -> datetime | None:
        """Return the time (UTC) by the clock of the database's host; None where that is always this host."""

    @abstractmethod
    def run_lock(self) -> AbstractContextManager[bool]:
        """Try to take the lock that one run at a time holds, and release it at the end.

        Gives True, or False at once where another process holds the lock. The lock is released by the database, or by
        the operating system, when the process ends. Raises OSError where the lock's file cannot be written.
        """

    def holds_run_lock(self) -> bool:
        """Return False if the lock was taken on a connection of its own, and that connection was lost."""
        return True

    def insert(
        self, table: str, names: Sequence[str], constants: Sequence[Any], columns: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows into a table, as fast as the database can; ``table`` and ``names`` are quoted SQL.

        The first columns have the same values in all rows, the ``constants``; the others have a value for each row.
        """
        values = ", ".join(["%s"] * len(names))
        with self.connection.cursor() as cursor:
            # The driver for MySQL makes statements of many rows of it.
            cursor.executemany(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})", list(rows_of(constants, columns))
            )

    def adapt_moment(self, moment: datetime | None) -> Any:
        """Return an aware datetime as ``insert`` takes it; callers keep the answers, as few of them differ."""
        return self.connection.ops.adapt_datetimefield_value(moment)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have all queries within read the database as it is at the first one; writing may fail.

        Within a transaction there is nothing to do.
        """
        if self.connection.in_atomic_block:
            yield
            return
        with self._snapshot_transaction():
            yield

    @abstractmethod
    def _snapshot_transaction(self) -> AbstractContextManager[None]:
        """A read transaction whose queries all read the same state of the database."""

    @contextmanager
    def cursor_scope(self) -> Iterator[None]:
        """Keep a server-side cursor that is opened within usable until the end."""
        yield

    def streaming(self) -> AbstractContextManager[None]:
        """Have ``QuerySet.iterator`` read a result in parts, in memory that does not grow with its length.

        Until it is read to its end, the connection may be able to do nothing else.
        """
        return self.cursor_scope()

    def server_findings(self) -> Iterator[Finding]:
        """Yield what ``manage.py doctor`` finds in the server's settings."""
        yield from ()

    def durability_problem(self) -> str:
        """Return the setting by which a power cut may lose what was committed, as ``name is value``; "" for none."""
        return ""

    def is_applied_already(self, sql: str, error: DatabaseError) -> bool:
        """Return True if the database refuses a statement of a migration because it was executed before.

        Only of use where a migration that is killed leaves what it had changed.
        """
        return False

    def _value(self, query: str, *parameters: Any) -> Any:
        """Return the only value that a query gives."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchone()[0]

    def _release_lock(self, query: str, name: str | int) -> None:
        """Release a lock of the session; a connection that was lost has released its locks itself."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(query, [name])
        except DatabaseError:
            self.connection.close()


def rows_of(constants: Sequence[Any], columns: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Return the rows of ``Dialect.insert``."""
    return zip(*map(repeat, constants), *columns, strict=False)
