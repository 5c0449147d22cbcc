"""The partials of recently touched hours, cached in tables of a connection.

A batch whose records lie over many hours needs the partials of all other batches in those hours. Without the cache each
batch would open every lake file of each hour it touches; with it, only the files that no earlier batch needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from kpis.catalog.kpis import KPI
from kpis.catalog.sql import listed

if TYPE_CHECKING:
    import duckdb

# The limit for all KPIs together; beyond it the least recently used hours go.
MOST_ROWS = 1_500_000


class RecentPartials:
    """A table for each KPI with the partials of some hours, each with the keys of the batches that it holds.

    It is a cache of the lake: an hour that holds a batch that the ledger does not count is dropped and read again.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]):
        self._connect = connect
        # By KPI id and hour (start, UTC), the least recently used first.
        self._keys: OrderedDict[tuple[int, datetime], frozenset[str]] = OrderedDict()
        self._tables: dict[int, str] = {}

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return self._connect()

    def holds(self, kpi: KPI, hours: Collection[datetime]) -> bool:
        """True if partials of any of the hours (starts, UTC) are held."""
        return any((kpi.id, hour) in self._keys for hour in hours)

    def lacking(
        self, kpi: KPI, hours: Mapping[datetime, Collection[str]], counted: Mapping[datetime, Collection[str]]
    ) -> dict[datetime, set[str]]:
        """Return the batches' keys, by hour (start, UTC), that are not held yet.

        Drops those of ``hours`` that hold a batch which is not ``counted`` in them: also an hour that no batch has
        records in any more is given, with no keys.
        """
        held = {hour: self._keys.get((kpi.id, hour), frozenset()) for hour in hours}
        self.drop(kpi, [hour for hour, keys in held.items() if not keys <= set(counted.get(hour, ()))])
        lacking = {hour: set(keys) - self._keys.get((kpi.id, hour), frozenset()) for hour, keys in hours.items()}
        return {hour: keys for hour, keys in lacking.items() if keys}

    def add(self, kpi: KPI, tables: Iterable[str], keys: Mapping[datetime, Collection[str]]) -> str:
        """Add the partials in tables (SQL), which are of these batches in these hours, and return the KPI's table.

        If a table cannot be read, drops the hours and raises DuckDB's error.
        """
        name = f"recent_{kpi.id}"
        columns = listed(["interval_start", *kpi.partial_keys, *kpi.partial_values])
        try:
            for table in tables:
                if kpi.id in self._tables:
                    self._connection.execute(f"INSERT INTO {name} SELECT {columns} FROM {table}")
                else:
                    self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {columns} FROM {table}")
                    self._tables[kpi.id] = name
        except BaseException:
            self.drop(kpi, list(keys))
            raise
        for hour, added in keys.items():
            self._keys[kpi.id, hour] = self._keys.get((kpi.id, hour), frozenset()) | frozenset(added)
            self._keys.move_to_end((kpi.id, hour))
        return name

    def table(self, kpi: KPI) -> str | None:
        """Return the name of a KPI's table; None if nothing was added to it."""
        return self._tables.get(kpi.id)

    def drop(self, kpi: KPI, hours: Collection[datetime]) -> None:
        """Drop the partials of some hours (starts, UTC)."""
        for hour in hours:
            self._keys.pop((kpi.id, hour), None)
        if hours and kpi.id in self._tables:
            listed = ", ".join(f"TIMESTAMP '{hour:%Y-%m-%d %H:%M:%S}'" for hour in hours)
            self._connection.execute(
                f"DELETE FROM {self._tables[kpi.id]} WHERE date_trunc('hour', interval_start) IN ({listed})"
            )

    def trim(self) -> None:
        """Drop everything if the tables have become too large; what is needed is then read from the lake again."""
        rows = sum(self._connection.table(name).shape[0] for name in self._tables.values())
        if rows > MOST_ROWS:
            self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self._keys.clear()
        while self._tables:
            _, name = self._tables.popitem()
            self._connection.execute(f"DROP TABLE IF EXISTS {name}")
