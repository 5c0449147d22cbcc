"""PostgreSQL, also behind a pooler, such as PgBouncer, that gives each transaction any free connection.

Behind a pooler nothing may belong to a session: a lock of one transaction's session is not the next one's, and a
cursor ends with its transaction. An open transaction keeps its connection, so locks and cursors are held in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction

from kpis.store.dialects.base import Dialect, Finding, Verdict, rows_of

# Advisory locks have numbers.
LOCK = int.from_bytes(hashlib.sha256(b"network_analysis").digest()[:8], signed=True)

# Connections of this process that hold the lock apart from the connection that writes.
_lock_connections: list[Any] = []


class PostgreSQL(Dialect):
    """The dialect of PostgreSQL."""

    def host_time(self) -> datetime:
        return self._value("SELECT clock_timestamp()").astimezone(UTC)

    def is_pooled(self) -> bool:
        """Return True if a pooler stands between this process and the server.

        The server's process is then not the one that the connection got when it was opened.
        """
        return self._value("SELECT pg_backend_pid()") != self.connection.connection.info.backend_pid

    def run_lock(self) -> AbstractContextManager[bool]:
        return self._transaction_lock() if self.is_pooled() else self._session_lock()

    @contextmanager
    def _session_lock(self) -> Iterator[bool]:
        if not self._value("SELECT pg_try_advisory_lock(%s)", LOCK):
            yield False
            return
        try:
            yield True
        finally:
            self._release_lock("SELECT pg_advisory_unlock(%s)", LOCK)

    @contextmanager
    def _transaction_lock(self) -> Iterator[bool]:
        """Take the lock in a transaction of a connection of its own; it excludes the holder of a session's lock too."""
        own = self.connection.copy()
        try:
            own.set_autocommit(False)
            with own.cursor() as cursor:
                cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
                is_ours = cursor.fetchone() == (True,)
            if not is_ours:
                yield False
                return
            _lock_connections.append(own)
            try:
                yield True
            finally:
                _lock_connections.remove(own)
        finally:
            # The server rolls back, which releases the lock.
            own.close()

    def holds_run_lock(self) -> bool:
        return all(map(_is_alive, _lock_connections))

    def insert(
        self, table: str, names: Sequence[str], constants: Sequence[Any], columns: Sequence[Sequence[Any]]
    ) -> None:
        with (
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy,
        ):
            for row in rows_of(constants, columns):
                copy.write_row(row)

    def adapt_moment(self, moment: datetime | None) -> str | None:
        # The driver does the same, in Python, for each row, which takes four times as long as all else of a row.
        return None if moment is None else str(moment)

    @contextmanager
    def _snapshot_transaction(self) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias):
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    @contextmanager
    def cursor_scope(self) -> Iterator[None]:
        if self.connection.in_atomic_block:
            yield
            return
        with transaction.atomic(using=self.connection.alias):
            yield

    def server_findings(self) -> Iterator[Finding]:
        if self.is_pooled():
            text = (
                "is between this and PostgreSQL: a run takes two of its connections and leaves a transaction idle as "
                "long as it works, and an export a third; let its pool be larger, and idle_transaction_timeout be 0"
            )
            yield Finding(Verdict.NOTE, "pooler", text)

    def durability_problem(self) -> str:
        value = self._value("SELECT current_setting('synchronous_commit')")
        return "synchronous_commit is off" if value == "off" else ""


def _is_alive(connection: Any) -> bool:
    """Return True if the transaction of a connection is still open."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True
