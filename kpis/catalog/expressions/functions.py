"""The functions of expressions, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time

from kpis.catalog.expressions.errors import ExpressionError
from kpis.catalog.expressions.kinds import PLACES, TIMES, Kind, Values
from kpis.catalog.expressions.nodes import (
    Absolute,
    Coalesce,
    Constant,
    Extreme,
    Holds,
    If,
    IsMissing,
    Length,
    Lower,
    Microseconds,
    Node,
)
from kpis.catalog.expressions.numbers import arithmetic, divided, number, same_scale

Operands = Sequence[Node]
Positions = Sequence[int]

# More than 9,999 years.
_MOST_MICROSECONDS = 86_400 * 10**6 * 3_660_000


@dataclass(frozen=True)
class Function:
    """A function: the kinds of its values (None for any), and how its part is made of theirs and their positions.

    The last kind ``repeats`` as often as one likes, and ``options`` may be left out.
    """

    usage: str
    make: Callable[[Operands, Positions], Node]
    kinds: tuple[Kind | None, ...]
    repeats: bool = False
    options: tuple[Kind | None, ...] = ()


def _optional(operands: Operands) -> bool:
    return any(one.values.optional for one in operands)


def _absolute(operands: Operands, positions: Positions) -> Node:
    values = operands[0].values
    most = max(abs(values.least), abs(values.most))
    least = 0 if values.least <= 0 <= values.most else min(abs(values.least), abs(values.most))
    return Absolute(replace(values, least=least, most=most), tuple(operands))


def _of_one_kind(operands: Operands, positions: Positions) -> tuple[Node, ...]:
    kind = operands[0].values.kind
    for one, position in zip(operands, positions, strict=True):
        if one.values.kind is not kind:
            raise ExpressionError(position, f"this is {one.values.kind}, but what stands before it is {kind}")
    return same_scale(operands, positions[0])


def _extreme(is_least: bool) -> Callable[[Operands, Positions], Node]:
    def make(operands: Operands, positions: Positions) -> Node:
        operands = _of_one_kind(operands, positions)
        if operands[0].values.kind is Kind.BOOLEAN:
            raise ExpressionError(positions[0], "true and false have no order")
        optional = all(one.values.optional for one in operands)
        # One that may be missing may leave the others.
        sure = [one.values for one in operands if not one.values.optional] or [one.values for one in operands]
        leasts, mosts = ([getattr(one.values, name) for one in operands] for name in ("least", "most"))
        if operands[0].values.kind is not Kind.NUMBER:
            bounds = 0, max(mosts)
        elif is_least:
            bounds = min(leasts), max(mosts) if optional else min(one.most for one in sure)
        else:
            bounds = min(leasts) if optional else max(one.least for one in sure), max(mosts)
        values = replace(operands[0].values, least=bounds[0], most=bounds[1], optional=optional)
        return Extreme(values, operands, is_least=is_least)

    return make


def _either(operands: Sequence[Node], optional: bool) -> Values:
    """Return what values are that are those of one of the operands."""
    every = [one.values for one in operands]
    return replace(
        every[0], least=min(one.least for one in every), most=max(one.most for one in every), optional=optional
    )


def _coalesce(operands: Operands, positions: Positions) -> Node:
    operands = _of_one_kind(operands, positions)
    return Coalesce(_either(operands, all(one.values.optional for one in operands)), operands)


def _if(operands: Operands, positions: Positions) -> Node:
    cases = _of_one_kind(operands[1:], positions[1:])
    return If(_either(cases, _optional(cases)), (operands[0], *cases))


def _floor(operands: Operands, positions: Positions) -> Node:
    return divided(operands[0], 10 ** operands[0].values.scale, 0, positions[0])


def _round(operands: Operands, positions: Positions) -> Node:
    node, scale = operands[0], operands[0].values.scale
    places = 0
    if len(operands) > 1:
        if (
            not isinstance(operands[1], Constant)
            or not operands[1].values.scale == 0 <= operands[1].values.least <= PLACES
        ):
            raise ExpressionError(positions[1], f"the number of decimal places is a whole number from 0 to {PLACES}")
        places = operands[1].values.least
    if places >= scale:
        return node
    by = 10 ** (scale - places)
    return divided(arithmetic("+", (node, number(by // 2, scale)), positions[0]), by, places, positions[0])


def _seconds_between(operands: Operands, positions: Positions) -> Node:
    begin, end = (one.values.kind for one in operands)
    for kind, position in zip((begin, end), positions, strict=True):
        if kind not in TIMES:
            raise ExpressionError(position, f"seconds_between needs two times, but this is {kind}")
    if begin is not end:
        raise ExpressionError(
            positions[1], f"seconds_between needs two of a kind: this is {end}, the first one {begin}"
        )
    values = Values(Kind.NUMBER, 0, -_MOST_MICROSECONDS, _MOST_MICROSECONDS, _optional(operands))
    return divided(Microseconds(values, tuple(operands)), 10**6, 0, positions[0])


def _is_missing(operands: Operands, positions: Positions) -> Node:
    return IsMissing(Values(Kind.BOOLEAN), tuple(operands))


def _length(operands: Operands, positions: Positions) -> Node:
    # A line has at most 2^20 bytes.
    return Length(Values(Kind.NUMBER, 0, 0, 2**31, _optional(operands)), tuple(operands))


def _lower(operands: Operands, positions: Positions) -> Node:
    return Lower(operands[0].values, tuple(operands))


def _holds(where: str) -> Callable[[Operands, Positions], Node]:
    return lambda operands, _: Holds(Values(Kind.BOOLEAN, optional=_optional(operands)), tuple(operands), where=where)


def _time_of(kind: Kind, parse: Callable[[str], date | time | datetime], example: str) -> Function:
    """Return the function that makes a constant of a text."""

    def make(operands: Operands, positions: Positions) -> Node:
        written = operands[0]
        try:
            if isinstance(written, Constant):
                found = parse(written.constant)
                # Python reads more forms than this one, zones among them.
                if found.isoformat(*(" ",) * isinstance(found, datetime)) == written.constant:
                    return Constant(Values(kind), constant=found)
        except ValueError:
            pass
        raise ExpressionError(positions[0], f"write {kind} as in {example}")

    return Function(example, make, (Kind.TEXT,))


FUNCTIONS = {
    "abs": Function("abs(x)", _absolute, (Kind.NUMBER,)),
    "min": Function("min(a, b, ...)", _extreme(is_least=True), (None, None), repeats=True),
    "max": Function("max(a, b, ...)", _extreme(is_least=False), (None, None), repeats=True),
    "floor": Function("floor(x)", _floor, (Kind.NUMBER,)),
    "round": Function("round(x) or round(x, places)", _round, (Kind.NUMBER,), options=(Kind.NUMBER,)),
    "coalesce": Function("coalesce(a, b, ...)", _coalesce, (None, None), repeats=True),
    "if": Function("if(condition, a, b)", _if, (Kind.BOOLEAN, None, None)),
    "is_missing": Function("is_missing(x)", _is_missing, (None,)),
    "length": Function("length(text)", _length, (Kind.TEXT,)),
    "lower": Function("lower(text)", _lower, (Kind.TEXT,)),
    "starts_with": Function("starts_with(text, part)", _holds("starts_with"), (Kind.TEXT, Kind.TEXT)),
    "ends_with": Function("ends_with(text, part)", _holds("ends_with"), (Kind.TEXT, Kind.TEXT)),
    "contains": Function("contains(text, part)", _holds("contains"), (Kind.TEXT, Kind.TEXT)),
    "seconds_between": Function("seconds_between(begin, end)", _seconds_between, (None, None)),
    "date": _time_of(Kind.DATE, date.fromisoformat, "date('2021-07-18')"),
    "time": _time_of(Kind.TIME, time.fromisoformat, "time('08:05:00')"),
    "timestamp": _time_of(Kind.TIMESTAMP, datetime.fromisoformat, "timestamp('2021-07-18 08:05:00')"),
}
