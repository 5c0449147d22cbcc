"""A tree of files in an S3-compatible object store: the objects of a bucket whose keys begin with a prefix.

Credentials, region and endpoint are those of AWS's usual chain (``AWS_ENDPOINT_URL`` names another store than AWS's).
An object appears under its key once the store has all of it. Temporary failures are retried after growing pauses.
"""

from __future__ import annotations

import errno
import functools
import random
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from kpis.storage import SCHEME, BucketAddress, Stored

if TYPE_CHECKING:
    import duckdb

TRIES = 6
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 10
# boto3's own retries, which cover everything but reading a response's body.
CLIENT = Config(
    retries={"mode": "standard", "total_max_attempts": TRIES},
    connect_timeout=5,
    read_timeout=30,
    max_pool_connections=32,
)
# How much of an object is in memory while it is fetched.
PART_BYTES = 8 * 2**20
# Larger files are uploaded in parts, several at a time, which the store joins at the end.
LARGEST_WHOLE_BYTES = 32 * 2**20
# A lake file up to this size is fetched as a whole, in one request, and so many of them are cached; of larger ones
# only the requested ranges are fetched.
SMALL_BYTES = 2**18
MOST_SMALL = 64
KEYS_A_REMOVAL = 1000
# How many objects' sizes are cached between two readings.
MOST_EXPECTED = 50_000
ERRORS = {403: errno.EACCES, 404: errno.ENOENT, 412: errno.ESTALE}


@dataclass(frozen=True)
class StoredObject:
    """An object: its key, its size in bytes, its time of change, and its etag."""

    key: str
    size: int
    modified: datetime
    etag: str


@functools.cache
def client(service: str) -> Any:
    """Return the client of an AWS service; the clients of a process share its connections."""
    return boto3.client(service, config=CLIENT)


