"""A file's bytes as lines: the clean ones for the bulk reader, the odd ones to be judged singly.

A file is read from front to back in blocks, so its size does not matter. Most files are clean from end to end,
and then the bulk reader reads the file itself; otherwise the clean lines are copied to a spool file, together
with those that only quotes, spaces and signs set apart from clean ones, and the odd lines (letters where digits
belong, a field too many...) are handed out with their numbers.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import zstandard
from blake3 import blake3

# A block is no longer than the longest line, so that only its first line can be too long.
BLOCK_BYTES = 2**20
# The clean lines of a packed file are spooled, and read each time the spool has grown to this.
SPOOL_BYTES = 256 * 2**20
LONGEST_LINE_BYTES = 2**20
# Four bytes of zstd can unpack to 128 KiB: this many at a time give 32 MiB at most.
PACKED_PIECE_BYTES = 2**10
LARGEST_ZSTD_WINDOW_BYTES = 2**27
# Few enough to be read in a second: of so many bytes the ratio does not matter.
ALWAYS_UNPACKED_BYTES = 64 * 2**20
CONTROLS = bytes([*range(32), 127])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
GZIP_MARK = b"\x1f\x8b"
ZSTD_MARK = b"\x28\xb5\x2f\xfd"
SKIPPABLE_ZSTD_MARK_END = b"\x2a\x4d\x18"


class FileError(Exception):
    """A file that cannot be taken in as a whole; ``passing`` where the cause may pass by itself.

    ``read_again_at`` is the moment (UTC) from which on it passes, where that is known.
    """

    def __init__(self, reason: str, passing: bool = False, read_again_at: datetime | None = None):
        super().__init__(reason)
        self.passing, self.read_again_at = passing, read_again_at


@dataclass(frozen=True)
class Bounds:
    """What a file may hold before it fails, however long it goes on.

    A packed file may unpack to ``unpacked_bytes``, and beyond ALWAYS_UNPACKED_BYTES to ``unpacked_ratio`` times its
    size. ``rejects`` is the number of rejects that are kept; None for any number. Its records may lie in ``hours``
    different hours, each of which is a lake file a KPI.
    """

    unpacked_bytes: int = 16 * 2**30
    unpacked_ratio: int = 200
    rejects: int | None = 1_000_000
    hours: int = 1_000

    def check_unpacked(self, unpacked: int, size: int) -> None:
        """Raises FileError when a file of ``size`` bytes has unpacked to more bytes than it may."""
        if unpacked > self.unpacked_bytes:
            raise FileError(f"unpacks to more than {self.unpacked_bytes:,} bytes, which is MAX_UNPACKED_MB")
        if unpacked > max(ALWAYS_UNPACKED_BYTES, self.unpacked_ratio * size):
            raise FileError(
                f"unpacks to more than {self.unpacked_ratio:,} times its {size:,} bytes, which is MAX_UNPACKED_RATIO"
            )

    def check_hours(self, hours: int) -> None:
        """Raises FileError when a file has records in more hours than it may."""
        if hours > self.hours:
            raise FileError(
                f"has records in {hours:,} hours, more than MAX_HOURS_PER_FILE, which is {self.hours:,}: "
                "split it by time, or raise that setting"
            )


DEFAULT_BOUNDS = Bounds()
UNBOUNDED = Bounds(unpacked_bytes=2**63, unpacked_ratio=2**63, rejects=None, hours=2**63)


class TooManyRejects(FileError):
    """A file with more rejects than are kept; ``rejects`` were found by line ``line``.

    ``first_ahead`` is the first own time (UTC) of those of them that lie too far ahead of the clock.
    """

    def __init__(self, rejects: int, line: int, first_ahead: datetime | None = None):
        super().__init__(
            f"is the wrong file: it has more than {rejects:,} rejects, which is MAX_REJECTS, by line {line:,}"
        )
        self.rejects, self.line, self.first_ahead = rejects, line, first_ahead


class Line(NamedTuple):
    """One line of a file: its number (the first is 1) and its bytes without the line's end.

    A line longer than LONGEST_LINE_BYTES may be cut, but stays longer than that.
    """

    number: int
    content: bytes


class Grammar(Protocol):
    """What the bulk reader is trusted to read: a feed's clean lines."""

    def clean_lines(self, block: bytes) -> int | None:
        """How many lines a block has where each of them is clean, else None; lines end in a line feed."""

    def tidied(self, line: bytes) -> bytes | None:
        """A clean line that says the same as the line, given without its end; None where there is none."""


