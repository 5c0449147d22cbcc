"""What is wrong with an expression is said with its place, and what to do."""

from __future__ import annotations

import pytest

from kpis.catalog.columns import Date, Decimal, Integer, MonthFirst, Text
from kpis.catalog.expressions import ExpressionError, condition, expression

COLUMNS = {
    "bytes_up": Integer(),
    "bytes_down": Integer(),
    "signal": Decimal(),
    "operator": Text(),
    "begin": MonthFirst(),
    "end": MonthFirst(),
    "day": Date(),
}
WRONG = [
    ("", 1, "the expression is empty"),
    ("  \n", 1, "the expression is empty"),
    ("bytes_up +", 11, "the expression ends too early: a value is missing"),
    ("(bytes_up > 1", 14, "the expression ends too early: a ) is missing"),
    ("bytes_up > 1)", 13, "')' cannot stand here: no ( belongs to it"),
    ("1 < bytes_up < 3", 14, "'<' cannot stand here: comparisons cannot be chained: write a < b and b < c"),
    ("bytes_up bytes_down", 10, "'bytes_down' cannot stand here: an operator such as + or and is missing before it"),
    ("bytes_up > > 1", 12, "'>' cannot stand here: a value is missing before it"),
    ("bytes_up & 1", 10, "'&' cannot stand here: write and"),
    (
        "bytes_up / 8 > 1",
        10,
        "'/' cannot stand here: write // for the quotient rounded down; there is no other division",
    ),
    ("operator = 'x", 12, "\"'\" cannot stand here: the text has no closing quote '"),
    ("bytes_upp > 1", 1, "there is no column bytes_upp; did you mean bytes_up?"),
    ("BYTES_UP > 1", 1, "there is no column BYTES_UP; did you mean bytes_up?"),
    (
        "1 < xyz",
        5,
        "there is no column xyz; there are begin, bytes_down, bytes_up, day, end, operator, signal",
    ),
    ("true = abs", 8, "there is no column abs, write () behind it to call the function"),
    ("lenght(operator) > 1", 1, "there is no function lenght; did you mean length?"),
    ("abs(bytes_up, 1) > 1", 1, "abs takes 1 value, not 2: abs(x)"),
    ("min(bytes_up) > 1", 1, "min takes 2 or more values, not 1: min(a, b, ...)"),
    ("bytes_up > 1 and operator", 18, "and needs conditions, but this is a text"),
    ("not bytes_up", 5, "not needs a condition, but this is a number"),
    ("operator + 1 > 0", 1, "+ needs numbers, but this is a text"),
    ("length(bytes_up) > 1", 8, "length needs a text here, but this is a number"),
    ("operator > 5", 12, "a text cannot be compared with a number"),
    ("begin > '2021-07-18'", 9, "a time cannot be compared with a text: write timestamp('2021-07-18 08:05:00')"),
    ("day = '2021-07-18'", 7, "a date cannot be compared with a text: write date('2021-07-18')"),
    ("day = date('2021-7-18')", 12, "write a date as in date('2021-07-18')"),
    ("end - begin > 5", 1, "write seconds_between(begin, end) for the time between two times"),
    ("bytes_up in (1, bytes_down)", 17, "the list behind in has only constants: write = and or instead"),
    ("bytes_up in (1, 'a')", 17, "a number cannot be compared with a text"),
    ("bytes_up % 0 = 0", 12, "% needs a whole number above 0, such as 60, behind it"),
    ("bytes_up // bytes_down > 1", 13, "// needs a whole number above 0, such as 60, behind it"),
    ("signal % 2 = 0", 1, "% needs whole numbers: write floor(...)"),
    ("signal = 0.1234567", 10, "a decimal number has at most six decimal places"),
    ("bytes_up = 9999999999999999999", 12, "the number is beyond 64 bits"),
    (
        "bytes_up * bytes_up * bytes_up > 1",
        21,
        "this may be beyond 128 bits: give its columns bounds (at_most), or multiply fewer of them",
    ),
    (
        "floor(" + "*".join(["0.000001"] * 7) + ") = 0",
        60,
        "this has 42 decimal places, and at most 36 are computed",
    ),
    (
        "(0 - bytes_up * bytes_up - bytes_up * bytes_up) // 7 < 0 and "
        "(0 - bytes_up * bytes_up - bytes_up * bytes_up + bytes_up * bytes_up) % 7 = 0",
        132,
        "this may be beyond 128 bits: give its columns bounds (at_most), or multiply fewer of them",
    ),
    ("if(true, 1, 'a') = 1", 13, "this is a text, but what stands before it is a number"),
    ("true < false", 1, "true and false have no order: < cannot compare them"),
    ("bytes_up", 1, "this is a number, but a condition is true or false: compare it, as in ... > 0"),
]


@pytest.mark.parametrize(("text", "position", "reason"), WRONG)
def test_a_wrong_condition_is_refused_with_its_place(text, position, reason):
    with pytest.raises(ExpressionError) as raised:
        condition(text, COLUMNS)
    assert (raised.value.position, raised.value.reason) == (position, reason)
    assert str(raised.value) == f"character {position}: {reason}"


def test_a_value_of_too_many_places_is_refused():
    with pytest.raises(ExpressionError, match=r"character 1: the value has 7 decimal places, and 6 are kept"):
        expression("signal * 0.5", COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1_999 + "1",
        "(" * 2_000,
        "not " * 400 + "true",
        "+".join(["bytes_up"] * 200),
        "round(" * 300 + "1" + ")" * 300,
        "x" * 2_000,
        "x" * 10_000_000,
        "9" * 2_000,
        "0." + "9" * 1_900,
        "'" + "a" * 1_999,
        '"' * 1_999,
        " in ".join(["1"] * 400),
        "lambda: 1",
        "__import__('os')",
        "(1).__class__",
        "[1][0]",
        "f'{1}'",
        "1; DROP TABLE x",
        "1 -- 1) OR (1=1",
        "\0",
        "1\0",
        "\ud83d",
        "1 # 2",
        "select 1",
        "case when true then 1 end",
    ],
    ids=lambda text: text[:20],
)
def test_a_hostile_text_is_refused(text):
    with pytest.raises(ExpressionError) as raised:
        expression(text, COLUMNS)
    assert len(str(raised.value)) < 300


def test_an_expression_may_be_as_large_as_this():
    row = dict.fromkeys(COLUMNS, 1)
    assert condition(" or ".join([f"bytes_up={number}" for number in range(2, 120)]), COLUMNS).of(row) is False
    assert expression("+".join(["bytes_up"] * 45), COLUMNS).of(row) == 45
    assert expression("(" * 900 + "bytes_up" + ")" * 900, COLUMNS).of(row) == 1


def test_a_name_or_text_with_quotes_stays_a_name_or_text():
    odd = {'a"; DROP TABLE x; --': Integer()}
    parsed = expression('"a""; DROP TABLE x; --"', odd)
    assert parsed.sql == 'TRY_CAST(CAST("a""; DROP TABLE x; --" AS BIGINT) AS BIGINT)'
    assert expression("'''; DROP TABLE x; --'", odd).sql == "'''; DROP TABLE x; --'"
