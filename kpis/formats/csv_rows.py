"""Rows of CSV: the header, and what is in a row's fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kpis.catalog.columns import BadValue, Integer
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.catalog.formats import CSV, DELIMITERS, ENCODINGS, Header, delimiter_in_words
from kpis.formats.bounds import FileError
from kpis.formats.csv_fields import NUMBERS, Fields, Numbers
from kpis.formats.grammar import LONGEST_LINE_BYTES, csv_grammar
from kpis.formats.row_format import RowFormat, quoted, read_csv
from kpis.formats.row_values import without_unit

MOST_COLUMNS = 1_000


class CSVRows(RowFormat):
    """CSV with a header, or, in feeds that allow it, without one and with the feed's columns in their order.

    Columns may come in any order and case, with spaces and quotes round their names; columns that the feed does
    not know are ignored. Raises FileError when a column is missing or comes twice, or there are too many.
    """

    def __init__(self, feed: Feed, first_line: bytes, defaults: Mapping[str, Any]):
        super().__init__(feed, defaults)
        assert isinstance(feed.format, CSV)  # noqa: S101  what row_format_of says
        self.format = feed.format
        self.encoding = ENCODINGS[self.format.encoding]
        self.fields, self.numbers = Fields(self.format), Numbers(self.format)
        self.names = [column.names_in_files[0].lower() for column in feed.columns]
        self.positions = {column.name: position for position, column in enumerate(feed.columns)}
        self.has_header = self.format.header is Header.REQUIRED or (
            self.format.header is Header.OPTIONAL and self._is_header(first_line)
        )
        if self.has_header:
            self.names, self.positions = self._header(first_line)
        self._missing = frozenset(word.lower() for word in self.format.missing)
        # What a row's record is made of: each column's name, place in the row, parser, and value where it has none.
        self._readers = [
            (column.name, self.positions.get(column.name), self._parser(column), self.defaults.get(column.name))
            for column in feed.columns
        ]
        self._day = self.positions.get(feed.moment.column) if feed.needs_date else None
        self.lacks_day = feed.needs_date and self._day is None
        # Whole numbers are read as such; anything else as text.
        self._are_digits = not self._missing and not self.format.thousands
        self._are_digits &= all(
            isinstance(column.type, Integer) and column.type.is_digits and column.type.default is None
            for column in feed.columns
        )
        self.grammar = csv_grammar(self.format, len(self.names), self._are_digits)

    def is_number(self, column: Column) -> bool:
        """Return True if a column's values are numbers, which the format may write in its own way."""
        return isinstance(column.type, NUMBERS)

    def _parser(self, column: Column) -> Callable[[str], Any]:
        parse = column.type.parse
        if self.numbers.are_plain or not self.is_number(column):
            return parse
        return lambda text: parse(self.numbers.plain(text))

    def _is_header(self, line: bytes) -> bool:
        """Return True if a first line that may be a row is a header: it names a column."""
        known = {name.lower() for column in self.feed.columns for name in column.names_in_files}
        bare = {name.lower() for column in self.feed.columns for name in column.headers}
        fields = line.decode("utf-8", "replace").split(self.format.delimiter)
        names = [field.strip(" " + self.format.quote).lower() for field in fields]
        return any(name in known or without_unit(name) in bare for name in names)

    def _header(self, line: bytes) -> tuple[list[str], dict[str, int]]:
        """Return the names in the header, in lower case, and the columns' places."""
        if not line:
            raise FileError("has no header: it is empty, or its first line is")
        if len(line) > LONGEST_LINE_BYTES:
            raise FileError(f"has no header: its first line is longer than {LONGEST_LINE_BYTES:,} bytes")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise FileError(f"has a header that is not valid {self.encoding}") from None
        try:
            fields = [field.strip() for field in self.fields.split(text)]
        except BadRow:
            self._check_delimiter(text)
            raise FileError("has a header with a badly placed quote") from None
        if len(fields) > MOST_COLUMNS:
            raise FileError(f"has {len(fields):,} columns in its header; it can have {MOST_COLUMNS:,} at most")
        names = [field.lower() for field in fields]
        positions = self._positions(fields, names)
        needed = self._needed()
        if self.feed.moment.column not in self.defaults:
            needed.append(self.feed.column(self.feed.moment.column))
        missing = [column for column in dict.fromkeys(needed) if column.name not in positions]
        if missing:
            self._check_delimiter(text)
            if all(re.fullmatch("[-+0-9.eE]+", name) for name in names):
                raise FileError("has no header: its first line is a row of numbers")
            if self.feed.needs_date and [column.name for column in missing] == [self.feed.moment.column]:
                (named,) = missing
                raise FileError(
                    f"has no column {' or '.join(named.names_in_files)} in its header, and neither its name nor --date "
                    "gives the day"
                )
            lacking = ", ".join(" or ".join(column.names_in_files) for column in missing)
            raise FileError(f"has no column {lacking} in its header")
        return names, positions

    def _positions(self, fields: list[str], names: list[str]) -> dict[str, int]:
        """Return the columns' places in the header; raises FileError if one has two."""
        positions = {}
        known = {name.lower() for column in self.feed.columns for name in column.names_in_files}
        for column in self.feed.columns:
            ours = {name.lower() for name in column.names_in_files}
            found = [place for place, name in enumerate(names) if name in ours]
            if not found and column.headers:
                bare = ((place, without_unit(name)) for place, name in enumerate(names) if name not in known)
                found = [place for place, name in bare if name in ours]
            if len({names[place] for place in found}) > 1:
                shown = ", ".join(fields[place] for place in found)
                raise FileError(f"has {len(found)} columns for {column.name} in its header: {shown}")
            if len(found) > 1:
                shown = fields[found[0]] if column.headers else column.name
                raise FileError(f"has the column {shown} {len(found)} times in its header")
            if found:
                positions[column.name] = found[0]
        return positions

    def _needed(self) -> list[Column]:
        return [column for column in self.feed.columns if column.required]

    def _check_delimiter(self, header: str) -> None:
        ends = f"{self.format.quote or chr(34)} "
        for delimiter, plural in DELIMITERS.items():
            names = {name.strip(ends) for name in header.lower().split(delimiter)}
            if delimiter != self.format.delimiter and all(
                any(name.lower() in names for name in column.names_in_files) for column in self._needed()
            ):
                must = delimiter_in_words(self.format.delimiter)
                raise FileError(f"separates its fields by {plural}; it must be {must}")

    def split(self, text: str) -> list[str]:
        """Return the fields of a row, without quotes and spaces round them; raises BadRow."""
        fields = self.fields.split(text.rstrip("\r"))
        if " " in text or "\t" in text:
            fields = [field.strip(" \t") for field in fields]
        if len(fields) != len(self.names):
            plural = "" if len(fields) == 1 else "s"
            raise BadRow("", f"has {len(fields)} field{plural} where the header has {len(self.names)}")
        if fields[0].lower() == self.names[0] and [field.lower() for field in fields] == self.names:
            raise BadRow("", "repeats the header")
        return fields

    def record(self, text: str) -> dict[str, Any]:
        fields = self.split(text)
        if self._missing:
            fields = ["" if field.isascii() and field.lower() in self._missing else field for field in fields]
        if self._day is not None and not fields[self._day]:
            self.lacks_day = True
        record, name = {}, ""
        try:
            for name, position, parse, default in self._readers:
                value = None if position is None else parse(fields[position])
                record[name] = default if value is None else value
        except BadValue as error:
            raise BadRow(name, str(error)) from None
        return record

    def table(self, path: Path, skip: int) -> str:
        columns = ", ".join(f"'field_{position}': 'VARCHAR'" for position in range(len(self.names)))
        return read_csv(path, skip, self.format.delimiter, columns)

    def plain(self, column: Column) -> str:
        if self._are_digits:
            assert isinstance(column.type, Integer)  # noqa: S101  what _are_digits says
            return column.type.holds(self.value(column))
        text = self._text(column)
        return "true" if text is None else column.type.is_plain(text)

    def value(self, column: Column) -> str:
        text = self._text(column)
        if text is None:
            return self.or_default(column, f"CAST(NULL AS {column.type.sql_type})")
        if self._are_digits:
            # DuckDB does this cast while it reads, where a number too large is an error after all; not so with nullif.
            text = f"nullif({text}, '')" if self.careful else text
            return f"try_cast({text} AS {column.type.sql_type})"
        return self.or_default(column, column.type.value(text))

    def lacks(self, column: Column) -> str:
        text = self._text(column)
        return "true" if text is None else f"{column.type.value(text)} IS NULL"

    def _text(self, column: Column) -> str | None:
        """Return SQL for a column's text as its type reads it; None if the file lacks the column."""
        position = self.positions.get(column.name)
        if position is None:
            return None
        if self._are_digits:
            return f"field_{position}"
        text = f"trim(field_{position}, ' ')"
        if self._missing:
            # Of ASCII alone: DuckDB's lower and RE2 take a Kelvin sign for a K, where case makes no difference.
            words = ", ".join(quoted(word) for word in sorted(self._missing))
            is_missing = f"regexp_full_match({text}, '[ -~]+') AND lower({text}) IN ({words})"
            text = f"CASE WHEN {is_missing} THEN '' ELSE {text} END"
        return self.numbers.plain_sql(text) if self.is_number(column) else text
