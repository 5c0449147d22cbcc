"""Columns of days, of times of day, and of both in one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time

from kpis.catalog.columns.base import BadValue, ColumnType
from kpis.catalog.columns.layouts import MONTHS

CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


@dataclass(frozen=True)
class Date(ColumnType):
    """A day, as ``2017-03-01``."""

    sql_type = "DATE"
    pattern = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"

    def parse_text(self, text: str) -> date:
        try:
            if re.fullmatch(self.pattern, text, re.ASCII):
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise BadValue("is not a day such as 2017-03-01")

    def value_of(self, text: str) -> str:
        return f"TRY_CAST({text} AS DATE)"


@dataclass(frozen=True)
class TimeOfDay(ColumnType):
    """A time of day, as ``08:05:00``."""

    sql_type = "TIME"
    pattern = CLOCK

    def parse_text(self, text: str) -> time:
        try:
            if re.fullmatch(self.pattern, text, re.ASCII):
                return time.fromisoformat(text)
        except ValueError:
            pass
        raise BadValue("is not a time of day such as 08:05:00")

    def value_of(self, text: str) -> str:
        return f"TRY_CAST({text} AS TIME)"


@dataclass(frozen=True)
class MonthFirst(ColumnType):
    """A date and time such as ``Apr 30 2018 00:00:00``."""

    sql_type = "TIMESTAMP"
    pattern = "(" + "|".join(MONTHS) + ") [0-9]{2} [1-9][0-9]{3} " + CLOCK
    _lenient = re.compile(r"([a-z]{3}) +([0-9]{1,2}),? +([0-9]{4}) +([0-9]{2}):([0-9]{2}):([0-9]{2})", re.I | re.ASCII)

    def parse_text(self, text: str) -> datetime:
        found = self._lenient.fullmatch(text)
        try:
            if found:
                month = MONTHS.index(found[1].capitalize()) + 1
                day, year, hour, minute, second = (int(part) for part in found.groups()[1:])
                return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  these times have no zone
        except ValueError:
            pass
        raise BadValue("is not a moment such as Apr 30 2018 00:00:00")

    def value_of(self, text: str) -> str:
        return f"try_strptime({text}, '%b %d %Y %H:%M:%S')"
