"""What reads a file in bulk, whatever its format: typed records, in a DuckDB table, and rejects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from kpis.catalog.columns import Integer
from kpis.catalog.feeds import BadRow, Column, Feed, Record, moment_of
from kpis.catalog.intervals import EPOCH, LAST_DAY, to_text
from kpis.catalog.sql import RECORD_START, aliased, listed, quoted
from kpis.engine.table import registered
from kpis.formats.bounds import Bounds, TooManyRejects
from kpis.formats.judge import AheadOfClock, Times
from kpis.formats.line_days import LineDays
from kpis.formats.row_values import RowValues

if TYPE_CHECKING:
    import duckdb

# Columns beside those of the feed, for rows that may not be records: see ``FileReader.records_query``.
IS_PLAIN, LACKS_DAY = "is plain", "lacks day"

REJECT_COLUMNS = ["line", "column", "reason", "text"]

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
    tables ``records`` (RECORD_START, a TIMESTAMP in UTC, and the feed's columns) and ``rejects`` (``line``,
    ``column``, ``reason``, ``text``) until the next file is read.
    """

    digest: str
    lines: int
    records: int
    rejects: int
    intervals: dict[datetime, int]
    ahead: Ahead = field(default_factory=lambda: Ahead())
    lacks_day: bool = False


class Content(NamedTuple):
    """What was read of a file: the BLAKE3 (hex) of its unpacked content, its rows, True if one has no day."""

    digest: str
    rows: int
    lacks_day: bool = False


class Numbered(Protocol):
    """A row as it is written, with its number; the first is 1."""

    @property
    def number(self) -> int: ...


Row = TypeVar("Row", bound=Numbered)


