"""The parts of an expression: constants and columns, and what is computed from them.

``value`` computes a part in Python, which is the truth, and ``sql`` the same in DuckDB. Numbers are whole numbers of
10^-scale in both, so that decimals are exact. A missing value is None and NULL. Bounds of all numbers are known when an
expression is parsed: SQL computes in 64 bits where they suffice and else in 128, and can never overflow, provided that
each column's values are within the bounds of the column's type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from kpis.catalog.expressions.kinds import LARGEST, PLACES, SMALLEST, Kind, Values
from kpis.catalog.sql import quoted

# 128 bits, less one number that has no opposite.
LARGEST_COMPUTED = 2**127 - 1
DEEPEST = 50

Record = Mapping[str, Any]
Value = int | str | bool | date | time | datetime | None


@dataclass(frozen=True)
class Node(ABC):
    """A part of an expression: what its values are, and the parts that it is computed from."""

    values: Values
    operands: tuple[Node, ...] = ()

    @abstractmethod
    def value(self, record: Record) -> Any:
        """Return the value over a record; a number as a whole number of 10^-scale."""

    @property
    @abstractmethod
    def sql(self) -> str:
        """The value in SQL over a record's columns."""

    @property
    def is_wide(self) -> bool:
        """True for a number that is a HUGEINT in SQL, where others are BIGINTs."""
        return self.values.kind is Kind.NUMBER and (
            self.values.least < SMALLEST or self.values.most > LARGEST or any(one.is_wide for one in self.operands)
        )

    def operand_sql(self) -> list[str]:
        """Return SQL for the operands, numbers as wide as the result."""
        return [_as_wide(one, self.is_wide) for one in self.operands]


def _as_wide(node: Node, is_wide: bool) -> str:
    return f"CAST({node.sql} AS HUGEINT)" if is_wide and not node.is_wide else node.sql


def _same_width(operands: tuple[Node, ...]) -> list[str]:
    """Return SQL for operands that are compared."""
    is_wide = any(one.is_wide for one in operands)
    return [_as_wide(one, is_wide and one.values.kind is Kind.NUMBER) for one in operands]


@dataclass(frozen=True)
class Constant(Node):
    """A number, a text, true, false or a time."""

    constant: Any = None

    def value(self, record: Record) -> Any:
        return self.constant

    @property
    def sql(self) -> str:
        match self.constant:
            case bool():
                return "true" if self.constant else "false"
            case int():
                return f"CAST('{self.constant}' AS {'HUGEINT' if self.is_wide else 'BIGINT'})"
            case datetime():
                return f"TIMESTAMP '{self.constant.isoformat(' ')}'"
            case date():
                return f"DATE '{self.constant.isoformat()}'"
            case time():
                return f"TIME '{self.constant.isoformat()}'"
        text = self.constant.replace("'", "''")
        return f"'{text}'"


@dataclass(frozen=True)
class ColumnValue(Node):
    """A column's value."""

    name: str = ""

    def value(self, record: Record) -> Any:
        found = record[self.name]
        if found is None or not self.values.scale:
            return found
        return int(found.scaleb(PLACES))

    @property
    def sql(self) -> str:
        name = quoted(self.name)
        if self.values.kind is not Kind.NUMBER:
            return name
        if self.values.scale:
            # A wider type, as its own has no room for the product.
            return f"CAST(CAST({name} AS DECIMAL(25, {PLACES})) * {10**PLACES} AS BIGINT)"
        return f"CAST({name} AS BIGINT)"


def names_in(node: Node) -> Iterator[str]:
    """Yield the names of the columns that a part uses, in order, each as often as it does."""
    if isinstance(node, ColumnValue):
        yield node.name
    for operand in node.operands:
        yield from names_in(operand)


@dataclass(frozen=True)
class Strict(Node, ABC):
    """A part that is missing if one of its operands is."""

    def value(self, record: Record) -> Any:
        values = []
        for operand in self.operands:
            value = operand.value(record)
            if value is None:
                return None
            values.append(value)
        return self.computed(*values)

    @abstractmethod
    def computed(self, *values: Any) -> Any:
        """Return the value for operands that are all there."""


@dataclass(frozen=True)
class Arithmetic(Strict):
    """The sum (+), difference (-) or product (*) of two numbers."""

    operator: str = "+"

    def computed(self, *values: Any) -> Any:
        left, right = values
        if self.operator == "+":
            return left + right
        return left - right if self.operator == "-" else left * right

    @property
    def sql(self) -> str:
        return f"({f' {self.operator} '.join(self.operand_sql())})"


@dataclass(frozen=True)
class Division(Strict):
    """The quotient, rounded down, of a number and a positive constant, or its remainder, which is not negative."""

    by: int = 1
    is_remainder: bool = False

    def computed(self, *values: Any) -> Any:
        return values[0] % self.by if self.is_remainder else values[0] // self.by

    @property
    def sql(self) -> str:
        # SQL rounds to zero, so the dividend is shifted to 0 or more by a multiple of the divisor.
        (dividend,) = self.operand_sql()
        shift = self.operands[0].values.least // self.by
        divisor = f"CAST('{self.by}' AS {'HUGEINT' if self.is_wide else 'BIGINT'})"
        if shift < 0:
            dividend = f"({dividend} - CAST('{shift * self.by}' AS HUGEINT))"
        if self.is_remainder:
            found = f"({dividend} % {divisor})"
        else:
            found = (
                f"({dividend} // {divisor})"
                if shift >= 0
                else f"({dividend} // {divisor} + CAST('{shift}' AS HUGEINT))"
            )
        return found if self.is_wide else f"CAST({found} AS BIGINT)"


