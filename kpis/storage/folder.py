"""A tree of files in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import duckdb


class Folder:
    """See ``kpis.storage.Storage`` for what its methods promise."""

    def __init__(self, root: Path):
        self._root = root.absolute()

    def url(self, path: PurePosixPath) -> str:
        return str(self._root / path)

    def open_to(self, connection: duckdb.DuckDBPyConnection) -> None:
        return None

    def raise_failure(self) -> None:
        return None

    def there(self, folder: PurePosixPath, names: Iterable[str]) -> dict[str, int]:
        found = {}
        for name in names:
            with suppress(FileNotFoundError):
                found[name] = (self._root / folder / name).stat().st_size
        return found

    def names(self, folder: PurePosixPath) -> list[str]:
        place = self._root / folder
        return sorted(os.listdir(place)) if place.is_dir() else []

    def files(self, folder: PurePosixPath) -> Iterator[tuple[PurePosixPath, int]]:
        place = self._root / folder
        if not place.is_dir():
            return
        with os.scandir(place) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir():
                yield from self.files(folder / entry.name)
            else:
                yield folder / entry.name, entry.stat().st_size

    def read(self, path: PurePosixPath) -> str | None:
        try:
            return (self._root / path).read_text()
        except FileNotFoundError:
            return None

    def write(self, path: PurePosixPath, text: str) -> None:
        # Renamed into place when it is whole.
        target = self._root / path
        written = target.with_name(f"{target.name}.part")
        written.write_text(text)
        self._move(written, target)

    def aside(self, folder: PurePosixPath) -> Path:
        place = self._root / folder
        if place.exists():
            shutil.rmtree(place)
        place.mkdir(parents=True)
        return place

    def put(self, written: Path, path: PurePosixPath) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._move(written, target)

    def move(self, aside: PurePosixPath, path: PurePosixPath) -> None:
        self.put(self._root / aside, path)

    def _move(self, written: Path, target: Path) -> None:
        """Renames a file once the disk has all of it."""
        with written.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(written, target)

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
        """The root, or the folder above it that is there, in which it would be made."""
        return next(parent for parent in (self._root, *self._root.parents) if parent.exists())