class FileReader(ABC, Generic[Row]):
    """Reads one file into the connection's tables ``records`` and ``rejects``: a subclass for each kind of format.

    ``read_rows`` reads what SQL can decide in bulk, by ``records_query``, and hands the other rows to ``judge``, which
    asks ``record_of`` and ``text_of``: the plain Python of the format, which is the truth. ``folder`` is for temporary
    files. ``days`` are those of lines that lack their own.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        feed: Feed,
        interval_start: datetime | None,
        defaults: Mapping[str, Any],
        times: Times,
        folder: Path,
        bounds: Bounds,
        days: LineDays | None = None,
    ):
        self.connection, self.feed, self.defaults, self.folder = connection, feed, defaults, folder
        self.interval_start, self.bounds, self.times, self.ahead = interval_start, bounds, times, Ahead()
        self.days = days
        self.rejected = 0
        floor = feed.interval.floor_sql(feed.moment.sql)
        self.start_sql = floor if interval_start is None else f"TIMESTAMP '{to_text(interval_start).rstrip('Z')}'"
        self.columns = listed(column.name for column in feed.record_columns)

    @abstractmethod
    def read_rows(self, path: Path) -> Content:
        """Create the table ``records`` with the rows of a file that SQL can read, and judge the others.

        Raises FileError if the file as a whole cannot be ingested.
        """

    @abstractmethod
    def record_of(self, row: Row) -> dict[str, Any]:
        """Return a row's record, by column; raises BadRow with the column and the reason."""

    @abstractmethod
    def text_of(self, row: Row) -> str:
        """Return a rejected row as text."""

    def read(self, path: Path) -> Reading:
        """Read a file; raises FileError and TooManyRejects, see ``Reader``."""
        columns = ", ".join(f"{quoted(column.name)} {column.type.sql_type}" for column in self.feed.record_columns)
        write_rejects(self.connection, [])
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE judged ({quoted(RECORD_START)} TIMESTAMP, {columns})")
        content = self.read_rows(path)
        self.connection.execute(f"INSERT INTO records SELECT {quoted(RECORD_START)}, {self.columns} FROM judged")
        intervals = self.connection.execute(
            f"SELECT {quoted(RECORD_START)}, count(*) FROM records GROUP BY ALL ORDER BY 1"
        ).fetchall()
        return Reading(
            digest=content.digest,
            lines=content.rows,
            records=sum(count for _, count in intervals),
            rejects=self.count("rejects"),
            intervals={start.replace(tzinfo=UTC): count for start, count in intervals},
            ahead=self.ahead,
            lacks_day=content.lacks_day,
        )

    def records_query(self, values: RowValues, table: str, also: str = "") -> str:
        """Return SQL for the rows of a table as records; RECORD_START is NULL for those that may not be records.

        ``values`` reads the columns from the table. The columns ``also`` of the table follow, as SQL: ``, a, b``. For a
        feed whose rows may lack the day, LACKS_DAY follows too.
        """
        columns = aliased({column.name: self._value(values, column) for column in self.feed.columns}) + also
        plain = " AND ".join(values.plain(column) for column in self.feed.columns)
        valid = [quoted(IS_PLAIN), *(check.sql for check in self.feed.checks)]
        valid += [column.derived.fits_sql for column in self.feed.derived if column.derived is not None]
        valid.append(f"{self.feed.moment.sql} > TIMESTAMP '{EPOCH:%Y-%m-%d}'")
        valid.append(self.times.sql(self.feed))
        valid.append(f"{self.feed.moment.sql} < TIMESTAMP '{LAST_DAY:%Y-%m-%d}'")
        if self.feed.needs_date:
            columns += f", {values.lacks(self.feed.column(self.feed.moment.column))} AS {quoted(LACKS_DAY)}"
            also += f", {quoted(LACKS_DAY)}"
        rows = f"(SELECT {columns}, {plain} AS {quoted(IS_PLAIN)} FROM {table})"
        if self.feed.place:
            rows = self.feed.place.sql(rows)
        rows = self.feed.derived_sql(rows)
        start = f"CASE WHEN {' AND '.join(valid)} THEN {self.start_sql} END AS {quoted(RECORD_START)}"
        return f"SELECT {start}, {self.columns}{also} FROM {rows}"

    def _value(self, values: RowValues, column: Column) -> str:
        """Return SQL for a column's value; NULL where an expression that uses it cannot know its bounds."""
        value = values.value(column)
        is_used = any(column.name in expression.columns for expression in self.feed.expressions)
        return f"CASE WHEN {values.plain(column)} THEN {value} END" if is_used else value

    def judge(self, rows: Iterable[Row]) -> None:
        """Judge rows one by one, in ascending order of their numbers, into the tables ``judged`` and ``rejects``."""
        records: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        most = self.bounds.rejects
        for row in rows:
            try:
                record = self.record_of(row)
                self.times.check(self.feed, record)
                records.append(record)
            except BadRow as bad:
                if self.rejected == most:
                    add_rejects(self.connection, rejects)
                    raise TooManyRejects(most, row.number, self.ahead.first) from None
                self.rejected += 1
                rejects.append((row.number, bad.column, bad.reason, self.text_of(row)))
                if isinstance(bad, AheadOfClock):
                    self.ahead.add(bad.moment)
        if records:
            self._add_judged(records)
        add_rejects(self.connection, rejects)

    def count(self, table: str) -> int:
        """Return the number of rows of a table of the connection."""
        return self.connection.table(table).shape[0]

    def _start_of(self, record: Record) -> datetime:
        """Return the start of a record's interval (UTC, without saying so)."""
        start = self.interval_start or self.feed.interval.floor(moment_of(self.feed, record))
        return start.astimezone(UTC).replace(tzinfo=None)

    def _add_judged(self, records: list[dict[str, Any]]) -> None:
        import pandas as pd

        columns = {column.name: [record[column.name] for record in records] for column in self.feed.record_columns}
        # By itself, pandas makes floats of whole numbers among which one is missing.
        whole = [column.name for column in self.feed.record_columns if isinstance(column.type, Integer)]
        frame = pd.DataFrame(columns | {name: pd.array(columns[name], dtype="Int64") for name in whole})
        # SQL does not know every time that Python knows, such as that of a day in a zone from 2070 on.
        frame.insert(0, RECORD_START, [self._start_of(record) for record in records])
        self.connection.register("rows_to_insert", frame)
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
