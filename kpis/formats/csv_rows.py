"""Rows of CSV: the header, and what is in a row's fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpis.catalog.columns import BadValue, Integer
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.catalog.formats import CSV, Header
from kpis.formats.bounds import FileError
from kpis.formats.grammar import LONGEST_LINE_BYTES, Digits, PlainText
from kpis.formats.row_format import RowFormat, read_csv

MOST_COLUMNS = 1_000
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}

_FIELD = re.compile(r'[ \t]*+"((?:[^"]|"")*+)"[ \t]*+|[^",]*+')


class CSVRows(RowFormat):
    """CSV with a header, or, in feeds that allow it, without one and with the feed's columns in their order.

    Columns may come in any order and case, with spaces and quotes round their names; columns that the feed does
    not know are ignored. Raises FileError when a column is missing or comes twice, or there are too many.
    """

    def __init__(self, feed: Feed, first_line: bytes, defaults: Mapping[str, Any]):
        super().__init__(feed, defaults)
        self.names = [name.lower() for name in feed.column_names]
        self.has_header = True
        if feed.format != CSV(Header.OPTIONAL) or self._is_header(first_line):
            self.names = self._header(first_line)
        else:
            self.has_header = False
        positions = {name: position for position, name in enumerate(self.names)}
        self.positions = {
            column.name: positions[column.name.lower()] for column in feed.columns if column.name.lower() in positions
        }
        # What a row's record is made of: each column's name, place in the row, parser, and value where it has none.
        self._readers = [
            (column.name, self.positions.get(column.name), column.type.parse, defaults.get(column.name))
            for column in feed.columns
        ]
        self._day = self.positions.get(feed.moment.column) if feed.needs_date else None
        self.lacks_day = feed.needs_date and self._day is None
        # Whole numbers are read as such; anything else as text.
        self._are_digits = all(isinstance(column.type, Integer) and column.type.is_digits for column in feed.columns)
        self.grammar = Digits(len(self.names)) if self._are_digits else PlainText(len(self.names) - 1)

    def _is_header(self, line: bytes) -> bool:
        """Return True if a first line that may be a row is a header: it names a column."""
        known = {name.lower() for name in self.feed.column_names}
        return any(field.strip(' "').lower() in known for field in line.decode("utf-8", "replace").split(","))

    def _header(self, line: bytes) -> list[str]:
        if not line:
            raise FileError("has no header: it is empty, or its first line is")
        if len(line) > LONGEST_LINE_BYTES:
            raise FileError(f"has no header: its first line is longer than {LONGEST_LINE_BYTES:,} bytes")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise FileError("has a header that is not valid UTF-8") from None
        try:
            fields = split_fields(text)
        except BadRow:
            self._check_delimiter(text)
            raise FileError("has a header with a badly placed quote") from None
        if len(fields) > MOST_COLUMNS:
            raise FileError(f"has {len(fields):,} columns in its header; it can have {MOST_COLUMNS:,} at most")
        names = [field.strip().lower() for field in fields]
        for column in self.feed.columns:
            count = names.count(column.name.lower())
            if count > 1:
                raise FileError(f"has the column {column.name} {count} times in its header")
        needed = self._needed()
        if self.feed.moment.column not in self.defaults:
            needed.append(self.feed.moment.column)
        missing = [name for name in dict.fromkeys(needed) if name.lower() not in names]
        if missing:
            self._check_delimiter(text)
            if all(re.fullmatch("[-+0-9.eE]+", name) for name in names):
                raise FileError("has no header: its first line is a row of numbers")
            if self.feed.needs_date and missing == [self.feed.moment.column]:
                raise FileError(
                    f"has no column {missing[0]} in its header, and neither its name nor --date gives the day"
                )
            raise FileError(f"has no column {', '.join(missing)} in its header")
        return names

    def _needed(self) -> list[str]:
        return [column.name for column in self.feed.columns if column.required]

    def _check_delimiter(self, header: str) -> None:
        needed = {name.lower() for name in self._needed()}
        for delimiter, plural in OTHER_DELIMITERS.items():
            if {name.strip('" ') for name in header.lower().split(delimiter)} >= needed:
                raise FileError(f"separates its fields by {plural}; it must be commas")

    def record(self, text: str) -> dict[str, Any]:
        fields = split_fields(text.rstrip("\r"))
        if " " in text or "\t" in text:
            fields = [field.strip(" \t") for field in fields]
        if len(fields) != len(self.names):
            plural = "" if len(fields) == 1 else "s"
            raise BadRow("", f"has {len(fields)} field{plural} where the header has {len(self.names)}")
        if fields[0].lower() == self.names[0] and [field.lower() for field in fields] == self.names:
            raise BadRow("", "repeats the header")
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
        return read_csv(path, skip, ",", columns)

    def plain(self, column: Column) -> str:
        if self._are_digits:
            assert isinstance(column.type, Integer)  # noqa: S101  what _are_digits says
            return column.type.holds(self.value(column))
        field = self._field(column)
        return "true" if field is None else column.type.is_plain(field)

    def value(self, column: Column) -> str:
        field = self._field(column)
        if field is None:
            return self.or_default(column, f"CAST(NULL AS {column.type.sql_type})")
        if self._are_digits:
            # DuckDB does this cast while it reads, where a number too large is an error after all; not so with nullif.
            field = f"nullif({field}, '')" if self.careful else field
            return f"try_cast({field} AS {column.type.sql_type})"
        return self.or_default(column, column.type.value(field))

    def lacks(self, column: Column) -> str:
        field = self._field(column)
        return "true" if field is None else f"{column.type.value(field)} IS NULL"

    def _field(self, column: Column) -> str | None:
        position = self.positions.get(column.name)
        if position is None:
            return None
        return f"field_{position}" if self._are_digits else f"trim(field_{position})"


def split_fields(text: str) -> list[str]:
    """Return the fields of one CSV row, without quotes but otherwise as they are written; raises BadRow."""
    if '"' not in text:
        return text.split(",")
    fields = []
    end = -1
    while end < len(text):
        found = _FIELD.match(text, end + 1)
        if found is None or text[found.end() : found.end() + 1] not in ("", ","):
            raise BadRow("", "has a badly placed quote")
        fields.append(found[0] if found[1] is None else found[1].replace('""', '"'))
        end = found.end()
    return fields
