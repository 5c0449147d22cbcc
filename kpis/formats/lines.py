"""The lines of a file: clean ones for the bulk reader, odd ones to be judged one by one.

A file is read from front to back in blocks, so its size does not matter. Most files are clean from end to end, and the
bulk reader reads the file itself; otherwise the clean lines are copied to a spool file, together with those that differ
from clean ones only by quotes, spaces and signs, and the odd lines (letters instead of digits, a field too many...) are
returned with their numbers.
"""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from kpis.catalog.formats import ENCODINGS, LineFormat
from kpis.formats.bounds import UNBOUNDED, Bounds, FileError
from kpis.formats.content import (
    BLOCK_BYTES,
    Hashed,
    RawFile,
    blocks_of,
    identity_of,
    open_file,
    unpacked_chunks,
    unpacker_of,
)
from kpis.formats.decoded import Decoded
from kpis.formats.grammar import LONGEST_LINE_BYTES, Grammar
from kpis.formats.text import BYTE_ORDER_MARK, Text, check_marks, lines_in_utf_8

# The clean lines of a packed file are spooled, and read each time the spool has reached this size.
SPOOL_BYTES = 256 * 2**20


class Line(NamedTuple):
    """One line of a file: its number (the first is 1) and its bytes without the line's end.

    A line longer than LONGEST_LINE_BYTES may be cut, but stays longer than that.
    """

    number: int
    content: bytes


@dataclass
class SplitFile:
    """The result of ``split`` for the file at ``path``; ``identity`` shows if the file is still the same.

    ``clean_path`` holds the last of the ``clean`` lines, after ``skip`` lines to skip: it is the file itself with all
    of them, or the spool with those that follow the first ``read`` ones. ``lines`` counts the data lines, clean and
    odd. ``digest`` is the BLAKE3 (hex) of the unpacked content.
    """

    path: Path
    identity: tuple[int, ...]
    clean_path: Path
    skip: int
    clean: int = 0
    lines: int = 0
    digest: str = ""
    # The number of clean lines that were read before those in ``clean_path``.
    read: int = 0
    # From the n-th clean line on (from 0), a line's number is its place among the clean ones plus the shift.
    _shifts_from: array = field(default_factory=lambda: array("q", [0]))
    _shifts: array = field(default_factory=lambda: array("q", [1]))

    def __post_init__(self) -> None:
        if self.skip:
            self.leave_out(0, self.skip)

    def leave_out(self, ordinal: int, count: int = 1) -> None:
        """Record that lines that are not clean (odd, blank) precede the clean line with this ordinal."""
        if self._shifts_from[-1] == ordinal:
            self._shifts[-1] += count
        else:
            self._shifts_from.append(ordinal)
            self._shifts.append(self._shifts[-1] + count)

    def line_numbers(self, ordinals: np.ndarray) -> np.ndarray:
        """Return the numbers in the file of the clean lines with these ordinals, the first of which is 0."""
        shift = np.searchsorted(np.asarray(self._shifts_from), ordinals, side="right") - 1
        return ordinals + np.asarray(self._shifts)[shift]


@contextmanager
def held_still(path: Path, identity: tuple[int, ...]) -> Iterator[None]:
    """Raise FileError if a file has changed by the end, which then explains other errors within."""
    try:
        yield
    except Exception:
        _check_unchanged(path, identity)
        raise
    _check_unchanged(path, identity)


def _check_unchanged(path: Path, identity: tuple[int, ...]) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise FileError("vanished while it was read", passing=True) from error
    if identity_of(status) != identity:
        raise FileError("changed while it was read", passing=True)


