"""The file formats of feeds: CSV and JSON lines.

A format knows its file's first line. It has the SQL by which the bulk reader finds and reads lines that are plain, and
parses a single row in Python, which is the truth.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from kpis.catalog.columns import BadValue, Integer
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.catalog.formats import CSV, Format, Header, JSONLines
from kpis.formats.bounds import FileError
from kpis.formats.grammar import LONGEST_LINE_BYTES, Digits, Grammar, PlainText

MOST_COLUMNS = 1_000
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
UNUSED_DELIMITER = "\x1f"

_OF_NUMBERS = frozenset("+-.0123456789")
_NUMBER_LIKE = re.compile(r"[-+.]*[0-9][-+.0-9A-Za-z_]*")
_FIELD = re.compile(r'[ \t]*+"((?:[^"]|"")*+)"[ \t]*+|[^",]*+')


class RowFormat(ABC):
    """The format of one file's rows. ``defaults`` has values for columns that the rows leave empty or lack.

    ``careful`` makes the SQL accept numbers that are too large for their columns, which costs time. ``lacks_day`` is
    True once ``record`` has parsed a row without a day, in a feed whose rows may lack it.
    """

    grammar: Grammar
    has_header = False
    careful = False
    lacks_day = False

    def __init__(self, feed: Feed, defaults: Mapping[str, Any]):
        self.feed, self.defaults = feed, defaults

    @abstractmethod
    def record(self, text: str) -> dict[str, Any]:
        """Return a row's values by column; raises BadRow."""

    @abstractmethod
    def table(self, path: Path, skip: int) -> str:
        """Return SQL for a table of the clean lines of a file, without the first ``skip`` lines."""

    @abstractmethod
    def plain(self, column: Column) -> str:
        """Return an SQL condition over that table: true where SQL can parse a column's text."""

    @abstractmethod
    def value(self, column: Column) -> str:
        """Return an SQL expression over that table for a column's value."""

    def lacks(self, column: Column) -> str:
        """Return an SQL condition over that table: true where a row has no value in a column, defaults aside."""
        return "false"

    def or_default(self, column: Column, value: str) -> str:
        """Return an SQL expression for the value, or the column's default where it is NULL."""
        default = self.defaults.get(column.name)
        return value if default is None else f"coalesce({value}, {_literal(default)})"


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
        self._are_digits = all(isinstance(column.type, Integer) for column in feed.columns)
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
            if missing == ["date"]:
                raise FileError("has no column date in its header, and neither its name nor --date gives the day")
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
        return _read_csv(path, skip, ",", columns)

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


class JSONRows(RowFormat):
    """One JSON object per line. Lines whose keys come in the first line's order are read in bulk."""

    def __init__(self, feed: Feed, first_line: bytes, defaults: Mapping[str, Any]):
        super().__init__(feed, defaults)
        self.grammar = PlainText(commas=None)
        keys = list(feed.column_names)
        try:
            found = list(_object(first_line.decode()))
        except (BadRow, UnicodeDecodeError):
            found = []
        if sorted(found) == sorted(keys):
            keys = found
        self._keys = keys

    def record(self, text: str) -> dict[str, Any]:
        values = _object(text)
        record = {}
        for column in self.feed.columns:
            if column.name not in values:
                raise BadRow(column.name, "is missing")
            value = values[column.name]
            try:
                if isinstance(column.type, Integer):
                    if type(value) is not int:
                        raise BadValue("is not a whole number")
                    value = column.type.parse(str(value))
                else:
                    if not isinstance(value, str):
                        raise BadValue("is not a text")
                    value = column.type.parse(value.strip(" \t"))
            except BadValue as error:
                raise BadRow(column.name, str(error)) from None
            record[column.name] = value
        return record

    def table(self, path: Path, skip: int) -> str:
        columns = {column.name: column for column in self.feed.columns}
        fields = [
            f'"{key}" *: *' + ("(0|[1-9][0-9]*)" if isinstance(columns[key].type, Integer) else r'"([^"\\\\]*)"')
            for key in self._keys
        ]
        pattern = "^ *\\{ *" + " *, *".join(fields) + " *\\} *$"
        names = ", ".join(f"'{key}'" for key in self._keys)
        lines = _read_csv(path, skip, UNUSED_DELIMITER, "'line': 'VARCHAR'")
        return f"(SELECT unnest(regexp_extract(line, '{pattern}', [{names}])) FROM {lines})"

    def plain(self, column: Column) -> str:
        return column.type.is_plain(self._text(column))

    def value(self, column: Column) -> str:
        return column.type.value(self._text(column))

    def _text(self, column: Column) -> str:
        return f'trim("{column.name}")'


