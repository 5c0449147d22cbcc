"""Checks, derived columns and filters from expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from kpis.catalog.columns import ColumnType, Date, Decimal, Integer, ISOTimestamp, Text, TimeOfDay
from kpis.catalog.expressions import Expression, ExpressionError, Type, condition, expression
from kpis.catalog.expressions.kinds import LARGEST, LARGEST_DECIMAL, PLACES, SMALLEST, Values
from kpis.catalog.expressions.nodes import Arithmetic, ColumnValue, Comparison, Constant, Division, Microseconds, Node
from kpis.catalog.feeds import Check, Column, Range
from kpis.catalog.place import Place

# The comparisons with the sides exchanged.
_TURNED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


def column_types(columns: Iterable[Column], place: Place | None = None) -> dict[str, ColumnType]:
    """Return the types of columns for expressions: what a file may lack, or a place may be without, is optional.

    A column with a default always has a value, unless it is a place's.
    """
    without = set(place.columns) if place else set()
    types = {
        column.name: replace(column.type, optional=column.type.optional or not column.required) for column in columns
    }
    return types | {name: replace(types[name], optional=True, default=None) for name in without if name in types}


def check_expression(column: str, reason: str, text: str, types: Mapping[str, ColumnType]) -> Check:
    """Return the check that an expression over columns with these types is not false.

    ``column`` and ``reason`` are a reject's. Raises ExpressionError.
    """
    parsed = condition(text, types)
    return Check(
        column,
        reason,
        f"({parsed.sql} IS NOT FALSE)",
        lambda record: parsed.of(record) is not False,
        range_of(parsed),
        parsed,
    )


def derived_column(name: str, text: str, types: Mapping[str, ColumnType], unit: str = "") -> Column:
    """Return the column of an expression's values over columns with these types; raises ExpressionError."""
    parsed = expression(text, types)
    return Column(name, _type_of(parsed), unit, derived=parsed)


def _type_of(parsed: Expression) -> ColumnType:
    values = parsed.values
    match parsed.type:
        case Type.INTEGER:
            least, most = max(values.least, SMALLEST), min(values.most, LARGEST)
            return Integer(optional=values.optional, minimum=least, maximum=None if most == LARGEST else most)
        case Type.DECIMAL:
            least, most = _decimal_bounds(values)
            return Decimal(optional=values.optional, minimum=least, maximum=most)
        case Type.TEXT:
            return Text(optional=values.optional, longest=max(values.most, 1))
        case Type.DATE:
            return Date(optional=values.optional)
        case Type.TIME:
            return TimeOfDay(optional=values.optional)
        case Type.TIMESTAMP:
            return ISOTimestamp(optional=values.optional)
    raise ExpressionError(1, "a column is not true or false: write if(..., 'yes', 'no'), or 1 and 0")


def _decimal_bounds(values: Values) -> tuple[int, int]:
    """Return the bounds of a decimal column as whole numbers."""
    by, beyond = 10**values.scale, LARGEST_DECIMAL // 10**PLACES
    return max(values.least // by, -beyond), min(-(-values.most // by), beyond)


def range_of(parsed: Expression) -> Range | None:
    """Return the range that an expression describes, which is checked faster than an expression; None for none."""
    root = parsed.root
    if not isinstance(root, Comparison) or root.operator == "!=":
        return None
    (left, right), operator = root.operands, root.operator
    if isinstance(left, Constant):
        left, right, operator = right, left, _TURNED[operator]
    if not isinstance(right, Constant) or left.values.scale or not isinstance(right.constant, int):
        return None
    bound = right.constant
    if isinstance(left, Division) and left.is_remainder:
        column = _columns_of(left.operands[0])
        return Range(*column, step=left.by) if column and operator == "=" and bound == 0 else None
    least = {"=": bound, ">=": bound, ">": bound + 1}.get(operator)
    most = {"=": bound, "<=": bound, "<": bound - 1}.get(operator)
    if isinstance(left, Division) and isinstance(left.operands[0], Microseconds):
        return _time_range(left, left.operands[0], least, most)
    column = _columns_of(left)
    fits = all(one is None or SMALLEST <= one <= LARGEST for one in (least, most))
    return Range(*column, least=least, most=most) if column and fits else None


def _time_range(seconds: Division, between: Microseconds, least: int | None, most: int | None) -> Range | None:
    """Return the range of the time between two columns that lasts from ``least`` to ``most`` seconds, rounded down."""
    begin, end = between.operands
    if not (isinstance(begin, ColumnValue) and isinstance(end, ColumnValue)) or seconds.values.optional:
        return None
    if any(one is not None and not seconds.values.least <= one <= seconds.values.most for one in (least, most)):
        return None
    return Range(
        end.name,
        begin.name,
        least=None if least is None else least * _SECOND,
        most=None if most is None else (most + 1) * _SECOND - _MICROSECOND,
    )


def _columns_of(node: Node) -> tuple[str, str] | None:
    """Return the names of a column, and of the one that is taken off it or "", if a part is whole numbers of them."""
    if isinstance(node, Arithmetic) and node.operator == "-":
        both = [_columns_of(one) for one in node.operands]
        if both[0] and both[1] and not both[0][1] and not both[1][1]:
            return both[0][0], both[1][0]
    is_sure = isinstance(node, ColumnValue) and not node.values.optional and not node.values.scale
    return (node.name, "") if is_sure and isinstance(node, ColumnValue) else None