class Bucket:
    """The objects of a bucket; see ``kpis.storage.Storage`` for what the methods guarantee.

    Files that are written aside are in the scratch folder until they are put.
    """

    def __init__(self, place: BucketAddress, scratch: Path):
        self._name, self._prefix, self._scratch = place.bucket, place.prefix, scratch
        with _translate_errors(str(place)):
            self._client = client("s3")
        self._window = _Window(self)

    def url(self, path: PurePosixPath) -> str:
        return self.url_of(self._key(path)).rstrip("/")

    def url_of(self, key: str) -> str:
        """Return the address of the object with a key."""
        return f"{SCHEME}{self._name}/{key}"

    def _key(self, path: PurePosixPath) -> str:
        return f"{self._prefix}{path}" if path.name else self._prefix

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register_filesystem(self._window)

    def raise_failure(self) -> None:
        failure, self._window.failure = self._window.failure, None
        if failure is not None:
            raise failure

    def there(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, Stored]:
        wanted = set(names)
        if not wanted:
            return {}
        found = {one.key.rpartition("/")[2]: one for page in self.pages(folder) for one in page}
        self._window.expect([found[name] for name in wanted & found.keys()])
        return {name: Stored(found[name].size, found[name].etag) for name in wanted & found.keys()}

    def names(self, folder: PurePosixPath) -> list[str]:
        begin = self._key(folder) + "/"
        found = set()
        for page in self._listed(begin, "/"):
            found |= {one["Key"].removeprefix(begin) for one in page.get("Contents", ())}
            found |= {one["Prefix"].removeprefix(begin).rstrip("/") for one in page.get("CommonPrefixes", ())}
        return sorted(found - {""})

    def files(self, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, Stored]]:
        for found in self.objects(self._key(folder) + "/"):
            self._window.expect([found])
            yield PurePosixPath(found.key.removeprefix(self._prefix)), Stored(found.size, found.etag)

    def objects(self, begin: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with a prefix, in the order of their keys, fetched page by page."""
        for page in self._listed(begin):
            yield from map(_stored, page.get("Contents", ()))

    def pages(self, folder: PurePosixPath | None = None) -> Iterator[list[StoredObject]]:
        """Yield the objects directly in a folder, the root by default, in pages of bounded length."""
        begin = f"{self._key(folder)}/" if folder else self._prefix
        for page in self._listed(begin, "/"):
            yield [_stored(found) for found in page.get("Contents", ()) if found["Key"] != begin]

    def _listed(self, begin: str, delimiter: str = "") -> Iterator[Mapping[str, Any]]:
        found = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=begin, Delimiter=delimiter
        )
        with _translate_errors(self.url_of(begin)):
            yield from found

    def read(self, path: PurePosixPath) -> str | None:
        try:
            return self._fetched(self._key(path)).decode()
        except FileNotFoundError:
            return None

    def content(self, path: PurePosixPath) -> Iterator[bytes]:
        return self.parts(self.find(self._key(path)))

    def write(self, path: PurePosixPath, text: str) -> None:
        with _translate_errors(self.url(path)):
            self._client.put_object(Bucket=self._name, Key=self._key(path), Body=text.encode())

    def aside(self, folder: PurePosixPath) -> Path:
        place = self._scratch / folder
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def seal(self, written: Path) -> None:
        return None

    def put(self, written: Path, path: PurePosixPath) -> str:
        key = self._key(path)
        self._window.forget(key)
        with _translate_errors(self.url(path)):
            if written.stat().st_size < LARGEST_WHOLE_BYTES:
                with written.open("rb") as body:
                    etag = self._client.put_object(Bucket=self._name, Key=key, Body=body)["ETag"].strip('"')
            else:
                sizes = TransferConfig(multipart_threshold=LARGEST_WHOLE_BYTES, multipart_chunksize=PART_BYTES)
                self._client.upload_file(str(written), self._name, key, Config=sizes)
                etag = self.find(key).etag
        written.unlink()
        return etag

    def move(self, aside: PurePosixPath, path: PurePosixPath) -> str:
        key = self._key(path)
        self._window.forget(key)
        with _translate_errors(self.url(aside)):
            self._client.copy({"Bucket": self._name, "Key": self._key(aside)}, self._name, key)
        self._remove([self._key(aside)])
        return self.find(key).etag

    def sync(self) -> None:
        return None

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        self._remove([self._key(path) for path in paths])

    def _remove(self, keys: list[str]) -> None:
        for start in range(0, len(keys), KEYS_A_REMOVAL):
            some = keys[start : start + KEYS_A_REMOVAL]
            with _translate_errors(self.url_of(some[0])):
                answer = self._client.delete_objects(
                    Bucket=self._name, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
                )
            for failed in answer.get("Errors", ()):
                raise OSError(errno.EIO, f"cannot be removed: {failed.get('Message')}", self.url_of(failed["Key"]))

    def remove_folder(self, folder: PurePosixPath, below: PurePosixPath | None = None) -> None:
        # Folders are only the beginnings of keys, and disappear with the last of these.
        shutil.rmtree(self._scratch / folder, ignore_errors=True)
        self._remove([found.key for found in self.objects(self._key(folder) + "/")])

    def discard_unfinished(self) -> None:
        with _translate_errors(self.url_of(self._prefix)):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._name, Prefix=self._prefix
            ):
                for upload in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(
                        Bucket=self._name, Key=upload["Key"], UploadId=upload["UploadId"]
                    )

    def check(self) -> None:
        path = PurePosixPath("staging.check")
        self.write(path, "")
        self.remove([path])

    def find(self, key: str) -> StoredObject:
        """Return the object with a key."""
        with _translate_errors(self.url_of(key)):
            found = self._client.head_object(Bucket=self._name, Key=key)
        return StoredObject(key, found["ContentLength"], found["LastModified"], found["ETag"].strip('"'))

    def parts(self, found: StoredObject) -> Iterator[bytes]:
        """Yield an object's content, part by part; raises OSError, with ESTALE if the content has changed."""
        for start in range(0, found.size, PART_BYTES):
            yield self.part(found, start, min(start + PART_BYTES, found.size))

    def part(self, found: StoredObject, start: int, end: int) -> bytes:
        """Return the bytes from start to end (excluded) of an object's content; raises as ``parts``."""
        if start >= end:
            return b""
        return self._fetched(found.key, Range=f"bytes={start}-{end - 1}", IfMatch=f'"{found.etag}"')

    def _fetched(self, key: str, **which: str) -> bytes:
        """Return an object's content, or a range of it; a request whose response broke off is repeated."""
        with _translate_errors(self.url_of(key)):
            for turn in range(TRIES):
                body = self._client.get_object(Bucket=self._name, Key=key, **which)["Body"]
                try:
                    return body.read()
                except BotoCoreError:
                    if turn == TRIES - 1:
                        raise
                # Random, so that processes do not retry at the same time.
                pause = min(FIRST_PAUSE_SECONDS * 2**turn, LONGEST_PAUSE_SECONDS)
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
        raise AssertionError("unreachable")


class _Window(AbstractFileSystem):
    """A bucket as DuckDB reads it: DuckDB asks for a file's size and time of change, and then for ranges of its bytes.

    ``failure`` is the bucket's error, which DuckDB wraps in its own.
    """

    protocol = "s3"
    # One instance per bucket, instead of fsspec's shared ones.
    cachable = False

    def __init__(self, bucket: Bucket):
        super().__init__()
        self._bucket = bucket
        self._expected: dict[str, StoredObject] = {}
        # DuckDB opens a file to look at its end, and again to read it.
        self._whole = functools.lru_cache(MOST_SMALL)(lambda found: bucket.part(found, 0, found.size))
        self.failure: OSError | None = None

    def expect(self, found: Iterable[StoredObject]) -> None:
        """Cache the properties of objects that were just listed, so that opening them needs no request."""
        if len(self._expected) > MOST_EXPECTED:
            self._expected = {}
        self._expected |= {one.key: one for one in found}

    def forget(self, key: str) -> None:
        """Drop what is cached of an object, as it changes."""
        self._expected.pop(key, None)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        with self._noting():
            found = {one.key: one for one in self._bucket.objects(_key_in(path))}
        self._expected = found
        by_name = {f"{path.partition('/')[0]}/{key}": one for key, one in found.items()}
        return {name: _details(name, one) for name, one in by_name.items()} if detail else list(by_name)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        return _details(path, self._object(path))

    def modified(self, path: str) -> datetime:
        return self._object(self._strip_protocol(path)).modified

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _ObjectFile:
        return _ObjectFile(self, path, mode, cache_type="none", size=self._object(path).size)

    def fetched(self, path: str, start: int, end: int) -> bytes:
        """Return a range of an object's bytes."""
        with self._noting():
            found = self._object(path)
            if found.size <= SMALL_BYTES:
                return self._whole(found)[start:end]
            return self._bucket.part(found, start, min(end, found.size))

    def _object(self, path: str) -> StoredObject:
        key = _key_in(path)
        found = self._expected.get(key)
        if found is None:
            with self._noting():
                found = self._expected[key] = self._bucket.find(key)
        return found

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            self.failure = error
            raise


class _ObjectFile(AbstractBufferedFile):
    """An object that is open for reading; its ranges are fetched on demand."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.fetched(self.path, start, end)


def _key_in(path: str) -> str:
    return path.removeprefix(SCHEME).partition("/")[2]


def _details(path: str, found: StoredObject) -> dict[str, Any]:
    return {"name": path, "size": found.size, "type": "file"}


def _stored(listed: Mapping[str, Any]) -> StoredObject:
    return StoredObject(listed["Key"], listed["Size"], listed["LastModified"], listed["ETag"].strip('"'))


@contextmanager
def _translate_errors(place: str) -> Iterator[None]:
    """Translate boto3's errors into OSError."""
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        said = error.response.get("Error", {})
        reason = said.get("Message") or said.get("Code") or f"status {status}"
        raise OSError(ERRORS.get(status, errno.EIO), reason.rstrip("."), place) from error
    except (BotoCoreError, Boto3Error) as error:
        raise OSError(errno.EIO, str(error).rstrip("."), place) from error
