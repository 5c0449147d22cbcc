"""The versions of references that partials are joined with, in tables of a DuckDB connection.

A table has the versions of the keys that were needed so far, so that a reference of a million cells costs nothing that
the records do not name. A table is emptied when its reference has been loaded again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.dimensions import Dimension
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable
from kpis.catalog.sql import quoted
from kpis.engine.aggregate import Partials, versions_table
from kpis.engine.table import Columns, Texts, registered
from kpis.engine.version_source import VersionSource

if TYPE_CHECKING:
    import duckdb

# Of more keys at once, all versions are fetched.
MOST_KEYS = 20_000


class ReferenceVersions:
    """The tables of versions that a connection has."""

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection
        self._states: dict[str, object] = {}
        self._known: dict[str, set[str]] = {}
        self._has_all: set[str] = set()

    def prepare(self, kpi: KPI, partials: Partials, source: VersionSource) -> None:
        """Add the versions that a KPI's partials have to be joined with. Tables of partials are the connection's."""
        for key, reference in dict.fromkeys((kpi.key_of(one), one.reference) for one in kpi.attributes):
            self._empty_if_changed(reference, source)
            if reference.name in self._has_all:
                continue
            lacking = self._keys(kpi, key, partials) - self._known[reference.name]
            if not lacking:
                continue
            self._known[reference.name] |= lacking
            if len(lacking) > MOST_KEYS:
                self._has_all.add(reference.name)
                self._create(reference)
                self._add(reference, source.versions(reference, None))
            else:
                self._add(reference, source.versions(reference, sorted(lacking)))

    def _empty_if_changed(self, reference: ReferenceTable, source: VersionSource) -> None:
        state = (reference, source.reference_state(reference))
        if self._states.get(reference.name) != state:
            self._create(reference)
            self._known[reference.name] = set()
            self._has_all.discard(reference.name)
            self._states[reference.name] = state

    def _create(self, reference: ReferenceTable) -> None:
        key = "BIGINT" if reference.key_kind == "integer" else "VARCHAR"
        texts = "".join(f", {quoted(name)} VARCHAR" for name in reference.texts)
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {versions_table(reference)} "
            f"(key {key}, valid_from TIMESTAMP, valid_to TIMESTAMP{texts})"
        )

    def _add(self, reference: ReferenceTable, versions: Iterable[Columns]) -> None:
        for columns in versions:
            with registered(self._connection, "versions_to_add", columns) as rows:
                self._connection.execute(f"INSERT INTO {versions_table(reference)} BY NAME FROM {rows}")

    def _keys(self, kpi: KPI, key: Dimension, partials: Partials) -> set[str]:
        """Return the keys that partials have, as the database keeps them."""
        keys: set[str] = set()
        sql = kpi.source.folded_spellings.get(key.name, quoted(key.name))
        for table, columns in partials.items():
            keys.update(map(str, self._in_table(table, sql) if columns is None else _values(columns[key.name])))
        return keys

    def _in_table(self, table: str, sql: str) -> Iterator[int | str]:
        for (value,) in self._connection.execute(f"SELECT DISTINCT {sql} FROM {table}").fetchall():
            yield value


def _values(column: np.ndarray | Texts) -> list[int | str]:
    """Return a column's values, each at least once."""
    return list(column.dictionary) if isinstance(column, Texts) else np.unique(column).tolist()