_ROWS_OF: dict[type[Format], type[CSVRows] | type[JSONRows]] = {CSV: CSVRows, JSONLines: JSONRows}


def row_format_of(feed: Feed, first_line: bytes, defaults: Mapping[str, Any]) -> CSVRows | JSONRows:
    """Return the format of the rows of a feed's file, by the file's first line; see ``RowFormat``."""
    return _ROWS_OF[type(feed.format)](feed, first_line, defaults)


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


def _object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text; raises BadRow."""
    # Objects with a key that comes twice, and the first such key.
    twice: list[tuple[dict[str, Any], str]] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.append((found, next(key for number, key in enumerate(keys) if key in keys[:number])))
        return found

    try:
        found = json.loads(text, object_pairs_hook=unique, parse_constant=_no_number)
    except BadRow:
        raise
    except RecursionError:
        raise BadRow("", "is nested too deeply") from None
    except json.JSONDecodeError as error:
        wrong = _wrong_number(text, error.pos)
        if wrong:
            raise BadRow("", f"is not JSON: a number {wrong} at character {error.colno}") from None
        what = error.msg.removesuffix(" at")
        raise BadRow("", f"is not JSON: {what} at character {error.colno}") from None
    except ValueError:
        raise BadRow("", "is not JSON: it holds a number of too many digits") from None
    for where, key in twice:
        if where is not found:
            raise BadRow("", "has an object within in which a key comes twice")
        raise BadRow(key if key.isidentifier() and len(key) <= 64 else "", "comes twice")
    if not isinstance(found, dict):
        raise BadRow("", "is JSON, but not an object")
    return found


def _no_number(name: str) -> None:
    """Raise BadRow for a constant such as NaN, which Python's parser accepts and JSON does not have."""
    raise BadRow("", f"is not JSON: {name} is no number there")


def _wrong_number(text: str, position: int) -> str:
    """Return what is wrong with the number at which the parser stopped; "" if it stopped at no number."""
    if text[position : position + 1].isdigit() and text[position - 1] not in _OF_NUMBERS:
        return ""
    start = position
    while start and text[start - 1] in _OF_NUMBERS:
        start -= 1
    found = _NUMBER_LIKE.match(text, start)
    if found is None or found.end() <= position:
        return ""
    number = found[0].lstrip("+-")
    if found[0].startswith("+"):
        return "begins with +"
    if re.match(r"0[0-9]", number):
        return "begins with 0"
    if not re.match(r"[0-9]+(\.[0-9]|[^.]|$)", number):
        return "has no digit before or after its point"
    return "is written as JSON does not know it"


def _read_csv(path: Path, skip: int, delimiter: str, columns: str) -> str:
    quoted = str(path).replace("'", "''")
    return f"""read_csv(
        '{quoted}', columns = {{{columns}}}, auto_detect = false, header = false, skip = {skip}, delim = '{delimiter}',
        quote = '', escape = '', new_line = '\\n', compression = 'none', max_line_size = {2 * LONGEST_LINE_BYTES}
    )"""


def _literal(value: Any) -> str:
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    raise TypeError(f"no default can be a {type(value).__name__}")
