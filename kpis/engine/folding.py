"""The catalog's folding function in DuckDB's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpis.catalog.folding import SQL_NAME, fold

if TYPE_CHECKING:
    import duckdb


def add_fold(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the function ``fold`` to a connection's SQL."""
    connection.create_function(SQL_NAME, fold, ["VARCHAR"], "VARCHAR", side_effects=False)