class Digits:
    """Lines of ``width`` whole numbers between commas, for feeds whose columns are all whole numbers.

    Of blocks only those without signs are clean, which is quicker to see; a field may also be empty.
    """

    def __init__(self, width: int):
        self._commas = b"," * (width - 1)
        number = rb"[ \t]*+(?:-?[0-9]++|\"[ \t]*+-?[0-9]++[ \t]*+\")[ \t]*+"
        self._harmless = re.compile(number + rb"(?:," + number + rb"){%d}" % (width - 1))

    def clean_lines(self, block: bytes) -> int | None:
        # What is left of clean lines without their digits: every line the same.
        return _lines_like(block.translate(None, b"0123456789"), self._commas)

    def tidied(self, line: bytes) -> bytes | None:
        if len(line) > LONGEST_LINE_BYTES:
            return None
        if line.translate(None, b"0123456789") == self._commas:
            return line
        return line.translate(None, b' \t"') if self._harmless.fullmatch(line) else None


class PlainText:
    """Lines of UTF-8 text without control characters that have ``commas`` commas and no quotes; or any, with None."""

    def __init__(self, commas: int | None):
        self._kept = b"" if commas is None else b"," * commas
        telling = set(CONTROLS) | (set() if commas is None else set(b',"'))
        self._passed_over = bytes(byte for byte in range(256) if byte not in telling)

    def clean_lines(self, block: bytes) -> int | None:
        count = _lines_like(block.translate(None, self._passed_over), self._kept)
        return count if count is not None and _is_utf_8(block) and not self._has_blank_lines(block) else None

    def tidied(self, line: bytes) -> bytes | None:
        clean = line.translate(None, self._passed_over) == self._kept and line.strip() and _is_utf_8(line)
        return line if clean and len(line) <= LONGEST_LINE_BYTES else None

    def _has_blank_lines(self, block: bytes) -> bool:
        # A line that has commas is not blank.
        return not self._kept and re.search(rb"^ *$", block.removesuffix(b"\n"), re.MULTILINE) is not None


def _lines_like(frame: bytes, line: bytes) -> int | None:
    """How many lines there are, where each is the same as ``line``; else None."""
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


@dataclass
class SplitFile:
    """What ``split`` found in the file at ``path``; ``identity`` tells whether that is still what lies there.

    ``clean_path`` holds the last of the ``clean`` lines, after ``skip`` lines to pass over: it is the file itself with
    all of them, or the spool with those that follow the first ``read`` ones. ``lines`` counts the data lines, clean and
    odd. ``digest`` is the BLAKE3 (hex) of the unpacked content.
    """

    path: Path
    identity: tuple[int, ...]
    clean_path: Path
    skip: int
    clean: int = 0
    lines: int = 0
    digest: str = ""
    # How many of the clean lines were read before those that ``clean_path`` holds now.
    read: int = 0
    # From the n-th clean line on (from 0), a line's number is its place among the clean ones plus the shift.
    _shifts_from: array = field(default_factory=lambda: array("q", [0]))
    _shifts: array = field(default_factory=lambda: array("q", [1]))

    def __post_init__(self) -> None:
        if self.skip:
            self.leave_out(0, self.skip)

    def leave_out(self, ordinal: int, count: int = 1) -> None:
        """Notes that lines that are not clean (odd, blank) stand before the clean line that will come ordinal-th."""
        if self._shifts_from[-1] == ordinal:
            self._shifts[-1] += count
        else:
            self._shifts_from.append(ordinal)
            self._shifts.append(self._shifts[-1] + count)

    def line_numbers(self, ordinals: np.ndarray) -> np.ndarray:
        """The numbers in the file of the clean lines that come at the ordinals, the first of which is 0."""
        shift = np.searchsorted(np.asarray(self._shifts_from), ordinals, side="right") - 1
        return ordinals + np.asarray(self._shifts)[shift]


