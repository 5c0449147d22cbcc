"""The clocks that say which intervals have ended and which times lie ahead; any of them may be wrong.

Tests set the host's by replacing ``now``; so callers write ``clock.now()`` and import the module, not the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def now() -> datetime:
    """The time (UTC) by the host's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """What the host's and the database's clock say at one moment (UTC).

    Nothing closes before both have come to its end, and nothing counts as ahead before it is ahead of both: so one
    clock that is wrong does no harm.
    """

    host: datetime
    database: datetime

    @property
    def earliest(self) -> datetime:
        """Up to here intervals may close."""
        return min(self.host, self.database)

    @property
    def latest(self) -> datetime:
        """What is after this is ahead of every clock."""
        return max(self.host, self.database)


def host_clock() -> Clocks:
    """The clocks where there is only the host's."""
    moment = now()
    return Clocks(moment, moment)
