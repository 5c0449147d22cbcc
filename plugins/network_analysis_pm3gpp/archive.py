"""The documents of a file: the file itself, or all files of a ``.zip``, each of which may be packed with gzip."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from gzip import BadGzipFile, GzipFile
from typing import IO, BinaryIO, cast

from kpis.formats.bounds import ALWAYS_UNPACKED_BYTES, DEFAULT_BOUNDS

READ_BYTES = 2**16
_ZIP_MARK = b"PK\x03\x04"
# More than this of an archive lies on disk.
_IN_MEMORY = 8 * 2**20
# What damaged archives raise.
_DAMAGED = (zipfile.BadZipFile, BadGzipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def documents(file: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name and the pieces of each document of a file; the name is "" if it is the file itself.

    Raises ValueError if it is an archive that cannot be unpacked, or unpacks to too much.
    """
    first = file.read(READ_BYTES)
    if not first.startswith(_ZIP_MARK):
        yield "", _pieces(first, file)
        return
    # The list of an archive's files is at its end.
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
        copy.write(first)
        shutil.copyfileobj(file, copy)
        bounded = _Bounded(copy.tell())
        try:
            with zipfile.ZipFile(cast("IO[bytes]", copy)) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        yield entry.filename, bounded.pieces(archive, entry)
        except _DAMAGED as error:
            raise ValueError(f"is a damaged archive: {error}") from None


def _pieces(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = file.read(READ_BYTES)


class _Bounded:
    """Unpacks the files of an archive of ``size`` bytes, until they are too much together."""

    def __init__(self, size: int):
        self.most = min(max(ALWAYS_UNPACKED_BYTES, DEFAULT_BOUNDS.unpacked_ratio * size), DEFAULT_BOUNDS.unpacked_bytes)
        self.unpacked = 0

    def pieces(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        with ExitStack() as stack:
            try:
                file: IO[bytes] | GzipFile = stack.enter_context(archive.open(entry))
                if entry.filename.lower().endswith(".gz"):
                    file = stack.enter_context(GzipFile(fileobj=file))
                while piece := file.read(READ_BYTES):
                    self.unpacked += len(piece)
                    if self.unpacked > self.most:
                        raise ValueError(f"unpacks to more than {self.most:,} bytes")
                    yield piece
            except _DAMAGED as error:
                raise ValueError(f"is damaged: {error}") from None
