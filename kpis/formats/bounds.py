"""The limits of a file, and the errors of files that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

# So few that they are read in a second: the ratio does not matter below.
ALWAYS_UNPACKED_BYTES = 64 * 2**20


class FileError(Exception):
    """A file that cannot be ingested as a whole; ``passing`` is True if the cause may be temporary.

    ``read_again_at`` is the time (UTC) from which the file can be read, if known.
    """

    def __init__(self, reason: str, passing: bool = False, read_again_at: datetime | None = None):
        super().__init__(reason)
        self.passing, self.read_again_at = passing, read_again_at


@dataclass(frozen=True)
class Bounds:
    """The limits of a file, beyond which it fails.

    A packed file may unpack to ``unpacked_bytes``, and beyond ALWAYS_UNPACKED_BYTES to ``unpacked_ratio`` times its
    size. ``rejects`` is the number of rejects that are kept; None for any number. Its records may lie in ``hours``
    different hours, each of which is a lake file per KPI.
    """

    unpacked_bytes: int = 16 * 2**30
    unpacked_ratio: int = 200
    rejects: int | None = 1_000_000
    hours: int = 1_000

    def check_unpacked(self, unpacked: int, size: int) -> None:
        """Raise FileError if a file of ``size`` bytes has unpacked to more bytes than it may."""
        if unpacked > self.unpacked_bytes:
            raise FileError(f"unpacks to more than {self.unpacked_bytes:,} bytes, which is MAX_UNPACKED_MB")
        if unpacked > max(ALWAYS_UNPACKED_BYTES, self.unpacked_ratio * size):
            raise FileError(
                f"unpacks to more than {self.unpacked_ratio:,} times its {size:,} bytes, which is MAX_UNPACKED_RATIO"
            )

    def check_hours(self, hours: int) -> None:
        """Raise FileError if a file has records in more hours than it may."""
        if hours > self.hours:
            raise FileError(
                f"has records in {hours:,} hours, more than MAX_HOURS_PER_FILE, which is {self.hours:,}: "
                "split it by time, or raise that setting"
            )


DEFAULT_BOUNDS = Bounds()
UNBOUNDED = Bounds(unpacked_bytes=2**63, unpacked_ratio=2**63, rejects=None, hours=2**63)


class TooManyRejects(FileError):
    """A file with more rejects than are kept; ``rejects`` were found by line ``line``.

    ``first_ahead`` is the time (UTC) of the first of them that is too far ahead of the clock.
    """

    def __init__(self, rejects: int, line: int, first_ahead: datetime | None = None):
        super().__init__(
            f"is the wrong file: it has more than {rejects:,} rejects, which is MAX_REJECTS, by line {line:,}"
        )
        self.rejects, self.line, self.first_ahead = rejects, line, first_ahead
