"""Verification of the lake's files: by their sizes, by their etags in a bucket, and by their digests."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from pathlib import Path, PurePosixPath

from blake3 import blake3

from kpis.lake.errors import DamagedFile, LakeError, translate_errors
from kpis.lake.layout import LakeFile
from kpis.storage import SCHEME, Storage, Stored

# The number of files whose verification is remembered.
MOST_TRUSTED = 50_000
BLOCK_BYTES = 2**20


class Verify(StrEnum):
    """When a file's digest is compared with the ledger's; sizes, and etags in a bucket, always are."""

    ALWAYS = "always"
    COMPACTION = "compaction"
    OFF = "off"


@dataclass(frozen=True)
class Expected:
    """A file's expected content: its size in bytes, its BLAKE3 in hex and its etag, each "" if unknown."""

    size: int
    digest: str = ""
    etag: str = ""

    @classmethod
    def of(cls, file: LakeFile) -> Expected:
        """Return the ledger's values of a file."""
        return cls(file.size, file.digest, file.etag)


class Verifier:
    """Compares files with their expected content.

    Files that this process has written or verified are not read again for that.
    """

    def __init__(self, storage: Storage, threads: Executor, when: Verify):
        self._storage, self._threads, self._when = storage, threads, when
        self._trusted: OrderedDict[PurePosixPath, None] = OrderedDict()

    def trust(self, files: Iterable[LakeFile]) -> None:
        """Remember that this process has computed the files' digests from their content."""
        self._note([file.path for file in files])

    def _note(self, paths: Iterable[PurePosixPath]) -> None:
        self._trusted |= dict.fromkeys(paths)
        while len(self._trusted) > MOST_TRUSTED:
            self._trusted.popitem(last=False)

    def check(self, files: Mapping[PurePosixPath, Expected], compaction: bool = False) -> None:
        """Raise DamagedFile for the first file that is missing or damaged.

        ``compaction`` is True if they are read to be compacted.
        """
        digested = self._when is Verify.ALWAYS or (self._when is Verify.COMPACTION and compaction)
        there = self._there(files)
        doubtful = []
        for path, expected in files.items():
            found = self._found(path, expected, there)
            # A copy of a bucket may have other etags.
            is_known = bool(found.etag) and found.etag == expected.etag
            if digested and expected.digest and not is_known and path not in self._trusted:
                doubtful.append(path)
        for path, digest in zip(doubtful, self._threads.map(self._digest, doubtful), strict=True):
            if digest != files[path].digest:
                raise DamagedFile.damaged(path, self._storage.url(path), "its content is not what was written")
        self._note(doubtful)

    def check_sizes(self, folder: PurePosixPath, files: Iterable[LakeFile]) -> None:
        """Raise DamagedFile for the first file below a folder that is missing or has another size, by one listing."""
        with translate_errors(self._storage.url(folder)):
            there = dict(self._storage.files(folder))
        for file in files:
            self._found(file.path, Expected.of(file), there)

    def _found(self, path: PurePosixPath, expected: Expected, there: Mapping[PurePosixPath, Stored]) -> Stored:
        """Return a file with its actual size, which is the expected one."""
        found = there.get(path)
        if found is None:
            raise DamagedFile.missing(path, self._storage.url(path))
        if found.size != expected.size:
            text = f"it has {found.size:,} bytes instead of {expected.size:,}"
            raise DamagedFile.damaged(path, self._storage.url(path), text)
        return found

    def digests(self, paths: Iterable[PurePosixPath]) -> Iterator[tuple[PurePosixPath, str]]:
        """Yield the files' BLAKE3 in hex; leave out those that are missing or cannot be read."""

        def digest_or_none(path: PurePosixPath) -> str | None:
            try:
                return self._digest(path)
            except DamagedFile:
                return None

        listed = list(paths)
        for path, digest in zip(listed, self._threads.map(digest_or_none, listed), strict=True):
            if digest is not None:
                yield path, digest

    def _there(self, paths: Collection[PurePosixPath]) -> dict[PurePosixPath, Stored]:
        there = {}
        for folder, some in groupby(sorted(paths), key=lambda path: path.parent):
            with translate_errors(self._storage.url(folder)):
                found = self._storage.there(folder, [path.name for path in some])
            there.update({folder / name: stored for name, stored in found.items()})
        return there

    def _digest(self, path: PurePosixPath) -> str:
        """Return the BLAKE3 of a file in the tree; raises DamagedFile if it cannot be read."""
        digest = blake3()
        try:
            for part in self._storage.content(path):
                digest.update(part)
        except FileNotFoundError:
            raise DamagedFile.missing(path, self._storage.url(path)) from None
        except OSError as error:
            url = self._storage.url(path)
            if error.errno != errno.EIO or url.startswith(SCHEME):
                raise LakeError(f"Cannot use the lake at {url}: {error.strerror or error}.") from error
            raise DamagedFile.damaged(path, url, f"it cannot be read ({error.strerror})") from error
        return digest.hexdigest()


def digest_of(path: Path) -> str:
    """Return the BLAKE3 of a local file, in hex."""
    digest = blake3()
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
