"""Figures as people read them: short with a unit, exact with every digit, and changes in per cent."""

from __future__ import annotations

from dataclasses import dataclass

# What is shown where there is no figure.
NONE = "\N{EN DASH}"

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
# Counts below this are short enough as they are.
_WHOLE = 10_000


def short(value: int | float | None, unit: str) -> str:
    """At most four digits: ``745.4 GB``, ``113.1 k calls``, ``9,083 calls``, ``17.42 ASU``; a dash for none."""
    if value is None:
        return NONE
    if unit == "bytes":
        return _scaled(value, "B") if abs(value) >= 1000 else f"{value:,.0f} B"
    if isinstance(value, float):
        return f"{value:,.2f} {unit}"
    return f"{value:,} {_of(value, unit)}" if abs(value) < _WHOLE else f"{_scaled(value, '')} {unit}"


def exact(value: float | None, unit: str) -> str:
    """Every digit of a whole number, four places of a fraction, and the unit in full."""
    if value is None:
        return "no value"
    return f"{value:,.4f} {unit}" if isinstance(value, float) else counted(value, unit)


def counted(number: int, things: str) -> str:
    """``12 groups``, ``1 group``."""
    return f"{number:,} {_of(number, things)}"


def plain(value: float | None) -> str:
    """``exact`` without the unit, for tables whose heading has it; a dash for none."""
    if value is None:
        return NONE
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def signed(value: float) -> str:
    """With its sign and one place: ``+4.5``; the minus is a real one."""
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None) -> str:
    """A share from 0 to 1: ``16.7 %``; what is more than nothing never looks like it: ``< 0.1 %``."""
    if share is None:
        return NONE
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def age(seconds: float) -> str:
    """How long ago: ``just now``, ``4 minutes ago``, ``3 days ago``; in the largest unit of which there are two."""
    for name, length in (("year", 31_557_600), ("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (length == 60 and seconds >= 60):
            number = int(seconds // length)
            return f"{number:,} {name}{'' if number == 1 else 's'} ago"
    return "just now" if seconds > -60 else "ahead of this clock"


@dataclass(frozen=True)
class Change:
    """A value held against an earlier one of the same thing; either may be missing."""

    now: float | None
    before: float | None

    @property
    def ratio(self) -> float | None:
        """By what part of the earlier value it went up or down; None where that cannot be said."""
        if self.now is None or not self.before:
            return None
        return (self.now - self.before) / self.before

    @property
    def direction(self) -> str:
        """``up``, ``down`` or ``level`` as it is shown; ``none`` where there is nothing to hold it against."""
        if self.ratio is None:
            return "none"
        shown = round(self.ratio, 3)
        return "up" if shown > 0 else "down" if shown < 0 else "level"

    def __str__(self) -> str:
        """``+3.2 %``, with a real minus sign; a dash where there is nothing to hold it against."""
        if self.ratio is None:
            return NONE
        return f"{signed(100 * self.ratio)} %"


def _of(number: int, things: str) -> str:
    return things.removesuffix("s") if number == 1 else things


def _scaled(value: float, unit: str) -> str:
    power = 0
    scaled = float(value)
    # What would be shown as 1,000.0 is the next unit's 1.0.
    while abs(scaled) >= 999.95 and power < len(_PREFIXES) - 1:
        scaled /= 1000
        power += 1
    return f"{scaled:,.1f} {_PREFIXES[power]}{unit}".rstrip()
