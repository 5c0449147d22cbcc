"""Time zones: the UTC time of a zone's local time, in Python, in SQL, and as a table for the compiled scanner.

A local time that comes twice, when clocks go back, is the first of the two: nothing in it tells which one it is. A
local time that does not come at all, when clocks go forward, is refused.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from kpis.catalog.columns.base import BadValue
from kpis.catalog.result_columns import BadEntry

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

UTC = "UTC"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  local times have no zone here
_SECOND = timedelta(seconds=1)
_DAY_SECONDS = 86_400
# The years, from 1970, of which the tables know the offsets: SQL and the scanner leave later times to Python.
YEARS = 100
END_OF_TABLE = (datetime(_EPOCH.year + YEARS, 1, 1) - _EPOCH) // _SECOND  # noqa: DTZ001  the same


@dataclass(frozen=True)
class Change:
    """A change of a zone's offset, in seconds since 1970-01-01T00:00 of local time.

    Local times before ``until`` have the offset before it, and those at ``since`` or later the ``offset`` (seconds east
    of UTC); those between do not exist.
    """

    until: int
    since: int
    offset: int


@dataclass(frozen=True)
class Zone:
    """A time zone of the IANA database, as ``Europe/Madrid``. Raises BadEntry if there is none of that name."""

    name: str = UTC

    def __post_init__(self) -> None:
        if self.name != UTC:
            _zone_info(self.name)

    @property
    def is_utc(self) -> bool:
        return self.name == UTC

    def to_utc(self, local: datetime) -> datetime:
        """Return the UTC time (without a zone) of a local one; raises BadValue, and OverflowError beyond year 9999."""
        if self.is_utc:
            return local
        zone = _zone_info(self.name)
        offset, later = (zone.utcoffset(one) or timedelta(0) for one in (local, local.replace(fold=1)))
        if later > offset:
            raise BadValue(f"does not exist in {self.name}")
        return local - offset

    def day_at(self, moment: int) -> int:
        """Return the zone's day at a Unix time (s, before year 9999), counted from 1970-01-01."""
        return moment // _DAY_SECONDS if self.is_utc else _day_at(self.name, moment)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """The offset of 1970, as a change at 0, and the changes up to END_OF_TABLE.

        No zone changes its offset twice within two days.
        """
        if self.is_utc:
            return (Change(0, 0, 0),)
        days = END_OF_TABLE // _DAY_SECONDS
        offsets = [self._offset(day * _DAY_SECONDS) for day in range(days + 1)]
        changes = [Change(0, 0, offsets[0])]
        for day, (before, after) in enumerate(pairwise(offsets)):
            if before != after:
                since = self._changed(day, before, fold=0)
                changes.append(Change(self._changed(day, before, fold=1) if after > before else since, since, after))
        return tuple(changes)

    def utc_sql(self, local: str) -> str:
        """Return SQL for the UTC time of a local one; NULL if it does not exist, or the table does not know it."""
        if self.is_utc:
            return local
        numbers = self._months
        before, until, since, after = (f"CAST('{_listed(column)}' AS BIGINT[])[{_month(local)}]" for column in numbers)
        offset = f"CASE WHEN coalesce(epoch_us({local}) < {until}, true) THEN {before}"
        offset += f" WHEN epoch_us({local}) >= {since} THEN {after} END"
        return f"CASE WHEN year({local}) >= {_EPOCH.year} THEN make_timestamp(epoch_us({local}) - {offset}) END"

    @property
    def _months(self) -> list[list[int | None]]:
        """For each month since 1970: the offset at its start, when it ends, when another begins, and that, in us.

        The last three are None in a month without a change. In one with several, what lies between them is left out.
        """
        months: list[list[int | None]] = []
        changes, place = self.changes, 0
        for number in range(YEARS * 12):
            starts = [
                (datetime(_EPOCH.year + month // 12, month % 12 + 1, 1) - _EPOCH) // _SECOND  # noqa: DTZ001  the same
                for month in (number, number + 1)
            ]
            offset, first = changes[place].offset, place
            while place + 1 < len(changes) and changes[place + 1].until < starts[1]:
                place += 1
            row = [offset, None, None, None]
            if place > first:
                row = [offset, changes[first + 1].until, changes[place].since, changes[place].offset]
            months.append([None if value is None else value * 1_000_000 for value in row])
        return [list(column) for column in zip(*months, strict=True)]

    def _offset(self, seconds: int, fold: int = 0) -> int:
        local = (_EPOCH + timedelta(seconds=seconds)).replace(fold=fold)
        return (_zone_info(self.name).utcoffset(local) or timedelta(0)) // _SECOND

    def _changed(self, day: int, before: int, fold: int) -> int:
        """Return the first second whose offset is not the one before, of those of a day and of the evening before it.

        A gap may begin in that evening.
        """
        least, most = day * _DAY_SECONDS - _DAY_SECONDS // 2, (day + 1) * _DAY_SECONDS
        while most - least > 1:
            middle = (least + most) // 2
            if self._offset(middle, fold) == before:
                least = middle
            else:
                most = middle
        return most


UTC_ZONE = Zone()


@functools.lru_cache(maxsize=1 << 14)
def _day_at(name: str, moment: int) -> int:
    # Messages of a stream mostly come many to a second.
    return datetime.fromtimestamp(moment, _zone_info(name)).toordinal() - _EPOCH.toordinal()


def _listed(numbers: list[int | None]) -> str:
    return f"[{','.join('NULL' if number is None else str(number) for number in numbers)}]"


def _month(local: str) -> str:
    return f"CAST((year({local}) - {_EPOCH.year}) * 12 + month({local}) AS BIGINT)"


@functools.cache
def _zone_info(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    try:
        # Those that a machine has for its own use differ from machine to machine.
        if name in ("Factory", "localtime", "posixrules") or name.startswith(("posix/", "right/")):
            raise KeyError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadEntry(f"there is no time zone {name!r}: name one such as Europe/Madrid, or UTC") from None
