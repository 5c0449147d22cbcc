"""Grammars: the lines that the bulk reader reads correctly."""

from __future__ import annotations

import re
from typing import Protocol

LONGEST_LINE_BYTES = 2**20
CONTROLS = bytes([*range(32), 127])


class Grammar(Protocol):
    """The grammar of a feed's clean lines, which the bulk reader reads correctly."""

    def clean_lines(self, block: bytes) -> int | None:
        """Return the number of lines of a block if all are clean, else None; lines end in a line feed."""

    def tidied(self, line: bytes) -> bytes | None:
        """Return a clean line with the same meaning as a line, given without its end; None if there is none."""


class Digits:
    """Lines of ``width`` whole numbers between commas, for feeds whose columns are all whole numbers.

    Of blocks only those without signs are clean, which is faster to check; a field may also be empty.
    """

    def __init__(self, width: int):
        self._commas = b"," * (width - 1)
        number = rb"[ \t]*+(?:-?[0-9]++|\"[ \t]*+-?[0-9]++[ \t]*+\")[ \t]*+"
        self._harmless = re.compile(number + rb"(?:," + number + rb"){%d}" % (width - 1))

    def clean_lines(self, block: bytes) -> int | None:
        # A clean line without its digits: the same for every line.
        return _lines_like(block.translate(None, b"0123456789"), self._commas)

    def tidied(self, line: bytes) -> bytes | None:
        if len(line) > LONGEST_LINE_BYTES:
            return None
        if line.translate(None, b"0123456789") == self._commas:
            return line
        return line.translate(None, b' \t"') if self._harmless.fullmatch(line) else None


class PlainText:
    """Lines of UTF-8 text without control characters; with ``commas`` commas and no quotes, unless that is None."""

    def __init__(self, commas: int | None):
        self._kept = b"" if commas is None else b"," * commas
        needed = set(CONTROLS) | (set() if commas is None else set(b',"'))
        self._skipped = bytes(byte for byte in range(256) if byte not in needed)

    def clean_lines(self, block: bytes) -> int | None:
        count = _lines_like(block.translate(None, self._skipped), self._kept)
        return count if count is not None and _is_utf_8(block) and not self._has_blank_lines(block) else None

    def tidied(self, line: bytes) -> bytes | None:
        clean = line.translate(None, self._skipped) == self._kept and line.strip() and _is_utf_8(line)
        return line if clean and len(line) <= LONGEST_LINE_BYTES else None

    def _has_blank_lines(self, block: bytes) -> bool:
        # A line with commas is not blank.
        return not self._kept and re.search(rb"^ *$", block.removesuffix(b"\n"), re.MULTILINE) is not None


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
