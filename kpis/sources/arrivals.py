"""Notices of new files in a place: from inotify for a folder, from a queue for a bucket, or none.

Notices can be missed, for example while no process listens. A full listing of the place finds those files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kpis import extras
from kpis.sources.directory import SourceError
from kpis.storage import Address, BucketAddress

if TYPE_CHECKING:
    from watchfiles import Change

# A file counts as complete once it has not been written to for this long.
QUIET_SECONDS = 0.3
# The longest wait before the caller can check for a stop signal.
STEP_SECONDS = 0.2


class Arrivals(Protocol):
    """The names of files that have arrived in a place. A context manager; entering it may raise SourceError.

    ``means`` names the mechanism that reports them. ``blind`` is the reason why nothing reports them at present, so
    that the place must be listed often instead; it is empty while notices arrive.
    """

    means: str
    blind: str

    def __enter__(self) -> Arrivals: ...

    def __exit__(self, *_: object) -> None: ...

    def listen(self) -> None:
        """Start to receive notices, also after an earlier attempt failed. The caller then lists the place in full."""

    def wait(self, seconds: float) -> Collection[str]:
        """Wait up to ``seconds``, or less; return the names that are not acknowledged yet."""

    def acknowledge(self) -> None:
        """Mark the names that ``wait`` returned last as ingested."""


def arrivals_in(place: Address, queue_url: str = "") -> Arrivals:
    """Return the notices for a place: inotify's for a folder, for a bucket those of the queue at ``queue_url``, if any.

    Raises SourceError if the client of a queue is not installed.
    """
    if not isinstance(place, BucketAddress):
        return FolderArrivals(place)
    if not queue_url:
        return NoArrivals("there is no queue of its events")
    try:
        from kpis.sources.queue import QueueArrivals
    except ImportError as error:
        raise SourceError(extras.missing("aws", "A queue needs", error)) from error
    return QueueArrivals(place, queue_url)


class NoArrivals:
    """No notices: nothing reports the place's files."""

    means = ""

    def __init__(self, blind: str):
        self.blind = blind

    def __enter__(self) -> NoArrivals:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def listen(self) -> None:
        return

    def wait(self, seconds: float) -> Collection[str]:
        time.sleep(max(0, min(seconds, STEP_SECONDS)))
        return ()

    def acknowledge(self) -> None:
        return


class FolderArrivals:
    """Notices of files in a folder, from inotify."""

    means = "inotify"

    def __init__(self, folder: Path):
        self.blind = ""
        self._folder = folder
        self._changes: Iterator[set[tuple[Change, str]]] | None = None
        # When each name's last change was reported.
        self._landed: dict[str, float] = {}
        self._given: set[str] = set()

    def __enter__(self) -> FolderArrivals:
        return self

    def __exit__(self, *_: object) -> None:
        self._changes = None

    def listen(self) -> None:
        # A new watch each time: another folder may have the same path by now.
        self._changes = None
        try:
            from watchfiles import watch
        except ImportError as error:
            self.blind = f"watchfiles is not installed ({error})"
            return
        try:
            changes = watch(
                self._folder,
                watch_filter=None,
                recursive=False,
                rust_timeout=int(STEP_SECONDS * 1000),
                yield_on_timeout=True,
                # The command has its own signal handlers.
                raise_interrupt=False,
            )
            # The generator starts watching on its first step.
            self._note(next(changes))
        except (OSError, RuntimeError) as error:
            # RuntimeError if the system has no inotify instance left.
            self.blind = f"the system does not report its files: {error}"
            return
        self._changes, self.blind = changes, ""

    def wait(self, seconds: float) -> Collection[str]:
        changes = next(self._changes, None) if self._changes is not None else None
        if changes is None:
            time.sleep(max(0, min(seconds, STEP_SECONDS)))
        else:
            self._note(changes)
        quiet_since = time.monotonic() - QUIET_SECONDS
        self._given = {name for name, moment in self._landed.items() if moment <= quiet_since}
        return self._given

    def acknowledge(self) -> None:
        for name in self._given:
            del self._landed[name]
        self._given = set()

    def _note(self, changes: set[tuple[Change, str]]) -> None:
        now = time.monotonic()
        self._landed |= {os.path.basename(path): now for _, path in changes}
