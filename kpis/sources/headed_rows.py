"""Rows of CSV whose message has a header with the names of their columns, put into the order of the feed's columns."""

from __future__ import annotations

from dataclasses import replace

from kpis.catalog.feeds import BadRow, Feed
from kpis.catalog.formats import CSV, Header
from kpis.formats.bounds import FileError
from kpis.formats.csv_rows import CSVRows
from kpis.sources.messages import Refused

# The key of the message's header that names the columns, written as the first line of a file.
COLUMNS_KEY = "columns"
# Producers of a topic have few headers; beyond, all are read again.
MOST_HEADERS = 1_000


class HeadedRows:
    """Puts rows of a feed of CSV into the order of its columns; an absent column is an empty field."""

    def __init__(self, feed: Feed):
        assert isinstance(feed.format, CSV)  # noqa: S101  what the spool asks
        self._format = feed.format
        self._feed = replace(feed, format=replace(feed.format, header=Header.REQUIRED))
        self._known: dict[bytes, CSVRows | str] = {}

    def row(self, header: bytes, value: bytes) -> bytes | Refused:
        """Return a message's row in the feed's order, refused if its columns are not the header's.

        A message that is no line of text at all is returned as it is.
        """
        try:
            text = value.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            return value
        if not text.strip() or {*text} & {*"\r\n\0"}:
            return value
        rows = self._rows(header)
        if isinstance(rows, str):
            return Refused(value, rows)
        try:
            fields = rows.split(text)
        except BadRow as bad:
            return Refused(value, bad.reason)
        places = [rows.positions.get(column.name) for column in self._feed.columns]
        return self._format.delimiter.join("" if at is None else self._written(fields[at]) for at in places).encode()

    def _rows(self, header: bytes) -> CSVRows | str:
        """Return how rows with a header are read, or the reason why they cannot be."""
        if len(self._known) > MOST_HEADERS:
            self._known.clear()
        if header not in self._known:
            # The message has the day, if no column has.
            defaults = {self._feed.moment.column: None} if self._feed.may_lack_day else {}
            try:
                self._known[header] = CSVRows(self._feed, header.strip(), defaults)
            except FileError as error:
                self._known[header] = str(error)
        return self._known[header]

    def _written(self, field: str) -> str:
        """Return a field as it is written, within quotes where it needs them."""
        quote = self._format.quote
        if quote and (self._format.delimiter in field or quote in field):
            return quote + field.replace(quote, quote * 2) + quote
        return field
