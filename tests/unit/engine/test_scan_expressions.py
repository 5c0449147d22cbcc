"""Which expressions the compiled scanner computes, and what it must not take from them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.checks import check_expression, column_types, derived_column
from kpis.catalog.columns import UUID, Boolean, Date, Integer, ISOTimestamp, MonthFirst, Text
from kpis.catalog.dimensions import Dimension
from kpis.catalog.expressions import condition, expression
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count
from kpis.engine import scan_tables, scanner
from kpis.engine.scan_expressions import can_compute
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import rows

CALLS = replace(
    CDR,
    columns=(
        *CDR.columns,
        Column("tag", Text(longest=4, optional=True)),
        Column("id", UUID()),
        Column("code", Integer(minimum=-(2**63))),
        Column("roaming", Boolean(optional=True)),
    ),
)
TYPES = column_types(CALLS.columns)
SAME_ID = "'0000000a-0000-0000-0000-000000000001'"


def counted(feed: Feed, filter: str) -> KPI:
    return KPI(
        id=1,
        name="Own",
        description="of a test",
        feed=feed,
        by=(Dimension("type", "Type"),),
        measure=Count("calls"),
        unit="calls",
        lengths=(FIVE_MINUTES,),
        filter=condition(filter, column_types(feed.record_columns)),
    )


def scanned(tmp_path, feed: Feed, filter: str, *more: str) -> tuple[int, list[tuple[int, str, str]]]:
    """The number of records that a filter counts, and the rejects, of a file of calls with more fields each."""
    line = "1,2,Los Angeles,Apr 30 2018 00:00:00,Apr 30 2018 00:01:00,CALL,Movistar"
    path = tmp_path / "cdr_data.csv"
    path.write_text("".join(f"{line},{one if one.count(',') == 3 else one + ',yes'}\n" for one in more))
    kpi = counted(feed, filter)
    assert can_scan(feed, [kpi])
    found = scan(path, feed, [kpi])
    assert found is not None
    return sum(row[-1] for row in rows(found.partials[1])), [reject[:3] for reject in found.rejects]


@pytest.mark.parametrize(
    "text",
    [
        "code + 1 > 0",
        "min(code, 3) = 3 or max(code, 5) < 6",
        "tag = 'a' or 'b' = tag or tag in ('c', 'd')",
        "Type != 'CALL'",
        f"id = {SAME_ID}",
        "is_missing(tag)",
        "coalesce(code, 1) = 1",
        "if(tag = 'a', code, 0) % 7 = 3",
        "seconds_between(StartT, EndT) > 60",
        "StartT < timestamp('2018-04-30 12:00:00')",
        "round(code * 0.5) = 2 and abs(-code) // 2 = 1",
        "true",
        "lower(tag) = 'a' and length(tag) + code > 1",
        "contains(tag, 'a') or starts_with(tag, 'a') or 'b' <= tag",
        "coalesce(tag, 'none') = 'a' and max(tag, 'a') = 'a'",
        "length('abc') = 3",
    ],
)
def test_the_scanner_computes(text):
    assert can_compute(CALLS, condition(text, TYPES))


@pytest.mark.parametrize(
    "text",
    [
        "tag = Location",
        "contains(Location, tag)",
        "coalesce(tag, Location) = 'a'",
        "starts_with(if(roaming, 'a', 'b'), 'a')",
        "if(code > 1, tag, 'a') = 'a'",
        "code < 9223372036854775808",
    ],
)
def test_the_scanner_leaves_to_the_bulk_reader(text):
    assert not can_compute(CALLS, condition(text, TYPES))
    assert not can_scan(CALLS, [counted(CALLS, text)])


def test_a_derived_text_is_left_to_the_bulk_reader():
    assert not can_scan(replace(CALLS, derived=(derived_column("place", "lower(Location)", TYPES),)), [])
    assert can_scan(replace(CALLS, derived=(derived_column("next", "code + 1", TYPES),)), [])


@pytest.mark.parametrize("text", ["Joséf", "Jos\u00e9 "])
def test_a_text_of_an_expression_that_no_row_can_have_is_not_taken_from_rows(tmp_path, text):
    rejected = [] if text.endswith(" ") else [(2, "tag", "is longer than 4 characters")]
    more = [f"José,{id_of(1)},1", f"{text},{id_of(2)},1", f",{id_of(3)},1"]
    assert scanned(tmp_path, CALLS, f"tag = '{text}' or tag = 'José'", *more) == (1 + (not rejected), rejected)


def test_a_uuid_that_is_not_in_its_canonical_form_is_no_rows(tmp_path):
    more = [f"a,{id_of(1)},1", f"a,{id_of(1).upper()},1"]
    assert scanned(tmp_path, CALLS, f"id = '{id_of(1)}'", *more) == (2, [])
    assert scanned(tmp_path, CALLS, f"id = '{id_of(1).upper()}'", *more) == (0, [])


@pytest.mark.parametrize(
    ("text", "codes", "count"),
    [
        ("code % 7 = 5", [-2, -7, 5, 12, -9], 4),
        ("code // 7 = -1", [-1, -7, -8, 0], 2),
        ("round(code * 0.1) = -1", [-15, -14, -6, -5], 3),
        # Beyond 64 bits, a row is judged, and counts all the same.
        ("code + 1 > code", [2**63 - 1, -(2**63), 0], 3),
        ("abs(code) > 5", [-(2**63), 5, -6], 2),
        ("roaming and roaming = true and not roaming != roaming and coalesce(roaming, false)", [1, 2], 2),
        ("not roaming or roaming = false or roaming in (false)", [1, 2], 0),
        ("-code > 5 or code * code = 25", [-(2**63), 5, 2**63 - 1], 2),
    ],
)
def test_a_filter_counts_these(tmp_path, text, codes, count):
    assert scanned(tmp_path, CALLS, text, *(f"a,{id_of(1)},{code}" for code in codes)) == (count, [])


def test_true_false_and_missing_are_three(tmp_path):
    more = [f"a,{id_of(1)},1,{word}" for word in ("yes", "1", "No", "", "TRUE")]
    assert scanned(tmp_path, CALLS, "roaming", *more) == (3, [])
    assert scanned(tmp_path, CALLS, "not roaming", *more) == (1, [])
    assert scanned(tmp_path, CALLS, "is_missing(roaming)", *more) == (1, [])


def test_what_depends_on_a_text_is_computed_once_for_each(tmp_path, monkeypatch):
    tags = ["a", "b", "", "José", "a", "abc", "B", "José"] * 3
    more = [f"{tag},{id_of(1)},{number}" for number, tag in enumerate(tags)]
    assert scanned(tmp_path, CALLS, "lower(tag) = 'b'", *more) == (6, [])
    assert scanned(tmp_path, CALLS, "length(tag) > 2", *more) == (9, [])
    assert scanned(tmp_path, CALLS, "is_missing(lower(tag)) or contains(tag, 'é')", *more) == (9, [])
    assert scanned(tmp_path, CALLS, "length(tag) * code > 60", *more) == (3, [])
    # At the start, and at a, b, abc and B: what is known of texts is completed five times.
    monkeypatch.setattr(scan_tables, "MOST_NEW_TEXTS", 5)
    assert scanned(tmp_path, CALLS, "lower(tag) = 'b'", *more) == (6, [])
    monkeypatch.setattr(scan_tables, "MOST_NEW_TEXTS", 4)
    assert scan(tmp_path / "cdr_data.csv", CALLS, [counted(CALLS, "lower(tag) = 'b'")]) is None


def test_a_derived_value_that_is_too_large_is_a_reject(tmp_path):
    feed = replace(CALLS, derived=(derived_column("next", "code + 1", TYPES),))
    more = [f"a,{id_of(1)},{code}" for code in (2**63 - 1, 2**63 - 2, 1)]
    assert scanned(tmp_path, feed, "next > 2", *more) == (1, [(1, "next", "is beyond 64 bits")])


def test_an_expression_as_deep_as_may_be_is_scanned(tmp_path):
    deep = "1 - (" * 45 + "code" + ")" * 45
    assert expression(deep, TYPES).of({"code": 1}) == 0
    assert scanned(tmp_path, CALLS, f"{deep} = 0", f"a,{id_of(1)},1", f"a,{id_of(1)},2") == (1, [])


def id_of(number: int) -> str:
    return f"0000000a-0000-0000-0000-{number:012}"


@pytest.mark.parametrize(
    ("type_", "since", "holds", "untils"),
    [
        # Seconds are rounded down, so that half a second before is one second before.
        (ISOTimestamp(), "2018-04-30T00:00:00.5Z", "= 0", {"00.4999": 0, "00.5": 1, "01.499999": 1, "01.5": 0}),
        (ISOTimestamp(), "2018-04-30T00:00:01Z", ">= 0", {"00.999999": 0, "01": 1}),
        (ISOTimestamp(), "2018-04-30T00:00:01Z", "> -1", {"00.999999": 0, "01": 1}),
        (ISOTimestamp(), "2018-04-30T00:00:00.25Z", "< 1", {"01.249999": 1, "01.25": 0}),
        (ISOTimestamp(), "2018-04-30T00:00:00.25Z", "<= 1", {"02.249999": 1, "02.25": 0}),
        (MonthFirst(), "Apr 30 2018 00:00:00", "= 5", {"04": 0, "05": 1, "06": 0}),
        # Dates are whole days apart: a bound between two days is rounded to a whole one within the range.
        (Date(), "2018-04-30", "= 86400", {"2018-04-30": 0, "2018-05-01": 1, "2018-05-02": 0}),
        (Date(), "2018-04-30", ">= 86401", {"2018-05-01": 0, "2018-05-02": 1}),
        (Date(), "2018-04-30", "<= 172799", {"2018-05-01": 1, "2018-05-02": 0}),
        (Date(), "2018-04-30", "> -86400", {"2018-04-29": 0, "2018-04-30": 1}),
    ],
)
def test_a_range_of_the_time_between_two_columns(tmp_path, monkeypatch, type_, since, holds, untils):
    columns = (*CDR.columns, Column("since", type_), Column("until", type_))
    check = check_expression("until", "is refused", f"seconds_between(since, until) {holds}", column_types(columns))
    assert check.range is not None
    feed = replace(CDR, columns=columns, checks=(check,))
    whole = {Date: "{}", MonthFirst: "Apr 30 2018 00:00:{}", ISOTimestamp: "2018-04-30T00:00:{}Z"}[type(type_)]
    line = "1,2,Los Angeles,Apr 30 2018 00:00:00,Apr 30 2018 00:01:00,CALL,Movistar"
    path = tmp_path / "cdr_data.csv"
    path.write_text("".join(f"{line},{since},{whole.format(until)}\n" for until in untils))
    # Only the rows that the range refuses go to the check in Python.
    judged = []
    of_line = scanner.judge
    monkeypatch.setattr(scanner, "judge", lambda *told: judged.append(told[1].number) or of_line(*told))
    found = scan(path, feed, [counted(feed, "true")])
    refused = [number for number, passes in enumerate(untils.values(), 1) if not passes]
    assert [reject[:3] for reject in found.rejects] == [(number, "until", "is refused") for number in refused]
    assert judged == refused
