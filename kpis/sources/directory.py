"""Files as batches: those of a folder, or those named one by one."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis.catalog.closing import closed_by_file
from kpis.catalog.feeds import Feed
from kpis.catalog.file_names import FileNames
from kpis.catalog.intervals import EPOCH
from kpis.catalog.registry import FEED_FILES, FEEDS
from kpis.sources.batch import Step, Version

if TYPE_CHECKING:
    import duckdb

    from kpis.engine.file_reader import Reading
    from kpis.formats.line_days import LineDays

# The length of the ledger's column for names; a file system's longest name is 255 bytes, escaped at most 1,020
# characters.
LONGEST_NAME = 700

# Called with the feed and the name of each unfinished file, see ``FileNames``.
Unfinished = Callable[[Feed, str], object]


class SourceError(Exception):
    """The place of the batches cannot be used; the message names the place and the reason."""


class SourceLost(SourceError):
    """The place does not answer, which may be temporary."""


@dataclass(frozen=True)
class FoundFile:
    """A file that a source found, as a batch.

    ``name`` identifies the batch, ``size`` is in bytes, ``modified_ns`` in ns since 1970-01-01T00:00Z, and ``problem``
    is the reason why it cannot be read, if that is known without opening it. An object in a bucket has an ``etag``.
    ``mark`` changes with the content: it is made of a file's times of change (mtime, ctime) and its inode, or of an
    object's etag and time of change.
    """

    feed: Feed
    name: str
    path: Path
    size: int
    modified_ns: int
    problem: str = ""
    etag: str = ""
    mark: str = ""

    @property
    def kind(self) -> str:
        """The kind in log lines; for this and what follows see ``Batch``."""
        return "file"

    @property
    def place(self) -> Mapping[str, Any]:
        return {"file": self.name}

    @property
    def is_followed(self) -> bool:
        return False

    @property
    def counts_by_content(self) -> bool:
        return True

    @property
    def is_divisible(self) -> bool:
        return False

    @property
    def arrived(self) -> datetime | None:
        return None

    @property
    def days(self) -> LineDays | None:
        return None

    @property
    def step(self) -> Step | None:
        return None

    def closes(
        self, starts: Collection[datetime], newest: datetime | None, lateness: timedelta, now: datetime
    ) -> datetime | None:
        return closed_by_file(self.feed, starts, now)

    def completed(self, reading: Reading, connect: Callable[[], duckdb.DuckDBPyConnection]) -> Reading:
        return reading

    def sequence_number(self, line: int) -> str:
        return ""

    @property
    def version(self) -> Version:
        """A value that changes with the content, known without reading it."""
        return self.name, self.size, self.mark

    @property
    def address(self) -> str:
        """The file's path or address."""
        return str(self.path.absolute())

    def fetched(self, scratch: Path) -> FoundFile:
        """Return the file with its content readable here: a remote file is fetched into the scratch folder."""
        return self

    def close(self) -> None:
        """Remove what was fetched into the scratch folder."""

    def has_beside(self, name: str) -> bool:
        """Return True if a file of this batch name is in the same folder."""
        folder = self.path.parent
        if "\\" not in name and len(name) < LONGEST_NAME:
            return os.path.lexists(folder / name)
        try:
            return any(batch_name(entry) == name for entry in os.listdir(folder))
        except OSError:
            return True

    @property
    def age_key(self) -> tuple[datetime, str]:
        """The key that sorts files by the interval in their names, else by their time of change."""
        day = self.feed.date_in(self.name)
        moment = self.feed.interval_end_in(self.name) or (
            datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None
        )
        return moment or moment_of_change(self.modified_ns), self.name


