"""What can be wrong with the lake."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePosixPath

import duckdb

REPAIR = "Run manage.py repair_lake, which makes it again from its source or says what is lost."


class LakeError(Exception):
    """The lake cannot be read or written, or lacks a file; the message names the place and says why."""


class WrongLake(LakeError):
    """The lake and the database do not belong together; the message names both and says what to do."""


class Damage(StrEnum):
    """What is wrong with a file that the ledger counts on."""

    MISSING = "missing"
    DAMAGED = "damaged"


class DamagedFile(LakeError):
    """A file that the ledger counts on is missing or is not what was written.

    ``kind`` says which of both, and ``path`` is relative to the lake's root. Of a file that the ledger itself does not
    name, it has the batch's key for a name, in the folder where the file should be.
    """

    def __init__(self, path: PurePosixPath, kind: Damage, text: str):
        super().__init__(text)
        self.path, self.kind = path, kind

    @property
    def public_reason(self) -> str:
        """What is wrong, for whoever reads figures: without the lake's place, and what to do about it."""
        return f"a lake file that it needs is {self.kind}: {self.path}"

    @classmethod
    def missing(cls, path: PurePosixPath, url: str) -> DamagedFile:
        """A file that is not there."""
        return cls(path, Damage.MISSING, f"The lake lacks {url}, which the ledger counts on. {REPAIR}")

    @classmethod
    def damaged(cls, path: PurePosixPath, url: str, reason: str) -> DamagedFile:
        """A file whose content is not what was written."""
        return cls(path, Damage.DAMAGED, f"The lake's file {url} is damaged: {reason}. {REPAIR}")


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Turns what keeps a place in the lake from being used into LakeError."""
    try:
        yield
    except OSError as error:
        raise LakeError(f"Cannot use the lake at {error.filename or place}: {error.strerror or error}.") from error
    except duckdb.IOException as error:
        raise LakeError(f"Cannot use the lake at {place}: {reason_of(error)}.") from error


def reason_of(error: duckdb.Error) -> str:
    """What the system said, where DuckDB tells its number among much else; else what DuckDB says first."""
    number = re.search(r'"errno":"(\d+)"', str(error))
    return os.strerror(int(number[1])) if number else str(error).splitlines()[0].rstrip(".")
