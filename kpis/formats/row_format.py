"""The format of a file's rows: what CSV and JSON lines have in common.

A format knows its file's first line. It has the SQL by which the bulk reader finds and reads lines that are plain, and
parses a single row in Python, which is the truth.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from kpis.catalog.formats import ENCODINGS
from kpis.catalog.plugin_formats import Refusal
from kpis.formats.decoded import refusal_of
from kpis.formats.grammar import LONGEST_LINE_BYTES, Grammar
from kpis.formats.row_values import RowValues


class RowFormat(RowValues):
    """The format of one file's lines. ``careful`` makes the SQL accept numbers that are too large for their columns,
    which costs time. The lines of a file that ``is_decoded`` may be refusals.
    """

    grammar: Grammar
    has_header = False
    careful = False
    is_decoded = False
    # What rows that are not valid are said not to be.
    encoding = ENCODINGS["utf-8"]

    def refusal(self, line: bytes) -> Refusal | None:
        """Return why a row could not be decoded, if the line says that; else None."""
        return refusal_of(line) if self.is_decoded else None

    @abstractmethod
    def record(self, text: str) -> dict[str, Any]:
        """Return a row's values by column; raises BadRow."""

    @abstractmethod
    def table(self, path: Path, skip: int) -> str:
        """Return SQL for a table of the clean lines of a file, without the first ``skip`` lines."""


def quoted(text: str) -> str:
    """Return a text as a literal in SQL."""
    return "'" + text.replace("'", "''") + "'"


def read_csv(path: Path, skip: int, delimiter: str, columns: str) -> str:
    """Return SQL for a table of a file's lines without the first ``skip``, split at a delimiter into columns."""
    return f"""read_csv(
        {quoted(str(path))}, columns = {{{columns}}}, auto_detect = false, header = false, skip = {skip},
        delim = {quoted(delimiter)}, quote = '', escape = '', new_line = '\\n', compression = 'none',
        max_line_size = {2 * LONGEST_LINE_BYTES}
    )"""