def moment_of_change(modified_ns: int) -> datetime:
    """Return a file's time of change (UTC); 1970 if it is beyond the calendar."""
    try:
        return EPOCH + timedelta(seconds=modified_ns // 10**9)
    except OverflowError:
        # Some file systems accept times beyond the calendar's.
        return EPOCH


def files_in(
    folder: Path,
    feed_files: Mapping[str, str] = FEED_FILES,
    feed: Feed | None = None,
    known: Callable[[Feed, Collection[Version]], Iterable[Version]] = lambda feed, versions: (),
    names: Collection[str] | None = None,
    unfinished: Unfinished = lambda feed, name: None,
) -> list[FoundFile]:
    """Return the folder's new or changed files that belong to a feed by their names, oldest interval first.

    ``feed`` limits them to one feed. ``known`` gets the versions that the folder has of a feed, and returns those that
    the ledger has (or more): these files are left out. Names of no feed are ignored, as are unfinished files; for each
    of the latter ``unfinished`` is called. ``names`` looks only for files of these names, without a listing. Raises
    SourceError if the folder cannot be listed.
    """
    listed: dict[str, set[Version]] = {}
    file_names = FileNames(feed_files)
    for entry in _entries(folder) if names is None else _named_entries(folder, names):
        file_feed = file_names.feed_of(entry.name)
        if file_feed is None:
            begun = file_names.unfinished(entry.name)
            if begun is not None and feed in (None, begun):
                unfinished(begun, batch_name(entry.name))
        elif feed in (None, file_feed):
            listed.setdefault(file_feed.name, set()).add(_version(entry))
    found = []
    for feed_name, versions in listed.items():
        # Names that the ledger has in escaped form, see batch_name.
        odd = {version for version in versions if "\\" in version[0] or not version[0].isprintable()}
        versions -= odd
        versions.difference_update(known(FEEDS[feed_name], versions))
        found += [_found(Path(folder, name), FEEDS[feed_name]) for name, _, _ in odd | versions]
    return sorted(found, key=lambda file: file.age_key)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise SourceError(f"Cannot list the data folder {folder}: {error.strerror}.") from error


def _named_entries(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = Path(folder, name)
        if os.path.lexists(path):
            yield path


def _version(entry: os.DirEntry[str] | Path) -> Version:
    try:
        status = entry.stat()
    except OSError:
        return entry.name, 0, ""
    return entry.name, status.st_size, _mark(status)


def _mark(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def files_named(
    paths: Iterable[Path], feed_files: Mapping[str, str] = FEED_FILES, feed: Feed | None = None
) -> list[FoundFile]:
    """Return the named files, oldest interval first.

    Their feed is ``feed``, and then they count as finished; by default their names decide both. Raises SourceError for
    a file that is missing or unfinished, whose feed is unknown, or whose name occurs twice.
    """
    found: dict[tuple[str, str], FoundFile] = {}
    file_names = FileNames(feed_files)
    for path in paths:
        file_feed = feed or finished_feed(str(path), path.name, file_names)
        if not os.path.lexists(path):
            raise SourceError(f"{path}: there is no such file.")
        file = _found(path, file_feed)
        other = found.setdefault((file_feed.name, file.name), file)
        if other.path != path:
            raise SourceError(f"{other.path} and {path} have the same name, which would make them one batch.")
    return sorted(found.values(), key=lambda file: file.age_key)


def finished_feed(shown: str, name: str, file_names: FileNames) -> Feed:
    """Return the feed of a finished file by its name; raises SourceError, naming it as ``shown``, if it has none."""
    feed = file_names.feed_of(name)
    if feed is not None:
        return feed
    begun = file_names.unfinished(name)
    if begun is not None:
        endings = " or ".join(begun.endings)
        raise SourceError(
            f"{shown}: its name is that of an unfinished file, as it does not end in {endings} or as "
            f"FEED_FILES says; if it is finished, name its feed with --feed {begun.name}."
        )
    raise SourceError(f"{shown}: its name belongs to no feed; name one with --feed.")


def _found(path: Path, feed: Feed) -> FoundFile:
    try:
        status = path.stat()
    except OSError as error:
        problem = "is a broken link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        return FoundFile(feed, batch_name(path.name), path, 0, 0, problem)
    problem = ""
    if stat.S_ISDIR(status.st_mode):
        problem = "is a folder, not a file"
    elif not stat.S_ISREG(status.st_mode):
        problem = "is not a regular file"
    mark = _mark(status)
    return FoundFile(feed, batch_name(path.name), path, status.st_size, status.st_mtime_ns, problem, mark=mark)


def batch_name(file_name: str) -> str:
    """Return the file's name as the ledger keeps it; different names stay different.

    Bytes that are not UTF-8, control characters, backslashes and spaces at the end are written as ``\\x..`` or
    ``\\u....``, so that every database and terminal shows the name unambiguously. A name too long for the ledger's
    column ends in a digest of itself.
    """
    text = os.fsencode(file_name).decode("utf-8", "surrogateescape")
    shown = text.rstrip(" ")
    spaces = len(text) - len(shown)
    text = "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in shown) + "\\x20" * spaces
    if len(text) <= LONGEST_NAME:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: LONGEST_NAME - 17]}~{digest}"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # A byte that is not UTF-8, as "surrogateescape" decodes it.
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
