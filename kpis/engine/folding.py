"""Folding in DuckDB, by the catalog's own function."""

from __future__ import annotations

import duckdb

from kpis.catalog.folding import SQL_NAME, fold


def add_fold(connection: duckdb.DuckDBPyConnection) -> None:
    """Gives a connection's SQL the function ``fold``."""
    connection.create_function(SQL_NAME, fold, ["VARCHAR"], "VARCHAR", side_effects=False)
