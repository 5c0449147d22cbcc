"""The errors of the lake."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

REPAIR = "Run manage.py repair_lake, which rebuilds it from its source or reports what is lost."


class LakeError(Exception):
    """The lake cannot be read or written, or lacks a file; the message names the place and the reason."""


class WrongLake(LakeError):
    """The lake and the database do not belong together; the message names both and what to do."""


class Damage(StrEnum):
    """The kind of damage of a file that the ledger refers to."""

    MISSING = "missing"
    DAMAGED = "damaged"


class DamagedFile(LakeError):
    """A file that the ledger refers to is missing or damaged.

    ``kind`` says which of both, and ``path`` is relative to the lake's root. If the ledger has no name of the file, the
    path ends in the batch's key, in the folder where the file should be.
    """

    def __init__(self, path: PurePosixPath, kind: Damage, text: str):
        super().__init__(text)
        self.path, self.kind = path, kind

    @property
    def public_reason(self) -> str:
        """The reason for users of the results: without the lake's address and the instructions for repair."""
        return f"a lake file that it needs is {self.kind}: {self.path}"

    @classmethod
    def missing(cls, path: PurePosixPath, url: str) -> DamagedFile:
        """Return the error of a missing file."""
        return cls(path, Damage.MISSING, f"The lake lacks {url}, which the ledger refers to. {REPAIR}")

    @classmethod
    def damaged(cls, path: PurePosixPath, url: str, reason: str) -> DamagedFile:
        """Return the error of a file whose content is not what was written."""
        return cls(path, Damage.DAMAGED, f"The lake's file {url} is damaged: {reason}. {REPAIR}")


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Translate errors of a place in the lake into LakeError."""
    try:
        yield
    except OSError as error:
        raise LakeError(f"Cannot use the lake at {error.filename or place}: {error.strerror or error}.") from error
    except Exception as error:
        import duckdb

        if isinstance(error, duckdb.IOException):
            raise LakeError(f"Cannot use the lake at {place}: {reason_of(error)}.") from error
        raise


def reason_of(error: duckdb.Error) -> str:
    """Return the system's message for the errno in DuckDB's text; else the text's first line."""
    number = re.search(r'"errno":"(\d+)"', str(error))
    return os.strerror(int(number[1])) if number else str(error).splitlines()[0].rstrip(".")
