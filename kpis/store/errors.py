"""The errors of the store, and how those of the database become one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error as DatabaseError
from django.db import OperationalError, ProgrammingError, connection

from kpis.models import Run
from kpis.sources.batch import Batch
from kpis.store.dialects import dialect


class AlreadyRunning(Exception):
    """Another run works on this database."""


class Overtaken(Exception):
    """Another consumer has ingested messages of this batch: what was read of its partition no longer counts."""


class SeveralFailed(Exception):
    """A ``batch`` of several messages failed as a whole; without those that fail, the others can be ingested."""

    def __init__(self, batch: Batch):
        super().__init__(batch.name)
        self.batch = batch


class StoreError(Exception):
    """The database cannot be used; the message names it, says why, and what to do where that is known."""


class NotApplied(StoreError):
    """The catalog has entries that are not applied; the message names them."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the database's errors within into StoreError."""
    try:
        yield
    except DatabaseError as error:
        raise StoreError(f"Cannot use the database {dialect().location}: {one_line(error)}.{_advice(error)}") from error


def one_line(error: DatabaseError) -> str:
    """Return a database's error in one line, without a final full stop."""
    return " ".join(str(error.args[-1] if error.args else error).split()).rstrip(".")


def _advice(error: DatabaseError) -> str:
    with suppress(DatabaseError):
        if isinstance(error, OperationalError | ProgrammingError) and Run._meta.db_table not in _tables():
            return " It lacks the tables: run manage.py migrate."
    return ""


def _tables() -> list[str]:
    connection.close()
    return connection.introspection.table_names()
