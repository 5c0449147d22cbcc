"""Rows of a queryset, read in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from django.db import connections
from django.db.models import QuerySet

from kpis.store.dialects import dialect

_ROWS_A_FETCH = 2000


def stream(queryset: QuerySet) -> Iterator:
    """Yield a queryset's rows as they are read.

    On MySQL and MariaDB the connection can do nothing else until the last row is read or the stream is closed.
    """
    with dialect(connections[queryset.db]).streaming(), closing(queryset.iterator(chunk_size=_ROWS_A_FETCH)) as rows:
        yield from rows
