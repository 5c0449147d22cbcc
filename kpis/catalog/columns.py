"""The types of feeds' columns: which texts each accepts, and the value of each.

``parse`` is the definition in Python, for a single field, and is the truth. ``is_plain`` and ``value`` are the same in
SQL, for fields by the million: a text that is plain is accepted by ``parse``, and ``value`` gives the same value. A
text that is not plain may still be valid; such rows are judged one by one.
"""

from __future__ import annotations

import re
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as Number
from functools import cached_property
from typing import Any

from kpis.catalog.result_columns import Label, ResultType, WholeNumber

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


class BadValue(ValueError):
    """A field's text that its column cannot hold; the message gives the reason, without repeating the text."""


@dataclass(frozen=True)
class ColumnType(ABC):
    """A column's type. An empty field of an ``optional`` column is None, NULL in SQL."""

    optional: bool = False

    @property
    def accepted(self) -> str:
        """The accepted values, and those that mean "unknown", in words; "" if the type's name is enough."""
        return ""

    @property
    def result_type(self) -> ResultType | None:
        """The type of a result's column whose groups the values name; None if they cannot name groups."""
        return None

    @property
    def help_text(self) -> str:
        """A description of the values for readers of a result's column; "" if there is nothing to say."""
        return ""

    @property
    @abstractmethod
    def sql_type(self) -> str:
        """The value's type in DuckDB."""

    @abstractmethod
    def parse_text(self, text: str) -> Any:
        """Return the value of a text that is not empty; raises BadValue."""

    @property
    @abstractmethod
    def pattern(self) -> str:
        """A regular expression for plain texts that are not empty; valid in Python and in RE2."""

    @abstractmethod
    def value_of(self, text: str) -> str:
        """Return SQL for the value of a plain text (an SQL expression); NULL if the pattern accepts too much."""

    def parse(self, text: str) -> Any:
        """Return the value of a field's text, or None for an empty one that is optional; raises BadValue."""
        if not text:
            if self.optional:
                return None
            raise BadValue("is empty")
        return self.parse_text(text)

    def is_plain(self, text: str) -> str:
        """Return an SQL condition: true if SQL can parse a text (an SQL expression)."""
        plain = f"(regexp_full_match({text}, '{self.pattern}') AND {self.takes(text)})"
        return f"({text} IS NULL OR {text} = '' OR {plain})" if self.optional else f"coalesce({plain}, false)"

    def takes(self, text: str) -> str:
        """Return an SQL condition: true if a text that matches the pattern is accepted."""
        return f"{self.value_of(text)} IS NOT NULL"

    def value(self, text: str) -> str:
        """Return SQL for the value of a plain text."""
        return f"CASE WHEN {text} <> '' THEN {self.value_of(text)} END"


