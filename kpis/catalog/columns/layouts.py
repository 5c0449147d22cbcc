"""Layouts: how a time is written, by a subset of ``strptime``'s directives; parsed in Python and in SQL.

A number of ``%d``, ``%m``, ``%H``, ``%I``, ``%M`` or ``%S`` has one digit or two, and exactly two if another number
follows or precedes it at once, as in ``%Y%m%d``. All else stands as it is written in the layout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from kpis.catalog.result_columns import BadEntry

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LONG_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
# The directives: the part of a time that each gives, and what it accepts.
DIRECTIVES = {
    "%Y": ("year", "year, four digits"),
    "%y": ("year", "year, two digits: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to 2068"),
    "%m": ("month", "month, 1 to 12"),
    "%b": ("month", "month's English abbreviation, in any case: `Mar`"),
    "%B": ("month", "month's English name, in any case: `March`"),
    "%d": ("day", "day of the month, 1 to 31"),
    "%H": ("hour", "hour, 0 to 23"),
    "%I": ("hour", "hour, 1 to 12, with `%p`"),
    "%p": ("half", "`AM` or `PM`, in any case"),
    "%M": ("minute", "minute, 0 to 59"),
    "%S": ("second", "second, 0 to 59"),
    "%f": ("fraction", "fraction of a second, 1 to 9 digits, of which those beyond the sixth are cut off"),
    "%z": ("offset", "offset from UTC: `Z`, `+02`, `+0200` or `+02:00`"),
    "%%": ("", "the character %"),
}
TWO_DIGITS = frozenset(["%m", "%d", "%H", "%I", "%M", "%S"])
NUMBERS = TWO_DIGITS | {"%Y", "%y", "%f"}
OFFSET = "Z|[+-][0-9]{2}(?::?[0-9]{2})?"
PLAIN_OFFSET = "Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
PLAIN_YEAR = "([1-8][0-9]{3}|9[0-8][0-9]{2})"
# The order of parts in which SQL reads them, each with what stands between them.
_ORDER = (
    (("year", "month", "day"), "-"),
    (("hour", "minute", "second", "fraction"), ":"),
    (("half",), ""),
    (("offset",), ""),
)
# What each part needs: without minutes, seconds say nothing.
_NEEDS = {"minute": "hour", "second": "minute", "fraction": "second", "half": "hour"}
_EXAMPLE = {
    "%Y": "2026", "%y": "26", "%m": "03", "%b": "Mar", "%B": "March", "%d": "31", "%H": "23", "%I": "11", "%p": "PM",
    "%M": "59", "%S": "07", "%f": "250", "%z": "+02:00", "%%": "%",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A layout such as ``%d.%m.%Y %H:%M:%S``; raises BadEntry, with the reason, for one that is not of the subset."""

    format: str

    def __post_init__(self) -> None:
        for reason in self._contradictions():
            raise BadEntry(f"the time format {self.format!r} {reason}")

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The directives, and the characters between them."""
        return tuple(re.findall(r"%.|[^%]|%$", self.format, re.DOTALL))

    @cached_property
    def is_fixed(self) -> tuple[bool, ...]:
        """By piece: True if it is a number of exactly two digits, as it has another beside it."""
        around = ["", *self.pieces, ""]
        return tuple(
            piece in TWO_DIGITS and (before in NUMBERS or after in NUMBERS)
            for before, piece, after in zip(around, around[1:], around[2:], strict=False)
        )

    @property
    def example(self) -> str:
        return "".join(_EXAMPLE.get(piece, piece) for piece in self.pieces)

    @property
    def has_offset(self) -> bool:
        return "%z" in self.pieces

    @cached_property
    def pattern(self) -> str:
        """A regular expression for such texts, with a group for each part, valid in Python and in RE2."""
        return "".join(_pattern_of(piece, fixed) for piece, fixed in zip(self.pieces, self.is_fixed, strict=True))

    @property
    def plain_pattern(self) -> str:
        """The same for those that SQL reads: years of four digits whose UTC time is none of another year's digits."""
        if self.has_offset and any("Z" in piece for piece in self.pieces if len(piece) == 1):
            return "[^ -~]"
        pattern = self.pattern.replace("([0-9]{4})", PLAIN_YEAR if self.has_offset else "([1-9][0-9]{3})")
        return pattern.replace(OFFSET, PLAIN_OFFSET)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)

    @cached_property
    def _groups(self) -> dict[str, str]:
        """The directives by the part that they give, in the order of the groups."""
        return {DIRECTIVES[piece][0]: piece for piece in self.pieces if DIRECTIVES.get(piece, ("",))[0]}

    def parse(self, text: str) -> tuple[datetime, timedelta | None] | None:
        """Return the local time of a text, and its offset if the layout has one; None if it is not such a time."""
        found = self._compiled.fullmatch(text)
        if not found:
            return None
        parts = dict(zip(self._groups, found.groups(), strict=True))
        numbers = {part: self._number(part, part_text) for part, part_text in parts.items() if part != "offset"}
        half = numbers.pop("half", None)
        if half is not None:
            if not 1 <= numbers["hour"] <= 12:
                return None
            numbers["hour"] = numbers["hour"] % 12 + half
        names = {"fraction": "microsecond"}
        try:
            local = datetime(**{names.get(part, part): number for part, number in numbers.items()})  # type: ignore[arg-type]  # noqa: DTZ001  its parts are whole numbers, and it has no zone
        except ValueError:
            return None
        if "offset" not in parts:
            return local, None
        offset = offset_of(parts["offset"])
        return None if offset is None else (local, offset)

    def _number(self, part: str, text: str) -> int:
        directive = self._groups[part]
        if directive in ("%b", "%B"):
            return MONTHS.index(text[:3].capitalize()) + 1
        if directive == "%p":
            return 12 * (text[0] in "Pp")
        if directive == "%f":
            return int(text.ljust(6, "0"))
        number = int(text)
        return number if directive != "%y" else number + (1900 if number >= 69 else 2000)

    def sql(self, text: str) -> str:
        """Return SQL for the time of a text that is plain: local, or with the layout's offset a TIMESTAMPTZ."""
        if "%f" in self.pieces:
            text, format = self._rewritten(text)
        else:
            format = self.format
        if self.has_offset:
            # DuckDB knows no Z there; no layout whose texts are plain has another.
            text = f"replace({text}, 'Z', '+00')"
        quoted = format.replace("'", "''")
        return f"try_strptime({text}, '{quoted}')"

    def _rewritten(self, text: str) -> tuple[str, str]:
        """Return SQL for a text with its parts in another order and six digits of a fraction at most; and its format.

        DuckDB knows no longer fractions.
        """
        places = {part: f"\\{number}" for number, part in enumerate(self._groups, 1)}
        shown, format = [], []
        for parts, mark in _ORDER:
            found = [part for part in parts if part in places]
            shown.append(mark.join(places[part] for part in found))
            format.append(mark.join(self._groups[part] for part in found))
        texts, formats = (" ".join(filter(None, one)) for one in (shown, format))
        return f"regexp_replace({text}, '{self.pattern}', '{texts}')", formats

    def _contradictions(self) -> list[str]:
        found = []
        for piece in self.pieces:
            if len(piece) == 2 and piece not in DIRECTIVES:
                found.append(f"has {piece}, which is none of {' '.join(DIRECTIVES)}")
            elif piece == "%":
                found.append("ends in a %")
            elif len(piece) == 1 and not piece.isprintable():
                found.append("holds a control character")
        if self.format != self.format.strip(" \t"):
            found.append("begins or ends with a space, which fields are read without")
        parts = [DIRECTIVES[piece][0] for piece in self.pieces if DIRECTIVES.get(piece, ("",))[0]]
        found += [f"gives the {part} twice" for part in dict.fromkeys(parts) if parts.count(part) > 1]
        found += [f"gives no {part}" for part in ("year", "month", "day") if part not in parts]
        found += [
            f"gives a {part} without {need}"
            for part, need in _NEEDS.items()
            if {part} <= {*parts} - {need} and need not in parts
        ]
        if ("%I" in self.pieces) != ("%p" in self.pieces):
            found.append("must have both %I and %p, or %H instead")
        if any(one == "%f" and other in NUMBERS for one, other in zip(self.pieces, self.pieces[1:], strict=False)):
            found.append("has a number right after %f, whose digits vary")
        return found


