"""What tells of files as they land in a place: the system of a folder's, a queue of a bucket's, or nothing.

Whatever tells of them may miss some, also while nobody listens: a full listing of the place finds those.
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

# A file is whole when nothing was written to it for so long.
SETTLED_SECONDS = 0.3
# How long nobody asks whether to stop.
STEP_SECONDS = 0.2


class Arrivals(Protocol):
    """Names of files that have landed in a place; entered before it is used, which raises SourceError.

    ``means`` says what tells of them. ``blind`` says why nothing does for now, so that the place has to be listed
    often instead; it is empty while something does.
    """

    means: str
    blind: str

    def __enter__(self) -> Arrivals: ...

    def __exit__(self, *_: object) -> None: ...

    def listen(self) -> None:
        """Hears of files that land from now on, also where it could not before; a full listing is to follow."""

    def wait(self, seconds: float) -> Collection[str]:
        """Wait at most so long; return the names that are not acknowledged. It returns early to be asked again."""

    def acknowledge(self) -> None:
        """Record that what ``wait`` returned last was ingested."""


def arrivals_in(place: Address, queue_url: str = "") -> Arrivals:
    """What tells of files that land in a place: for a bucket the queue with this address, where there is one.

    Raises SourceError where what a queue needs is not installed.
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
    """Where nothing tells of files."""

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
    """Files that land in a folder, as the system tells of them (inotify)."""

    means = "inotify"

    def __init__(self, folder: Path):
        self.blind = ""
        self._folder = folder
        self._changes: Iterator[set[tuple[Change, str]]] | None = None
        # When each name's last change was told of.
        self._landed: dict[str, float] = {}
        self._given: set[str] = set()

    def __enter__(self) -> FolderArrivals:
        return self

    def __exit__(self, *_: object) -> None:
        self._changes = None

    def listen(self) -> None:
        # Anew each time: the folder may be another by now, though its path is the same.
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
                # Signals are their handlers' affair.
                raise_interrupt=False,
            )
            # It begins with being asked.
            self._note(next(changes))
        except (OSError, RuntimeError) as error:
            # The latter where the system has no inotify left to give.
            self.blind = f"the system does not tell of its files: {error}"
            return
        self._changes, self.blind = changes, ""

    def wait(self, seconds: float) -> Collection[str]:
        changes = next(self._changes, None) if self._changes is not None else None
        if changes is None:
            time.sleep(max(0, min(seconds, STEP_SECONDS)))
        else:
            self._note(changes)
        settled = time.monotonic() - SETTLED_SECONDS
        self._given = {name for name, moment in self._landed.items() if moment <= settled}
        return self._given

    def acknowledge(self) -> None:
        for name in self._given:
            del self._landed[name]
        self._given = set()

    def _note(self, changes: set[tuple[Change, str]]) -> None:
        now = time.monotonic()
        self._landed |= {os.path.basename(path): now for _, path in changes}
