"""The bulk reader of Parquet files, by row groups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kpis.catalog.sql import RECORD_START, quoted
from kpis.engine.file_reader import LACKS_DAY, Content, FileReader
from kpis.formats.bounds import UNBOUNDED, FileError
from kpis.formats.content import GZIP_MARK, ZSTD_MARK, content_digests, identity_of, open_file
from kpis.formats.judge import checked
from kpis.formats.lines import held_still
from kpis.formats.parquet_columns import FileColumn
from kpis.formats.parquet_footer import unpacked_sizes
from kpis.formats.parquet_rows import ParquetRow, ParquetRows

MARK, ENCRYPTED_MARK = b"PAR1", b"PARE"
CODECS = frozenset(["UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4", "LZ4_RAW"])
FILE_ROW_NUMBER = "file_row_number"
# What a value takes in memory, at least.
VALUE_BYTES = 8
# DuckDB reads so many rows at a time.
JUDGED_ROWS = 2_048


class ParquetReader(FileReader[ParquetRow]):
    """Reads rows in bulk where SQL gives what the judge would give; the others are read again and judged one by one.

    Row groups are read one after the other, so that memory is bounded whatever the file's size.
    """

    rows: ParquetRows

    def read_rows(self, path: Path) -> Content:
        """Read a file's rows; see ``FileReader``."""
        with open_file(path) as file:
            identity = identity_of(os.fstat(file.fileno()))
        # Through a link, since DuckDB takes brackets and stars in a name for a pattern.
        link = self.folder / "link.parquet"
        link.symlink_to(path.absolute())
        with held_still(path, identity):
            check_marks(link)
            digest, _ = content_digests(link, UNBOUNDED)
            with _translated_errors(link):
                return self._read(link, digest)

    def record_of(self, row: ParquetRow) -> dict[str, Any]:
        """Return a row's record; raises BadRow."""
        return checked(self.feed, self.rows.record(row.values))

    def text_of(self, row: ParquetRow) -> str:
        """Return a rejected row as a JSON object."""
        return self.rows.text(row.values)

    def _read(self, link: Path, digest: str) -> Content:
        count = self._count_of(link)
        self.rows = ParquetRows(self.feed, self._columns_of(link), self.defaults)
        query = self.records_query(self.rows, self.rows.table(link), self.rows.fields)
        if self.read_plain(query, count) < count:
            self._judge_others(query)
        return Content(digest, count, self.rows.lacks_day)

    def read_plain(self, query: str, count: int) -> int:
        """Create the table ``records`` with those of ``count`` rows that SQL can read; return their number."""
        lacks_day = f", {quoted(LACKS_DAY)}" if self.feed.needs_date else ""
        start = quoted(RECORD_START)
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE records AS SELECT {start}, {self.columns}{lacks_day} "
            f"FROM ({query}) WHERE {start} IS NOT NULL"
        )
        if lacks_day:
            ((some_lack_it,),) = self._rows(f"SELECT coalesce(bool_or({quoted(LACKS_DAY)}), false) FROM records")
            self.rows.lacks_day |= some_lack_it
            self.connection.execute(f"ALTER TABLE records DROP COLUMN {quoted(LACKS_DAY)}")
        return self.count("records")

    def _judge_others(self, query: str) -> None:
        """Judge the rows that SQL leaves to Python, in the file's order."""
        # DuckDB yields the rows of a file in their order, and one connection cannot write while it does.
        with closing(self.connection.cursor()) as cursor:
            cursor.execute(f"SELECT {self.rows.raw} FROM ({query}) WHERE {quoted(RECORD_START)} IS NULL")
            while found := cursor.fetchmany(JUDGED_ROWS):
                self.judge(ParquetRow(number, values) for number, *values in found)

    def _count_of(self, link: Path) -> int:
        """Return the number of a file's rows; raises FileError if they cannot be read or are beyond the bounds."""
        # From the footer.
        ((count,),) = self._rows(f"SELECT count(*) FROM read_parquet({_quoted(link)})")
        sizes = self._unpacked_sizes(link)
        unknown = ", ".join(sorted(sizes.keys() - CODECS))
        if unknown:
            raise FileError(f"is packed with {unknown}, which cannot be read: write it with Snappy, Zstandard or gzip")
        unpacked = sum(sizes.values())
        # A few bytes can say that a value comes a billion times.
        self.bounds.check_unpacked(max(unpacked, count * len(self.feed.columns) * VALUE_BYTES), link.stat().st_size)
        return count

    def _unpacked_sizes(self, link: Path) -> dict[str, int]:
        """Return how many bytes a file's columns unpack to, by the names of their codecs."""
        import duckdb

        try:
            found = self._rows(
                "SELECT compression, sum(total_uncompressed_size)::BIGINT "
                f"FROM parquet_metadata({_quoted(link)}) GROUP BY compression"
            )
        except duckdb.ConversionException:
            # The statistics have a time that DuckDB does not show.
            return unpacked_sizes(link)
        return dict(found)

    def _columns_of(self, link: Path) -> list[FileColumn]:
        """Return a file's columns, with those that have others within as one each."""
        elements = iter(self._rows(f"SELECT name, num_children, precision, scale FROM parquet_schema({_quoted(link)})"))
        _, count, _, _ = next(elements)
        tops = []
        for _ in range(count or 0):
            top = next(elements)
            tops.append(top)
            within = top[1] or 0
            while within:
                _, children, _, _ = next(elements)
                within += (children or 0) - 1
        if any(name.lower() == FILE_ROW_NUMBER for name, *_ in tops):
            raise FileError(f"has a column {FILE_ROW_NUMBER}, as DuckDB names what it counts: give it another name")
        types = self._rows(f"DESCRIBE FROM read_parquet({_quoted(link)}, hive_partitioning = false)")
        return [
            FileColumn(name, f"DECIMAL({precision},{scale})" if precision and type_ == "DOUBLE" else type_, key)
            for (name, _, precision, scale), (key, type_, *_) in zip(tops, types, strict=True)
        ]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()


