"""A check that is a range says the same in Python, in SQL and to the compiled scanner."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pytest

from kpis.catalog.feeds import Range, check_range

HOUR = timedelta(hours=1)
START = datetime(2021, 7, 18)  # noqa: DTZ001  these times have no zone


@pytest.fixture(scope="module")
def connection():
    """An in-memory DuckDB of these tests' own."""
    with duckdb.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        (Range(least=5), {4: False, 5: True, 6: True}),
        (Range(most=5), {5: True, 6: False}),
        (Range(least=5, most=5), {4: False, 5: True, 6: False}),
        (Range(step=5), {-5: True, 0: True, 4: False, 10: True}),
        (Range(less="b", least=0, step=2), {99: False, 100: True, 101: False, 102: True}),
        (Range(), {-1: True}),
    ],
)
def test_a_range_of_whole_numbers(connection, values, holds):
    check = check_range("a", "is out of range", values)
    assert (check.column, check.reason, check.range) == ("a", "is out of range", values)
    assert {a: check.holds({"a": a, "b": 100}) for a in holds} == holds
    for a, expected in holds.items():
        query = f"SELECT {check.sql} FROM (SELECT {a} AS a, 100 AS b)"
        assert connection.execute(query).fetchall() == [(expected,)]


def test_a_range_of_the_time_between_two_moments(connection):
    check = check_range("b", "is too late", Range(less="a", least=timedelta(0), most=HOUR))
    holds = {timedelta(seconds=-1): False, timedelta(0): True, HOUR: True, timedelta(seconds=3601): False}
    assert {span: check.holds({"a": START, "b": START + span}) for span in holds} == holds
    for span, expected in holds.items():
        query = f"SELECT {check.sql} FROM (SELECT TIMESTAMP '{START}' AS a, TIMESTAMP '{START + span}' AS b)"
        assert connection.execute(query).fetchall() == [(expected,)]
