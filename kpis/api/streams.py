"""Reading long results a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from django.db import connections
from django.db.models import Model, QuerySet

_ROWS_A_FETCH = 2000


def stream(queryset: QuerySet) -> Iterator[Model]:
    """The rows of one query, in memory that does not grow with their number.

    On MySQL and MariaDB the connection can do nothing else until the last row is read or the stream is closed.
    """
    connection = connections[queryset.db]
    rows = queryset.iterator(_ROWS_A_FETCH)
    if connection.vendor != "mysql":
        return rows
    return _unbuffered(connection, rows)


def _unbuffered(connection, rows: Iterator[Model]) -> Iterator[Model]:
    # The driver's usual cursor takes in a whole result before it gives the first row.
    from MySQLdb.cursors import SSCursor

    connection.ensure_connection()
    driver = connection.connection
    usual, driver.cursorclass = driver.cursorclass, SSCursor
    try:
        first = list(next(zip(rows, strict=False), ()))
    finally:
        driver.cursorclass = usual
    return chain(first, rows)
