"""From a file to typed records and rejects, the records in a DuckDB table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from kpis.catalog.feeds import BadRow, Feed
from kpis.catalog.intervals import to_text
from kpis.engine.lines import LONGEST_LINE_BYTES, Digits, Grammar, Line, SplitFile, positions_of, split
from kpis.engine.rows import Header, judge, reject_text

REJECTS_SQL = 'CREATE OR REPLACE TEMP TABLE rejects (line BIGINT, "column" VARCHAR, reason VARCHAR, text VARCHAR)'
JUDGED_AT_ONCE = 50_000


@dataclass(frozen=True)
class Reading:
    """What a file held: data lines = records + rejects.

    ``intervals`` counts the records of each of the feed's intervals, by start (UTC). The rows themselves are in
    the connection's temporary tables ``records`` (``interval_start`` TIMESTAMP in UTC and the feed's columns)
    and ``rejects`` (``line``, ``column``, ``reason``, ``text``) until the next file is read.
    """

    digest: str
    lines: int
    records: int
    rejects: int
    intervals: dict[datetime, int]


class Reader:
    """Reads files one at a time: lines that are clean in bulk through DuckDB, all others row by row.

    DuckDB's reader takes ``1.5`` for 2, ``0x1F`` for 31 and a trailing comma for nothing, so it only gets lines
    of a grammar in which that cannot come up; what it refuses of these, and what the feed's checks refuse, is
    judged by the same row-by-row code, which then gives the reason.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection

    def read(self, path: Path, feed: Feed, interval_start: datetime | None = None) -> Reading:
        """Reads a file; ``interval_start`` puts its records into that interval whatever their own time.

        Raises FileError when the file as a whole cannot be taken in.
        """
        with tempfile.TemporaryDirectory(prefix="network-analysis-") as folder:
            return _Reading(self._connection, feed, interval_start, Path(folder)).read(path)


class _Reading:
    """One file's reading, while it is under way."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        feed: Feed,
        interval_start: datetime | None,
        folder: Path,
    ):
        self.connection, self.feed, self.folder = connection, feed, folder
        if interval_start is None:
            length = feed.interval.milliseconds
            self.start_sql = f"make_timestamp(({feed.timestamp_sql} - {feed.timestamp_sql} % {length}) * 1000)"
        else:
            self.start_sql = f"TIMESTAMP '{to_text(interval_start).rstrip('Z')}'"

    def read(self, path: Path) -> Reading:
        columns = ", ".join(f"{column.name} {column.type.sql_type}" for column in self.feed.columns)
        self.connection.execute(REJECTS_SQL)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE judged ({columns})")
        found = split(path, self.folder / "clean.csv", self._grammar_of, self._judge)
        self._read_clean(found)
        self.connection.execute(
            f"INSERT INTO records SELECT {self.start_sql}, {', '.join(self.feed.column_names)} FROM judged"
        )
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
        )

    def _grammar_of(self, header_line: bytes) -> Grammar:
        self.header = Header(self.feed, header_line)
        return Digits(self.header.width)

    def _read_clean(self, found: SplitFile) -> None:
        """Fills the table ``records`` from the clean lines, and judges those that DuckDB or a check refuses."""
        # Through a link of our own, since DuckDB would take brackets and stars in a name for a pattern.
        link = self.folder / "link.csv"
        link.symlink_to(found.clean_path.absolute())
        types = {column.name: column.type.sql_type for column in self.feed.columns}
        by_position = {position: name for name, position in self.header.positions.items()}
        names = [by_position.get(position, f"unknown_{position}") for position in range(self.header.width)]
        fields = ", ".join(f"'{name}': '{types.get(name, 'VARCHAR')}'" for name in names)
        valid = [column.type.holds(column.name) for column in self.feed.columns]
        valid += [check.sql for check in self.feed.checks]
        self.connection.execute("DROP TABLE IF EXISTS reject_errors")
        self.connection.execute("DROP TABLE IF EXISTS reject_scans")
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE records AS
            SELECT CASE WHEN {" AND ".join(valid)} THEN {self.start_sql} END AS interval_start,
                {", ".join(self.feed.column_names)}
            FROM read_csv(
                ?, columns = {{{fields}}}, auto_detect = false, header = false, skip = {found.skip},
                delim = ',', quote = '', escape = '', new_line = '\\n', compression = 'none',
                max_line_size = {2 * LONGEST_LINE_BYTES}, store_rejects = true, rejects_limit = 0
            )
            """,
            [str(link)],
        )
        refused = self._column("SELECT DISTINCT line FROM reject_errors ORDER BY line") - found.skip - 1
        if self._count("records") + len(refused) == found.clean:
            failed = self._column("SELECT rowid FROM records WHERE interval_start IS NULL ORDER BY rowid")
            doubtful = np.union1d(refused, positions_of(failed, refused))
            if len(failed):
                self.connection.execute("DELETE FROM records WHERE interval_start IS NULL")
        else:
            doubtful = np.arange(found.clean)
            self.connection.execute("DELETE FROM records")
        if len(doubtful):
            numbers = found.line_numbers(doubtful)
            chunk: list[Line] = []
            for number, content in zip(numbers, lines_at(found.clean_path, doubtful + found.skip), strict=True):
                chunk.append(Line(int(number), content))
                if len(chunk) == JUDGED_AT_ONCE:
                    self._judge(chunk)
                    chunk = []
            self._judge(chunk)

    def _count(self, table: str) -> int:
        return self.connection.table(table).shape[0]

    def _column(self, query: str) -> np.ndarray:
        (values,) = self.connection.execute(query).fetchnumpy().values()
        return np.asarray(values, dtype=np.int64)

    def _judge(self, lines: list[Line]) -> None:
        """Judges rows one by one, into the tables ``judged`` and ``rejects``."""
        records, rejects = [], []
        for line in lines:
            try:
                records.append(judge(self.feed, self.header, line))
            except BadRow as bad:
                rejects.append((line.number, bad.column, bad.reason, reject_text(line)))
        if records:
            self._insert("judged", pd.DataFrame.from_records(records, columns=list(self.feed.column_names)))
        if rejects:
            self._insert("rejects", pd.DataFrame(rejects, columns=["line", "column", "reason", "text"]))

    def _insert(self, table: str, rows: pd.DataFrame) -> None:
        self.connection.register("rows_to_insert", rows)
        self.connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows_to_insert")
        self.connection.unregister("rows_to_insert")


def lines_at(path: Path, positions: np.ndarray) -> Iterator[bytes]:
    """The lines of a file at the positions (from 0, ascending), without their ends."""
    wanted = iter(positions)
    position = next(wanted, None)
    with path.open("rb") as file:
        for at, line in enumerate(file):
            if at == position:
                yield line.rstrip(b"\r\n")
                position = next(wanted, None)
                if position is None:
                    return
