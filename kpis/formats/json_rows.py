"""Rows of JSON lines: an object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpis.catalog.columns import BadValue
from kpis.catalog.columns.base import JSONNumber
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.formats.grammar import Nothing, PlainText
from kpis.formats.row_format import RowFormat, quoted, read_csv

UNUSED_DELIMITER = "\x1f"

_ABSENT = object()

_OF_NUMBERS = frozenset("+-.0123456789")
_NUMBER_LIKE = re.compile(r"[-+.]*[0-9][-+.0-9A-Za-z_]*")


class JSONRows(RowFormat):
    """One JSON object per line.

    A column's key is one of its names in files; one that is no key of the object may lead to a value in objects within,
    as ``a.b``. Lines of the feed's keys alone, in the first line's order, are read in bulk.
    """

    def __init__(self, feed: Feed, first_line: bytes, defaults: Mapping[str, Any]):
        super().__init__(feed, defaults)
        self._readers = [
            (column, column.names_in_files, column.required, self.defaults.get(column.name)) for column in feed.columns
        ]
        self._day = feed.moment.column if feed.needs_date else None
        self.grammar = PlainText() if all(map(_is_flat, feed.columns)) else Nothing()
        keys = [column.names_in_files[0] for column in feed.columns]
        try:
            found = list(_object(first_line.decode()))
        except (BadRow, UnicodeDecodeError):
            found = []
        if sorted(found) == sorted(keys):
            keys = found
        columns = {column.names_in_files[0]: column for column in feed.columns}
        self._columns = [columns[key] for key in keys]

    def record(self, text: str) -> dict[str, Any]:
        values = _object(text)
        record = {}
        for column, keys, is_required, default in self._readers:
            value = values.get(keys[0], _ABSENT) if len(keys) == 1 else _only_value(values, column)
            if value is _ABSENT and "." in keys[0]:
                value = _value_within(values, keys[0])
            if value is _ABSENT:
                if is_required:
                    raise BadRow(column.name, "is missing")
                value = None
            else:
                try:
                    if value is not None or not column.type.optional:
                        value = column.type.parse(column.type.text_of_json(value))
                except BadValue as error:
                    raise BadRow(column.name, str(error)) from None
            if value is None and column.name == self._day:
                self.lacks_day = True
            record[column.name] = default if value is None else value
        return record

    def table(self, path: Path, skip: int) -> str:
        fields = []
        for column in self._columns:
            # A value has one of several patterns, with a group each, of which the others are empty.
            patterns = column.type.json_patterns + ("null",) * column.type.optional
            key = re.sub(r"([^\w\s])", r"\\\1", column.names_in_files[0])
            fields.append(f'"{key}" *: *(?:{"|".join(patterns)})')
        pattern = "^ *\\{ *" + " *, *".join(fields) + " *\\} *$"
        names = ", ".join(f"'{group}'" for column in self._columns for group in _groups(column))
        lines = read_csv(path, skip, UNUSED_DELIMITER, "'line': 'VARCHAR'")
        return f"(SELECT unnest(regexp_extract(line, {quoted(pattern)}, [{names}])) FROM {lines})"

    def plain(self, column: Column) -> str:
        return column.type.is_plain(self._text(column))

    def value(self, column: Column) -> str:
        return self.or_default(column, column.type.value(self._text(column)))

    def lacks(self, column: Column) -> str:
        return f"{column.type.value(self._text(column))} IS NULL"

    def _text(self, column: Column) -> str:
        groups = [f'"{group}"' for group in _groups(column)]
        return f"trim({' || '.join(groups)}, ' ')"


def _is_flat(column: Column) -> bool:
    """Return True if each row has a column's value, at one key of the object itself that is written as it is."""
    names = column.names_in_files
    return column.required and len(names) == 1 and not set(names[0]) & set('."\\')


def _only_value(values: dict[str, Any], column: Column) -> Any:
    """Return the value of a column that may have several keys; raises BadRow if it has two of them."""
    found = {}
    for name in column.names_in_files:
        value = values[name] if name in values else _value_within(values, name)
        if value is not _ABSENT:
            found[name] = value
    if len(found) > 1:
        raise BadRow(column.name, f"comes twice, as {' and '.join(found)}")
    return next(iter(found.values()), _ABSENT)


def _value_within(values: Any, path: str) -> Any:
    """Return the value at a path of keys, each in the object that the one before has."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return _ABSENT
        values = values[key]
    return values


def _groups(column: Column) -> list[str]:
    """Return the names of the groups that a column's patterns have in the pattern of a line."""
    return [column.name, *(f"{column.name}#{number}" for number in range(1, len(column.type.json_patterns)))]


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
        found = json.loads(text, object_pairs_hook=unique, parse_constant=_no_number, parse_float=JSONNumber)
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
