"""From the tree of an expression's text to its typed parts; each mistake is an ExpressionError with its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from kpis.catalog.columns import ColumnType
from kpis.catalog.expressions.errors import ExpressionError
from kpis.catalog.expressions.functions import FUNCTIONS
from kpis.catalog.expressions.grammar import parse_tree
from kpis.catalog.expressions.kinds import LARGEST, TIMES, Kind, Values, values_of
from kpis.catalog.expressions.nodes import (
    DEEPEST,
    ColumnValue,
    Comparison,
    Constant,
    In,
    Junction,
    Node,
    Not,
)
from kpis.catalog.expressions.numbers import arithmetic, divided, negative, number, same_scale

_SAME = {"==": "=", "<>": "!="}


def build(text: str, columns: Mapping[str, ColumnType]) -> Node:
    """Return the parts of an expression over columns, each with its type; raises ExpressionError."""
    tree = parse_tree(text)
    _check_depth(tree)
    return _Builder(columns).node(tree)


def _check_depth(tree: Any) -> None:
    """Raise ExpressionError for a tree that is deeper than recursion can be."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ExpressionError(
                position_of(level[0]), f"the expression is nested more than {DEEPEST} levels deep: use a derived column"
            )
        level = [child for one in level if hasattr(one, "children") for child in one.children]


def position_of(tree: Any) -> int:
    """Return where a tree or token begins, in characters from 1."""
    start = tree.start_pos if hasattr(tree, "start_pos") else getattr(tree.meta, "start_pos", 0)
    return 1 + (start or 0)