@contextmanager
def held_still(path: Path, identity: tuple[int, ...]) -> Iterator[None]:
    """Raises FileError when a file turns out to have changed by the end, which explains other errors within."""
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
    grammar_of: Callable[[bytes], tuple[Grammar, bool]],
    judge: Callable[[list[Line]], None],
    read_clean: Callable[[SplitFile], None],
    bounds: Bounds = UNBOUNDED,
) -> SplitFile:
    """Splits a file's lines into clean and odd ones.

    ``grammar_of`` gets the first line, and gives the grammar and whether that line is a header; ``judge`` gets the
    odd lines, as they come. ``read_clean`` is called whenever the spool has SPOOL_BYTES of clean lines, which are
    then dropped; those left in ``clean_path`` at the end are the caller's to read. Raises FileError when the file
    cannot be opened or unpacked, unpacks beyond the bounds, or is no text; whether it changed meanwhile shows when
    ``held_still`` ends.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        identity = identity_of(os.fstat(file.fileno()))
        unpacked = _unpacked(path, _RawFile(file), bounds)
        content = _Hashed(unpacked, stack.enter_context(ThreadPoolExecutor(max_workers=1)))
        blocks = _blocks(content)
        first, long = next(blocks, (b"", False))
        first_line, _, rest = first.partition(b"\n")
        grammar, has_header = grammar_of(first_line_of(first_line))
        if not has_header:
            rest = first.removeprefix(BYTE_ORDER_MARK)
            if not rest:
                raise FileError("is empty")
        found = SplitFile(path, identity, clean_path=path, skip=int(has_header))
        number = found.skip
        offset = data_offset = len(first) - len(rest)
        spool: BinaryIO | None = None
        if _unpacker(path) or (offset and not has_header):
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
    """The number of lines of a text that follows line ``number``, its clean lines as text, and the odd ones."""
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
            if line.strip() or len(line) > LONGEST_LINE_BYTES:
                odd.append(Line(line_number, line))
    found.clean += len(clean)
    found.lines += len(clean) + len(odd)
    return len(lines), b"".join(line + b"\n" for line in clean), odd


def lines_at(path: Path, numbers: np.ndarray) -> Iterator[Line]:
    """The lines of a file with the numbers (ascending, the first is 1), as they stand in it."""
    with open_file(path) as file:
        passed = 0
        for block, _ in _blocks(_unpacked(path, _RawFile(file), UNBOUNDED)):
            count = block.count(b"\n") + (not block.endswith(b"\n"))
            first, last = np.searchsorted(numbers, [passed + 1, passed + count + 1])
            if first < last:
                lines = block.replace(b"\r\n", b"\n").split(b"\n")
                for number in numbers[first:last].tolist():
                    yield Line(number, lines[number - passed - 1])
            passed += count
            if not len(numbers) or passed >= numbers[-1]:
                return


def first_line_of(line: bytes) -> bytes:
    """A file's first line without byte order mark and line end; raises FileError where it shows that it is no text."""
    if line.startswith(UTF_16_MARKS):
        raise FileError("is UTF-16 text; it must be UTF-8")
    if line.startswith(GZIP_MARK):
        raise FileError("holds gzip data, but its name does not end in .gz")
    if line.startswith(ZSTD_MARK):
        raise FileError("holds zstd data, but its name does not end in .zst")
    if b"\0" in line:
        raise FileError("is no UTF-8 text: its first line holds NUL bytes")
    line = line.removeprefix(BYTE_ORDER_MARK).strip()
    if b"\r" in line:
        raise FileError("ends its lines with CR alone; they must end with LF or CR LF")
    return line


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another one, and its content from later content."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_file(path: Path) -> io.FileIO:
    """A regular file, opened to be read; raises FileError."""
    try:
        # A pipe that lies here would otherwise keep us waiting for its writer.
        file = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    except FileNotFoundError as error:
        raise FileError("vanished before it was read", passing=True) from error
    except OSError as error:
        raise FileError(f"cannot be opened: {error.strerror}", passing=True) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileError("is not a regular file", passing=True)
    return file


def _open_spool(found: SplitFile, spool_path: Path) -> BinaryIO:
    found.clean_path, found.skip = spool_path, 0
    return spool_path.open("wb")


def _copy(file: io.FileIO, start: int, end: int, spool: BinaryIO) -> None:
    """Copies the bytes from start to end of a file, which stays where it is in its reading."""
    while start < end:
        chunk = os.pread(file.fileno(), min(BLOCK_BYTES, end - start), start)
        if not chunk:
            raise FileError("changed while it was read", passing=True)
        spool.write(chunk)
        start += len(chunk)


def content_digests(path: Path, bounds: Bounds) -> tuple[str, str]:
    """The BLAKE3 (hex) of a file's unpacked content, and of the file's own bytes, which differs for a packed one.

    Raises FileError when the file cannot be read, or not be unpacked within the bounds.
    """
    content, own = blake3(), blake3()
    with open_file(path) as file:
        for chunk in _unpacked(path, _RawFile(file, own), bounds):
            content.update(chunk)
    return content.hexdigest(), own.hexdigest()


class _RawFile:
    """A file's own bytes, which go into ``digest`` as they are read; failures are FileError."""

    def __init__(self, file: io.FileIO, digest: blake3 | None = None) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}", passing=True) from error
        if self._digest is not None:
            self._digest.update(data)
        return data


class _Hashed:
    """Chunks of bytes that go into a BLAKE3 as they are iterated over, in a thread of its own."""

    def __init__(self, chunks: Iterator[bytes], thread: ThreadPoolExecutor) -> None:
        self._chunks, self._thread = chunks, thread
        self._blake3 = blake3()
        self._pending: Future[blake3] | None = None

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._wait()
            self._pending = self._thread.submit(self._blake3.update, chunk)
            yield chunk

    def hexdigest(self) -> str:
        self._wait()
        return self._blake3.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()


