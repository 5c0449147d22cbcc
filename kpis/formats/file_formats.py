"""The format of a feed's rows, by how the catalog describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import CSV, Format, JSONLines, LineFormat
from kpis.formats.csv_rows import CSVRows
from kpis.formats.json_rows import JSONRows

_ROWS_OF: dict[type[Format], type[CSVRows] | type[JSONRows]] = {CSV: CSVRows, JSONLines: JSONRows}


def row_format_of(feed: Feed, first_line: bytes, defaults: Mapping[str, Any]) -> CSVRows | JSONRows:
    """Return the format of the rows of a feed's file, by the file's first line; see ``RowFormat``."""
    return _ROWS_OF[type(feed.format)](feed, first_line, defaults)


def line_format_of(feed: Feed) -> LineFormat:
    """Return the format of a feed whose rows are lines."""
    assert isinstance(feed.format, CSV | JSONLines)  # noqa: S101  others have readers of their own
    return feed.format
