"""Expressions for the compiled scanner: small programs over a row's values, in 64 bits.

The scanner's values are whole numbers: decimals in millionths, texts by their numbers in the column's dictionary, times
in the units of their kinds. A program computes with times in microseconds. Where 64 bits do not suffice, the scanner
leaves the row to be judged. What it cannot compute, but depends on one text alone, is computed here for each text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import numpy as np

from kpis.catalog.expressions import Expression, Type
from kpis.catalog.expressions.kinds import LARGEST, LARGEST_DECIMAL, PLACES, SMALLEST, TIMES, Kind
from kpis.catalog.expressions.nodes import (
    Absolute,
    Arithmetic,
    Coalesce,
    ColumnValue,
    Comparison,
    Constant,
    Division,
    Extreme,
    If,
    In,
    IsMissing,
    Junction,
    Microseconds,
    Node,
    Not,
    names_in,
)
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH
from kpis.engine import compiled
from kpis.engine.scan_kinds import OF_TEXTS, UNITS, kind_of

# A step of scanner_expressions.h, and the numbers of its operations, and sources of operands.
STEP = np.dtype([("operation", "i4"), ("source", "i4"), ("argument", "i8")])
(
    LOAD, ADD, SUBTRACT, MULTIPLY, DIVIDE, REMAINDER, ABSOLUTE, LEAST, MOST, FIRST, CHOOSE, EQUAL, UNEQUAL, LESS,
    AT_MOST, MORE, AT_LEAST, AND, OR, NOT, IS_MISSING, IS_IN, LOOK_UP, SKIP_AND, SKIP_OR,
) = range(25)  # fmt: skip
FROM_CONSTANT, FROM_COLUMN, FROM_STACK = range(3)

_ARITHMETIC = {"+": ADD, "-": SUBTRACT, "*": MULTIPLY}
_COMPARISONS = {"=": EQUAL, "!=": UNEQUAL, "<": LESS, "<=": AT_MOST, ">": MORE, ">=": AT_LEAST}
# The kinds whose dictionaries have the texts as records have them.
LOOKED_UP = frozenset([compiled.TEXT, compiled.CHOICE, compiled.POSTAL_CODE])
# No text has this number.
NO_TEXT = -1

Steps = list[tuple[int, int, int]]
# Gives the number of a text in the dictionary of a column, by the column's place.
NumberOf = Callable[[int, str], int]
# Gives the number of the lookup of what is computed from a column's texts, by the column's place.
LookupOf = Callable[[int, Node], int]


class Unsupported(Exception):
    """An expression that the scanner cannot compute."""


def can_compute(feed: Feed, expression: Expression) -> bool:
    """Return True if the scanner can compute an expression over the feed's records."""
    try:
        program(feed, expression, lambda place, text: 0, lambda place, node: 0)
    except Unsupported:
        return False
    return True


def program(feed: Feed, expression: Expression, number_of: NumberOf, lookup_of: LookupOf) -> np.ndarray:
    """Return the steps that compute an expression; raises Unsupported.

    The result is 1 or 0 for a condition, a whole number, or a decimal number in millionths.
    """
    if expression.type not in (Type.BOOLEAN, Type.INTEGER, Type.DECIMAL):
        raise Unsupported
    compiler = _Compiler(feed, number_of, lookup_of)
    compiler.add(expression.root)
    if expression.type is Type.DECIMAL and expression.values.scale < PLACES:
        compiler.steps.append((MULTIPLY, FROM_CONSTANT, 10 ** (PLACES - expression.values.scale)))
    return np.array(compiler.steps, dtype=STEP)


def limits_of(expression: Expression) -> tuple[int, int]:
    """Return the least and the largest result that a column of the expression's values can hold."""
    return (-LARGEST_DECIMAL, LARGEST_DECIMAL) if expression.type is Type.DECIMAL else (SMALLEST, LARGEST)


