"""A single row's way to being a record or a reject, in plain Python: the meaning of a feed's columns and checks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kpis.catalog.feeds import BadRow, BadValue, Feed
from kpis.engine.lines import LONGEST_LINE_BYTES, FileError, Line

LONGEST_REJECT_TEXT = 10_000
MOST_COLUMNS = 1_000
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}

_FIELD = re.compile(r'[ \t]*+"((?:[^"]|"")*+)"[ \t]*+|[^",]*+')


class Header:
    """A CSV header: which field of a row is which of the feed's columns.

    Columns may come in any order and case, with spaces and quotes round their names; columns that the feed does
    not know are passed over. Raises FileError when a column is missing or comes twice, or there are too many.
    """

    def __init__(self, feed: Feed, line: bytes):
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise FileError("has a header that is not valid UTF-8") from None
        try:
            fields = split_fields(text)
        except BadRow:
            self._check_delimiter(feed, text)
            raise FileError("has a header with a badly placed quote") from None
        if len(fields) > MOST_COLUMNS:
            raise FileError(f"has {len(fields):,} columns in its header; it can have {MOST_COLUMNS:,} at most")
        self.names = [field.strip().lower() for field in fields]
        self.positions: dict[str, int] = {}
        for column in feed.columns:
            count = self.names.count(column.name)
            if count > 1:
                raise FileError(f"has the column {column.name} {count} times in its header")
            if count:
                self.positions[column.name] = self.names.index(column.name)
        missing = [name for name in feed.column_names if name not in self.positions]
        if missing:
            self._check_delimiter(feed, text)
            if all(re.fullmatch("[-+0-9.eE]+", name) for name in self.names):
                raise FileError("has no header: its first line is a row of numbers")
            raise FileError(f"has no column {', '.join(missing)} in its header")

    @staticmethod
    def _check_delimiter(feed: Feed, text: str) -> None:
        for delimiter, plural in OTHER_DELIMITERS.items():
            if {name.strip('" ') for name in text.lower().split(delimiter)} >= set(feed.column_names):
                raise FileError(f"separates its fields by {plural}; it must be commas")

    @property
    def width(self) -> int:
        return len(self.names)


def split_fields(text: str) -> list[str]:
    """The fields of one CSV row, as they stand between the commas or within the quotes; raises BadRow."""
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


def judge(feed: Feed, header: Header, line: Line) -> dict[str, int]:
    """The record that a row is, by column; raises BadRow with the column and the reason where it is none."""
    if len(line.content) > LONGEST_LINE_BYTES:
        raise BadRow("", f"is longer than {LONGEST_LINE_BYTES:,} bytes")
    if b"\0" in line.content:
        raise BadRow("", "holds a NUL byte")
    try:
        # Files put together one after the other have byte order marks within.
        text = line.content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise BadRow("", "is not valid UTF-8") from None
    fields = [field.strip(" \t") for field in split_fields(text.rstrip("\r"))]
    if len(fields) != header.width:
        raise BadRow(
            "", f"has {len(fields)} field{'' if len(fields) == 1 else 's'} where the header has {header.width}"
        )
    if fields[0].lower() == header.names[0] and [field.lower() for field in fields] == header.names:
        raise BadRow("", "repeats the header")
    record = {}
    for column in feed.columns:
        try:
            record[column.name] = column.type.parse(fields[header.positions[column.name]])
        except BadValue as error:
            raise BadRow(column.name, str(error)) from None
    check_record(feed, record)
    return record


def check_record(feed: Feed, record: Mapping[str, int]) -> None:
    """Raises BadRow when one of the feed's checks on the row as a whole does not hold."""
    for check in feed.checks:
        if not check.holds(record):
            raise BadRow(check.column, check.reason)


def reject_text(line: Line) -> str:
    """A rejected row as text to keep: what is no UTF-8 as ``\\x..``, cut after LONGEST_REJECT_TEXT characters."""
    text = line.content[: LONGEST_REJECT_TEXT * 4].decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return text if len(text) <= LONGEST_REJECT_TEXT else text[:LONGEST_REJECT_TEXT] + "..."
