"""The format of a feed's rows, by how the catalog describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import CSV, Format, JSONLines, LineFormat
from kpis.formats.csv_rows import CSVRows
from kpis.formats.decoded import Decoded
from kpis.formats.decoders import decoded_of
from kpis.formats.json_rows import JSONRows

_ROWS_OF: dict[type[Format], type[CSVRows] | type[JSONRows]] = {CSV: CSVRows, JSONLines: JSONRows}


def row_format_of(feed: Feed, first_line: bytes, defaults: Mapping[str, Any]) -> CSVRows | JSONRows:
    """Return the format of the rows of a feed's file, by the file's first line; see ``RowFormat``."""
    lines = feed.as_lines
    rows = _ROWS_OF[type(lines.format)](lines, first_line, defaults)
    rows.is_decoded = lines is not feed
    return rows


def line_format_of(feed: Feed) -> LineFormat | Decoded:
    """Return the format of a feed whose rows are lines, or are decoded into lines."""
    if isinstance(feed.format, CSV | JSONLines):
        return feed.format
    decoded = decoded_of(feed)
    assert decoded is not None  # noqa: S101  others have readers of their own
    return decoded
