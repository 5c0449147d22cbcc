"""Which rows come after one, by its key, so that each database starts to read its index there."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import BooleanField, Func, Q

from kpis.store.dialects import dialect


class TupleAfter(Func):
    """True for rows whose columns, compared as a tuple, are greater than the values, one for each column."""

    output_field = BooleanField()

    def __init__(self, columns: Sequence[str], values: Sequence):
        super().__init__(*columns)
        self.values = values

    def as_sql(self, compiler, connection, **context):
        columns = self.source_expressions
        names = ", ".join(compiler.compile(column)[0] for column in columns)
        parameters = [
            column.output_field.get_db_prep_value(value, connection)
            for column, value in zip(columns, self.values, strict=True)
        ]
        return f"({names}) > ({', '.join(['%s'] * len(columns))})", parameters


def rows_after(keyset: Sequence[str], key: Sequence) -> Q | TupleAfter:
    """Return the condition for the rows after the one with these key values.

    ``keyset`` are the columns that order the rows; a single one may be descending, with a "-" before it.
    """
    name, *others = keyset
    if others and dialect().reads_tuples_as_range:
        return TupleAfter(keyset, key)
    if name.startswith("-"):
        return Q(**{f"{name[1:]}__lt": key[0]})
    after = Q(**{f"{name}__gt": key[0]})
    return after | Q(**{name: key[0]}) & rows_after(others, key[1:]) if others else after