class _Compiler:
    """Compiles the parts of an expression, each of which leaves its value on the stack."""

    def __init__(self, feed: Feed, number_of: NumberOf, lookup_of: LookupOf):
        self.columns = feed.record_columns
        self.places = {column.name: place for place, column in enumerate(self.columns)}
        self.number_of, self.lookup_of = number_of, lookup_of
        self.steps: Steps = []

    def add(self, node: Node) -> None:
        """Add the steps of a part."""
        before = len(self.steps)
        try:
            self._add(node)
        except Unsupported:
            del self.steps[before:]
            self._look_up(node)

    def _look_up(self, node: Node) -> None:
        """Add the step of a part that is computed here, once for each text of the one column that it depends on."""
        names = set(names_in(node))
        is_narrow = node.values.least >= SMALLEST and node.values.most <= LARGEST
        if not names:
            self._constant(LOAD, _number(node.value({})))
            return
        if len(names) != 1 or not is_narrow or node.values.kind not in (Kind.BOOLEAN, Kind.NUMBER):
            raise Unsupported
        place = self.places[names.pop()]
        if kind_of(self.columns[place].type) not in LOOKED_UP:
            raise Unsupported
        self._constant(LOOK_UP, self.lookup_of(place, node))

    def _add(self, node: Node) -> None:
        match node:
            case Constant() | ColumnValue():
                self._operate(LOAD, node)
            case Arithmetic():
                self._binary(_ARITHMETIC[node.operator], *node.operands)
            case Division():
                self.add(node.operands[0])
                self._constant(REMAINDER if node.is_remainder else DIVIDE, node.by)
            case Absolute():
                self._unary(ABSOLUTE, node)
            case Extreme():
                self._fold(LEAST if node.is_least else MOST, node)
            case Coalesce():
                self._fold(FIRST, node)
            case If():
                self._no_text(node.operands[1])
                self.add(node.operands[0])
                self._binary(CHOOSE, *node.operands[1:])
            case Comparison():
                self._compare(node)
            case In():
                self._in(node)
            case Junction():
                self._join(node)
            case Not():
                self._unary(NOT, node)
            case IsMissing():
                self._unary(IS_MISSING, node)
            case Microseconds():
                self._binary(SUBTRACT, *reversed(node.operands))
            case _:
                raise Unsupported

    def _unary(self, operation: int, node: Node) -> None:
        self.add(node.operands[0])
        self._constant(operation, 0)

    def _binary(self, operation: int, left: Node, right: Node) -> None:
        self.add(left)
        self._operate(operation, right)

    def _fold(self, operation: int, node: Node) -> None:
        self._no_text(node.operands[0])
        self.add(node.operands[0])
        for operand in node.operands[1:]:
            self._operate(operation, operand)

    def _join(self, node: Junction) -> None:
        """Add the steps of ``and`` or ``or``; those of an operand are skipped where one before decides."""
        operation, skip = (AND, SKIP_AND) if node.is_and else (OR, SKIP_OR)
        self.add(node.operands[0])
        for operand in node.operands[1:]:
            place = len(self.steps)
            self._constant(skip, 0)
            self._operate(operation, operand)
            self.steps[place] = (skip, FROM_CONSTANT, len(self.steps) - place - 1)

    def _operate(self, operation: int, operand: Node) -> None:
        """Add a step with an operand."""
        if isinstance(operand, Constant):
            self._constant(operation, _number(operand.constant))
        elif isinstance(operand, ColumnValue) and operand.values.kind is Kind.BOOLEAN:
            self._true_or_false(operand)
            if operation != LOAD:
                self.steps.append((operation, FROM_STACK, 0))
        elif isinstance(operand, ColumnValue):
            place, unit = self._column(operand)
            if unit == 1 or operation == LOAD:
                self.steps.append((operation, FROM_COLUMN, place))
                if unit != 1:
                    self._constant(MULTIPLY, unit)
                return
            self._operate(LOAD, operand)
            self.steps.append((operation, FROM_STACK, 0))
        else:
            self.add(operand)
            self.steps.append((operation, FROM_STACK, 0))

    def _true_or_false(self, node: ColumnValue) -> None:
        """Add the steps of a column that is true or false, which has the number of one of the two words."""
        place = self.places[node.name]
        if kind_of(self.columns[place].type) != compiled.BOOLEAN:
            raise Unsupported
        self.steps.append((LOAD, FROM_COLUMN, place))
        self._constant(EQUAL, self.number_of(place, "true"))

    def _constant(self, operation: int, argument: int) -> None:
        if not SMALLEST <= argument <= LARGEST:
            raise Unsupported
        self.steps.append((operation, FROM_CONSTANT, argument))

    def _column(self, node: ColumnValue) -> tuple[int, int]:
        """Return a column's place, and what its values are multiplied by."""
        place = self.places[node.name]
        kind = kind_of(self.columns[place].type)
        if kind is None or (node.values.kind in TIMES and kind not in UNITS):
            raise Unsupported
        return place, UNITS.get(kind, 1)

    def _compare(self, node: Comparison) -> None:
        left, right = node.operands
        if left.values.kind is not Kind.TEXT:
            self._binary(_COMPARISONS[node.operator], left, right)
            return
        # Of texts, numbers say which are the same, not which one is first.
        if isinstance(left, Constant):
            left, right = right, left
        if node.operator not in ("=", "!=") or not isinstance(right, Constant):
            raise Unsupported
        number = self._text(left, right)
        self._operate(LOAD, left)
        self._constant(_COMPARISONS[node.operator], number)

    def _in(self, node: In) -> None:
        operand = node.operands[0]
        if operand.values.kind is Kind.TEXT:
            numbers = [self._text(operand, one) for one in node.constants]
        else:
            numbers = [_number(one.constant) for one in node.constants]
        self.add(operand)
        self._constant(IS_IN, len(numbers))
        for number in numbers:
            self._constant(LOAD, number)

    def _text(self, node: Node, text: Constant) -> int:
        """Return the number of a text in the dictionary of a column."""
        if not isinstance(node, ColumnValue):
            raise Unsupported
        place = self.places[node.name]
        type_ = self.columns[place].type
        if kind_of(type_) not in OF_TEXTS:
            raise Unsupported
        try:
            # What no row can have must not be in the dictionary: texts that are there are not checked again.
            is_value = bool(text.constant) and type_.parse(text.constant) == text.constant
        except ValueError:
            is_value = False
        return self.number_of(place, text.constant) if is_value else NO_TEXT

    def _no_text(self, node: Node) -> None:
        if node.values.kind is Kind.TEXT:
            raise Unsupported


def _number(value: Any) -> int:
    """Return a constant as the scanner has it, a time in microseconds."""
    match value:
        case int():
            return int(value)
        case datetime():
            return _microseconds(value.date()) + _microseconds(value.time())
        case date() | time():
            return _microseconds(value)
    raise Unsupported


def _microseconds(value: date | time) -> int:
    if isinstance(value, date):
        return (value.toordinal() - EPOCH.toordinal()) * 86_400_000_000
    return (value.hour * 3_600 + value.minute * 60 + value.second) * 1_000_000 + value.microsecond