class _Builder:
    """Makes parts of trees. Each method is named by the grammar's name of what it makes."""

    def __init__(self, columns: Mapping[str, ColumnType]):
        self.columns = columns

    def node(self, tree: Any) -> Node:
        """Return the part that a tree describes."""
        made: Node = getattr(self, tree.data)(tree, *tree.children)
        return made

    def nodes(self, trees: Sequence[Any]) -> tuple[Node, ...]:
        return tuple(self.node(tree) for tree in trees)

    # ---- values

    def whole(self, tree: Any, token: str) -> Node:
        return self._constant_number(tree, int(token[:40]), 0)

    def decimal(self, tree: Any, token: str) -> Node:
        places = len(token.partition(".")[2])
        if places > 6:
            raise ExpressionError(position_of(tree), "a decimal number has at most six decimal places")
        return self._constant_number(tree, int(Decimal(token[:40]).scaleb(places)), places)

    def _constant_number(self, tree: Any, found: int, scale: int) -> Node:
        # The opposite of 2^63 fits 64 bits.
        if found > LARGEST + 1:
            raise ExpressionError(position_of(tree), "the number is beyond 64 bits")
        return number(found, scale)

    def text(self, tree: Any, token: str) -> Node:
        written = token[1:-1].replace("''", "'")
        if not written.isprintable():
            raise ExpressionError(position_of(tree), "a text has no control characters, such as line ends")
        return Constant(Values(Kind.TEXT, most=len(written)), constant=written)

    def true(self, tree: Any, *token: str) -> Node:
        return Constant(Values(Kind.BOOLEAN), constant=True)

    def false(self, tree: Any, *token: str) -> Node:
        return Constant(Values(Kind.BOOLEAN), constant=False)

    def column(self, tree: Any, token: str) -> Node:
        return self._column(tree, str(token))

    def quoted(self, tree: Any, token: str) -> Node:
        return self._column(tree, token[1:-1].replace('""', '"'))

    def _column(self, tree: Any, name: str) -> Node:
        type_ = self.columns.get(name)
        if type_ is None:
            hint = ", write () behind it to call the function" if name in FUNCTIONS else nearest(name, self.columns)
            raise ExpressionError(position_of(tree), f"there is no column {_shown(name)}{hint}")
        values = values_of(type_)
        if values is None:
            raise ExpressionError(
                position_of(tree), f"the column {name} is of type {type(type_).__name__}, which expressions cannot use"
            )
        return ColumnValue(values, name=name)

    # ---- arithmetic

    def arithmetic(self, tree: Any, left: Any, operator: str, right: Any) -> Node:
        operands = self.nodes((left, right))
        for one, child in zip(operands, (left, right), strict=True):
            if one.values.kind in TIMES and operator == "-":
                raise ExpressionError(
                    position_of(child), "write seconds_between(begin, end) for the time between two times"
                )
            expect(Kind.NUMBER, one, child, f"{operator} needs numbers")
        if operator in ("//", "%"):
            return self._division(operands[0], operands[1], left, right, operator)
        return arithmetic(operator, operands, position_of(operator))

    def _division(self, dividend: Node, divisor: Node, left: Any, right: Any, operator: str) -> Node:
        if dividend.values.scale:
            raise ExpressionError(position_of(left), f"{operator} needs whole numbers: write floor(...)")
        is_whole = isinstance(divisor, Constant) and not divisor.values.scale
        if not is_whole or not 0 < divisor.values.least <= LARGEST:
            raise ExpressionError(position_of(right), f"{operator} needs a whole number above 0, such as 60, behind it")
        return divided(dividend, divisor.values.least, 0, position_of(operator), is_remainder=operator == "%")

    def signed(self, tree: Any, sign: str, operand: Any) -> Node:
        found = self.node(operand)
        expect(Kind.NUMBER, found, operand, f"{sign} needs a number")
        return found if sign == "+" else negative(found, position_of(sign))

    # ---- conditions

    def compared(self, tree: Any, left: Any, operator: str, right: Any) -> Node:
        operator, operands = _SAME.get(operator, str(operator)), self.nodes((left, right))
        kinds = [one.values.kind for one in operands]
        if kinds[0] is not kinds[1]:
            raise ExpressionError(position_of(right), f"{kinds[0]} cannot be compared with {kinds[1]}{_hint(operands)}")
        if kinds[0] is Kind.BOOLEAN and operator not in ("=", "!="):
            raise ExpressionError(position_of(left), f"true and false have no order: {operator} cannot compare them")
        operands = same_scale(operands, position_of(left))
        return Comparison(condition(operands), operands, operator=operator)

    def among(self, tree: Any, operand: Any, _in: str, items: Any) -> Node:
        found = self.node(operand)
        constants = []
        for item in items.children:
            one = self.node(item)
            if not isinstance(one, Constant):
                raise ExpressionError(
                    position_of(item), "the list behind in has only constants: write = and or instead"
                )
            if one.values.kind is not found.values.kind:
                both = (found, one)
                raise ExpressionError(
                    position_of(item), f"{found.values.kind} cannot be compared with {one.values.kind}{_hint(both)}"
                )
            constants.append(one)
        first, *rest = same_scale((found, *constants), position_of(operand))
        return In(condition([found]), (first,), constants=tuple(one for one in rest if isinstance(one, Constant)))

    def not_among(self, tree: Any, operand: Any, _in: str, items: Any) -> Node:
        found = self.among(tree, operand, _in, items)
        return Not(found.values, (found,))

    def either(self, tree: Any, *operands: Any) -> Node:
        return self._junction("or", operands)

    def both(self, tree: Any, *operands: Any) -> Node:
        return self._junction("and", operands)

    def _junction(self, word: str, trees: Sequence[Any]) -> Node:
        operands = self.nodes(trees)
        for one, tree in zip(operands, trees, strict=True):
            expect(Kind.BOOLEAN, one, tree, f"{word} needs conditions")
        return Junction(condition(operands), operands, is_and=word == "and")

    def negated(self, tree: Any, operand: Any) -> Node:
        found = self.node(operand)
        expect(Kind.BOOLEAN, found, operand, "not needs a condition")
        return Not(found.values, (found,))

    # ---- functions

    def call(self, tree: Any, name: str, arguments: Any = None) -> Node:
        function = FUNCTIONS.get(str(name))
        if function is None:
            raise ExpressionError(position_of(name), f"there is no function {_shown(name)}{nearest(name, FUNCTIONS)}")
        trees = arguments.children if arguments is not None else []
        least, most = len(function.kinds), 100 if function.repeats else len(function.kinds) + len(function.options)
        if not least <= len(trees) <= most:
            wanted = str(least) if least == most else f"{least} or more" if function.repeats else f"{least} or {most}"
            raise ExpressionError(
                position_of(name),
                f"{name} takes {wanted} value{'' if wanted == '1' else 's'}, not {len(trees)}: {function.usage}",
            )
        operands = self.nodes(trees)
        for number_, (one, child) in enumerate(zip(operands, trees, strict=True)):
            kinds = (*function.kinds, *function.options)
            kind = kinds[min(number_, len(kinds) - 1)]
            if kind is not None:
                expect(kind, one, child, f"{name} needs {kind} here")
        return function.make(operands, [position_of(child) for child in trees])


def condition(operands: Sequence[Node]) -> Values:
    """Return what a condition over operands is: missing if one of them is."""
    return Values(Kind.BOOLEAN, optional=any(one.values.optional for one in operands))


def expect(kind: Kind, node: Node, tree: Any, why: str) -> None:
    """Raise ExpressionError if a part is not of a kind."""
    if node.values.kind is not kind:
        raise ExpressionError(position_of(tree), f"{why}, but this is {node.values.kind}")


def _hint(operands: Sequence[Node]) -> str:
    """Return what to write instead of comparing a time with a text."""
    kinds = {one.values.kind for one in operands}
    times = {
        Kind.DATE: "date('2021-07-18')",
        Kind.TIME: "time('08:05:00')",
        Kind.TIMESTAMP: "timestamp('2021-07-18 08:05:00')",
    }
    written = [example for kind, example in times.items() if kind in kinds]
    return f": write {written[0]}" if written and Kind.TEXT in kinds else ""


def _shown(name: str) -> str:
    return name if len(name) <= 64 else name[:61] + "..."


def nearest(name: str, names: Mapping[str, Any]) -> str:
    """Return a sentence's end that suggests the nearest of the names."""
    import difflib

    lowered = {one.lower(): one for one in names}
    found = difflib.get_close_matches(name[:100].lower(), lowered, n=1, cutoff=0.6)
    if found:
        return f"; did you mean {lowered[found[0]]}?"
    return f"; there are {', '.join(sorted(names)[:12])}{' ...' if len(names) > 12 else ''}"