@dataclass(frozen=True)
class Integer(ColumnType):
    """A whole number of ``bits`` bits, signed, of at least ``minimum``, in plain decimal digits."""

    bits: int = 64
    minimum: int = 0
    maximum: int | None = None

    sql_type = property(lambda self: {32: "INTEGER", 64: "BIGINT"}[self.bits])

    @property
    def accepted(self) -> str:
        least, most = self._bounds
        if most == (1 << (self.bits - 1)) - 1:
            return "" if least == -most - 1 else f"{least} or more"
        return f"{least} to {most}"

    @property
    def result_type(self) -> ResultType:
        least, most = self._bounds
        return WholeNumber(32 if least >= -(1 << 31) and most < 1 << 31 else 64)

    pattern = "[0-9]{1,18}"
    _whole = re.compile(r"-?[0-9]+", re.ASCII)

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        """The least and the largest accepted number."""
        beyond = 1 << (self.bits - 1)
        return max(self.minimum, -beyond), min(beyond - 1, beyond if self.maximum is None else self.maximum)

    def parse(self, text: str) -> int | None:
        # The most frequent case first: judging rows one by one consists mostly of this.
        if text.isdecimal() and len(text) < 19 and text.isascii():
            least, most = self._bounds
            number = int(text)
            if least <= number <= most:
                return number
        return super().parse(text)

    def parse_text(self, text: str) -> int:
        if len(text) < 19 and text.isascii() and text.isdecimal():
            number = int(text)
        elif not self._whole.fullmatch(text):
            raise BadValue("is not a whole number")
        else:
            # Twenty digits exceed 64 bits, unless they begin with zeros.
            digits = text.lstrip("-").lstrip("0") or "0"
            number = int(digits[:20]) * (-1 if text[0] == "-" else 1)
        beyond = 1 << (self.bits - 1)
        if not -beyond <= number < beyond:
            raise BadValue(f"is beyond {self.bits} bits")
        if number < self.minimum:
            raise BadValue("is negative" if self.minimum == 0 else f"is less than {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            raise BadValue(f"is more than {self.maximum}")
        return number

    def value_of(self, text: str) -> str:
        number = f"TRY_CAST({text} AS {self.sql_type})"
        return f"CASE WHEN {self.holds(number)} THEN {number} END"

    def holds(self, number: str) -> str:
        """Return an SQL condition: true if a number of the column's type is within its bounds."""
        upper = f" AND {number} <= {self.maximum}" if self.maximum is not None else ""
        return f"{number} >= {self.minimum}{upper}"


@dataclass(frozen=True)
class Decimal(ColumnType):
    """A decimal number within bounds, kept exactly to six places; further places are rounded half to even.

    ``unknown`` has the numbers that mean "no value", within the bounds or not: they are read like an empty field.
    ``scale`` names the scale of the bounds, where a wrong number usually has another unit.
    """

    minimum: int = -(10**11)
    maximum: int = 10**11
    unknown: tuple[int, ...] = ()
    scale: str = ""

    sql_type = "DECIMAL(18, 6)"
    pattern = r"-?[0-9]{1,11}(\.[0-9]{1,6})?"
    _decimal = re.compile(r"-?[0-9]{1,30}(\.[0-9]{0,30})?", re.ASCII)

    @property
    def accepted(self) -> str:
        unknown = ["empty"] * self.optional + [str(number) for number in self.unknown]
        return f"{self.minimum} to {self.maximum}" + (f"; unknown: {', '.join(unknown)}" if unknown else "")

    def parse_text(self, text: str) -> Number | None:
        if not self._decimal.fullmatch(text):
            raise BadValue("is not a decimal number")
        number = Number(text)
        if number in self.unknown:
            return None
        if not self.minimum <= number <= self.maximum:
            scale = f" ({self.scale})" if self.scale else ""
            raise BadValue(f"is not between {self.minimum} and {self.maximum}{scale}")
        return number.quantize(Number("0.000001"), ROUND_HALF_EVEN)

    def value_of(self, text: str) -> str:
        number = self._number(text)
        return f"CASE WHEN {self._is_within(number)} AND NOT {self._is_unknown(number)} THEN {number} END"

    def takes(self, text: str) -> str:
        number = self._number(text)
        return f"coalesce({self._is_within(number)} OR {self._is_unknown(number)}, false)"

    def _number(self, text: str) -> str:
        return f"TRY_CAST({text} AS {self.sql_type})"

    def _is_within(self, number: str) -> str:
        return f"{number} BETWEEN {self.minimum} AND {self.maximum}"

    def _is_unknown(self, number: str) -> str:
        return f"{number} IN ({', '.join(map(str, self.unknown))})" if self.unknown else "false"


@dataclass(frozen=True)
class Text(ColumnType):
    """Text of at most ``longest`` characters, none of them a control character."""

    longest: int = 100

    sql_type = "VARCHAR"

    @property
    def result_type(self) -> ResultType:
        return Label(self.longest)

    @property
    def pattern(self) -> str:
        return rf"[ -~]{{1,{self.longest}}}"

    def parse_text(self, text: str) -> str:
        if len(text) > self.longest:
            raise BadValue(f"is longer than {self.longest} characters")
        if not text.isprintable():
            raise BadValue("holds a control character")
        return text

    def value_of(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class Choice(ColumnType):
    """One of a few words, in any case; kept as it is spelled here."""

    words: tuple[str, ...] = ()

    sql_type = "VARCHAR"

    @property
    def result_type(self) -> ResultType:
        return Label(max(map(len, self.words)))

    @property
    def help_text(self) -> str:
        return " or ".join(self.words)

    @property
    def pattern(self) -> str:
        return "|".join(self.words)

    def parse_text(self, text: str) -> str:
        for word in self.words:
            if text.lower() == word.lower():
                return word
        raise BadValue(f"is none of {', '.join(self.words)}")

    def value_of(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class PostalCode(Text):
    """A postal code as text; one that was saved by a spreadsheet, as ``250236.0``, loses its ``.0``."""

    longest: int = 20

    pattern = r"[0-9]{1,18}(\.0)?"

    def parse_text(self, text: str) -> str:
        return super().parse_text(re.sub(r"^([0-9]+)\.0+$", r"\1", text))

    def value_of(self, text: str) -> str:
        return rf"regexp_replace({text}, '\.0$', '')"


@dataclass(frozen=True)
class UUID(ColumnType):
    """A UUID, kept in its canonical form: lower case with hyphens."""

    sql_type = "VARCHAR"
    result_type = Label(36)
    help_text = "UUID"
    pattern = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    _any_case = re.compile(pattern, re.IGNORECASE | re.ASCII)

    def parse_text(self, text: str) -> str:
        if not self._any_case.fullmatch(text):
            raise BadValue("is not a UUID")
        return str(uuid.UUID(text))

    def value_of(self, text: str) -> str:
        return text


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
