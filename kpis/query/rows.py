"""Rows of a queryset: at little more than the driver's cost, or in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast

from django.db import connections
from django.db.models import DateTimeField, ExpressionWrapper, F, Field, QuerySet

from kpis.store.dialects import dialect

_ROWS_A_FETCH = 2000

Row = TypeVar("Row")


def driver_values(queryset: QuerySet, columns: Sequence[str]) -> QuerySet:
    """Return the ``values_list`` of columns, with times as the driver returns them: in UTC, with a zone or without.

    A column may be an annotation, if that is no time. Django adds a zone to each time, which takes longer than the
    query of a page.
    """
    own = [name for name in columns if name not in queryset.query.annotations]
    moments = {name: f"{name}_utc" for name in own if isinstance(queryset.model._meta.get_field(name), DateTimeField)}
    plain = {alias: ExpressionWrapper(F(name), output_field=Field()) for name, alias in moments.items()}
    return queryset.annotate(**plain).values_list(*(moments.get(name, name) for name in columns))


def stream(queryset: QuerySet[Any, Row]) -> Iterator[Row]:
    """Yield a queryset's rows as they are read.

    On MySQL and MariaDB the connection can do nothing else until the last row is read or the stream is closed.
    """
    # A generator, though Django promises no more than an iterator.
    rows = cast("Generator[Row]", queryset.iterator(chunk_size=_ROWS_A_FETCH))
    with dialect(connections[queryset.db]).streaming(), closing(rows):
        yield from rows
