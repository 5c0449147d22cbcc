"""Columns of numbers: whole ones and decimals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN
from decimal import Decimal as Number
from functools import cached_property

from kpis.catalog.columns.base import BadValue, ColumnType
from kpis.catalog.result_columns import ResultType, WholeNumber


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
