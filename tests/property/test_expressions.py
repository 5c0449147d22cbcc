"""Random expressions over random rows: SQL gives what Python gives.

``EXPRESSION_CASES=100000`` tries so many expressions instead of the short form's.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal as Number
from typing import Any

import duckdb
import pytest

from kpis.catalog.columns import Boolean, Choice, Date, Decimal, Integer, ISOTimestamp, MonthFirst, Text, TimeOfDay
from kpis.catalog.expressions import Expression, ExpressionError, TooLarge, expression
from tests.effort import times

CASES = times("EXPRESSION_CASES", 400, 5_000)

COLUMNS = {
    "whole": Integer(minimum=-(2**63)),
    "count": Integer(),
    "half": Integer(bits=32, minimum=-(2**31), optional=True),
    "digit": Integer(minimum=-9, maximum=9),
    "signal": Decimal(optional=True),
    "share": Decimal(minimum=0, maximum=100),
    "operator": Text(optional=True),
    'Cell "A" ID': Text(),
    "type": Choice(words=("CALL", "TEXT")),
    "begin": MonthFirst(),
    "end": MonthFirst(optional=True),
    "day": Date(optional=True),
    "clock": TimeOfDay(),
    "seen": ISOTimestamp(optional=True),
    "roaming": Boolean(optional=True),
}
EDGES = {
    "whole": [-(2**63), 2**63 - 1, -(2**62), 0, 1, -1, 7, -7, 300_000, -300_001],
    "count": [2**63 - 1, 0, 1, 5, 300_000, 1_626_566_400_000],
    "half": [None, -(2**31), 2**31 - 1, 0, -3, 12],
    "digit": list(range(-9, 10)),
    "signal": [
        None,
        Number("-100000000000"),
        Number("100000000000"),
        Number("0.000001"),
        Number("-1.5"),
        Number("2.5"),
    ],
    "share": [Number(0), Number(100), Number("0.5"), Number("99.999999"), Number("33.333333")],
    "operator": [None, "Vodafone", "VODAFONE", "San José", "İstanbul Σ", "x'y", "📶 5G", "a"],
    'Cell "A" ID': ["", "1", "a%b", "Vodafone", "straße", "\u017f"],
    "type": ["CALL", "TEXT"],
    "begin": [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59), datetime(2021, 7, 18, 8), datetime(1969, 12, 31)],  # noqa: DTZ001
    "end": [None, datetime(9999, 12, 31), datetime(1, 1, 1, 0, 0, 1), datetime(2021, 7, 18, 8, 5)],  # noqa: DTZ001
    "day": [None, date(1, 1, 1), date(9999, 12, 31), date(2021, 7, 18), date(2021, 7, 19)],
    "clock": [time(0), time(23, 59, 59), time(8, 5)],
    "seen": [None, datetime(2021, 7, 18, 7, 59, 59, 999_999), datetime(2021, 7, 18, 8, 0, 0, 1)],  # noqa: DTZ001
    "roaming": [None, True, False],
}
CONSTANTS = {
    "number": ["0", "1", "2", "5", "7", "60", "300000", "0.5", "1.25", "0.000001", "9223372036854775807", "99.9"],
    "text": ["''", "'a'", "'Vodafone'", "'x''y'", "'San José'", "'5'", "'📶'", "'CALL'"],
    "boolean": ["true", "false"],
    "timestamp": [
        "timestamp('2021-07-18 08:00:00')",
        "timestamp('0001-01-01 00:00:00')",
        "timestamp('2021-07-18 08:00:00.000001')",
    ],
    "date": ["date('2021-07-18')", "date('9999-12-31')"],
    "time": ["time('08:05:00')", "time('00:00:00')"],
}
OF_KIND = {
    "number": ["whole", "count", "half", "digit", "signal", "share"],
    "text": ["operator", '"Cell ""A"" ID"', "type"],
    "timestamp": ["begin", "end", "seen"],
    "date": ["day"],
    "time": ["clock"],
    "boolean": ["roaming"],
}
KINDS = list(OF_KIND)
MISTAKES = ("128 bits", "decimal places", "characters", "no order", "cannot be compared")


def random_row(chance: random.Random) -> dict[str, Any]:
    return {name: chance.choice(values) for name, values in EDGES.items()}


def random_text(chance: random.Random, kind: str, depth: int, of_kind: Mapping[str, list[str]] = OF_KIND) -> str:
    """The text of a random expression of a kind, at most so deep, over columns that are given by kind."""
    if depth <= 0 or chance.random() < 0.15:
        columns = of_kind[kind]
        return chance.choice(columns if columns and chance.random() < 0.7 else CONSTANTS[kind])

    def inner(of: str) -> str:
        return random_text(chance, of, depth - 1, of_kind)

    anything = chance.choice(KINDS)
    shared = [
        lambda: f"coalesce({inner(kind)}, {inner(kind)})",
        lambda: f"if({inner('boolean')}, {inner(kind)}, {inner(kind)})",
    ]
    if kind != "boolean":
        shared.append(lambda: f"{chance.choice(['min', 'max'])}({inner(kind)}, {inner(kind)}, {inner(kind)})")
    numbers = [
        lambda: f"({inner('number')} {chance.choice('+-*')} {inner('number')})",
        lambda: f"({inner('number')} {chance.choice('+-')} {inner('number')})",
        lambda: f"(floor({inner('number')}) {chance.choice(['//', '%'])} {chance.choice(['1', '5', '7', '300000'])})",
        lambda: f"-{inner('number')}",
        lambda: f"abs({inner('number')})",
        lambda: f"round({inner('number')}, {chance.randrange(7)})",
        lambda: f"round({inner('number')})",
        lambda: f"floor({inner('number')})",
        lambda: f"length({inner('text')})",
        lambda: (lambda of: f"seconds_between({inner(of)}, {inner(of)})")(chance.choice(["timestamp", "date", "time"])),
    ]
    conditions = [
        lambda: f"({inner(anything)} {chance.choice(['=', '!='])} {inner(anything)})",
        lambda: (
            lambda of: f"({inner(of)} {chance.choice(['<', '<=', '>', '>=', '=', '!=', '==', '<>'])} {inner(of)})"
        )(chance.choice(["number", "number", "text", "timestamp", "date", "time"])),
        lambda: f"({inner('boolean')} {chance.choice(['and', 'or', 'AND', 'OR'])} {inner('boolean')})",
        lambda: f"({inner('boolean')} or {inner('boolean')} or {inner('boolean')})",
        lambda: f"(not {inner('boolean')})",
        lambda: f"is_missing({inner(anything)})",
        lambda: f"{chance.choice(['starts_with', 'ends_with', 'contains'])}({inner('text')}, {inner('text')})",
        lambda: (
            f"({inner(anything)} {chance.choice(['in', 'not in'])} "
            f"({', '.join(chance.choice(CONSTANTS[anything]) for _ in range(chance.randrange(1, 4)))}))"
        ),
    ]
    choices = {"number": numbers, "boolean": conditions, "text": [lambda: f"lower({inner('text')})"]}.get(kind, [])
    return chance.choice(choices * 3 + shared)()


def parsed_or_mistake(text: str) -> Expression | str:
    try:
        return expression(text, COLUMNS)
    except ExpressionError as error:
        return str(error)


def python_value(parsed: Expression, row: dict[str, Any]) -> tuple[bool, Any]:
    """True with the value, or False if it is too large."""
    try:
        return True, parsed.of(row)
    except TooLarge:
        return False, None


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        quoted = ", ".join(
            f'"{name.replace(chr(34), chr(34) * 2)}" {column.sql_type}' for name, column in COLUMNS.items()
        )
        opened.execute(f"CREATE TABLE rows ({quoted})")
        yield opened


def test_sql_gives_what_python_gives_for_random_expressions(connection):
    chance = random.Random(20210718)  # noqa: S311  test data need no secrecy
    rows = [random_row(chance) for _ in range(40)]
    connection.executemany(
        f"INSERT INTO rows VALUES ({', '.join('?' * len(COLUMNS))})", [[*row.values()] for row in rows]
    )
    parsed_cases, kinds = 0, set()
    for _ in range(CASES):
        text = random_text(chance, chance.choice(KINDS), chance.randrange(1, 5))
        parsed = parsed_or_mistake(text)
        if isinstance(parsed, str):
            # The only mistakes that these can make.
            assert any(word in parsed for word in MISTAKES), (text, parsed)
            continue
        parsed_cases += 1
        kinds.add(parsed.type)
        expected = [python_value(parsed, row) for row in rows]
        found = connection.execute(f"SELECT {parsed.fits_sql}, {parsed.sql} FROM rows").fetchall()
        for row, one, other in zip(rows, expected, found, strict=True):
            assert one == other, (text, row, parsed.sql)
            assert type(one[1]) is type(other[1]), (text, row)
            assert parsed.optional or one[1] is not None or not one[0], (text, row)
    assert parsed_cases > 0.7 * CASES
    assert len(kinds) == 7
