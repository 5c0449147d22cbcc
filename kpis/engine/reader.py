"""The bulk reader: turns a file into typed records, in a DuckDB table, and rejects."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kpis.catalog.feeds import BadRow, Feed
from kpis.catalog.intervals import EPOCH, LAST_DAY, to_text
from kpis.engine.table import registered
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds, TooManyRejects
from kpis.formats.file_formats import row_format_of
from kpis.formats.grammar import Grammar
from kpis.formats.judge import ANY_TIME, AheadOfClock, Times, judge, reject_text
from kpis.formats.lines import Line, SplitFile, held_still, lines_at, split

if TYPE_CHECKING:
    import duckdb

REJECT_COLUMNS = ["line", "column", "reason", "text"]
JUDGED_BYTES = 4 * 2**20

# A row that is not a record: its line number, the column (empty for the row as a whole), the reason and its text.
Reject = tuple[int, str, str, str]


@dataclass
class Ahead:
    """The rejects that are too far ahead of the clock: their number, and the time (UTC) of the first one."""

    count: int = 0
    first: datetime | None = None

    def add(self, moment: datetime) -> None:
        self.count += 1
        self.first = moment if self.first is None else min(self.first, moment)


@dataclass(frozen=True)
class Reading:
    """The counts of a file: data lines = records + rejects, of which some may be ``ahead`` of the clock.

    ``intervals`` counts the records of each of the feed's intervals, by start (UTC). ``lacks_day`` is True if a row has
    no day, so that the records may depend on the file's name. The rows themselves are in the connection's temporary
    tables ``records`` (``interval_start`` TIMESTAMP in UTC and the feed's columns) and ``rejects`` (``line``,
    ``column``, ``reason``, ``text``) until the next file is read.
    """

    digest: str
    lines: int
    records: int
    rejects: int
    intervals: dict[datetime, int]
    ahead: Ahead = field(default_factory=lambda: Ahead())
    lacks_day: bool = False


class Reader:
    """Reads files one at a time: clean lines in bulk through DuckDB, all others row by row.

    DuckDB reads ``1.5`` as 2, ``0x1F`` as 31 and ignores a trailing comma, so it only gets lines of a grammar that
    excludes these. Lines that it cannot turn into records that pass the feed's checks are judged by the row-by-row
    code, which then gives the reason.
    """

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
    ) -> Reading:
        """Read a file; ``interval_start`` puts all its records into that interval.

        ``defaults`` has values for columns that the file lacks or leaves empty. Rows whose own time is outside
        ``times`` are rejects. Raises FileError if the file as a whole cannot be ingested, and TooManyRejects, with the
        first ones in the table ``rejects``, if it has more than the bounds allow.
        """
        with tempfile.TemporaryDirectory(prefix="reading-", dir=self._scratch) as folder:
            return _Reading(
                self._connection, feed, interval_start, defaults or {}, times, Path(folder), self._bounds
            ).read(path)


class _Reading:
    """The state of reading one file."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        feed: Feed,
        interval_start: datetime | None,
        defaults: Mapping[str, Any],
        times: Times,
        folder: Path,
        bounds: Bounds,
    ):
        self.connection, self.feed, self.defaults, self.folder = connection, feed, defaults, folder
        self.bounds, self.times, self.ahead = bounds, times, Ahead()
        self.rejected = 0
        # The ordinals of clean lines that could not be read in bulk, until they are judged.
        self.doubtful: list[np.ndarray] = []
        floor = f"time_bucket(INTERVAL {feed.interval.minutes} MINUTES, {feed.moment.sql}, TIMESTAMP '1970-01-01')"
        self.start_sql = floor if interval_start is None else f"TIMESTAMP '{to_text(interval_start).rstrip('Z')}'"
        self.columns = ", ".join(f'"{name}"' for name in feed.column_names)

    def read(self, path: Path) -> Reading:
        columns = ", ".join(f'"{column.name}" {column.type.sql_type}' for column in self.feed.columns)
        write_rejects(self.connection, [])
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE judged ({columns})")
        spool = self.folder / "clean.csv"
        found = split(path, spool, self._grammar_of, self._judge, self._read_clean, self.bounds)
        self._read_clean(found)
        self._judge_doubtful(found)
        self.connection.execute(f"INSERT INTO records SELECT {self.start_sql}, {self.columns} FROM judged")
        intervals = self.connection.execute(
            "SELECT interval_start, count(*) FROM records GROUP BY interval_start ORDER BY interval_start"
        ).fetchall()
        rejects = self._count("rejects")
        return Reading(
            digest=found.digest,
            lines=found.lines,
            records=sum(count for _, count in intervals),
            rejects=rejects,
            intervals={start.replace(tzinfo=UTC): count for start, count in intervals},
            ahead=self.ahead,
            lacks_day=self.row_format.lacks_day,
        )

    def _grammar_of(self, first_line: bytes) -> tuple[Grammar, bool]:
        self.row_format = row_format_of(self.feed, first_line, self.defaults)
        return self.row_format.grammar, self.row_format.has_header

    def _read_clean(self, found: SplitFile) -> None:
        """Add the clean lines in ``clean_path`` to the table ``records``; some may be left as doubtful."""
        import duckdb

        # Through a link, since DuckDB takes brackets and stars in a name for a pattern.
        link = self.folder / "link.csv"
        link.unlink(missing_ok=True)
        link.symlink_to(found.clean_path.absolute())
        with held_still(found.path, found.identity):
            for careful in (False, True):
                self.row_format.careful = careful
                try:
                    self._create_clean(self._clean_records(link, found.skip))
                    break
                except (duckdb.ConversionException, duckdb.InvalidInputException):
                    lacks_day = ", false AS lacks_day" if self.feed.needs_date else ""
                    columns = f"TIMESTAMP '1970-01-01' AS interval_start, {self.columns}{lacks_day}"
                    self._create_clean(f"SELECT {columns} FROM judged LIMIT 0")
        count = found.clean - found.read
        doubtful = self._column("SELECT rowid FROM clean WHERE interval_start IS NULL ORDER BY rowid")
        if self._count("clean") != count:
            doubtful = np.arange(count)
            self.connection.execute("DELETE FROM clean")
        elif len(doubtful):
            self.connection.execute("DELETE FROM clean WHERE interval_start IS NULL")
        if self.feed.needs_date:
            self.row_format.lacks_day |= bool(len(self._column("SELECT 1 FROM clean WHERE lacks_day LIMIT 1")))
            self.connection.execute("ALTER TABLE clean DROP COLUMN lacks_day")
        if found.read:
            self.connection.execute("INSERT INTO records FROM clean")
        else:
            self.connection.execute("DROP TABLE IF EXISTS records")
            self.connection.execute("ALTER TABLE clean RENAME TO records")
        self.doubtful.append(doubtful + found.read)
        most = self.bounds.rejects
        if most is not None and self.rejected + sum(map(len, self.doubtful)) > most:
            # The file is probably the wrong one, so the rest of it need not be read.
            self._judge_doubtful(found)

    def _judge_doubtful(self, found: SplitFile) -> None:
        """Judge the doubtful clean lines, into the tables ``judged`` and ``rejects``."""
        doubtful = np.concatenate(self.doubtful)
        self.doubtful = [doubtful[:0]]
        if len(doubtful):
            with held_still(found.path, found.identity):
                for chunk in _chunks(lines_at(found.path, found.line_numbers(doubtful))):
                    self._judge(chunk)

    def _clean_records(self, path: Path, skip: int) -> str:
        """Return SQL for the clean lines as records; ``interval_start`` is NULL for those that may not be records."""
        values = ", ".join(f'{self.row_format.value(column)} AS "{column.name}"' for column in self.feed.columns)
        plain = " AND ".join(self.row_format.plain(column) for column in self.feed.columns)
        valid = ["plain", *(check.sql for check in self.feed.checks)]
        valid.append(f"{self.feed.moment.sql} > TIMESTAMP '{EPOCH:%Y-%m-%d}'")
        valid.append(self.times.sql(self.feed))
        valid.append(f"{self.feed.moment.sql} < TIMESTAMP '{LAST_DAY:%Y-%m-%d}'")
        columns = self.columns
        if self.feed.needs_date:
            values += f", {self.row_format.lacks(self.feed.column(self.feed.moment.column))} AS lacks_day"
            columns += ", lacks_day"
        rows = f"(SELECT {values}, {plain} AS plain FROM {self.row_format.table(path, skip)})"
        if self.feed.place:
            rows = self.feed.place.sql(rows)
        return f"""
            SELECT CASE WHEN {" AND ".join(valid)} THEN {self.start_sql} END AS interval_start, {columns}
            FROM {rows}"""

    def _create_clean(self, query: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE clean AS {query}")

    def _count(self, table: str) -> int:
        return self.connection.table(table).shape[0]

    def _column(self, query: str) -> np.ndarray:
        (values,) = self.connection.execute(query).fetchnumpy().values()
        return np.asarray(values, dtype=np.int64)

    def _judge(self, lines: list[Line]) -> None:
        """Judge rows one by one, into the tables ``judged`` and ``rejects``."""
        records: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        most = self.bounds.rejects
        for line in lines:
            try:
                records.append(self._record(line))
            except BadRow as bad:
                if self.rejected == most:
                    add_rejects(self.connection, rejects)
                    raise TooManyRejects(most, line.number, self.ahead.first) from None
                self.rejected += 1
                rejects.append((line.number, bad.column, bad.reason, reject_text(line)))
                if isinstance(bad, AheadOfClock):
                    self.ahead.add(bad.moment)
        if records:
            self._add_judged(records)
        add_rejects(self.connection, rejects)

    def _record(self, line: Line) -> dict[str, Any]:
        record = judge(self.row_format, line)
        self.times.check(self.feed, record)
        return record

    def _add_judged(self, records: list[dict[str, Any]]) -> None:
        import pandas as pd

        self.connection.register("rows_to_insert", pd.DataFrame(records, columns=list(self.feed.column_names)))
        self.connection.execute("INSERT INTO judged BY NAME SELECT * FROM rows_to_insert")
        self.connection.unregister("rows_to_insert")


def write_rejects(connection: duckdb.DuckDBPyConnection, rejects: list[Reject]) -> None:
    """Replace the rows of the connection's table ``rejects``."""
    connection.execute(
        'CREATE OR REPLACE TEMP TABLE rejects (line BIGINT, "column" VARCHAR, reason VARCHAR, text VARCHAR)'
    )
    add_rejects(connection, rejects)


def add_rejects(connection: duckdb.DuckDBPyConnection, rejects: list[Reject]) -> None:
    """Add rows to the connection's table ``rejects``."""
    if not rejects:
        return
    numbers, *texts = zip(*rejects, strict=True)
    columns = [np.array(numbers, dtype=np.int64), *(np.array(text, dtype=object) for text in texts)]
    with registered(connection, "rejects_to_insert", dict(zip(REJECT_COLUMNS, columns, strict=True))) as table:
        connection.execute(f"INSERT INTO rejects FROM {table}")


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield the lines in lists of at most JUDGED_BYTES, or of one line."""
    chunk: list[Line] = []
    size = 0
    for line in lines:
        if chunk and size + len(line.content) > JUDGED_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line.content)
    if chunk:
        yield chunk
