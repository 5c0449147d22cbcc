"""The folder of a run's temporary files; removed at its end, or by the next run on the host."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "network-analysis-run-"
UNLOCKED = "unlocked-"


class ScratchError(Exception):
    """There is no room for temporary files; the message names the folder and what to do."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Provide a temporary folder for this process; first remove those of processes that were killed.

    A process keeps its folder locked for as long as it lives, so the owner of an unlocked one is dead. Raises
    ScratchError, also if there is no room while the folder is in use.
    """
    place = Path(tempfile.gettempdir())
    with translate_errors(place):
        _remove_abandoned(place)
        new = Path(tempfile.mkdtemp(prefix=UNLOCKED + PREFIX, dir=place))
        lock = os.open(new, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # From now on, when it is locked, other processes check it.
        folder = new.rename(place / new.name.removeprefix(UNLOCKED))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


@contextmanager
def translate_errors(folder: Path) -> Iterator[None]:
    """Translate errors of files into ScratchError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "Make room there, or name another folder with TMPDIR."
        raise ScratchError(f"Cannot write temporary files to {folder}: {reason}. {advice}") from error


def _remove_abandoned(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        # Folders of other users, or that another process has just removed.
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.getuid():
                    shutil.rmtree(folder)
            finally:
                os.close(lock)
