"""The format of numbers: short with a unit, exact with every digit, and changes in per cent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kpis.catalog.intervals import Length

# Shown in place of a missing value.
NONE = "\N{EN DASH}"

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
# Counts below this are shown in full.
_WHOLE = 10_000


def short(value: int | float | None, unit: str) -> str:
    """Format with at most four digits: ``745.4 GB``, ``9,083 calls``, ``17.42 ASU``; a dash for None."""
    if value is None:
        return NONE
    if unit == "bytes":
        return _scaled(value, "B") if abs(value) >= 1000 else f"{value:,.0f} B"
    if isinstance(value, float):
        return f"{value:,.2f} {unit}"
    return f"{value:,} {_of(value, unit)}" if abs(value) < _WHOLE else f"{_scaled(value, '')} {unit}"


def exact(value: float | None, unit: str) -> str:
    """Format with every digit of a whole number, four decimals of a fraction, and the unit in full."""
    if value is None:
        return "no value"
    return f"{value:,.4f} {unit}" if isinstance(value, float) else counted(value, unit)


def counted(number: int, things: str) -> str:
    """Format a number with its noun: ``12 groups``, ``1 group``."""
    return f"{number:,} {_of(number, things)}"


def plain(value: float | None) -> str:
    """Format as ``exact`` without the unit, for tables whose heading has it; a dash for None."""
    if value is None:
        return NONE
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def signed(value: float) -> str:
    """Format with the sign and one decimal: ``+4.5``; the minus is U+2212."""
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None) -> str:
    """Format a share from 0 to 1: ``16.7 %``; a positive share is never shown as 0: ``< 0.1 %``."""
    if share is None:
        return NONE
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def age(seconds: float) -> str:
    """Format an age: ``just now``, ``4 minutes ago``, ``3 days ago``; in the largest unit with at least two."""
    for name, length in (("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (length == 60 and seconds >= 60):
            number = int(seconds // length)
            return f"{number:,} {name}{'' if number == 1 else 's'} ago"
    return "just now" if seconds > -60 else "ahead of this clock"


@dataclass(frozen=True)
class Change:
    """A value compared with an earlier one; either may be missing."""

    now: float | None
    before: float | None

    @property
    def ratio(self) -> float | None:
        """The change as a share of the earlier value; None if it is undefined."""
        if self.now is None or not self.before:
            return None
        return (self.now - self.before) / self.before

    @property
    def direction(self) -> str:
        """``up``, ``down`` or ``level``, as the change is shown; ``none`` if there is nothing to compare with."""
        if self.ratio is None:
            return "none"
        shown = round(self.ratio, 3)
        return "up" if shown > 0 else "down" if shown < 0 else "level"

    def __str__(self) -> str:
        """Format as ``+3.2 %``, with U+2212 for minus; a dash if there is nothing to compare with."""
        if self.ratio is None:
            return NONE
        return f"{signed(100 * self.ratio)} %"


def _of(number: int, things: str) -> str:
    return things.removesuffix("s") if number == 1 else things


def _scaled(value: float, unit: str) -> str:
    power = 0
    scaled = float(value)
    # A number that rounds to 1,000.0 is 1.0 of the next unit.
    while abs(scaled) >= 999.95 and power < len(_PREFIXES) - 1:
        scaled /= 1000
        power += 1
    return f"{scaled:,.1f} {_PREFIXES[power]}{unit}".rstrip()


def earlier(length: Length, start: datetime) -> dict[str, datetime]:
    """Return the starts (UTC) of the intervals that one is compared with, by words: an hour and a day before.

    A day, a week or a month is compared with the one before.
    """
    if length.is_calendar:
        return {f"{length.name.removeprefix('1 ')} before": length.shifted(start, -1)}
    return {"hour before": start - timedelta(hours=1), "day before": start - timedelta(days=1)}
