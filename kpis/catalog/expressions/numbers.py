"""Numbers in expressions: their scales, and the bounds of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kpis.catalog.expressions.errors import ExpressionError
from kpis.catalog.expressions.kinds import Kind, Values
from kpis.catalog.expressions.nodes import LARGEST_COMPUTED, Arithmetic, Constant, Division, Node

# 10 to this power has 128 bits.
MOST_PLACES = 36


def number(value: int, scale: int = 0) -> Constant:
    """Return the constant ``value`` * 10^-scale."""
    return Constant(Values(Kind.NUMBER, scale, value, value), constant=value)


def bounded(values: Values, position: int) -> Values:
    """Return the values; raises ExpressionError if 128 bits may not suffice for them."""
    if max(abs(values.least), abs(values.most)) > LARGEST_COMPUTED:
        raise ExpressionError(
            position, "this may be beyond 128 bits: give its columns bounds (at_most), or multiply fewer of them"
        )
    return values


def arithmetic(operator: str, operands: Sequence[Node], position: int) -> Node:
    """Return the sum, difference or product of two numbers; raises ExpressionError."""
    if operator != "*":
        operands = same_scale(operands, position)
    left, right = (one.values for one in operands)
    if operator == "+":
        bounds = [left.least + right.least, left.most + right.most]
    elif operator == "-":
        bounds = [left.least - right.most, left.most - right.least]
    else:
        bounds = [one * other for one in (left.least, left.most) for other in (right.least, right.most)]
    scale = left.scale + right.scale if operator == "*" else left.scale
    if scale > MOST_PLACES:
        raise ExpressionError(position, f"this has {scale} decimal places, and at most {MOST_PLACES} are computed")
    optional = left.optional or right.optional
    values = bounded(Values(Kind.NUMBER, scale, min(bounds), max(bounds), optional), position)
    if all(isinstance(one, Constant) for one in operands):
        # Each bound is the value.
        return number(values.least, scale)
    return Arithmetic(values, tuple(operands), operator=operator)


def divided(node: Node, by: int, scale: int, position: int, is_remainder: bool = False) -> Node:
    """Return a number's quotient by a positive one, rounded down and with another scale, or its remainder.

    Raises ExpressionError.
    """
    if by == 1 and not is_remainder:
        return node
    values = node.values
    # SQL divides what is shifted to 0 or more.
    bounded(replace(values, most=values.most - min(values.least // by, 0) * by), position)
    least, most = (0, by - 1) if is_remainder else (values.least // by, values.most // by)
    return Division(replace(values, scale=scale, least=least, most=most), (node,), by=by, is_remainder=is_remainder)


def negative(node: Node, position: int) -> Node:
    """Return a number with the other sign."""
    zero = number(0, node.values.scale)
    return arithmetic("-", (zero, node), position)


def same_scale(operands: Sequence[Node], position: int) -> tuple[Node, ...]:
    """Return operands that can be added or compared: numbers with the largest scale of them."""
    scale = max((one.values.scale for one in operands), default=0)
    return tuple(rescaled(one, scale, position) for one in operands)


def rescaled(node: Node, scale: int, position: int) -> Node:
    """Return a number with a scale that is not less than its own; what is no number as it is."""
    if node.values.kind is not Kind.NUMBER or node.values.scale == scale:
        return node
    product = arithmetic("*", (node, number(10 ** (scale - node.values.scale))), position)
    return replace(product, values=replace(product.values, scale=scale))