def check_marks(path: Path) -> None:
    """Raise FileError unless a file begins and ends as a Parquet file does."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        head, tail = os.pread(file.fileno(), 4, 0), os.pread(file.fileno(), 4, max(0, size - 4))
    if not size:
        raise FileError("is empty")
    if ENCRYPTED_MARK in (head, tail):
        raise _encrypted()
    if head != MARK:
        packed = [name for mark, name in ((GZIP_MARK, "gzip"), (ZSTD_MARK, "zstd")) if head.startswith(mark)]
        if packed:
            raise FileError(f"is {packed[0]} data, not a Parquet file: unpack it, as Parquet packs its columns itself")
        raise FileError(f"is no Parquet file: it does not begin with {MARK.decode()}")
    if tail != MARK or size < 12:
        raise FileError(f"ends in the middle of its Parquet data: its last bytes are not {MARK.decode()}")


def _encrypted() -> FileError:
    return FileError("is an encrypted Parquet file, which cannot be read: write it without encryption")


@contextmanager
def _translated_errors(link: Path) -> Iterator[None]:
    """Translate DuckDB's errors for a file into FileError."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        reason = re.sub(rf"""(['"]?){re.escape(str(link))}\1""", "it", str(error).splitlines()[0]).strip()
        if isinstance(error, duckdb.IOException) and "it" not in reason.split():
            # It is about the temporary folder.
            raise
        if isinstance(error, duckdb.ConversionException) and "Timestamp(MS)" in reason:
            raise FileError(
                "has a time in milliseconds that lies beyond the year 294246, which cannot be read: write NULL where "
                "there is no time, or times in microseconds"
            ) from error
        if "encrypted" in reason:
            raise _encrypted() from error
        # Some name what they found in the file.
        reason = "".join(one if one.isprintable() else "?" for one in reason)
        reason = re.sub(r"^[A-Za-z ]+ Error: ", "", reason).rstrip(".")
        raise FileError(f"holds damaged Parquet data: {reason}") from error


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
