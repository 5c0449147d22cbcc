"""The fast path from a Parquet file to partials: DuckDB reads a stream of rows, which compiled code reduces.

It applies to the feeds and KPIs of which ``scannable`` finds that compiled code can reduce them. Memory is that of some
ten thousand rows and of what they are reduced to, however many rows the file or one of its row groups has. In every
case that is not plain it declines, and the file goes to ``Reader``, whose answer is the truth.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import RECORD_START, aliased, quoted
from kpis.engine import compiled
from kpis.engine.file_reader import LACKS_DAY, write_rejects
from kpis.engine.parquet_reader import ParquetReader
from kpis.engine.reductions import Declined, checked
from kpis.engine.scan_kinds import OF_TEXTS, OF_TIMES
from kpis.engine.scan_tables import Tables
from kpis.engine.scanner import Scan, scan_of_tables
from kpis.engine.table import Columns
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds, FileError
from kpis.formats.judge import ANY_TIME, Times

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression

# DuckDB gives so many vectors, of 2,048 rows each, at once.
VECTORS = 20
AT_ONCE = 50_000
# With more texts of a column, those that are known are forgotten here; the compiled code has them all.
MOST_KNOWN = 200_000
MOMENT, NULLS, UNCOUNTED, UNSATISFIED = "moment", "nulls", "uncounted", "unsatisfied"


def scan_parquet(
    path: Path,
    feed: Feed,
    kpis: Sequence[KPI],
    interval_start: datetime | None = None,
    times: Times = ANY_TIME,
    defaults: Mapping[str, Any] | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
    scratch: Path | None = None,
) -> Scan | None:
    """Scan a file of a feed for which ``can_scan`` is True; return None if it has to go to the bulk reader.

    ``interval_start`` puts all its records into that interval. ``defaults`` has values for columns that the file lacks
    or leaves empty. Rows whose own time is outside ``times`` are rejects. ``scratch`` is for temporary files. Raises
    FileError if the file changes meanwhile.
    """
    import duckdb

    with tempfile.TemporaryDirectory(prefix="scanning-", dir=scratch) as folder, duckdb.connect() as connection:
        # Other files are scanned at the same time.
        connection.execute("SET threads = 1")
        given = (connection, feed, interval_start, defaults or {}, times, Path(folder), bounds)
        try:
            return _ParquetScanner(*given, kpis=kpis).scan(path)
        except FileError as error:
            if error.passing:
                raise
            # The reader meets the same error, and reports it.
            return None
        except (Declined, duckdb.Error, OSError):
            return None


class _ParquetScanner(ParquetReader):
    """Reads one file into the compiled code's tables instead of DuckDB's."""

    def __init__(self, *given: Any, kpis: Sequence[KPI]):
        super().__init__(*given)
        self.kpis, self.opened = kpis, ExitStack()
        # By column, the numbers of texts.
        self.known: dict[str, dict[str, int]] = {}

    def scan(self, path: Path) -> Scan:
        """Read a file; raises Declined, FileError, and errors of DuckDB and of files."""
        write_rejects(self.connection, [])
        with self.opened:
            content = self.read_rows(path)
            rejects = self.connection.execute("FROM rejects ORDER BY line").fetchall()
            return scan_of_tables(self.tables, content.digest, rejects, self.ahead, content.lacks_day)

    def read_plain(self, query: str, count: int) -> int:
        """Reduce those of ``count`` rows that SQL can read; return their number."""
        tables = Tables(self.feed, self.kpis, self.rows, self.interval_start, self.times, 0)
        self.tables = self.opened.enter_context(tables)
        names = {name for plan in tables.plans for name in plan.needed}
        names |= {name for kpi in self.kpis for one in kpi.by for name in one.columns}
        needed = sorted(self.tables.places[name] for name in names)
        texts = {place for place in needed if self.tables.kinds[place] in OF_TEXTS}
        columns = {
            MOMENT: f"epoch_us({self.feed.moment.sql})",
            NULLS: self._nulls(needed),
            UNCOUNTED: _bits_where_not([kpi.filter for kpi in self.kpis]),
            UNSATISFIED: _bits_where_not(tables.conditions.values()),
        }
        columns |= {f"c{place}": self._number(place) for place in needed}
        lacks_day = f", {quoted(LACKS_DAY)}" if self.feed.needs_date else ""
        self.connection.execute(
            f"SELECT {aliased(columns)}{lacks_day} FROM ({query}) WHERE {quoted(RECORD_START)} IS NOT NULL"
        )
        read = 0
        for chunk in self._chunks(count):
            read += len(chunk[MOMENT])
            values = {
                place: self._numbers(place, chunk[f"c{place}"].tolist())
                if place in texts
                else np.ascontiguousarray(chunk[f"c{place}"], dtype=np.int64)
                for place in needed
            }
            self._add(chunk, values)
            if lacks_day and not self.rows.lacks_day:
                self.rows.lacks_day = bool(chunk[LACKS_DAY].any())
        return read

    def _chunks(self, count: int) -> Iterator[Columns]:
        """Yield the rows of the query that is being executed, of at most ``count``, some at a time."""
        if count <= AT_ONCE:
            # Without pandas, whose import takes longer than so many rows.
            yield self.connection.fetchnumpy()
            return
        while len(chunk := self.connection.fetch_df_chunk(VECTORS)):
            yield {name: chunk[name].to_numpy() for name in chunk.columns}

    def _add_judged(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self.tables.add(record)

    def _add(self, chunk: Columns, values: Mapping[int, np.ndarray]) -> None:
        moments = np.ascontiguousarray(chunk[MOMENT], dtype=np.int64)
        bits = [np.ascontiguousarray(chunk[name], dtype=np.uint64) for name in (NULLS, UNCOUNTED, UNSATISFIED)]
        pointers = (ctypes.c_void_p * len(self.feed.record_columns))()
        for place, column in values.items():
            pointers[place] = column.ctypes.data
        reductions = self.tables.reductions
        addresses = (array.ctypes.data for array in (moments, *bits))
        checked(reductions.library.scanner_add_rows(reductions.state, len(moments), *addresses, pointers))

    def _nulls(self, needed: Sequence[int]) -> str:
        """Return SQL for the bits of the columns that have no value."""
        columns = self.feed.record_columns
        bits = [
            f"CASE WHEN {quoted(columns[place].name)} IS NULL THEN {1 << place}::UBIGINT ELSE 0::UBIGINT END"
            for place in needed
        ]
        return " | ".join(["0::UBIGINT", *bits])

    def _number(self, place: int) -> str:
        """Return SQL for a column's value as the compiled code has it, 0 for none; of a text, for the text."""
        name, kind = quoted(self.feed.record_columns[place].name), self.tables.kinds[place]
        if kind in OF_TEXTS:
            return f"coalesce(CAST({name} AS VARCHAR), '')"
        if kind == compiled.DECIMAL:
            # A wider type, as its own has no room for the product.
            number = f"CAST(CAST({name} AS DECIMAL(25, 6)) * 1000000 AS BIGINT)"
        elif kind == compiled.DATE:
            number = f"date_diff('day', DATE '1970-01-01', {name})"
        elif kind == compiled.CLOCK or kind == compiled.MONTH_FIRST:
            number = f"epoch_us({name}) // 1000000"
        elif kind in OF_TIMES:
            number = f"epoch_us({name})"
        else:
            number = f"CAST({name} AS BIGINT)"
        return f"coalesce({number}, 0)"

    def _numbers(self, place: int, texts: list[str]) -> np.ndarray:
        """Return the numbers of texts in a column's dictionary, to which they are added."""
        name = self.feed.record_columns[place].name
        known = self.known.setdefault(name, {"": 0})
        if len(known) > MOST_KNOWN:
            known = self.known[name] = {"": 0}
        for text in set(texts) - known.keys():
            known[text] = self.tables.number_of(place, text)
        return np.fromiter(map(known.__getitem__, texts), np.int64, len(texts))


def _bits_where_not(conditions: Iterable[Expression | None]) -> str:
    """Return SQL for the bits of the conditions that are not true for a record."""
    bits = [
        f"CASE WHEN {condition.sql} THEN 0::UBIGINT ELSE {1 << number}::UBIGINT END"
        for number, condition in enumerate(conditions)
        if condition is not None
    ]
    return " | ".join(["0::UBIGINT", *bits])
