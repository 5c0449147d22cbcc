"""The format of a file's rows: what CSV and JSON lines have in common.

A format knows its file's first line. It has the SQL by which the bulk reader finds and reads lines that are plain, and
parses a single row in Python, which is the truth.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from kpis.catalog.feeds import Column, Feed
from kpis.formats.grammar import LONGEST_LINE_BYTES, Grammar


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


def read_csv(path: Path, skip: int, delimiter: str, columns: str) -> str:
    """Return SQL for a table of a file's lines without the first ``skip``, split at a delimiter into columns."""
    quoted = str(path).replace("'", "''")
    return f"""read_csv(
        '{quoted}', columns = {{{columns}}}, auto_detect = false, header = false, skip = {skip}, delim = '{delimiter}',
        quote = '', escape = '', new_line = '\\n', compression = 'none', max_line_size = {2 * LONGEST_LINE_BYTES}
    )"""


def _literal(value: Any) -> str:
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    raise TypeError(f"no default can be a {type(value).__name__}")
