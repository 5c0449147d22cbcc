"""The catalog's folding function in DuckDB's SQL."""

from __future__ import annotations

import duckdb

from kpis.catalog.folding import SQL_NAME, fold


def add_fold(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the function ``fold`` to a connection's SQL."""
    connection.create_function(SQL_NAME, fold, ["VARCHAR"], "VARCHAR", side_effects=False)
