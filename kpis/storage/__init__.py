"""Where files lie, by one address: a folder of this machine, or a bucket's objects below a prefix (``s3://``)."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis import extras

if TYPE_CHECKING:
    import duckdb

    from kpis.storage.bucket import Bucket

SCHEME = "s3://"
# A bucket's name, and a prefix without what DuckDB's readers would take for a pattern.
ADDRESS = r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[^/\[*?\x00-\x1f]+)*)/?"


@dataclass(frozen=True)
class BucketAddress:
    """A place in an object store: a bucket, and the prefix of the keys, which ends in a slash unless it is empty."""

    bucket: str
    prefix: str

    @classmethod
    def parsed(cls, text: str) -> BucketAddress:
        """The address that ``s3://bucket/prefix`` writes; raises ValueError for what is none."""
        found = re.fullmatch(ADDRESS, text)
        if not found:
            raise ValueError(f"{text!r} is not like s3://bucket/prefix")
        prefix = found[2].removeprefix("/")
        return cls(found[1], f"{prefix}/" if prefix else "")

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rstrip("/").rpartition("/")[2]

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".rstrip("/")


# Where a folder of files is: a path here, or a place in an object store.
Address = Path | BucketAddress


def address(text: str) -> Address:
    """The address that a text writes, a relative path starting from the working directory; raises ValueError."""
    return BucketAddress.parsed(text) if text.startswith(SCHEME) else Path(text).expanduser().absolute()


@dataclass(frozen=True)
class Stored:
    """A file that is there: its size in bytes, and of an object in a bucket the etag, which its content decides."""

    size: int
    etag: str = ""


class Storage(Protocol):
    """A tree of files. Paths are relative to its root; whatever cannot be done raises OSError, which names the place.

    A file is there whole or not at all, and is never changed in place, only replaced.
    """

    def url(self, path: PurePosixPath) -> str:
        """Where a file is, as DuckDB's readers and messages name it."""

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Lets a DuckDB connection read the files by their urls."""

    def raise_failure(self) -> None:
        """Raises what kept a connection from reading since it was last asked for, if anything did."""

    def there(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, Stored]:
        """Which of the names a folder has files of."""

    def names(self, folder: PurePosixPath) -> list[str]:
        """The names of the files and folders in a folder, sorted; none where it is not there."""

    def files(self, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, Stored]]:
        """The files below a folder, folder by folder in the order of their names."""

    def read(self, path: PurePosixPath) -> str | None:
        """A small file's text; None where it is not there."""

    def content(self, path: PurePosixPath) -> Iterator[bytes]:
        """A file's content, part by part."""

    def write(self, path: PurePosixPath, text: str) -> None:
        """Puts a small file there."""

    def aside(self, folder: PurePosixPath) -> Path:
        """An empty folder here for the files that are to go below the tree's folder, or elsewhere in the tree."""

    def seal(self, written: Path) -> None:
        """Sees to it that the disk has all of a file that was written aside, before it is put."""

    def put(self, written: Path, path: PurePosixPath) -> str:
        """Moves a file that was written aside and sealed to its place in the tree; gives its etag in a bucket."""

    def move(self, aside: PurePosixPath, path: PurePosixPath) -> str:
        """Moves a file that was put elsewhere in the tree to its place; gives its etag in a bucket."""

    def sync(self) -> None:
        """Sees to it that a power cut takes back nothing that was put, moved or written so far."""

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        """Removes files; those that are not there are none to worry about."""

    def remove_folder(self, folder: PurePosixPath, below: PurePosixPath | None = None) -> None:
        """Removes a folder with all that is in it, and those above it that are empty then, up to ``below``."""

    def discard_unfinished(self) -> None:
        """Removes what is left of files that were not put whole; only for who alone works on the tree."""

    def check(self) -> None:
        """Puts a file there and removes it."""


def storage_at(place: Address, scratch: Path, synced: bool = True) -> Storage:
    """The tree of files at an address; ``scratch`` is for those that can't be written where they are to lie.

    Where it is not ``synced``, a power cut may take back what was put there shortly before.
    """
    if isinstance(place, BucketAddress):
        return bucket_at(place, scratch)
    from kpis.storage.folder import Folder

    return Folder(place, synced)


def bucket_at(place: BucketAddress, scratch: Path | None = None) -> Bucket:
    """The bucket at an address; raises OSError where what object storage needs is not installed.

    ``scratch`` is needed to put files there.
    """
    try:
        from kpis.storage.bucket import Bucket
    except ImportError as error:
        reason = extras.missing("aws", "object storage needs", error).rstrip(".")
        raise OSError(errno.ENOTSUP, reason, str(place)) from error
    return Bucket(place, scratch or Path(tempfile.gettempdir()))
