"""Columns of times: ISO 8601, a layout of ``strptime``, or Unix time. A value is the UTC time, to the microsecond.

What a text has below a microsecond is cut off, which moves no time into another interval.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from kpis.catalog.columns.base import JSON_TEXT, BadValue, ColumnType, json_number_text
from kpis.catalog.columns.layouts import OFFSET, PLAIN_OFFSET, PLAIN_YEAR, Layout, offset_of
from kpis.catalog.columns.zones import UTC, Zone
from kpis.catalog.result_columns import BadEntry

BEYOND, BEFORE = "lies beyond 9999-12-30", "lies before the year 1970"
_LAST_MICRO = 253_402_300_799_999_999
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  UTC, without saying so


@dataclass(frozen=True)
class Timestamp(ColumnType):
    """A time, in UTC (a ``datetime`` without a zone). Raises BadValue for one outside the years 1 to 9999."""

    sql_type = "TIMESTAMP"
    kept = "UTC"

    @property
    @abstractmethod
    def example(self) -> str:
        """A text that is accepted."""

    def _wrong(self) -> BadValue:
        return BadValue(f"is not a time such as {self.example}")


@dataclass(frozen=True)
class LocalTimestamp(Timestamp):
    """A time as a person writes it: local time of a ``zone``, unless it has an offset of its own."""

    zone: str = UTC

    def __post_init__(self) -> None:
        """Raise BadEntry if there is no such zone."""
        Zone(self.zone)

    @cached_property
    def local_zone(self) -> Zone:
        return Zone(self.zone)

    @property
    def accepted(self) -> str:
        return f"as `{self.example}`, {self.zone}"

    def _utc(self, local: datetime, offset: timedelta | None) -> datetime:
        try:
            return self.local_zone.to_utc(local) if offset is None else local - offset
        except OverflowError:
            raise BadValue(BEFORE if local.year == 1 else BEYOND) from None


@dataclass(frozen=True)
class ISOTimestamp(LocalTimestamp):
    """A time of ISO 8601: ``2026-03-01T12:00:00Z``, or with an offset, or without: then in the ``zone``.

    A space may stand for the T; seconds may be absent, or have a fraction of 1 to 9 digits. With ``days``, a day alone
    is its midnight.
    """

    days: bool = False

    example = "2026-03-01T12:00:00Z"

    @property
    def pattern(self) -> str:
        return self._pattern(PLAIN_YEAR, PLAIN_OFFSET)

    def _pattern(self, year: str, offset: str) -> str:
        clock = "[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]{1,9})?)?"
        return f"{year}-[0-9]{{2}}-[0-9]{{2}}(?:{clock}(?:{offset})?)" + "?" * self.days

    @property
    def full_pattern(self) -> str:
        """A regular expression for all texts that may be accepted."""
        return self._pattern("[0-9]{4}", OFFSET)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.full_pattern, re.ASCII)

    def parse_text(self, text: str) -> datetime:
        if not self._compiled.fullmatch(text):
            raise self._wrong()
        found = re.search(f"(?:{OFFSET})$", text[16:], re.ASCII)
        offset = offset_of(found[0]) if found else None
        try:
            clock = text[: 16 + found.start()] if found else text
            # Python takes at most six digits of a fraction, before 3.11 only three or six.
            whole, _, fraction = clock.replace(",", ".").partition(".")
            local = datetime.fromisoformat(whole) + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
        except ValueError:
            raise self._wrong() from None
        if found and offset is None:
            raise self._wrong()
        return self._utc(local, offset)

    def value_of(self, text: str) -> str:
        # Where there is no offset behind the minutes, the time is local.
        point = f"replace({text}, ',', '.')"
        local = self.local_zone.utc_sql(f"TRY_CAST({point} AS TIMESTAMP)")
        utc = f"TRY_CAST(rtrim({point}, 'Z') AS TIMESTAMP)"
        shifted = f"make_timestamp(epoch_us(TRY_CAST({point} AS TIMESTAMPTZ)))"
        has_offset = f"regexp_matches(substr({text}, 17), '[+-]')"
        return f"CASE WHEN right({text}, 1) = 'Z' THEN {utc} WHEN {has_offset} THEN {shifted} ELSE {local} END"


@dataclass(frozen=True)
class FormattedTimestamp(LocalTimestamp):
    """A time in a ``format`` of ``strptime``'s directives, of which ``layouts.DIRECTIVES`` is the subset."""

    format: str = "%Y-%m-%d %H:%M:%S"

    def __post_init__(self) -> None:
        """Raise BadEntry if there is no such zone or format."""
        super().__post_init__()
        Layout(self.format)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.format)

    @property
    def example(self) -> str:
        return self.layout.example

    @property
    def pattern(self) -> str:
        return self.layout.plain_pattern

    def parse_text(self, text: str) -> datetime:
        found = self.layout.parse(text)
        if found is None:
            raise self._wrong()
        return self._utc(*found)

    def value_of(self, text: str) -> str:
        time = self.layout.sql(text)
        return f"make_timestamp(epoch_us({time}))" if self.layout.has_offset else self.local_zone.utc_sql(time)


