"""The bulk reader of formats whose rows are lines: CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from kpis.catalog.sql import RECORD_START, quoted
from kpis.engine.file_reader import LACKS_DAY, Content, FileReader
from kpis.engine.table import registered
from kpis.formats.file_formats import line_format_of, row_format_of
from kpis.formats.grammar import Grammar
from kpis.formats.judge import judge, reject_text
from kpis.formats.lines import Line, SplitFile, held_still, lines_at, split

JUDGED_BYTES = 4 * 2**20
# The table of the days of lines.
LINE_DAYS = "line_days"


class LineReader(FileReader[Line]):
    """Reads clean lines in bulk, all others row by row.

    DuckDB reads ``1.5`` as 2, ``0x1F`` as 31 and ignores a trailing comma, so it only gets lines of a grammar that
    excludes these. Lines that it cannot turn into records that pass the feed's checks are judged by the row-by-row
    code, which then gives the reason.
    """

    # The ordinals of clean lines that could not be read in bulk, until they are judged.
    doubtful: list[np.ndarray]

    def read_rows(self, path: Path) -> Content:
        """Split a file into clean and odd lines; see ``FileReader``."""
        self.doubtful = []
        found = split(
            path,
            self.folder / "clean.csv",
            line_format_of(self.feed),
            self._grammar_of,
            self.judge,
            self._read_clean,
            self.bounds,
        )
        self._read_clean(found)
        self._judge_doubtful(found)
        return Content(found.digest, found.lines, self.row_format.lacks_day)

    def record_of(self, line: Line) -> dict[str, Any]:
        """Return a line's record; raises BadRow."""
        return judge(self.row_format, line, self.days)

    def text_of(self, line: Line) -> str:
        """Return a rejected line as text."""
        return reject_text(line, self.row_format)

    def _grammar_of(self, first_line: bytes) -> tuple[Grammar, bool]:
        self.row_format = row_format_of(self.feed, first_line, self.defaults)
        if self.days is not None:
            self.row_format.day_sql = f"DATE '1970-01-01' + CAST({LINE_DAYS}.day AS INTEGER)"
        return self.row_format.grammar, self.row_format.has_header

    def _read_clean(self, found: SplitFile) -> None:
        """Add the clean lines in ``clean_path`` to the table ``records``; some may be left as doubtful."""
        import duckdb

        # Through a link, since DuckDB takes brackets and stars in a name for a pattern.
        link = self.folder / "link.csv"
        link.unlink(missing_ok=True)
        link.symlink_to(found.clean_path.absolute())
        with held_still(found.path, found.identity), self._line_days(found):
            for careful in (False, True):
                self.row_format.careful = careful
                table = self.row_format.table(link, found.skip)
                if self.days is not None:
                    table = f"{table} POSITIONAL JOIN {LINE_DAYS}"
                try:
                    self._create_clean(self.records_query(self.row_format, table))
                    break
                except (duckdb.ConversionException, duckdb.InvalidInputException):
                    lacks_day = f", false AS {quoted(LACKS_DAY)}" if self.feed.needs_date else ""
                    columns = f"TIMESTAMP '1970-01-01' AS {quoted(RECORD_START)}, {self.columns}{lacks_day}"
                    self._create_clean(f"SELECT {columns} FROM judged LIMIT 0")
        count = found.clean - found.read
        doubtful = self._column(f"SELECT rowid FROM clean WHERE {quoted(RECORD_START)} IS NULL ORDER BY rowid")
        if self.count("clean") != count:
            doubtful = np.arange(count)
            self.connection.execute("DELETE FROM clean")
        elif len(doubtful):
            self.connection.execute(f"DELETE FROM clean WHERE {quoted(RECORD_START)} IS NULL")
        if self.feed.needs_date:
            lacking = self._column(f"SELECT 1 FROM clean WHERE {quoted(LACKS_DAY)} LIMIT 1")
            self.row_format.lacks_day |= bool(len(lacking))
            self.connection.execute(f"ALTER TABLE clean DROP COLUMN {quoted(LACKS_DAY)}")
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

    @contextmanager
    def _line_days(self, found: SplitFile) -> Iterator[None]:
        """Let queries read the days of the clean lines in ``clean_path``, in their order."""
        if self.days is None:
            yield
            return
        days = self.days.at(found.line_numbers(np.arange(found.read, found.clean)))
        with registered(self.connection, LINE_DAYS, {"day": days}):
            yield

    def _judge_doubtful(self, found: SplitFile) -> None:
        """Judge the doubtful clean lines, into the tables ``judged`` and ``rejects``."""
        doubtful = np.concatenate(self.doubtful)
        self.doubtful = [doubtful[:0]]
        if len(doubtful):
            with held_still(found.path, found.identity):
                for chunk in _chunks(lines_at(found.path, line_format_of(self.feed), found.line_numbers(doubtful))):
                    self.judge(chunk)

    def _create_clean(self, query: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE clean AS {query}")

    def _column(self, query: str) -> np.ndarray:
        (values,) = self.connection.execute(query).fetchnumpy().values()
        return np.asarray(values, dtype=np.int64)


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
