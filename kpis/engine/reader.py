"""The bulk reader: turns a file into typed records, in a DuckDB table, and rejects."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import CSV, Avro, Format, JSONLines, Parquet, Plugin
from kpis.engine.file_reader import FileReader, Reading
from kpis.engine.line_reader import LineReader
from kpis.engine.parquet_reader import ParquetReader
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds
from kpis.formats.judge import ANY_TIME, Times
from kpis.formats.line_days import LineDays

if TYPE_CHECKING:
    import duckdb

FILE_READERS: dict[type[Format], type[FileReader[Any]]] = {
    CSV: LineReader,
    JSONLines: LineReader,
    Parquet: ParquetReader,
    Avro: LineReader,
    Plugin: LineReader,
}


class Reader:
    """Reads files one at a time, each by the reader of its feed's format."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, scratch: Path | None = None, bounds: Bounds = DEFAULT_BOUNDS
    ):
        self._connection, self._scratch, self._bounds = connection, scratch, bounds

    def read(
        self,
        path: Path,
        feed: Feed,
        interval_start: datetime | None = None,
        defaults: Mapping[str, Any] | None = None,
        times: Times = ANY_TIME,
        days: LineDays | None = None,
    ) -> Reading:
        """Read a file; ``interval_start`` puts all its records into that interval.

        ``defaults`` has values for columns that the file lacks or leaves empty, and ``days`` the days of lines that
        lack their own. Rows whose own time is outside ``times`` are rejects. Raises FileError if the file as a whole
        cannot be ingested, and TooManyRejects, with the first ones in the table ``rejects``, if it has more than the
        bounds allow.
        """
        with tempfile.TemporaryDirectory(prefix="reading-", dir=self._scratch) as folder:
            reader = FILE_READERS[type(feed.format)]
            given = (self._connection, feed, interval_start, defaults or {}, times, Path(folder), self._bounds, days)
            return reader(*given).read(path)
