"""PostgreSQL behind a pooler, such as PgBouncer, that gives each transaction whatever connection is free.

What belongs to a session does not hold there: a lock of one transaction's session is not the next one's, and a cursor
is gone with its transaction. A transaction that is open keeps its connection, so locks and cursors live in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection, connections, transaction


def is_pooled(using: Any) -> bool:
    """True if a pooler stands between a connection (Django's) and PostgreSQL.

    The server's process is then another one than the connection was told of when it was opened.
    """
    with using.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
    return process != using.connection.info.backend_pid


@contextmanager
def locked_in_transaction(name: int) -> Iterator[Any | None]:
    """Holds an advisory lock in a transaction of a connection of its own; gives that connection, None if it is taken.

    The lock is the same as ``pg_advisory_lock``'s for those that reach the server without the pooler.
    """
    own = connection.copy()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', '0', true)")
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [name])
            is_ours = cursor.fetchone() == (True,)
        yield own if is_ours else None
    finally:
        # The server rolls back, which frees the lock.
        own.close()


def is_held(own: Any) -> bool:
    """True if the transaction of ``locked_in_transaction`` is still open."""
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


@contextmanager
def cursors(using: str = "default") -> Iterator[None]:
    """Has a server-side cursor live in a transaction; on other databases, and within one, there is nothing to do."""
    if connections[using].vendor != "postgresql" or connections[using].in_atomic_block:
        yield
        return
    with transaction.atomic(using=using):
        yield
