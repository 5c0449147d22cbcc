"""The days of a file's lines: those of the messages that are its rows, for rows that lack the day of their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from kpis.catalog.columns.zones import Zone
from kpis.catalog.intervals import EPOCH, LAST_DAY

if TYPE_CHECKING:
    import numpy as np

# Stands for no day; the compiled scanner knows it too.
NO_DAY = -(2**63)
_LAST_MILLISECOND = int(LAST_DAY.timestamp()) * 1000 - 86_400_001


@dataclass(frozen=True, eq=False)
class LineDays:
    """The day of each line from number ``first`` on: ``days`` since 1970-01-01 (int64), NO_DAY for none."""

    first: int
    days: np.ndarray

    def of(self, line: int) -> date | None:
        """Return the day of the line with a number; None for none."""
        day = int(self.days[line - self.first])
        return None if day == NO_DAY else date.fromordinal(EPOCH.toordinal() + day)

    def at(self, lines: np.ndarray) -> np.ndarray:
        """Return the days of the lines with these numbers since 1970-01-01, masked where there is none."""
        import numpy as np

        days = self.days[lines - self.first]
        return np.ma.masked_array(days, days == NO_DAY)

    def part(self, start: int, end: int | None) -> LineDays:
        """Return the days of a file that has only the lines from one place to another of these, from 0."""
        return LineDays(self.first, self.days[start:end])


def days_of(zone: Zone, moments: Sequence[int | None]) -> list[int]:
    """Return a zone's days at moments (Unix ms), since 1970-01-01: NO_DAY where there is none in the years it can be.

    A message without a time has None, and one whose clock was wrong may have any number.
    """
    return [
        NO_DAY if moment is None or not 0 < moment < _LAST_MILLISECOND else zone.day_at(moment // 1000)
        for moment in moments
    ]
