"""The grammar of expressions, and how a text is parsed by it.

The parser is Lark's, of the kind LALR(1): it needs time and memory in proportion to the text, and no recursion.
Python's own ``ast`` would need no library, but its language is Python's: ``=`` is no comparison there, ``'it''s'`` are
two texts side by side, ``0.1`` is a binary fraction, and its messages speak of Python. Lark takes 50 ms to import and
to prepare, so it is imported when the first expression is parsed, not before.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from kpis.catalog.expressions.errors import ExpressionError

if TYPE_CHECKING:
    import lark

LONGEST = 2_000

GRAMMAR = r"""
?start: either
?either: both | both (_OR both)+ -> either
?both: negated | negated (_AND negated)+ -> both
?negated: compared | _NOT negated -> negated
?compared: sum
    | sum COMPARISON sum -> compared
    | sum IN "(" items ")" -> among
    | sum _NOT IN "(" items ")" -> not_among
?sum: product | sum SIGN product -> arithmetic
?product: signed | product TIMES signed -> arithmetic
?signed: value | SIGN signed -> signed
?value: DECIMAL -> decimal
    | WHOLE -> whole
    | TEXT -> text
    | TRUE -> true
    | FALSE -> false
    | NAME -> column
    | QUOTED -> quoted
    | NAME "(" [arguments] ")" -> call
    | "(" either ")"
arguments: either ("," either)*
items: either ("," either)*

_OR.2: /(or|OR)(?![A-Za-z0-9_])/
_AND.2: /(and|AND)(?![A-Za-z0-9_])/
_NOT.2: /(not|NOT)(?![A-Za-z0-9_])/
IN.2: /(in|IN)(?![A-Za-z0-9_])/
TRUE.2: /true(?![A-Za-z0-9_])/
FALSE.2: /false(?![A-Za-z0-9_])/
COMPARISON: "=" | "==" | "!=" | "<>" | "<=" | ">=" | "<" | ">"
SIGN: "+" | "-"
TIMES: "*" | "//" | "%"
DECIMAL: /[0-9]+\.[0-9]+/
WHOLE: /[0-9]+/
TEXT: /'(''|[^'])*'/
QUOTED: /"(""|[^"])+"/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%ignore /[ \t\r\n]+/
"""

# What to do about a character that no word of the grammar begins with.
_HINTS = {
    "/": "write // for the quotient rounded down; there is no other division",
    "&": "write and",
    "|": "write or",
    "!": "write not",
    "^": "there is no power",
    "'": "the text has no closing quote '",
    '"': "the name has no closing quote; texts are in single quotes",
    ".": "a decimal number has digits on both sides of its point",
}


@functools.cache
def _parser() -> lark.Lark:
    import lark

    return lark.Lark(GRAMMAR, parser="lalr", maybe_placeholders=False, propagate_positions=True)


def parse_tree(text: str) -> Any:
    """Return the tree of an expression's text; raises ExpressionError."""
    import lark

    if len(text) > LONGEST:
        raise ExpressionError(
            LONGEST + 1, f"an expression has at most {LONGEST:,} characters; this one has {len(text):,}"
        )
    if not text.strip():
        raise ExpressionError(1, "the expression is empty")
    try:
        return _parser().parse(text)
    except lark.UnexpectedCharacters as error:
        position = error.pos_in_stream or 0
        hint = _HINTS.get(text[position], "it has no meaning in an expression")
        raise ExpressionError(position + 1, f"{text[position]!r} cannot stand here: {hint}") from None
    except lark.UnexpectedToken as error:
        raise _unexpected(text, error) from None


def _unexpected(text: str, error: lark.UnexpectedToken) -> ExpressionError:
    token = error.token
    if token.type == "$END":
        wanted = "a ) is missing" if text.count("(") > text.count(")") else "a value is missing"
        return ExpressionError(len(text) + 1, f"the expression ends too early: {wanted}")
    found = str(token)
    if token.type == "COMPARISON" and "_AND" in error.accepts:
        hint = "comparisons cannot be chained: write a < b and b < c"
    elif error.accepts == {"IN"}:
        hint = "put not with what it belongs to in ( )"
    elif token.type in ("NAME", "WHOLE", "DECIMAL", "TEXT", "QUOTED", "TRUE", "FALSE"):
        hint = "an operator such as + or and is missing before it" if "SIGN" in error.accepts else "remove it"
    elif found == ")" and "$END" in error.accepts:
        hint = "no ( belongs to it"
    else:
        hint = "a value is missing before it"
    return ExpressionError((token.start_pos or 0) + 1, f"{found!r} cannot stand here: {hint}")
