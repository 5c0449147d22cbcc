"""Many rows at a time: insert them, update them, and ask for them by many values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Model

from kpis.models.fields import column
from kpis.store.dialects import dialect

ROWS_A_STATEMENT = 1000


def insert_rows(model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows into a model's table, each a sequence of the named fields' values; datetimes are aware."""
    if columns := list(zip(*rows, strict=True)):
        insert_columns(model, dict(zip(names, columns, strict=True)))


def insert_columns(
    model: type[Model], columns: Mapping[str, Sequence[Any]], constants: Mapping[str, Any] | None = None
) -> None:
    """Insert rows into a model's table: the values of each field by its name; ``constants`` are the same in all rows.

    Datetimes are aware. Several times as fast as ``bulk_create``, which makes an object and placeholders for each row:
    PostgreSQL copies the rows, and the other databases get many in a statement.
    """
    if not any(columns.values()):
        return
    quoted = connection.ops.quote_name
    names, values = [], []
    same = {name: [value] for name, value in (constants or {}).items()}
    for name, found in (same | dict(columns)).items():
        field = column(model, name)
        names.append(quoted(field.column or name))
        values.append(list(map(_adapted, found)) if isinstance(field, DateTimeField) else found)
    own = [value for (value,) in values[: len(same)]]
    dialect().insert(quoted(model._meta.db_table), names, own, values[len(same) :])


@lru_cache(maxsize=65_536)
def _adapted(moment: datetime | None) -> Any:
    """Return a datetime as the dialect inserts it: the same ones come with each KPI of a feed."""
    return dialect().adapt_moment(moment)


def upsert(rows: list[Any], unique: list[str], changes: list[str]) -> None:
    """Save model instances of one model: insert them, or update ``changes`` of the rows with the same ``unique``."""
    if rows:
        # MySQL and MariaDB use whatever unique constraints the table has, and accept no list of columns.
        target = unique if connection.features.supports_update_conflicts_with_target else None
        type(rows[0]).objects.bulk_create(
            rows, batch_size=ROWS_A_STATEMENT, update_conflicts=True, unique_fields=target, update_fields=changes
        )


def chunks(values: list, size: int) -> Iterator[list]:
    """Yield a list's values in lists of at most ``size``, as a statement takes only so many."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
