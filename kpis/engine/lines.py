"""A file's bytes as lines: the clean ones for the bulk reader, the odd ones to be judged singly.

A file is read once from front to back in blocks, so its size does not matter. Most files are clean from end
to end, and then the bulk reader reads the file itself; otherwise the clean lines are copied to a spool file,
and the odd ones (quotes, spaces, signs, letters where digits belong...) are handed out with their numbers.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import zstandard

BLOCK_BYTES = 2**20
PACKED_BLOCK_BYTES = 16 * 2**10
LONGEST_LINE_BYTES = 2**20
LARGEST_ZSTD_WINDOW_BYTES = 2**27
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class FileError(Exception):
    """A file that cannot be taken in as a whole; ``passing`` where the cause may pass by itself."""

    def __init__(self, reason: str, passing: bool = False):
        super().__init__(reason)
        self.passing = passing


@dataclass(frozen=True)
class Line:
    """One line of a file: its number (the first is 1) and its bytes without the line's end.

    A line longer than LONGEST_LINE_BYTES may be cut, but stays longer than that.
    """

    number: int
    content: bytes


class Grammar(Protocol):
    """What the bulk reader is trusted to read: a feed's clean lines."""

    def clean_lines(self, block: bytes) -> int | None:
        """How many lines a block has where each of them is clean, else None; lines end in a line feed."""

    def is_clean(self, line: bytes) -> bool:
        """Whether the line, given without its end, is clean."""


class Digits:
    """Lines of ``width`` fields of digits between commas, for feeds whose columns are all whole numbers."""

    def __init__(self, width: int):
        self._commas = b"," * (width - 1)

    def clean_lines(self, block: bytes) -> int | None:
        # What is left of clean lines without their digits: every line the same.
        frame = block.translate(None, b"0123456789")
        if not frame.endswith(b"\n"):
            frame += b"\n"
        count = len(frame) // (len(self._commas) + 1)
        return count if frame == (self._commas + b"\n") * count else None

    def is_clean(self, line: bytes) -> bool:
        return line.translate(None, b"0123456789") == self._commas and len(line) <= LONGEST_LINE_BYTES


@dataclass
class SplitFile:
    """What ``split`` found in a file.

    ``clean_path`` holds the ``clean`` lines, after ``skip`` lines to pass over. ``excluded`` are the numbers of
    the file's lines that are not among them, ascending: the header, blank lines, odd lines. ``lines`` counts
    the data lines, clean and odd. ``digest`` is the SHA-256 of the file's bytes, in hex.
    """

    clean_path: Path
    skip: int
    clean: int = 0
    lines: int = 0
    excluded: array = field(default_factory=lambda: array("q", [1]))
    digest: str = ""

    def line_numbers(self, ordinals: np.ndarray) -> np.ndarray:
        """The numbers in the file of the clean lines that come at the ordinals, the first of which is 0."""
        return positions_of(ordinals, np.asarray(self.excluded, dtype=np.int64) - 1) + 1


