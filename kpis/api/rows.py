"""Rows as the database gives them: without model instances, by SQL that is compiled once for each kind of request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache, partial, reduce
from typing import Any

from django.db import connections, models
from django.db.models import Q, QuerySet, Value
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLookupMixin

from kpis.api.filters import ListFilters, Lookups
from kpis.store.dialects import dialect

_ROWS_A_FETCH = 2000

# The lookups whose values are part of the SQL: others stand for them there.
_IN_THE_SQL = ("hidden",)


class Parameter(Value):
    """Stands in a statement for the value that a request brings under a name."""

    def as_sql(self, compiler, connection):
        return "%s", [self]


class _After(TupleGreaterThan):
    """``(a, b) > (x, y)``, said so that each database starts to read its index there."""

    def as_sqlite(self, compiler, connection):
        # Django spells it out, which SQLite reads the whole index for.
        return super(TupleLookupMixin, self).as_sql(compiler, connection)

    def as_mysql(self, compiler, connection):
        # Spelt out it is a range to MySQL and MariaDB, which else read the whole index.
        return self.get_fallback_sql(compiler, connection)


class Statement:
    """The SQL of a ``values_list`` queryset; its rows are tuples, in which moments are datetimes in UTC without a zone.

    It holds the database's own values until the query is run: what compiling costs is spent once, and an answer of
    rows costs little more than the driver's.
    """

    def __init__(self, queryset: QuerySet):
        self._using = queryset.db
        compiler = queryset.query.get_compiler(self._using)
        self._sql, self._parameters = compiler.as_sql()
        selected = [expression for expression, *_ in compiler.select]
        others = compiler.get_converters(selected)
        self._conversions = [
            (place, convert)
            for place, expression in enumerate(selected)
            if (convert := _conversion(expression.output_field, others.get(place), compiler.connection))
        ]

    def fetch(self, values: Mapping[str, Any]) -> Sequence[tuple]:
        """The rows; ``values`` has those of the parameters."""
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._sql, self._bound(values))
            return self._converted(cursor.fetchall())

    def stream(self, values: Mapping[str, Any]) -> Iterator[tuple]:
        """The rows, in memory that does not grow with their number.

        On MySQL and MariaDB the connection can do nothing else until the last row is read or the stream is closed.
        """
        with (
            dialect(connections[self._using]).cursor_scope(),
            closing(_streaming_cursor(connections[self._using])) as cursor,
        ):
            cursor.execute(self._sql, self._bound(values))
            while rows := cursor.fetchmany(_ROWS_A_FETCH):
                yield from self._converted(rows)

    def _bound(self, values: Mapping[str, Any]) -> list:
        adapt = connections[self._using].ops.adapt_datetimefield_value
        bound = (values[one.value] if isinstance(one, Parameter) else one for one in self._parameters)
        return [adapt(value) if isinstance(value, datetime) else value for value in bound]

    def _converted(self, rows: Sequence[tuple]) -> Sequence[tuple]:
        if not (rows and self._conversions):
            return rows
        columns = list(zip(*rows, strict=True))
        for place, convert in self._conversions:
            columns[place] = map(convert, columns[place])
        return list(zip(*columns, strict=True))


def _conversion(field: models.Field, converters: tuple | None, connection) -> Callable | None:
    """What makes the driver's values of a column Python's."""
    if isinstance(field, models.DateTimeField):
        # The other drivers' datetimes have no zone. Django would give them one, which costs more than the query.
        return _without_zone if connection.vendor == "postgresql" else None
    if converters is None:
        return None
    functions, expression = converters
    return partial(reduce, lambda value, function: function(value, expression, connection), functions)


def _without_zone(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=None)


def _streaming_cursor(connection):
    if connection.vendor != "mysql":
        return connection.chunked_cursor()
    # The driver's usual cursor takes in a whole result before it gives the first row.
    from MySQLdb.cursors import SSCursor

    connection.ensure_connection()
    driver = connection.connection
    usual, driver.cursorclass = driver.cursorclass, SSCursor
    try:
        return connection.cursor()
    finally:
        driver.cursorclass = usual


@dataclass(frozen=True, eq=False)
class Source:
    """Where a list's rows come from: a table, the columns of it, its filters, and the columns that order it.

    The columns of ``keyset`` are together unique; a single one may be descending, with a "-" before it.
    """

    model: type[models.Model]
    columns: tuple[str, ...]
    filters: type[ListFilters]
    keyset: tuple[str, ...]

    def key(self, row: tuple) -> list:
        """A row's key values."""
        return [row[self.columns.index(name.lstrip("-"))] for name in self.keyset]

    def page(self, lookups: Lookups, after: Sequence | None, limit: int) -> Sequence[tuple]:
        """The first rows that fulfil the lookups, of those after the key values ``after`` where these are given."""
        bound = f"{self.keyset[0]}__gte"
        if after and bound in lookups:
            # Of two bounds a database may take the one that has it read more.
            if lookups[bound] > after[0]:
                after = None
            else:
                lookups = {name: value for name, value in lookups.items() if name != bound}
        statement = _prepared(self, _shape(lookups), after is not None, limit)
        return statement.fetch(lookups | dict(zip(self.keyset, after or (), strict=False)))

    def stream(self, lookups: Lookups) -> Iterator[tuple]:
        """All rows that fulfil the lookups, in memory that does not grow with their number."""
        return _prepared(self, _shape(lookups), False, None).stream(lookups)


def _shape(lookups: Lookups) -> tuple[tuple[str, Any], ...]:
    """The lookups' names; with the values of those that are part of the SQL."""
    return tuple((name, value if name.endswith(_IN_THE_SQL) else None) for name, value in lookups.items())


@lru_cache(maxsize=1000)
def _prepared(source: Source, shape: tuple[tuple[str, Any], ...], behind: bool, limit: int | None) -> Statement:
    lookups = {name: Parameter(name) if value is None else value for name, value in shape}
    # Where there is one row an interval, the last key tells nothing, and an index without it gives the order.
    one = source.filters.keys and source.filters.keys <= lookups.keys()
    keyset = source.keyset[:-1] if one else source.keyset
    queryset = source.filters.narrow(source.model.objects.all(), lookups)
    if behind:
        queryset = queryset.filter(_behind(keyset))
    return Statement(queryset.order_by(*keyset).values_list(*source.columns)[:limit])


def _behind(keyset: Sequence[str]) -> Q | _After:
    """The rows that come after the one with the key values that a request brings."""
    values = [Parameter(key) for key in keyset]
    if len(keyset) > 1:
        return _After(Tuple(*keyset), values)
    name, after = (keyset[0][1:], "lt") if keyset[0].startswith("-") else (keyset[0], "gt")
    return Q(**{f"{name}__{after}": values[0]})


def shown(columns: Sequence, rows: Iterable[tuple]) -> Iterable[tuple]:
    """Rows as a list's columns (``kpis.api.serializers.Column``) show them."""
    if not any(column.show for column in columns):
        return rows
    return (
        tuple(
            column.show(value) if column.show and value is not None else value
            for column, value in zip(columns, row, strict=True)
        )
        for row in rows
    )


@cache
def as_dicts(names: tuple[str, ...]) -> Callable[[Iterable[tuple]], list[dict]]:
    """What makes dicts of rows, whose values have these names, each an identifier.

    It is compiled for them: ``dict(zip(names, row))`` takes twice as long, a tenth of all that a page takes.
    """
    values = [f"_{place}" for place, _ in enumerate(names)]
    row = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    code = f"lambda rows: [{{{row}}} for {', '.join(values)}, in rows]"
    return eval(code)  # noqa: S307 - made of our own columns' names
