"""The differences between SQLite, MySQL and PostgreSQL: one module per database, each with one ``Dialect``.

Only here does the code ask which database it works with. The dialects know Django and nothing of the project's models,
so that models, queries and the API may use them.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from kpis.store.dialects.base import Dialect, Finding, Verdict
from kpis.store.dialects.mysql import MySQL
from kpis.store.dialects.postgresql import PostgreSQL
from kpis.store.dialects.sqlite import SQLite

__all__ = ["Dialect", "Finding", "Verdict", "dialect"]

_DIALECTS: dict[str, type[Dialect]] = {"sqlite": SQLite, "mysql": MySQL, "postgresql": PostgreSQL}


def dialect(connection: Any = None) -> Dialect:
    """Return the dialect of a database connection; by default that of this thread's default connection."""
    using = connections[DEFAULT_DB_ALIAS] if connection is None else connection
    return _DIALECTS[using.vendor](using)