def positions_of(ordinals: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Where the things at the ordinals stood before others were taken out of their row.

    ``excluded`` are the positions of those taken out, ascending; everything counts from 0.
    """
    return ordinals + np.searchsorted(excluded - np.arange(len(excluded)), ordinals, side="right")


def split(
    path: Path,
    spool_path: Path,
    grammar_of: Callable[[bytes], Grammar],
    judge: Callable[[list[Line]], None],
) -> SplitFile:
    """Splits a file's lines into clean and odd ones.

    ``grammar_of`` gets the header line and gives the grammar of what follows; ``judge`` gets the odd lines, as
    they come. Raises FileError when the file cannot be opened or unpacked, has no header, or changes meanwhile.
    """
    with ExitStack() as stack:
        file = stack.enter_context(_open(path))
        before = os.fstat(file.fileno())
        raw = _Hashed(file, stack.enter_context(ThreadPoolExecutor(max_workers=1)))
        unpack = UNPACKERS.get(path.suffix.lower())
        blocks = _blocks(unpack(raw) if unpack else _chunks(raw))
        first, cut = next(blocks, (b"", False))
        header_line, _, rest = first.partition(b"\n")
        grammar = grammar_of(_header(header_line))
        found = SplitFile(path, skip=1)
        number = 1
        offset = len(first) - len(rest)
        spool: BinaryIO | None = None
        if unpack:
            spool = stack.enter_context(_open_spool(found, spool_path))
        for block, block_cut in chain([(rest, cut)], blocks):
            if not block:
                continue
            lines_text = block.replace(b"\r\n", b"\n") if b"\r" in block else block
            count = None if block_cut else grammar.clean_lines(lines_text)
            if spool is None and (count is None or lines_text is not block):
                spool = stack.enter_context(_open_spool(found, spool_path))
                _copy(path, len(first) - len(rest), offset, spool)
            offset += len(block)
            if count is None:
                count, clean, odd = _sort_out(lines_text, number, grammar, found.excluded)
                clean_text = b"".join(line + b"\n" for line in clean)
                found.clean += len(clean)
                found.lines += len(clean) + len(odd)
                judge(odd)
            else:
                clean_text = lines_text
                found.clean += count
                found.lines += count
            if spool is not None:
                spool.write(clean_text)
            number += count
        after = os.fstat(file.fileno())
        found.digest = raw.hexdigest()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise FileError("changed while it was read", passing=True)
    return found


def _sort_out(text: bytes, number: int, grammar: Grammar, excluded: array) -> tuple[int, list[bytes], list[Line]]:
    """The number of lines, the clean and the odd ones of a text that follows line ``number``."""
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    clean, odd = [], []
    for line_number, line in enumerate(lines, number + 1):
        if grammar.is_clean(line):
            clean.append(line)
        else:
            excluded.append(line_number)
            if line.strip():
                odd.append(Line(line_number, line))
    return len(lines), clean, odd


def _header(line: bytes) -> bytes:
    """The header line without byte order mark and line end; raises FileError where it shows another encoding."""
    if line.startswith(UTF_16_MARKS):
        raise FileError("is UTF-16 text; it must be UTF-8")
    if b"\0" in line:
        raise FileError("is no text: its first line holds NUL bytes")
    line = line.removeprefix(BYTE_ORDER_MARK).strip()
    if not line:
        raise FileError("has no header: it is empty, or its first line is")
    if b"\r" in line:
        raise FileError("ends its lines with CR alone; they must end with LF or CR LF")
    return line


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise FileError("vanished before it was read", passing=True) from error
    except OSError as error:
        raise FileError(f"cannot be opened: {error.strerror}", passing=True) from error


def _open_spool(found: SplitFile, spool_path: Path) -> BinaryIO:
    found.clean_path, found.skip = spool_path, 0
    return spool_path.open("wb")


def _copy(path: Path, start: int, end: int, spool: BinaryIO) -> None:
    """Copies the bytes from start to end of a file."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            chunk = file.read(min(BLOCK_BYTES, end - start))
            if not chunk:
                raise FileError("changed while it was read", passing=True)
            spool.write(chunk)
            start += len(chunk)


class _Hashed(io.RawIOBase):
    """A file whose bytes go into a SHA-256 as they are read, in a thread of its own."""

    def __init__(self, file: BinaryIO, thread: ThreadPoolExecutor) -> None:
        self._file, self._thread = file, thread
        self._sha256 = hashlib.sha256()
        self._pending: Future[None] | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", passing=True) from error
        self._wait()
        self._pending = self._thread.submit(self._sha256.update, data)
        return data

    def hexdigest(self) -> str:
        self._wait()
        return self._sha256.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()


def _chunks(raw: _Hashed) -> Iterator[bytes]:
    while chunk := raw.read(BLOCK_BYTES):
        yield chunk


def _gunzip(raw: _Hashed) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=raw) as file:
            while chunk := file.read(BLOCK_BYTES):
                yield chunk
    except EOFError as error:
        raise FileError("ends in the middle of its gzip data") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FileError(f"holds damaged gzip data: {error}") from error


def _unzstd(raw: _Hashed) -> Iterator[bytes]:
    unpacker = None
    try:
        while piece := raw.read(PACKED_BLOCK_BYTES):
            while piece:
                if unpacker is None:
                    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_ZSTD_WINDOW_BYTES)
                    unpacker = decompressor.decompressobj()
                yield unpacker.decompress(piece)
                piece = unpacker.unused_data
                if unpacker.eof:
                    unpacker = None
    except zstandard.ZstdError as error:
        raise FileError(f"holds damaged zstd data: {error}") from error
    if unpacker is not None:
        raise FileError("ends in the middle of its zstd data")


UNPACKERS: dict[str, Callable[[_Hashed], Iterator[bytes]]] = {".gz": _gunzip, ".zst": _unzstd}


def _blocks(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines, each with whether its first line was cut for being too long."""
    rest, cut = b"", False
    for chunk in chunks:
        if cut and (end := chunk.find(b"\n")) < 0:
            continue
        text = rest + (chunk[end:] if cut else chunk)
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end], cut
        rest, cut = text[end:], False
        if len(rest) > LONGEST_LINE_BYTES:
            rest, cut = rest[: LONGEST_LINE_BYTES + 1], True
    if rest:
        yield rest, cut
