"""Empty databases of a test's own, on the server that the tests use, or in a file for SQLite."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import load_backend

from network_analysis.settings import database

_numbers = count()


def flush_of_filled(ops: Any, sql_flush: Callable, style: Any, tables: Iterable[str], **options: bool) -> list[str]:
    """The statements that empty those of the tables that have rows: as Django's, but PostgreSQL, too, deletes rows.

    That takes a few milliseconds, as tests leave few; TRUNCATE makes new files for each table and index.
    """
    tables = list(tables)
    quoted = map(ops.quote_name, tables)
    each = (f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {name})" for number, name in enumerate(quoted))
    with ops.connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(each))
        filled = [tables[number] for (number,) in cursor.fetchall()]
    if ops.connection.vendor == "postgresql":
        return [f"DELETE FROM {ops.quote_name(name)}" for name in filled]
    return sql_flush(ops, style, filled, **options)


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The address of a new database without any table, which is removed at the end."""
    number = next(_numbers)
    if connection.vendor == "sqlite":
        yield f"sqlite:///{folder / f'empty-{number}.sqlite3'}"
        return
    name = f"{connection.settings_dict['NAME']}_{number}"
    quoted = connection.ops.quote_name(name)
    charset = " CHARACTER SET utf8mb4" if connection.vendor == "mysql" else ""
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted}")
        cursor.execute(f"CREATE DATABASE {quoted}{charset}")
    try:
        yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{quote(name, safe='')}").geturl()
    finally:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {quoted}{' WITH (FORCE)' if connection.vendor == 'postgresql' else ''}")


@contextmanager
def opened(url: str) -> Iterator[str]:
    """An alias by which this thread can use the database at an address."""
    name = f"opened_{next(_numbers)}"
    configured = connections.configure_settings({"default": database(url)})["default"]
    configured["TEST"] = {**configured["TEST"], "MIRROR": None}
    connections[name] = load_backend(configured["ENGINE"]).DatabaseWrapper(configured, name)
    try:
        yield name
    finally:
        connections[name].close()
        del connections[name]


def unsquashed(alias: str) -> MigrationExecutor:
    """An executor of the single migrations that a squashed one replaces, as databases have them that are older."""
    executor = MigrationExecutor(connections[alias])
    executor.loader.replace_migrations = False
    executor.loader.build_graph()
    return executor


def migrate_singly(alias: str, last: str) -> Any:
    """Migrate an empty database by single migrations up to one of this project, and all other apps.

    Returns the registry of the models as they were then.
    """
    executor = unsquashed(alias)
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] != "kpis"]
    return executor.migrate([*others, ("kpis", last)]).apps


def schema(alias: str) -> dict[str, Any]:
    """A database's columns, with their collations, and its constraints and indexes, by table."""
    # Names such as fk_0, of SQLite's foreign keys, and __unnamed_constraint_1__ tell only an order.
    using = connections[alias]
    found: dict[str, Any] = {}
    with using.cursor() as cursor:
        for table in using.introspection.table_names(cursor):
            columns = using.introspection.get_table_description(cursor, table)
            constraints = using.introspection.get_constraints(cursor, table)
            found[table] = (
                {column.name: tuple(column._replace(display_size=None)) for column in columns},
                sorted(
                    (sorted(one["columns"] or []) if one["check"] else [*one["columns"]], one.get("orders") or [],
                     one["primary_key"], one["unique"], one["check"], one["index"], one["foreign_key"] or (),
                     "" if name.startswith(("__", "fk_")) else name)
                    for name, one in constraints.items()
                ),
            )  # fmt: skip
    return found