def split(
    path: Path,
    spool_path: Path,
    format: LineFormat | Decoded,
    grammar_of: Callable[[bytes], tuple[Grammar, bool]],
    judge: Callable[[list[Line]], None],
    read_clean: Callable[[SplitFile], None],
    bounds: Bounds = UNBOUNDED,
) -> SplitFile:
    """Split the lines of a file of a feed's format into clean and odd ones.

    ``grammar_of`` gets the first line, and returns the grammar and True if that line is a header; ``judge`` gets the
    odd lines, in order. ``read_clean`` is called whenever the spool has SPOOL_BYTES of clean lines, which are then
    dropped; those left in ``clean_path`` at the end are the caller's to read. Raises FileError if the file cannot be
    opened or unpacked, unpacks beyond the bounds, or is not text; ``held_still`` checks if it changed meanwhile.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        identity = identity_of(os.fstat(file.fileno()))
        unpacked = unpacked_chunks(path, RawFile(file), bounds)
        content = Hashed(unpacked, stack.enter_context(ThreadPoolExecutor(max_workers=1)))
        text = Text(format)
        blocks = blocks_of(text.chunks(iter(content)))
        first, long = next(blocks, (b"", False))
        first_line, _, rest = first.partition(b"\n")
        grammar, has_header = grammar_of(first_line_of(first_line, format))
        if not has_header:
            rest = first.removeprefix(BYTE_ORDER_MARK)
            if not rest:
                raise FileError("is empty")
        found = SplitFile(path, identity, clean_path=path, skip=int(has_header))
        found.leave_out(0, text.passed)
        number = text.passed + found.skip
        offset = data_offset = len(first) - len(rest)
        spool: BinaryIO | None = None
        if unpacker_of(path) or not text.is_plain or (offset and not has_header):
            spool = stack.enter_context(_open_spool(found, spool_path))
        for block, is_long in chain([(rest, long and not has_header)], blocks):
            if not block:
                continue
            lines_text = block.replace(b"\r\n", b"\n") if b"\r" in block else block
            count = None if is_long else grammar.clean_lines(lines_text)
            if spool is None and (count is None or lines_text is not block):
                spool = stack.enter_context(_open_spool(found, spool_path))
                _copy(file, data_offset, offset, spool)
            offset += len(block)
            if count is None:
                count, lines_text, odd = _sort_out(lines_text, number, grammar, found)
                judge(odd)
            else:
                found.clean += count
                found.lines += count
            number += count
            if spool is not None:
                spool.write(lines_text)
                if spool.tell() >= SPOOL_BYTES:
                    spool.flush()
                    read_clean(found)
                    found.read = found.clean
                    spool.seek(0)
                    spool.truncate()
        found.digest = content.hexdigest()
    return found


def _sort_out(text: bytes, number: int, grammar: Grammar, found: SplitFile) -> tuple[int, bytes, list[Line]]:
    """Return the number of lines of a text that follows line ``number``, its clean lines as text, and the odd ones."""
    if not text.strip() and len(text) <= LONGEST_LINE_BYTES:
        count = text.count(b"\n") + (not text.endswith(b"\n"))
        found.leave_out(found.clean, count)
        return count, b"", []
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    clean, odd = [], []
    for line_number, line in enumerate(lines, number + 1):
        tidied = grammar.tidied(line)
        if tidied is not None:
            clean.append(tidied)
        else:
            found.leave_out(found.clean + len(clean))
            if (line.strip() or len(line) > LONGEST_LINE_BYTES) and not grammar.is_comment(line):
                odd.append(Line(line_number, line))
    found.clean += len(clean)
    found.lines += len(clean) + len(odd)
    return len(lines), b"".join(line + b"\n" for line in clean), odd


def lines_at(path: Path, format: LineFormat | Decoded, numbers: np.ndarray) -> Iterator[Line]:
    """Yield the lines of a file with these numbers (ascending, from 1), as they are written in it, in UTF-8.

    The first one comes without the file's byte order mark.
    """
    with open_file(path) as file:
        passed = 0
        chunks = lines_in_utf_8(unpacked_chunks(path, RawFile(file), UNBOUNDED), format)
        for block, _ in blocks_of(chunks):
            count = block.count(b"\n") + (not block.endswith(b"\n"))
            first, last = np.searchsorted(numbers, [passed + 1, passed + count + 1])
            if first < last:
                lines = block.replace(b"\r\n", b"\n").split(b"\n")
                for number in numbers[first:last].tolist():
                    content = lines[number - passed - 1]
                    yield Line(number, content.removeprefix(BYTE_ORDER_MARK) if number == 1 else content)
            passed += count
            if not len(numbers) or passed >= numbers[-1]:
                return


def first_line_of(line: bytes, format: LineFormat | Decoded) -> bytes:
    """Return a text's first line without byte order mark, line end and spaces; raises FileError if it is not text."""
    if format.encoding == "utf-8":
        check_marks(line, format.encoding)
    if b"\0" in line:
        raise FileError(f"is not {ENCODINGS[format.encoding]} text: its first line holds NUL bytes")
    line = line.removeprefix(BYTE_ORDER_MARK).strip(format.blanks)
    if b"\r" in line:
        raise FileError("ends its lines with CR alone; they must end with LF or CR LF")
    return line


def _open_spool(found: SplitFile, spool_path: Path) -> BinaryIO:
    found.clean_path, found.skip = spool_path, 0
    return spool_path.open("wb")


def _copy(file: io.FileIO, start: int, end: int, spool: BinaryIO) -> None:
    """Copy the bytes from start to end of a file, without moving its reading position."""
    while start < end:
        chunk = os.pread(file.fileno(), min(BLOCK_BYTES, end - start), start)
        if not chunk:
            raise FileError("changed while it was read", passing=True)
        spool.write(chunk)
        start += len(chunk)
