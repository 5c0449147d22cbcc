"""A tree of files in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kpis.storage import Stored

if TYPE_CHECKING:
    import duckdb

PART_BYTES = 2**20
SYNCING_THREADS = 8


class Folder:
    """A folder's files; see ``kpis.storage.Storage`` for what the methods guarantee."""

    def __init__(self, root: Path, synced: bool = True):
        self._root = root.absolute()
        self._synced = synced
        # The folders with new entries that may not be on the disk yet.
        self._unsynced: set[Path] = set()

    def url(self, path: PurePosixPath) -> str:
        return str(self._root / path)

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        return None

    def raise_failure(self) -> None:
        return None

    def there(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, Stored]:
        found = {}
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = Stored((self._root / folder / name).stat().st_size)
        return found

    def names(self, folder: PurePosixPath) -> list[str]:
        place = self._root / folder
        return sorted(os.listdir(place)) if place.is_dir() else []

    def files(self, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, Stored]]:
        place = self._root / folder
        if not place.is_dir():
            return
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir():
                yield from self.files(folder / entry.name)
            else:
                yield folder / entry.name, Stored(entry.stat().st_size)

    def read(self, path: PurePosixPath) -> str | None:
        try:
            return (self._root / path).read_text()
        except FileNotFoundError:
            return None

    def content(self, path: PurePosixPath) -> Iterator[bytes]:
        with (self._root / path).open("rb", buffering=0) as file:
            while part := file.read(PART_BYTES):
                yield part

    def write(self, path: PurePosixPath, text: str) -> None:
        # Renamed into place once it is complete.
        target = self._root / path
        self._make(target.parent)
        written = target.with_name(f"{target.name}.part")
        written.write_text(text)
        self.seal(written)
        self._move(written, target)

    def aside(self, folder: PurePosixPath) -> Path:
        place = self._root / folder
        if place.exists():
            shutil.rmtree(place)
        self._make(place)
        return place

    def seal(self, written: Path) -> None:
        if self._synced:
            _sync(written, os.O_RDONLY)

    def put(self, written: Path, path: PurePosixPath) -> str:
        target = self._root / path
        self._make(target.parent)
        self._move(written, target)
        return ""

    def move(self, aside: PurePosixPath, path: PurePosixPath) -> str:
        written = self._root / aside
        # Another host may have written it.
        self.seal(written)
        return self.put(written, path)

    def _move(self, written: Path, target: Path) -> None:
        os.replace(written, target)
        self._unsynced.add(target.parent)

    def _make(self, folder: Path) -> None:
        """Create a folder, and its missing parents."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        self._unsynced.add(folder.parent)

    def sync(self) -> None:
        folders, self._unsynced = self._unsynced, set()
        if not self._synced or not folders:
            return
        # A disk takes several at once: a file's rows may lie in a thousand hours' folders.
        with ThreadPoolExecutor(min(len(folders), SYNCING_THREADS), thread_name_prefix="sync") as threads:
            deque(threads.map(_sync_folder, folders), maxlen=0)

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        for path in paths:
            (self._root / path).unlink(missing_ok=True)

    def remove_folder(self, folder: PurePosixPath, below: PurePosixPath | None = None) -> None:
        shutil.rmtree(self._root / folder)
        parent = folder.parent
        while below is not None and parent != below and not any((self._root / parent).iterdir()):
            (self._root / parent).rmdir()
            parent = parent.parent

    def discard_unfinished(self) -> None:
        return None

    def check(self) -> None:
        with tempfile.TemporaryFile(dir=self.nearest()):
            pass

    def nearest(self) -> Path:
        """Return the root, or the nearest existing folder above it, in which it would be created."""
        return next(parent for parent in (self._root, *self._root.parents) if parent.exists())


def _sync_folder(folder: Path) -> None:
    # A folder that was removed again needs no entry.
    with suppress(FileNotFoundError):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    """Wait until the disk has a file's content, or a folder's entries."""
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
