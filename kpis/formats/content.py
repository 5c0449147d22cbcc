"""A file's content: unpacked within bounds, in blocks of whole lines, and digested."""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import zstandard
from blake3 import blake3

from kpis.formats.bounds import Bounds, FileError
from kpis.formats.grammar import LONGEST_LINE_BYTES

# A block is no longer than the longest line, so that only its first line can be too long.
BLOCK_BYTES = 2**20
# Four bytes of zstd can unpack to 128 KiB: this many at a time give 32 MiB at most.
PACKED_PIECE_BYTES = 2**10
LARGEST_ZSTD_WINDOW_BYTES = 2**27
GZIP_MARK = b"\x1f\x8b"
ZSTD_MARK = b"\x28\xb5\x2f\xfd"
SKIPPABLE_ZSTD_MARK_END = b"\x2a\x4d\x18"


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Return values that differ for another file, and for later content of the same file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def open_file(path: Path) -> io.FileIO:
    """Open a regular file for reading; raises FileError."""
    try:
        # Otherwise opening a pipe would wait for its writer.
        file = io.FileIO(path, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    except FileNotFoundError as error:
        raise FileError("vanished before it was read", passing=True) from error
    except OSError as error:
        raise FileError(f"cannot be opened: {error.strerror}", passing=True) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileError("is not a regular file", passing=True)
    return file


def content_digests(path: Path, bounds: Bounds) -> tuple[str, str]:
    """Return the BLAKE3 (hex) of a file's unpacked content and of its own bytes, which differ for a packed file.

    Raises FileError if the file cannot be read, or not be unpacked within the bounds.
    """
    content, own = blake3(), blake3()
    with open_file(path) as file:
        for chunk in unpacked_chunks(path, RawFile(file, own), bounds):
            content.update(chunk)
    return content.hexdigest(), own.hexdigest()


class RawFile:
    """A file's own bytes, digested into ``digest`` as they are read; failures raise FileError."""

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


class Hashed:
    """Chunks of bytes that are digested with BLAKE3 as they are iterated over, in another thread."""

    def __init__(self, chunks: Iterator[bytes], thread: ThreadPoolExecutor) -> None:
        self._chunks_of, self._thread = chunks, thread
        self._blake3 = blake3()
        self._pending: Future[blake3] | None = None

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks_of:
            self._wait()
            self._pending = self._thread.submit(self._blake3.update, chunk)
            yield chunk

    def hexdigest(self) -> str:
        self._wait()
        return self._blake3.hexdigest()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()


def _chunks_of(raw: RawFile) -> Iterator[bytes]:
    while chunk := raw.read(BLOCK_BYTES):
        yield chunk


def _pieces(raw: RawFile) -> Iterator[bytes]:
    for chunk in _chunks_of(raw):
        for start in range(0, len(chunk), PACKED_PIECE_BYTES):
            yield chunk[start : start + PACKED_PIECE_BYTES]


def _gunzip(raw: RawFile) -> Iterator[bytes]:
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


def _unzstd(raw: RawFile) -> Iterator[bytes]:
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
    """Return True if zstd data, or a frame that zstd skips, can begin like this (RFC 8878, 3.1)."""
    if 0x50 <= piece[0] <= 0x5F:
        return SKIPPABLE_ZSTD_MARK_END.startswith(piece[1:4])
    return piece.startswith(ZSTD_MARK[: len(piece)])


def _not_packed(format: str, suffix: str, parts: int) -> FileError:
    if parts:
        return FileError(f"holds something else after its {format} data")
    return FileError(f"is no {format} data, though its name ends in {suffix}")


UNPACKERS: dict[str, Callable[[RawFile], Iterator[bytes]]] = {".gz": _gunzip, ".zst": _unzstd}


def is_packed(path: Path) -> bool:
    """Return True if a file's name says that its content is compressed."""
    return unpacker_of(path) is not None


def unpacker_of(path: Path) -> Callable[[RawFile], Iterator[bytes]] | None:
    """Return the function that unpacks a file, by its name; None if it is not packed."""
    return UNPACKERS.get(path.suffix.lower())


def unpacked_chunks(path: Path, raw: RawFile, bounds: Bounds) -> Iterator[bytes]:
    """Yield a file's unpacked content in chunks; raises FileError if it is beyond the bounds."""
    unpack = unpacker_of(path)
    return evened(_bounded(unpack(raw), path.stat().st_size, bounds)) if unpack else _chunks_of(raw)


def _bounded(chunks: Iterator[bytes], size: int, bounds: Bounds) -> Iterator[bytes]:
    """Yield the chunks that a file of ``size`` bytes unpacks to; raises FileError if they are beyond the bounds."""
    unpacked = 0
    for chunk in chunks:
        unpacked += len(chunk)
        bounds.check_unpacked(unpacked, size)
        yield chunk


def evened(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks of BLOCK_BYTES; the last may be shorter."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer[:BLOCK_BYTES])
            del buffer[:BLOCK_BYTES]
    if buffer:
        yield bytes(buffer)


def blocks_of(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield blocks of whole lines, each with True if its first line, as only that can be, exceeds LONGEST_LINE_BYTES.

    A line that is much longer is cut, and is a block of its own without a line feed.
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
        # The additional byte may be the carriage return of the line's end.
        if len(rest) > LONGEST_LINE_BYTES + 1:
            yield rest[: LONGEST_LINE_BYTES + 1], True
            rest, is_cut = b"", True
    if rest:
        yield rest, len(rest) > LONGEST_LINE_BYTES
