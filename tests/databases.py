"""Empty databases of a test's own, on the server that the tests use, or in a file for SQLite."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


def models_at(alias: str, migration: str) -> Any:
    """The app registry with this project's models as they were after a migration, such as ``0024_batch_mark``."""
    loader = MigrationExecutor(connections[alias]).loader
    return loader.project_state([("kpis", migration)]).apps


def schema(alias: str) -> dict[str, Any]:
    """What a database's tables are made of: columns and constraints by table."""
    using = connections[alias]
    found: dict[str, Any] = {}
    with using.cursor() as cursor:
        for table in using.introspection.table_names(cursor):
            columns = using.introspection.get_table_description(cursor, table)
            constraints = using.introspection.get_constraints(cursor, table)
            found[table] = (
                {column.name: tuple(column._replace(display_size=None)) for column in columns},
                sorted(
                    (sorted(one["columns"] or []), one["primary_key"], one["unique"], one["check"], one["index"],
                     one["foreign_key"], "" if name.startswith("__") else name)
                    for name, one in constraints.items()
                ),
            )  # fmt: skip
    return found