@dataclass(frozen=True)
class Absolute(Strict):
    """A number without its sign."""

    def computed(self, *values: Any) -> Any:
        return abs(values[0])

    @property
    def sql(self) -> str:
        return f"abs({self.operand_sql()[0]})"


@dataclass(frozen=True)
class Extreme(Node):
    """The least or the largest of the values that are there."""

    is_least: bool = True

    def value(self, record: Record) -> Any:
        found = [value for one in self.operands if (value := one.value(record)) is not None]
        return (min if self.is_least else max)(found, default=None)

    @property
    def sql(self) -> str:
        return f"{'least' if self.is_least else 'greatest'}({', '.join(self.operand_sql())})"


@dataclass(frozen=True)
class Coalesce(Node):
    """The first value that is there."""

    def value(self, record: Record) -> Any:
        return next((value for one in self.operands if (value := one.value(record)) is not None), None)

    @property
    def sql(self) -> str:
        return f"coalesce({', '.join(self.operand_sql())})"


@dataclass(frozen=True)
class If(Node):
    """The second operand if the first is true, else the third."""

    def value(self, record: Record) -> Any:
        condition, then, otherwise = self.operands
        return (then if condition.value(record) is True else otherwise).value(record)

    @property
    def sql(self) -> str:
        condition, then, otherwise = self.operand_sql()
        return f"CASE WHEN {condition} THEN {then} ELSE {otherwise} END"

    def operand_sql(self) -> list[str]:
        return [self.operands[0].sql, *(_as_wide(one, self.is_wide) for one in self.operands[1:])]


@dataclass(frozen=True)
class Comparison(Strict):
    """Two values compared by =, !=, <, <=, > or >=."""

    operator: str = "="

    def computed(self, *values: Any) -> Any:
        left, right = values
        match self.operator:
            case "=":
                return left == right
            case "!=":
                return left != right
            case "<":
                return left < right
            case "<=":
                return left <= right
            case ">":
                return left > right
        return left >= right

    @property
    def sql(self) -> str:
        return f"({f' {self.operator} '.join(_same_width(self.operands))})"


@dataclass(frozen=True)
class In(Strict):
    """True if the first operand is one of the constants."""

    constants: tuple[Constant, ...] = ()

    def computed(self, *values: Any) -> Any:
        return any(values[0] == one.constant for one in self.constants)

    @property
    def sql(self) -> str:
        operand, *constants = _same_width((*self.operands, *self.constants))
        return f"({operand} IN ({', '.join(constants)}))"


@dataclass(frozen=True)
class Junction(Node):
    """``and`` or ``or`` of conditions, which may be missing: neither true nor false."""

    is_and: bool = True

    def value(self, record: Record) -> Any:
        found: bool | None = self.is_and
        for operand in self.operands:
            value = operand.value(record)
            if value is not self.is_and and value is not None:
                return value
            if value is None:
                found = None
        return found

    @property
    def sql(self) -> str:
        return f"({' AND '.join(self.operand_sql()) if self.is_and else ' OR '.join(self.operand_sql())})"


@dataclass(frozen=True)
class Not(Strict):
    """The opposite of a condition."""

    def computed(self, *values: Any) -> Any:
        return not values[0]

    @property
    def sql(self) -> str:
        return f"(NOT {self.operands[0].sql})"


@dataclass(frozen=True)
class IsMissing(Node):
    """True if there is no value."""

    def value(self, record: Record) -> Any:
        return self.operands[0].value(record) is None

    @property
    def sql(self) -> str:
        return f"({self.operands[0].sql} IS NULL)"


@dataclass(frozen=True)
class Microseconds(Strict):
    """The microseconds from one time to another of the same kind."""

    def computed(self, *values: Any) -> Any:
        begin, end = (_microseconds(value) for value in values)
        return end - begin

    @property
    def sql(self) -> str:
        begin, end = (one.sql for one in self.operands)
        if self.operands[0].values.kind is Kind.DATE:
            return f"(CAST({end} - {begin} AS BIGINT) * CAST(86400000000 AS BIGINT))"
        return f"date_diff('microsecond', {begin}, {end})"


def _microseconds(value: date | time | datetime) -> int:
    """Return a time in microseconds since the year 1, or since midnight."""
    days = value.toordinal() if isinstance(value, date) else 0
    if not isinstance(value, time | datetime):
        return days * 86_400_000_000
    seconds = days * 86_400 + value.hour * 3_600 + value.minute * 60 + value.second
    return seconds * 1_000_000 + value.microsecond


@dataclass(frozen=True)
class Length(Strict):
    """The number of a text's characters."""

    def computed(self, *values: Any) -> Any:
        return len(values[0])

    @property
    def sql(self) -> str:
        return f"CAST(length({self.operands[0].sql}) AS BIGINT)"


CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOWERED = str.maketrans(CAPITALS, CAPITALS.lower())


@dataclass(frozen=True)
class Lower(Strict):
    """A text whose letters A to Z are small; other letters stay, as what their small letters are differs by library."""

    def computed(self, *values: Any) -> Any:
        return values[0].translate(_LOWERED)

    @property
    def sql(self) -> str:
        return f"translate({self.operands[0].sql}, '{CAPITALS}', '{CAPITALS.lower()}')"


@dataclass(frozen=True)
class Holds(Strict):
    """True if a text starts with, ends with or contains another: ``where`` is that function's name."""

    where: str = "contains"

    def computed(self, *values: Any) -> Any:
        text, part = values
        if self.where == "starts_with":
            return text.startswith(part)
        return text.endswith(part) if self.where == "ends_with" else part in text

    @property
    def sql(self) -> str:
        return f"{self.where}({', '.join(self.operand_sql())})"
