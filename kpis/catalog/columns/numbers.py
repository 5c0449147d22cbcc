"""Columns of numbers: whole ones and decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as Number
from functools import cached_property
from typing import Any

from kpis.catalog.columns.base import JSON_TEXT, BadValue, ColumnType, json_number_text
from kpis.catalog.result_columns import ResultType, WholeNumber


@dataclass(frozen=True)
class Integer(ColumnType):
    """A whole number of ``bits`` bits, signed, of at least ``minimum``, in plain decimal digits.

    With ``scientific`` it may also be written with a point or an exponent, as ``123.0`` and ``3.1656863E+10``: read
    exactly, so that ``1.5`` is still no whole number. ``unknown`` has the numbers that mean "no value", within the
    bounds or not: they are read like an empty field.
    """

    bits: int = 64
    minimum: int = 0
    maximum: int | None = None
    scientific: bool = False
    unknown: tuple[int, ...] = ()

    sql_type = property(lambda self: {32: "INTEGER", 64: "BIGINT"}[self.bits])

    @property
    def accepted(self) -> str:
        least, most = self.bounds
        if most == (1 << (self.bits - 1)) - 1:
            said = "" if least == -most - 1 else f"{least} or more"
        else:
            said = f"{least} to {most}"
        return "; ".join(filter(None, [said, _unknown_in_words(self)]))

    @property
    def can_be_missing(self) -> bool:
        return self.optional or bool(self.unknown)

    @property
    def is_digits(self) -> bool:
        """True if each value is a number in plain digits."""
        return not self.scientific and not self.unknown

    @property
    def result_type(self) -> ResultType:
        least, most = self.bounds
        return WholeNumber(32 if least >= -(1 << 31) and most < 1 << 31 else 64)

    @property
    def pattern(self) -> str:
        return r"-?[0-9]{1,15}(?:\.[0-9]{0,15})?(?:[eE][+]?[0-9]{1,2})?" if self.scientific else "[0-9]{1,18}"

    _whole = re.compile(r"-?[0-9]+", re.ASCII)
    _scientific = re.compile(r"(-?)([0-9]+)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,9}))?", re.ASCII)

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The least and the largest accepted number."""
        beyond = 1 << (self.bits - 1)
        return max(self.minimum, -beyond), min(beyond - 1, beyond if self.maximum is None else self.maximum)

    def parse(self, text: str) -> int | None:
        # The most frequent case first: judging rows one by one consists mostly of this.
        if text.isdecimal() and len(text) < 19 and text.isascii():
            least, most = self.bounds
            number = int(text)
            if least <= number <= most and not self.unknown:
                return number
        return super().parse(text)

    def parse_text(self, text: str) -> int | None:
        if len(text) < 19 and text.isascii() and text.isdecimal():
            number = int(text)
        elif self._whole.fullmatch(text):
            # Twenty digits exceed 64 bits, unless they begin with zeros.
            digits = text.lstrip("-").lstrip("0") or "0"
            number = int(digits[:20]) * (-1 if text[0] == "-" else 1)
        else:
            number = self._scientific_number(text)
        if number in self.unknown:
            return None
        beyond = 1 << (self.bits - 1)
        if not -beyond <= number < beyond:
            raise BadValue(f"is beyond {self.bits} bits")
        if number < self.minimum:
            raise BadValue("is negative" if self.minimum == 0 else f"is less than {self.minimum}")
        if self.maximum is not None and number > self.maximum:
            raise BadValue(f"is more than {self.maximum}")
        return number

    def _scientific_number(self, text: str) -> int:
        """Return the number of a text with a point or an exponent; raises BadValue unless it is whole."""
        found = self._scientific.fullmatch(text) if self.scientific else None
        if not found:
            raise BadValue("is not a whole number")
        sign, whole, part, exponent = found[1], found[2], found[3] or "", found[4] or 0
        digits = (whole + part).lstrip("0")
        if not digits:
            return 0
        significant = digits.rstrip("0")
        zeros = len(digits) - len(significant) - len(part) + int(exponent)
        if zeros < 0:
            raise BadValue("is not a whole number")
        if len(significant) + zeros > 20:
            raise BadValue(f"is beyond {self.bits} bits")
        return int(significant + "0" * zeros) * (-1 if sign else 1)

    def text_of_json(self, value: Any) -> str:
        text = json_number_text(value)
        if text is None or not (self.scientific or type(value) is int):
            raise BadValue("is not a whole number")
        return text

    @property
    def json_patterns(self) -> tuple[str, ...]:
        whole = "0|[1-9][0-9]*"
        return (rf"(-?(?:{whole})(?:\.[0-9]+)?(?:[eE][+]?[0-9]+)?)" if self.scientific else f"({whole})",)

    def value_of(self, text: str) -> str:
        number = self._number(text)
        unknown = f" AND {number} NOT IN ({', '.join(map(str, self.unknown))})" if self.unknown else ""
        return f"CASE WHEN {self.holds(number)}{unknown} THEN {number} END"

    def takes(self, text: str) -> str:
        number = self._number(text)
        if not self.unknown:
            return f"{self.value_of(text)} IS NOT NULL"
        return f"coalesce({self.holds(number)} OR {number} IN ({', '.join(map(str, self.unknown))}), false)"

    def _number(self, text: str) -> str:
        if not self.scientific:
            return f"TRY_CAST({text} AS {self.sql_type})"
        # With as many places as the pattern allows, so that nothing is rounded.
        exact = f"TRY_CAST({text} AS DECIMAL(38, 15))"
        return f"CASE WHEN {exact} = floor({exact}) THEN TRY_CAST({exact} AS {self.sql_type}) END"

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
    _with_exponent = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?[eE][+-]?[0-9]{1,2}", re.ASCII)

    @property
    def accepted(self) -> str:
        unknown = _unknown_in_words(self, "empty" if self.optional and self.default is None else "")
        return "; ".join(filter(None, [f"{self.minimum} to {self.maximum}", unknown]))

    @property
    def can_be_missing(self) -> bool:
        return self.optional or bool(self.unknown)

    @property
    def default_value(self) -> float | None:
        return None if self.default is None else float(self.default)

    @property
    def default_text(self) -> str:
        return "" if self.default is None else f"{self.default.normalize():f}"

    def text_of_json(self, value: Any) -> str:
        if isinstance(value, str):
            return value.strip(" \t")
        text = json_number_text(value)
        if text is None:
            raise BadValue("is not a number")
        # The exponents of numbers that are within any bounds.
        return format(Number(text), "f") if self._with_exponent.fullmatch(text) else text

    @property
    def json_patterns(self) -> tuple[str, ...]:
        return (r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)", JSON_TEXT)

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


def _unknown_in_words(column: Integer | Decimal, *others: str) -> str:
    unknown = [*filter(None, others), *map(str, column.unknown)]
    return f"unknown: {', '.join(unknown)}" if unknown else ""
