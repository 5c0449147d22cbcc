"""Which rows come after one, by its key, so that each database starts to read its index there."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import BooleanField, F, Func, Q, Value


class TupleAfter(Func):
    """True for rows whose columns, compared as a tuple, are greater than the values."""

    output_field = BooleanField()

    def __init__(self, *expressions):
        """``expressions`` are the columns, then a value for each."""
        super().__init__(*expressions)

    def as_sql(self, compiler, connection, **context):
        columns, values, parameters = self._compiled(compiler)
        return f"({', '.join(columns)}) > ({', '.join(values)})", parameters

    def as_mysql(self, compiler, connection, **context):
        # MySQL and MariaDB take a comparison of tuples for no range, and read the whole index.
        columns, values, parameters = self._compiled(compiler)
        *pairs, (column, value) = zip(columns, values, strict=True)
        sql = f"{column} > {value}"
        for column, value in reversed(pairs):
            sql = f"({column} > {value} OR ({column} = {value} AND {sql}))"
        *twice, once = parameters
        return sql, [*(one for one in twice for _ in range(2)), once]

    def _compiled(self, compiler) -> tuple[list[str], list[str], list]:
        """Return the SQL of the columns and of the values, and the values' parameters, one each."""
        compiled = [compiler.compile(one) for one in self.source_expressions]
        sqls = [sql for sql, _ in compiled]
        half = len(sqls) // 2
        return sqls[:half], sqls[half:], [one for _, parameters in compiled for one in parameters]


def rows_after(keyset: Sequence[str], key: Sequence) -> Q | TupleAfter:
    """Return the condition for the rows after the one with these key values.

    ``keyset`` are the columns that order the rows; a single one may be descending, with a "-" before it.
    """
    if len(keyset) > 1:
        return TupleAfter(*(F(name) for name in keyset), *(Value(one) for one in key))
    (name,) = keyset
    return Q(**{f"{name[1:]}__lt": key[0]}) if name.startswith("-") else Q(**{f"{name}__gt": key[0]})