def _chunks(raw: _RawFile) -> Iterator[bytes]:
    while chunk := raw.read(BLOCK_BYTES):
        yield chunk


def _pieces(raw: _RawFile) -> Iterator[bytes]:
    for chunk in _chunks(raw):
        for start in range(0, len(chunk), PACKED_PIECE_BYTES):
            yield chunk[start : start + PACKED_PIECE_BYTES]


def _gunzip(raw: _RawFile) -> Iterator[bytes]:
    unpacker, members = None, 0
    for piece in _pieces(raw):
        while piece:
            if unpacker is None:
                # Some programs fill the last block of a tape or disk with NUL bytes.
                piece = piece.lstrip(b"\0") if members else piece
                if not piece:
                    break
                if not piece.startswith(GZIP_MARK[: len(piece)]):
                    raise _not_packed("gzip", ".gz", members)
                unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                yield unpacker.decompress(piece, BLOCK_BYTES)
            except zlib.error as error:
                raise FileError("holds damaged gzip data") from error
            piece = unpacker.unconsumed_tail or unpacker.unused_data
            if unpacker.eof:
                unpacker, members = None, members + 1
    if unpacker is not None:
        yield unpacker.flush()
        if not unpacker.eof:
            raise FileError("ends in the middle of its gzip data")


def _unzstd(raw: _RawFile) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_ZSTD_WINDOW_BYTES)
    unpacker, frames = None, 0
    for piece in _pieces(raw):
        while piece:
            if unpacker is None:
                if not _begins_frame(piece):
                    raise _not_packed("zstd", ".zst", frames)
                unpacker = decompressor.decompressobj()
            try:
                yield unpacker.decompress(piece)
            except zstandard.ZstdError as error:
                reason = "needs too much memory to unpack" if "memory" in str(error) else "holds damaged zstd data"
                raise FileError(reason) from error
            piece = unpacker.unused_data
            if unpacker.eof:
                unpacker, frames = None, frames + 1
    if unpacker is not None:
        raise FileError("ends in the middle of its zstd data")


def _begins_frame(piece: bytes) -> bool:
    """Whether zstd data, or data that zstd passes over, can begin so (RFC 8878, 3.1)."""
    if 0x50 <= piece[0] <= 0x5F:
        return SKIPPABLE_ZSTD_MARK_END.startswith(piece[1:4])
    return piece.startswith(ZSTD_MARK[: len(piece)])


def _not_packed(format: str, suffix: str, parts: int) -> FileError:
    if parts:
        return FileError(f"holds something else after its {format} data")
    return FileError(f"is no {format} data, though its name ends in {suffix}")


UNPACKERS: dict[str, Callable[[_RawFile], Iterator[bytes]]] = {".gz": _gunzip, ".zst": _unzstd}


def is_packed(path: Path) -> bool:
    """Whether a file's name says that its content is compressed."""
    return _unpacker(path) is not None


def _unpacker(path: Path) -> Callable[[_RawFile], Iterator[bytes]] | None:
    return UNPACKERS.get(path.suffix.lower())


def _unpacked(path: Path, raw: _RawFile, bounds: Bounds) -> Iterator[bytes]:
    unpack = _unpacker(path)
    return _evened(_bounded(unpack(raw), path.stat().st_size, bounds)) if unpack else _chunks(raw)


def _bounded(chunks: Iterator[bytes], size: int, bounds: Bounds) -> Iterator[bytes]:
    """The chunks that a file of ``size`` bytes unpacks to; raises FileError when they are beyond the bounds."""
    unpacked = 0
    for chunk in chunks:
        unpacked += len(chunk)
        bounds.check_unpacked(unpacked, size)
        yield chunk


def _evened(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in chunks of BLOCK_BYTES; the last may be shorter."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer[:BLOCK_BYTES])
            del buffer[:BLOCK_BYTES]
    if buffer:
        yield bytes(buffer)


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines, each with whether its first line is longer than LONGEST_LINE_BYTES (no other can be).

    A line that is much longer comes cut, as a block of its own and without a line feed.
    """
    rest, is_cut = b"", False
    for chunk in chunks:
        if is_cut:
            end = chunk.find(b"\n") + 1
            if not end:
                continue
            chunk, is_cut = chunk[end:], False
        text = rest + chunk
        end = text.rfind(b"\n") + 1
        if end:
            yield text[:end], text.find(b"\n") > LONGEST_LINE_BYTES
        rest = text[end:]
        # The one byte more could be the carriage return of the line's end.
        if len(rest) > LONGEST_LINE_BYTES + 1:
            yield rest[: LONGEST_LINE_BYTES + 1], True
            rest, is_cut = b"", True
    if rest:
        yield rest, len(rest) > LONGEST_LINE_BYTES