@dataclass(frozen=True)
class UnixTimestamp(Timestamp):
    """Unix time: a whole number of units since 1970, ``a_second`` to a second: 1, 1,000 or 1,000,000.

    Seconds may have a fraction of 1 to 9 digits.
    """

    a_second: int = 1

    _number = re.compile(r"(-?)([0-9]+)(?:\.([0-9]{1,9}))?", re.ASCII)

    def __post_init__(self) -> None:
        """Raise BadEntry for another unit."""
        if self.a_second not in (1, 1_000, 1_000_000):
            raise BadEntry("Unix time is in seconds, milliseconds or microseconds")

    @property
    def accepted(self) -> str:
        return f"{ {1: 's', 1_000: 'ms', 1_000_000: 'us'}[self.a_second] } since 1970-01-01T00:00Z"

    @property
    def unit(self) -> int:
        """The microseconds of one."""
        return 1_000_000 // self.a_second

    @property
    def example(self) -> str:
        return f"{1_772_366_400 * self.a_second}"

    @property
    def pattern(self) -> str:
        return r"[0-9]{1,11}(?:\.[0-9]{1,9})?" if self.a_second == 1 else f"[0-9]{{1,{10 + len(str(self.a_second))}}}"

    def parse_text(self, text: str) -> datetime:
        found = self._number.fullmatch(text)
        if not found or (found[3] and self.a_second > 1):
            raise self._wrong()
        sign, digits, fraction = found.groups()
        number = int(digits.lstrip("0")[:20] or 0) * self.unit + int((fraction or "")[:6].ljust(6, "0"))
        try:
            return _EPOCH + timedelta(microseconds=-number if sign else number)
        except OverflowError:
            raise BadValue(BEFORE if sign else BEYOND) from None

    def text_of_json(self, value: Any) -> str:
        return json_number_text(value) or super().text_of_json(value)

    @property
    def json_patterns(self) -> tuple[str, ...]:
        return (r"((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)", JSON_TEXT)

    def value_of(self, text: str) -> str:
        if self.a_second > 1:
            micro = f"CAST(TRY_CAST({text} AS BIGINT) AS HUGEINT) * {self.unit}"
        else:
            # What is below a microsecond is cut off, not rounded.
            exact = f"regexp_extract({text}, '[0-9]+(?:\\.[0-9]{{1,6}})?')"
            micro = f"CAST(TRY_CAST({exact} AS DECIMAL(17, 6)) AS DECIMAL(38, 6)) * 1000000"
        return f"CASE WHEN {micro} BETWEEN 0 AND {_LAST_MICRO} THEN make_timestamp(CAST({micro} AS BIGINT)) END"
