"""Grammars: the lines that the bulk reader reads correctly."""

from __future__ import annotations

import re
from typing import Protocol

from kpis.catalog.formats import CSV, WHITE_SPACE

LONGEST_LINE_BYTES = 2**20
CONTROLS = bytes([*range(32), 127])
DIGITS = b"0123456789"


class Grammar(Protocol):
    """The grammar of a feed's clean lines, which the bulk reader reads correctly."""

    def clean_lines(self, block: bytes) -> int | None:
        """Return the number of lines of a block if all are clean, else None; lines end in a line feed."""

    def tidied(self, line: bytes) -> bytes | None:
        """Return a clean line with the same meaning as a line, given without its end; None if there is none."""

    def is_comment(self, line: bytes) -> bool:
        """Return True if a line is a comment."""


def csv_grammar(format: CSV, width: int, are_digits: bool) -> Grammar:
    """Return the grammar of lines of ``width`` fields, which are whole numbers if ``are_digits``."""
    if not format.delimiter.isascii():
        return Nothing(format.comment)
    return Digits(width, format) if are_digits else PlainText(width - 1, format)


class _Lines:
    """What grammars have in common: ``delimiters`` in each line, comments, and blank lines.

    A line is blank if it is nothing but white space, even if that is delimiters.
    """

    def __init__(self, delimiter: bytes, delimiters: int, comment: str):
        self._delimiters, self._comment = delimiter * delimiters, comment.encode()
        spaces = b" " + (re.escape(delimiter) if delimiter in WHITE_SPACE else b"")
        may_be_blank = not delimiters or delimiter in WHITE_SPACE
        self._blank = re.compile(b"^[" + spaces + b"]*$", re.MULTILINE) if may_be_blank else None

    def is_comment(self, line: bytes) -> bool:
        return bool(self._comment) and line.startswith(self._comment)

    def _has_no_row(self, block: bytes) -> bool:
        """Return True if one of a block's lines is blank or a comment."""
        if self._comment and (block.startswith(self._comment) or b"\n" + self._comment in block):
            return True
        return self._blank is not None and self._blank.search(block.removesuffix(b"\n")) is not None


class Digits(_Lines):
    """Lines of ``width`` whole numbers between delimiters, for feeds whose columns are all whole numbers.

    Of blocks only those without signs are clean, which is faster to check; a field may also be empty.
    """

    def __init__(self, width: int, format: CSV):
        delimiter, quote = format.delimiter.encode(), format.quote.encode()
        super().__init__(delimiter, width - 1, format.comment)
        spaces = b" \t".replace(delimiter, b"")
        self._removed = spaces + quote
        space = b"[" + spaces + b"]*+"
        number = b"-?[0-9]++"
        if quote:
            mark = re.escape(quote)
            number = b"(?:" + number + b"|" + mark + space + number + space + mark + b")"
        number = space + number + space
        self._harmless = re.compile(number + b"(?:" + re.escape(delimiter) + number + b"){%d}" % (width - 1))

    def clean_lines(self, block: bytes) -> int | None:
        # A clean line without its digits: the same for every line.
        count = _lines_like(block.translate(None, DIGITS), self._delimiters)
        return None if count is None or self._has_no_row(block) else count

    def tidied(self, line: bytes) -> bytes | None:
        if len(line) > LONGEST_LINE_BYTES or self._has_no_row(line):
            return None
        if line.translate(None, DIGITS) == self._delimiters:
            return line
        return line.translate(None, self._removed) if self._harmless.fullmatch(line) else None


class PlainText(_Lines):
    """Lines of UTF-8 text without control characters and quotes, and with ``delimiters`` of a format's delimiters.

    Without a format, any other characters are plain.
    """

    def __init__(self, delimiters: int = 0, format: CSV | None = None):
        delimiter = format.delimiter.encode() if format else b""
        super().__init__(delimiter, delimiters, format.comment if format else "")
        needed = set(CONTROLS) | set(delimiter) | set(format.quote.encode() if format else b"")
        self._skipped = bytes(byte for byte in range(256) if byte not in needed)

    def clean_lines(self, block: bytes) -> int | None:
        count = _lines_like(block.translate(None, self._skipped), self._delimiters)
        return None if count is None or not _is_utf_8(block) or self._has_no_row(block) else count

    def tidied(self, line: bytes) -> bytes | None:
        clean = line.translate(None, self._skipped) == self._delimiters and _is_utf_8(line)
        return line if clean and len(line) <= LONGEST_LINE_BYTES and not self._has_no_row(line) else None


class Nothing(_Lines):
    """No line is clean: all are judged one by one."""

    def __init__(self, comment: str = ""):
        super().__init__(b",", 1, comment)

    def clean_lines(self, block: bytes) -> int | None:
        return None

    def tidied(self, line: bytes) -> bytes | None:
        return None


def _lines_like(frame: bytes, line: bytes) -> int | None:
    """Return the number of lines if each is the same as ``line``; else None."""
    if not frame.endswith(b"\n"):
        frame += b"\n"
    count = len(frame) // (len(line) + 1)
    return count if frame == (line + b"\n") * count else None


def _is_utf_8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
