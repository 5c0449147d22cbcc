"""Objects of a bucket as batches: those directly below a prefix, or those named one by one."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kpis.catalog.feeds import Feed
from kpis.catalog.file_names import FileNames
from kpis.catalog.intervals import EPOCH
from kpis.catalog.registry import FEED_FILES
from kpis.engine.scratch import ScratchError
from kpis.engine.scratch import translate_errors as translate_scratch_errors
from kpis.formats.content import UNPACKERS
from kpis.sources.batch import Version
from kpis.sources.directory import (
    LONGEST_NAME,
    FoundFile,
    SourceError,
    SourceLost,
    Unfinished,
    batch_name,
    finished_feed,
)
from kpis.storage import SCHEME, BucketAddress, bucket_at

if TYPE_CHECKING:
    from kpis.storage.bucket import Bucket, StoredObject

MICROSECOND = timedelta(microseconds=1)
# Errors of a single object, which is tried again later; any other error is the store's.
PROBLEMS = {
    errno.ENOENT: "vanished before it was read",
    errno.ESTALE: "changed while it was read",
    errno.EACCES: "cannot be read: {}",
}


@dataclass(frozen=True, kw_only=True)
class FoundObject(FoundFile):
    """An object of a bucket; its content is at ``path`` while it is fetched."""

    bucket: Bucket = field(compare=False)
    stored: StoredObject

    @property
    def address(self) -> str:
        """The object's address, ``s3://bucket/key``."""
        return self.bucket.url_of(self.stored.key)

    def fetched(self, scratch: Path) -> FoundFile:
        """Return the object with its content, or with the problem that fetching it met; raises SourceLost."""
        try:
            return self._fetched(scratch)
        except ScratchError as error:
            return replace(self, problem=str(error))

    def _fetched(self, scratch: Path) -> FoundFile:
        suffix = Path(self.stored.key).suffix.lower()
        with translate_scratch_errors(scratch):
            number, path = tempfile.mkstemp(suffix if suffix in UNPACKERS else "", "object-", scratch)
        fetched = replace(self, path=Path(path))
        parts = self.bucket.parts(self.stored)
        try:
            # Closing writes too.
            with translate_scratch_errors(scratch), os.fdopen(number, "wb") as file:
                while True:
                    try:
                        part = next(parts, b"")
                    except OSError as error:
                        if error.errno not in PROBLEMS:
                            raise _lost(error) from error
                        return replace(fetched, problem=PROBLEMS[error.errno].format(error.strerror))
                    if not part:
                        return fetched
                    file.write(part)
        except ScratchError:
            # A partial download takes space that others need.
            fetched.path.unlink()
            raise

    def has_beside(self, name: str) -> bool:
        """Return True if an object of this batch name is directly below the same prefix; raises SourceError."""
        if "\\" in name or len(name) >= LONGEST_NAME:
            # The object's key cannot be derived from the batch's name.
            return True
        prefix = self.stored.key.rpartition("/")
        try:
            with _translate_errors():
                self.bucket.find("".join(prefix[:2]) + name)
        except SourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        return True

    def close(self) -> None:
        self.path.unlink(missing_ok=True)


def objects_in(
    place: BucketAddress,
    feed_files: Mapping[str, str] = FEED_FILES,
    feed: Feed | None = None,
    known: Callable[[Feed, Collection[Version]], Iterable[Version]] = lambda feed, versions: (),
    names: Collection[str] | None = None,
    unfinished: Unfinished = lambda feed, name: None,
) -> list[FoundFile]:
    """Return the new or changed objects, as ``files_in`` does for a folder; the listing is compared page by page.

    Raises SourceError if the bucket cannot be listed, SourceLost if that may be temporary.
    """
    file_names = FileNames(feed_files)
    found: list[FoundFile] = []
    with _translate_errors():
        bucket = bucket_at(place)
        for page in bucket.pages() if names is None else [_named(bucket, place, filter(file_names.feed_of, names))]:
            by_feed: dict[Feed, dict[Version, FoundFile]] = defaultdict(dict)
            for stored in page:
                object_feed = file_names.feed_of(_name(stored))
                if object_feed is None:
                    begun = file_names.unfinished(_name(stored))
                    if begun is not None and feed in (None, begun):
                        unfinished(begun, batch_name(_name(stored)))
                elif feed in (None, object_feed):
                    file = _found(bucket, stored, object_feed)
                    by_feed[object_feed][file.version] = file
            for object_feed, files in by_feed.items():
                for version in known(object_feed, files):
                    files.pop(version, None)
                found += files.values()
    return sorted(found, key=lambda file: file.age_key)


def objects_named(
    addresses: Iterable[BucketAddress], feed_files: Mapping[str, str] = FEED_FILES, feed: Feed | None = None
) -> list[FoundFile]:
    """Return the objects with these addresses; see ``files_named``. Raises SourceError."""
    file_names = FileNames(feed_files)
    found: list[FoundFile] = []
    for one in addresses:
        object_feed = feed or finished_feed(str(one), one.name, file_names)
        with _translate_errors():
            bucket = bucket_at(one)
            found.append(_found(bucket, bucket.find(one.prefix.rstrip("/")), object_feed))
    return found


def _named(bucket: Bucket, place: BucketAddress, names: Iterable[str]) -> list[StoredObject]:
    """Return those of the objects directly below a place that exist."""
    found = []
    for name in names:
        with suppress(FileNotFoundError):
            found.append(bucket.find(f"{place.prefix}{name}"))
    return found


def object_of(file: FoundFile, place: str, scratch: Path) -> FoundObject:
    """Return the object at an address, whose properties are known; raises SourceError."""
    name, _, key = place.removeprefix(SCHEME).partition("/")
    with _translate_errors():
        bucket = bucket_at(BucketAddress(name, ""), scratch)
    from kpis.storage.bucket import StoredObject

    stored = StoredObject(key, file.size, EPOCH + file.modified_ns // 1000 * MICROSECOND, file.etag)
    fields = (file.feed, file.name, file.path, file.size, file.modified_ns, file.problem, file.etag, file.mark)
    return FoundObject(*fields, bucket=bucket, stored=stored)


def _found(bucket: Bucket, stored: StoredObject, feed: Feed) -> FoundObject:
    modified_ns = (stored.modified - EPOCH) // MICROSECOND * 1000
    return FoundObject(
        feed,
        batch_name(_name(stored)),
        Path(),
        stored.size,
        modified_ns,
        etag=stored.etag,
        mark=f"{stored.etag} {modified_ns}",
        bucket=bucket,
        stored=stored,
    )


def _name(stored: StoredObject) -> str:
    return stored.key.rpartition("/")[2]


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _lost(error) from error


def _lost(error: OSError) -> SourceError:
    text = f"Cannot read {error.filename}: {error.strerror}."
    # A missing bucket or right is not temporary.
    return SourceError(text) if error.errno in PROBLEMS else SourceLost(text)
