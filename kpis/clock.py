"""The clocks that decide which intervals have ended and which times are in the future; any of them may be wrong.

Tests set the host's by replacing ``now``; so callers write ``clock.now()`` and import the module, not the function.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


def now() -> datetime:
    """Return the time (UTC) by the host's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Clocks:
    """The times of the host's and the database's clock at one moment (UTC).

    No interval closes before both have reached its end, and no time counts as ahead unless it is ahead of both, so that
    one wrong clock does no harm.
    """

    host: datetime
    database: datetime

    @property
    def earliest(self) -> datetime:
        """The time up to which intervals may close."""
        return min(self.host, self.database)

    @property
    def latest(self) -> datetime:
        """A later time is ahead of every clock."""
        return max(self.host, self.database)


def host_clock() -> Clocks:
    """Return the clocks if the host's is the only one."""
    moment = now()
    return Clocks(moment, moment)
