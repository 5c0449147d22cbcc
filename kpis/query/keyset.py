"""The condition for rows after a key, written so that each database starts to read its index there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Lookup, Model, Q
from django.db.models.sql.compiler import SQLCompiler

from kpis.store.dialects import dialect


def own_order(model: type[Model]) -> tuple[str, ...]:
    """Return the columns by which a model orders its rows, with a "-" before descending ones."""
    return tuple(column for column in model._meta.ordering or () if isinstance(column, str))


class TupleAfter(Lookup):
    """True for rows whose columns, compared as a tuple, are greater than the values, one for each column.

    A lookup, as Django wraps other expressions in a comparison with true.
    """

    lookup_name = "tuple_after"
    prepare_rhs = False

    def __init__(self, columns: Sequence[str], values: Sequence[Any]) -> None:
        super().__init__(F(columns[0]), values)
        self.others = columns[1:]

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        fields = self.lhs.target.model._meta
        columns = [self.lhs, *(fields.get_field(name).get_col(self.lhs.alias) for name in self.others)]
        names = ", ".join(compiler.compile(column)[0] for column in columns)
        parameters = tuple(
            column.target.get_db_prep_value(value, connection) for column, value in zip(columns, self.rhs, strict=True)
        )
        return f"({names}) > ({', '.join(['%s'] * len(columns))})", parameters


def rows_after(keyset: Sequence[str], key: Sequence[Any]) -> Q | TupleAfter:
    """Return the condition for the rows after the one with these key values.

    ``keyset`` are the columns that order the rows; a single one may be descending, with a "-" before it.
    """
    if len(keyset) > 1 and dialect().reads_tuples_as_range:
        return TupleAfter(keyset, key)
    return _after(keyset, key)


def _after(keyset: Sequence[str], key: Sequence[Any]) -> Q:
    name, *others = keyset
    if name.startswith("-"):
        return Q(**{f"{name[1:]}__lt": key[0]})
    after = Q(**{f"{name}__gt": key[0]})
    return after | Q(**{name: key[0]}) & _after(others, key[1:]) if others else after
