"""Expressions by example, in Python and in SQL."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import date, datetime, time
from decimal import Decimal as Number

import duckdb
import pytest

from kpis.catalog.columns import Date, Decimal, Integer, MonthFirst, Text, TimeOfDay
from kpis.catalog.expressions import Expression, TooLarge, Type, condition, expression

COLUMNS = {
    "up": Integer(),
    "down": Integer(),
    "delta": Integer(minimum=-(2**63)),
    "cell": Integer(bits=32, minimum=-(2**31)),
    "signal": Decimal(optional=True),
    "operator": Text(optional=True),
    "Cell name": Text(),
    "begin": MonthFirst(),
    "end": MonthFirst(),
    "day": Date(),
    "clock": TimeOfDay(),
}
ROW = {
    "up": 1_000,
    "down": 2**63 - 1,
    "delta": -7,
    "cell": 2_000_000_000,
    "signal": Number("-97.500000"),
    "operator": "Movistar España",
    "Cell name": "it's",
    "begin": datetime(2021, 7, 18, 23, 59, 30),  # noqa: DTZ001  these times have no zone
    "end": datetime(2021, 7, 19, 0, 1, 0),  # noqa: DTZ001
    "day": date(2021, 7, 18),
    "clock": time(8, 5),
}
EXAMPLES = [
    ("up + 1 - 2 * 3", 995),
    ("-up", -1_000),
    ("(1 + 2) * 3", 9),
    ("1 - 2 - 3", -4),
    ("delta // 2", -4),
    ("delta % 2", 1),
    ("up // 300", 3),
    ("up % 300", 100),
    ("cell * 2", 4_000_000_000),
    ("signal + 1", Number("-96.5")),
    ("signal * 2", Number("-195")),
    ("round(signal * 0.5, 6)", Number("-48.75")),
    ("signal < -97.4", True),
    ("0.1 + 0.2 = 0.3", True),
    ("floor(signal)", -98),
    ("round(signal)", -97),
    ("round(2.5)", 3),
    ("round(-2.5)", -2),
    ("round(1.25, 1)", Number("1.3")),
    ("abs(signal)", Number("97.5")),
    ("min(up, 5, signal)", Number("-97.5")),
    ("max(up, 5)", 1_000),
    ("down + 1 > down", True),
    ("down * down > 0", True),
    ("up = 1000 and up == 1000 and up != 1001 and up <> 1001", True),
    ("up < 1000 or up >= 1001", False),
    ("not up <= 1000", False),
    ("up in (1, 1000.0)", True),
    ("up not in (1, 2)", True),
    ("true or false and false", True),
    ("not true or true", True),
    ("'it''s' = \"Cell name\"", True),
    ("operator", "Movistar España"),
    ("lower(operator)", "movistar españa"),
    ("lower('ÀB')", "Àb"),
    ("length(operator)", 15),
    ("length('📶')", 1),
    ("starts_with(operator, 'Movi')", True),
    ("ends_with(operator, 'a')", True),
    ("contains(operator, 'ñ')", True),
    ("contains(operator, 'movi')", False),
    ("starts_with(operator, '%')", False),
    ("'b' > 'a' and 'a' > 'B'", True),
    ("if(up > 500, 'high', 'low')", "high"),
    ("coalesce(operator, 'none')", "Movistar España"),
    ("is_missing(operator)", False),
    ("seconds_between(begin, end)", 90),
    ("seconds_between(end, begin)", -90),
    ("seconds_between(day, date('2021-07-20'))", 172_800),
    ("seconds_between(clock, time('08:00:00'))", -300),
    ("begin >= timestamp('2021-07-18 23:59:30')", True),
    ("day in (date('2021-07-18'), date('2021-07-19'))", True),
    ("day", date(2021, 7, 18)),
    ("max(clock, time('09:00:00'))", time(9)),
    ("begin", datetime(2021, 7, 18, 23, 59, 30)),  # noqa: DTZ001
]
# What comes of a row without signal and operator.
MISSING = [
    ("signal + 1", None),
    ("signal > 0", None),
    ("signal in (1, 2)", None),
    ("not signal > 0", None),
    ("operator = ''", None),
    ("operator != 'a'", None),
    ("length(operator)", None),
    ("signal > 0 and false", False),
    ("signal > 0 and true", None),
    ("signal > 0 or true", True),
    ("signal > 0 or false", None),
    ("min(signal, up)", Number(1_000)),
    ("max(signal, signal)", None),
    ("coalesce(signal, 0.5)", Number("0.5")),
    ("coalesce(operator, 'none')", "none"),
    ("is_missing(signal)", True),
    ("if(signal > 0, 1, 2)", 2),
    ("if(is_missing(signal), 1, 2)", 1),
]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        columns = ", ".join(f'"{name}" {column.sql_type}' for name, column in COLUMNS.items())
        opened.execute(f"CREATE TABLE rows ({columns})")
        yield opened


def in_sql(connection, parsed: Expression, row: dict):
    connection.execute("DELETE FROM rows")
    connection.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(row))})", [*row.values()])
    return connection.execute(f"SELECT {parsed.sql}, {parsed.fits_sql} FROM rows").fetchone()


@pytest.mark.parametrize(("text", "value"), EXAMPLES)
def test_an_expression_has_this_value(connection, text, value):
    parsed = expression(text, COLUMNS)
    found = parsed.of(ROW)
    assert (found, type(found)) == (value, type(value))
    assert in_sql(connection, parsed, ROW) == (value, True)


@pytest.mark.parametrize(("text", "value"), MISSING)
def test_a_missing_value_is_neither_true_nor_false(connection, text, value):
    parsed, row = expression(text, COLUMNS), ROW | {"signal": None, "operator": None}
    assert parsed.of(row) == value
    assert in_sql(connection, parsed, row) == (value, True)
    assert parsed.optional or value is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("down + 1", "is beyond 64 bits"),
        ("0 - down - 2", "is beyond 64 bits"),
        ("down + 0.5", "is 1,000,000,000,000 or more"),
        ("signal * 100000000000", "is 1,000,000,000,000 or more"),
    ],
)
def test_a_value_that_does_not_fit_is_no_value(connection, text, reason):
    parsed = expression(text, COLUMNS)
    with pytest.raises(TooLarge) as raised:
        parsed.of(ROW)
    assert str(raised.value) == reason
    assert in_sql(connection, parsed, ROW) == (None, False)


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("up + 1", Type.INTEGER),
        ("up + 1.0", Type.DECIMAL),
        ("operator", Type.TEXT),
        ("up > 1", Type.BOOLEAN),
        ("day", Type.DATE),
        ("clock", Type.TIME),
        ("begin", Type.TIMESTAMP),
    ],
)
def test_an_expression_has_this_type(text, type_):
    assert expression(text, COLUMNS).type is type_


def test_an_expression_names_the_columns_that_it_uses_in_order():
    assert expression("if(\"Cell name\" = 'x', up, down) + up", COLUMNS).columns == ("Cell name", "up", "down")
    assert expression("1 + 1", COLUMNS).columns == ()


def test_a_pickled_expression_is_the_same_one():
    parsed = condition("up + down > 0 and operator != 'x'", COLUMNS)
    again = pickle.loads(pickle.dumps(parsed))  # noqa: S301  it is our own
    assert again == parsed
    assert hash(again) == hash(parsed)
    assert again.of(ROW) is True


def test_the_parser_is_imported_with_the_first_expression_alone():
    late = "'lark', 'kpis.catalog.expressions.nodes', 'kpis.engine.scan_expressions'"
    code = f"import sys, kpis.pipeline, kpis.engine.scanner; assert not {{{late}}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
