"""Trees of files, by address: a folder of this machine, or the objects of a bucket below a prefix (``s3://``)."""

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
# A bucket's name, and a prefix without the characters that DuckDB's readers take for a pattern.
ADDRESS = r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[^/\[*?\x00-\x1f]+)*)/?"


@dataclass(frozen=True)
class BucketAddress:
    """A place in an object store: a bucket, and the prefix of the keys, which ends in a slash unless it is empty."""

    bucket: str
    prefix: str

    @classmethod
    def parsed(cls, text: str) -> BucketAddress:
        """Parse ``s3://bucket/prefix``; raises ValueError."""
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


# The address of a folder of files: a path here, or a place in an object store.
Address = Path | BucketAddress


def address(text: str) -> Address:
    """Parse an address; a relative path starts from the working directory. Raises ValueError."""
    return BucketAddress.parsed(text) if text.startswith(SCHEME) else Path(text).expanduser().absolute()


@dataclass(frozen=True)
class Stored:
    """A stored file: its size in bytes, and for an object its etag, which depends on its content."""

    size: int
    etag: str = ""


class Storage(Protocol):
    """A tree of files. Paths are relative to its root. Every failure raises OSError, which names the place.

    A file is complete or absent, and is never changed in place, only replaced.
    """

    def url(self, path: PurePosixPath) -> str:
        """Return a file's address for DuckDB's readers and for messages."""

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB connection read the files by their urls."""

    def raise_failure(self) -> None:
        """Raise the error that has kept a connection from reading since the last call, if any."""

    def there(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, Stored]:
        """Return those of the names that are files of a folder."""

    def names(self, folder: PurePosixPath) -> list[str]:
        """Return the names of the files and folders in a folder, sorted; empty if the folder does not exist."""

    def files(self, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, Stored]]:
        """Yield the files below a folder, folder by folder in the order of their names."""

    def read(self, path: PurePosixPath) -> str | None:
        """Return a small file's text; None if it does not exist."""

    def content(self, path: PurePosixPath) -> Iterator[bytes]:
        """Yield a file's content, part by part."""

    def write(self, path: PurePosixPath, text: str) -> None:
        """Write a small file."""

    def aside(self, folder: PurePosixPath) -> Path:
        """Return an empty local folder for files that will be put below the tree's folder, or elsewhere in the tree."""

    def seal(self, written: Path) -> None:
        """Make sure that the disk has a file that was written aside, before it is put."""

    def put(self, written: Path, path: PurePosixPath) -> str:
        """Move a file that was written aside and sealed to its place in the tree; return its etag in a bucket."""

    def move(self, aside: PurePosixPath, path: PurePosixPath) -> str:
        """Move a file that was put elsewhere in the tree to its place; return its etag in a bucket."""

    def sync(self) -> None:
        """Make sure that a power cut undoes nothing that was put, moved or written so far."""

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        """Remove files; missing ones are ignored."""

    def remove_folder(self, folder: PurePosixPath, below: PurePosixPath | None = None) -> None:
        """Remove a folder with its content, and the folders above it that are empty then, up to ``below``."""

    def discard_unfinished(self) -> None:
        """Remove the remains of files that were not put completely. Only for the sole writer of the tree."""

    def check(self) -> None:
        """Check that the tree can be written: write a file and remove it."""


def storage_at(place: Address, scratch: Path, synced: bool = True) -> Storage:
    """Return the tree of files at an address; ``scratch`` is for files that cannot be written in place.

    Unless it is ``synced``, a power cut may undo what was put there shortly before.
    """
    if isinstance(place, BucketAddress):
        return bucket_at(place, scratch)
    from kpis.storage.folder import Folder

    return Folder(place, synced)


def bucket_at(place: BucketAddress, scratch: Path | None = None) -> Bucket:
    """Return the bucket at an address; raises OSError if the client of object storage is not installed.

    ``scratch`` is needed to put files there.
    """
    try:
        from kpis.storage.bucket import Bucket
    except ImportError as error:
        reason = extras.missing("aws", "object storage needs", error).rstrip(".")
        raise OSError(errno.ENOTSUP, reason, str(place)) from error
    return Bucket(place, scratch or Path(tempfile.gettempdir()))
