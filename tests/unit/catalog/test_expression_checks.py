"""Checks, derived columns and filters that are written as expressions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as Number

import pytest

from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.builtin.ipflow import IPFLOW, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.checks import check_expression, column_types, derived_column
from kpis.catalog.columns import Date, Decimal, Integer, ISOTimestamp, MonthFirst, Text
from kpis.catalog.expressions import ExpressionError, condition, expression
from kpis.catalog.feeds import BadRow, Range
from kpis.catalog.registry import KPIS
from kpis.catalog.result_columns import BadEntry
from kpis.formats.judge import checked
from kpis.lake.tables import records_table

TYPES = {
    "a": Integer(),
    "b": Integer(minimum=-(2**63)),
    "c": Integer(optional=True),
    "d": Decimal(minimum=-1, maximum=1),
    "t": Text(longest=7),
    "o": Text(longest=3, optional=True),
    "begin": MonthFirst(),
    "day": Date(optional=True),
    "end": MonthFirst(),
    "late": MonthFirst(optional=True),
}
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
ROW = {
    "interval_start_timestamp": 1_626_566_400_000,
    "interval_end_timestamp": 1_626_566_700_000,
    "msisdn": 1,
    "bytes_uplink": 2**62,
    "bytes_downlink": 5,
    "service_id": 1,
    "cell_id": 1,
}


def _time_range(**bounds: timedelta) -> Range:
    return Range(of="end", less="begin", **bounds)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a <= 3", Range(of="a", most=3)),
        ("a < 3", Range(of="a", most=2)),
        ("3 < a", Range(of="a", least=4)),
        ("a >= -3", Range(of="a", least=-3)),
        ("a = 5", Range(of="a", least=5, most=5)),
        ("b - a = 300000", Range(of="b", less="a", least=300_000, most=300_000)),
        ("b - a >= 0", Range(of="b", less="a", least=0)),
        ("a % 5 = 0", Range(of="a", step=5)),
        ("(b - a) % 60 = 0", Range(of="b", less="a", step=60)),
        # Seconds are rounded down: 300.999999 of them are 300, and -0.5 are -1.
        ("seconds_between(begin, end) = 300", _time_range(least=300 * SECOND, most=301 * SECOND - MICROSECOND)),
        ("seconds_between(begin, end) >= 0", _time_range(least=timedelta(0))),
        ("seconds_between(begin, end) > 0", _time_range(least=SECOND)),
        ("seconds_between(begin, end) <= 60", _time_range(most=61 * SECOND - MICROSECOND)),
        ("60 > seconds_between(begin, end)", _time_range(most=60 * SECOND - MICROSECOND)),
        ("seconds_between(begin, end) = -1", _time_range(least=-SECOND, most=-MICROSECOND)),
    ],
)
def test_a_simple_check_is_a_range(text, values):
    assert check_expression("x", "is wrong", text, TYPES).range == values


@pytest.mark.parametrize(
    "text",
    [
        *("a != 3", "a % 5 = 1", "a % 5 < 1", "c <= 3", "a + b = 3", "a = b", "d <= 1", "a <= 0.5", "t = 'x'"),
        *("not a = 3", "seconds_between(begin, end) != 300", "seconds_between(begin, late) = 300"),
        "seconds_between(begin, end) < 1000000000000",
    ],
)
def test_other_checks_are_no_range(text):
    assert check_expression("x", "is wrong", text, TYPES).range is None


def test_a_check_holds_unless_it_is_false():
    check = check_expression("c", "is too large", "c <= 3", TYPES)
    assert (check.column, check.reason) == ("c", "is too large")
    assert [check.holds({"c": value}) for value in (3, 4, None)] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("a + 1", Integer(minimum=1)),
        ("a % 60", Integer(minimum=0, maximum=59)),
        ("b + a", Integer(minimum=-(2**63))),
        ("c // 2", Integer(optional=True, minimum=0, maximum=2**62 - 1)),
        ("if(a > 1, 1, 0)", Integer(minimum=0, maximum=1)),
        ("d * 2", Decimal(minimum=-2, maximum=2)),
        ("d + 0.5", Decimal(minimum=-1, maximum=2)),
        ("lower(t)", Text(longest=7)),
        ("coalesce(o, t)", Text(longest=7)),
        ("coalesce(o, 'none')", Text(longest=4)),
        ("if(a > 1, o, 'x')", Text(longest=3, optional=True)),
        ("max(o, t)", Text(longest=7)),
        ("begin", ISOTimestamp()),
        ("day", Date(optional=True)),
    ],
)
def test_a_derived_column_has_the_type_of_its_expression(text, type_):
    column = derived_column("x", text, TYPES, "units")
    assert (column.name, column.type, column.unit) == ("x", type_, "units")


def test_the_lake_says_how_a_derived_column_is_computed():
    kilo = derived_column("kilo", "bytes_uplink // 1000", column_types(IPFLOW.columns), "kB")
    units = {column.name: column.unit for column in records_table(replace(IPFLOW, derived=(kilo,))).columns}
    assert units["kilo"] == "kB; 0 to 9223372036854775; computed as bytes_uplink // 1000"
    assert units["bytes_uplink"] == "bytes; 0 or more"


def test_a_derived_column_is_not_true_or_false():
    with pytest.raises(ExpressionError, match="a column is not true or false: write if"):
        derived_column("x", "a > 1", TYPES)


def test_what_a_file_may_lack_is_optional_in_expressions():
    types = column_types(COVERAGE.columns, COVERAGE.place)
    assert {name for name in ("date", "lat", "long") if types[name].optional} == {"date", "lat", "long"}
    assert not types["status"].optional


def test_a_record_has_its_derived_columns_and_checks_may_use_them():
    total = derived_column("total", "bytes_uplink + bytes_downlink", column_types(IPFLOW.columns))
    feed = replace(IPFLOW, derived=(total,))
    kilo = derived_column("kilo", "round(total * 0.001, 3)", column_types(feed.record_columns))
    feed = replace(feed, derived=(total, kilo), checks=())
    check = check_expression("total", "is 0", "total > 0", column_types(feed.record_columns))
    feed = replace(feed, checks=(check,))
    found = checked(feed, ROW | {"bytes_uplink": 1_000})
    assert {name: found[name] for name in ("total", "kilo")} == {"total": 1_005, "kilo": Number("1.005")}
    with pytest.raises(BadRow, match=r"^total is 0$"):
        checked(feed, ROW | {"bytes_uplink": 0, "bytes_downlink": 0})
    with pytest.raises(BadRow, match=r"^total is beyond 64 bits$"):
        checked(feed, ROW | {"bytes_downlink": 2**62})


@pytest.mark.parametrize(
    ("text", "columns", "reason"),
    [
        ("a", TYPES, "its filter 'a' is integer, and must be a condition, true or false"),
        ("a > 1", TYPES, "its filter needs the column a, which the feed ipflow does not have"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(text, columns, reason):
    with pytest.raises(BadEntry) as raised:
        replace(SERVICE_TRAFFIC_VOLUME, filter=expression(text, columns))
    assert str(raised.value) == f"KPI 1 (ServiceTrafficVolume): {reason}."


def test_the_notes_of_a_kpi_name_its_filter():
    filtered = replace(SERVICE_TRAFFIC_VOLUME, filter=condition("msisdn > 1", column_types(IPFLOW.columns)))
    assert filtered.notes == "Counts only records for which `msisdn > 1` is true."
    assert SERVICE_TRAFFIC_VOLUME.notes == ""


def test_a_kpi_of_anothers_partials_has_no_filter():
    (derived,) = [kpi for kpi in KPIS.values() if kpi.partials_of is not None][:1]
    with pytest.raises(BadEntry, match="it has a filter, but is computed from the partials of"):
        replace(derived, filter=condition("bytes > 1", column_types(derived.feed.columns)))