def _pattern_of(piece: str, is_fixed: bool) -> str:
    if piece in TWO_DIGITS:
        return "([0-9]{2})" if is_fixed else "([0-9]{1,2})"
    if piece in ("%b", "%B"):
        return f"({'|'.join(map(_any_case, MONTHS if piece == '%b' else LONG_MONTHS))})"
    patterns = {"%Y": "([0-9]{4})", "%y": "([0-9]{2})", "%p": "([AaPp][Mm])", "%f": "([0-9]{1,6})[0-9]{0,3}"}
    return patterns.get(piece) or (f"({OFFSET})" if piece == "%z" else literal_pattern(piece[-1]))


def _any_case(word: str) -> str:
    """Return a pattern for an English word in any case, without the other letters that Unicode takes for the same."""
    return "".join(f"[{letter.upper()}{letter.lower()}]" for letter in word)


def literal_pattern(text: str) -> str:
    """Return a regular expression for exactly this text, valid in Python, in RE2 and within quotes of SQL."""
    return "".join(c if c.isalnum() or ord(c) > 127 else f"\\x{ord(c):02x}" for c in text)


def offset_of(text: str) -> timedelta | None:
    """Return the offset from UTC of a text of the pattern OFFSET; None if it is 24 hours or more, or has 60 minutes."""
    if text == "Z":
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        return None
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)
