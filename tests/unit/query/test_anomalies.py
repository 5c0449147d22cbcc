"""Anomalies: values far from those of their group before, held to a plain twin."""

from __future__ import annotations

import random
import statistics
import sys
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, to_text
from kpis.catalog.registry import KPIS
from kpis.models.result_models import result_model
from kpis.query import series
from kpis.query.anomalies import Verdict, anomalies
from tests.answers import csv_rows, json_rows, parquet_rows
from tests.factories import group, make_result, make_user, utc, values
from tests.unit.api.test_api_pages import links, walk

HOUR = utc("2021-07-17T23:00:00")
LENGTH = FIVE_MINUTES.delta


def judge(past: list, value: float, threshold: float) -> tuple | None:
    """The verdict of Python's statistics module on a value: (mean, deviation, z), or None where it is no anomaly."""
    exact = [Fraction(one) for one in past]
    mean, variance = statistics.mean(exact), statistics.variance(exact)
    if variance == 0:
        return None if value == mean else (float(mean), 0.0, None)
    if (Fraction(value) - mean) ** 2 < Fraction(threshold) ** 2 * variance:
        return None
    deviation = statistics.stdev(past)
    return float(mean), deviation, float(Fraction(value) - mean) / deviation


def twin(rows: list[tuple], window: int, threshold: float) -> list[tuple]:
    """The anomalies of (group, interval number, value) rows, each found by looking through all of them again."""
    found = []
    for name, number, value in rows:
        if value is None:
            continue
        past = [
            other
            for other_name, other_number, other in rows
            if other_name == name and number - window <= other_number < number and other is not None
        ]
        if len(past) < 2 or 2 * len(past) < window:
            continue
        verdict = judge(past, value, threshold)
        if verdict:
            found.append((name, number, value, *verdict, len(past)))
    return found


def found_by(rows: list[tuple], window: int, threshold: float) -> list[tuple]:
    named_rows = ((name, HOUR + number * LENGTH, value, (name, number, value)) for name, number, value in rows)
    return [
        (*row, verdict.mean, verdict.deviation, verdict.z, verdict.intervals)
        for row, verdict in anomalies(named_rows, FIVE_MINUTES, window, threshold)
    ]


def assert_same(found: list[tuple], expected: list[tuple]) -> None:
    assert [(*row[:3], row[6]) for row in found] == [(*row[:3], row[6]) for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one[3:5] == pytest.approx(other[3:5], rel=1e-12, abs=0)
        assert one[5] == (None if other[5] is None else pytest.approx(other[5], rel=1e-12))


def seeded(seed: int, whole: bool, groups: int = 4, intervals: int = 80) -> list[tuple]:
    """Rows with gaps, peaks, level stretches and missing values, by interval."""
    chance = random.Random(seed)  # noqa: S311
    rows = []
    for number in range(intervals):
        for name in range(groups):
            if chance.random() < 0.25:
                continue
            base = (10 ** (4 * name)) if whole else 0.1 * 10**name
            value = base * chance.choice([1, 1, 1, 2, 3, 50]) if name else base
            if chance.random() < 0.05:
                value = None if not whole else value * 100
            rows.append((f"g{name}", number, int(value) if whole and value is not None else value))
    return rows


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("window", "threshold"), [(12, 3), (2, 1), (3, 0.5), (5, 2), (40, 0), (288, 3)])
def test_anomalies_are_those_of_the_twin(seed, whole, window, threshold):
    rows = seeded(seed, whole)
    expected = twin(rows, window, threshold)
    assert_same(found_by(rows, window, threshold), expected)
    assert expected or window == 288


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 2**63 - 1), st.integers(0, 3)), max_size=30),
    st.integers(2, 8),
    st.sampled_from([0, 0.5, 1, 3]),
)
def test_whole_numbers_of_64_bits_are_judged_exactly(series_values, window, threshold):
    rows = [("a", number, value) for number, value in enumerate(series_values)]
    assert_same(found_by(rows, window, threshold), twin(rows, window, threshold))


@given(st.lists(st.integers(-(10**17), 10**17).map(lambda n: n / 10**6), max_size=20), st.integers(2, 6))
def test_decimal_numbers_are_judged_exactly(series_values, window):
    rows = [("a", number, value) for number, value in enumerate(series_values)]
    found = found_by(rows, window, 1.5)
    assert [row[:3] for row in found] == [row[:3] for row in twin(rows, window, 1.5)]


def verdicts(numbers: list, window: int = 4, threshold: float = 3) -> list[tuple]:
    return [(row[1], *row[3:]) for row in found_by([("a", n, v) for n, v in enumerate(numbers)], window, threshold)]


def test_value_is_held_against_the_sample_deviation_of_the_window_before_it():
    # 2, 4, 4, 6: mean 4, squares 8, sample deviation sqrt(8 / 3).
    deviation = (8 / 3) ** 0.5
    assert verdicts([2, 4, 4, 6, 10]) == [(4, 4.0, deviation, 6 / deviation, 4)]
    assert verdicts([2, 4, 4, 6, 8]) == []
    assert verdicts([2, 4, 4, 6, -10]) == [(4, 4.0, deviation, -14 / deviation, 4)]


def test_threshold_itself_is_reached():
    # 1, 3: mean 2, sample deviation sqrt(2); 4 is sqrt(2) deviations away. 1, 2, 3: deviation 1; 5 is 3 away.
    assert verdicts([1, 2, 3, 5], window=3, threshold=3) == [(3, 2.0, 1.0, 3.0, 3)]
    assert verdicts([1, 2, 3, 5], window=3, threshold=3.0000001) == []
    assert verdicts([10**18 + 1, 10**18 + 2, 10**18 + 3, 10**18 + 5], window=3)[0][2:4] == (1.0, 3.0)


def test_level_window_lets_equal_values_pass_and_reports_any_other_without_z():
    assert verdicts([5, 5, 5, 5, 5]) == []
    assert verdicts([5, 5, 5, 5, 6]) == [(4, 5.0, 0.0, None, 4)]
    assert verdicts([0.1, 0.1, 0.1, 0.1, 0.1]) == []
    assert verdicts([5, 5, 5, 5, 5], threshold=0) == []


def test_number_of_deviations_stays_a_number_however_large():
    ((_, _, _, z, _),) = verdicts([0.0, 1e-300, 0.0, 1e-300, -1e12])
    assert z == -(sys.float_info.max**0.5)


def test_gaps_are_no_zeros_and_half_of_the_window_must_be_there():
    rows = [("a", 0, 1), ("a", 3, 3), ("a", 4, 100)]
    assert [row[1] for row in found_by(rows, 4, 3)] == [4]
    assert found_by(rows, 5, 3) == []
    assert found_by([("a", 0, 1), ("a", 3, 3), ("a", 5, 100)], 4, 3) == []


def test_missing_value_is_a_gap():
    assert verdicts([None, 1, None, 3, None, 100], window=5) == []
    assert [row[0] for row in verdicts([None, 1, None, 3, None, 100], window=4)] == [5]


def test_groups_are_judged_apart():
    rows = [(name, number, value) for number in range(4) for name, value in (("a", 1 + number % 2), ("b", 900))]
    assert found_by(rows, 4, 3) == []


def test_verdict_says_how_many_intervals_it_rests_on():
    assert next(anomalies([(1, HOUR + n * LENGTH, v, n) for n, v in enumerate([1, 1, 2])], FIVE_MINUTES, 3, 1)) == (
        2,
        Verdict(1.0, 0.0, None, 2),
    )


# --- in the API


def fill(kpi, rows: list[tuple], length=FIVE_MINUTES, spelled=str) -> None:
    """Result rows of (group number, interval number, value), ranked as they come."""
    model = result_model(kpi)
    ranks: dict[int, int] = {}
    made = []
    for name, number, value in rows:
        ranks[number] = ranks.get(number, 0) + 1
        start = HOUR + number * length.delta
        made.append(
            model(
                interval_start_timestamp=start,
                interval_end_timestamp=start + length.delta,
                interval=length.code,
                rank=ranks[number],
                **{k: spelled(v) if isinstance(v, str) else v for k, v in group(kpi, name).items()},
                **values(kpi, value),
            )
        )
    model.objects.bulk_create(made)


def numbered(seed: int, whole: bool) -> list[tuple]:
    return [(int(name[1:]) + 1, number, value) for name, number, value in seeded(seed, whole)]


# KPIs whose values other columns do not bound.
SEEDED = [(1, True), (2, True), (4, True), (5, True), (7, False), (8, False), (9, True), (11, True)]


@pytest.mark.django_db
@pytest.mark.parametrize(("kpi_id", "whole"), SEEDED)
def test_rows_are_those_of_the_twin(client, kpi_id, whole, django_assert_num_queries):
    kpi = KPIS[kpi_id]
    client.force_login(make_user("view_personal"))
    rows = numbered(kpi_id, whole)
    fill(kpi, rows)
    fill(kpi, [(9, number, 10 ** (number % 9)) for number in range(40)], ONE_HOUR)
    found = client.get(f"/api/KPIs/{kpi_id}/anomalies/?threshold=3&window=12&interval=1").json()
    expected = twin(rows, 12, 3)
    assert expected
    assert len(found) == len(expected)
    for row, (name, number, value, mean, deviation, z, intervals) in zip(found, expected, strict=True):
        start = HOUR + number * LENGTH
        stored = result_model(kpi).objects.get(pk=row["id"])
        assert stored.interval_start_timestamp == start
        assert row == {
            "id": stored.pk,
            "interval_start_timestamp": to_text(start),
            "interval_end_timestamp": to_text(start + LENGTH),
            "interval": 1,
            **group(kpi, name),
            "value": value,
            "mean": pytest.approx(mean, rel=1e-12),
            "deviation": pytest.approx(deviation, rel=1e-12),
            "z": None if z is None else pytest.approx(z, rel=1e-12),
            "intervals_in_window": intervals,
        }


@pytest.fixture
def peaks():
    """KPI 1: three groups of 1, 2, 1, 2, ... with a peak each, at intervals 20, 30 and 40; and hours of them."""
    rows = [
        (name, number, 1000 if number == 10 * name + 10 else 1 + number % 2)
        for number in range(60)
        for name in (1, 2, 3)
    ]
    for length in (FIVE_MINUTES, ONE_HOUR):
        fill(KPIS[1], rows, length)


def at(number: int) -> str:
    return to_text(HOUR + number * LENGTH)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3]),
        ("interval=&threshold=&window=", [1, 2, 3]),
        ("service_id=2", [2]),
        ("service_id=4", []),
        ("threshold=1e9", []),
        (f"interval_start_timestamp={at(30)}", [2]),
        (f"interval_start_timestamp__gte={at(30)}", [2, 3]),
        (f"interval_start_timestamp__gt={at(30)}", [3]),
        (f"interval_start_timestamp__lte={at(30)}", [1, 2]),
        (f"interval_start_timestamp__lt={at(30)}", [1]),
        (f"interval_end_timestamp={at(31)}", [2]),
        (f"interval_end_timestamp__gte={at(31)}", [2, 3]),
        (f"interval_end_timestamp__gt={at(31)}", [3]),
        (f"interval_end_timestamp__lte={at(31)}", [1, 2]),
        (f"interval_end_timestamp__lt={at(31)}", [1]),
        (f"interval_start_timestamp__gt={at(20)}&interval_end_timestamp__lt={at(41)}&window=24", [2]),
        (f"interval_start_timestamp__gt={at(30)}&interval_start_timestamp__lt={at(30)}", []),
        ("interval_start_timestamp__gt=9999-12-31T23:59:59.999999Z", []),
        ("interval_end_timestamp__lt=1000-01-01", []),
        ("interval_start_timestamp__gte=1000-01-01", [1, 2, 3]),
        ("interval_start_timestamp__lte=9999-12-31T23:59:59.999999Z", [1, 2, 3]),
    ],
)
def test_filters_choose_verdicts_and_leave_the_windows_whole(client, peaks, query, expected):
    response = client.get(f"/api/KPIs/1/anomalies/?{query}")
    assert response.status_code == 200
    assert [row["service_id"] for row in response.json() if row["value"] == 1000] == expected


@pytest.mark.django_db
def test_other_interval_lengths_have_windows_of_their_own(client, peaks):
    rows = client.get("/api/KPIs/1/anomalies/?interval=2&threshold=100").json()
    assert [row["interval_start_timestamp"] for row in rows] == [
        to_text(HOUR + number * ONE_HOUR.delta) for number in (20, 30, 40)
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("threshold", "-1", "Ensure this value is greater than or equal to 0."),
        ("threshold", "nan", "Enter a number."),
        ("threshold", "inf", "Enter a number."),
        ("threshold", "1e999", "Enter a number."),
        ("threshold", "three", "Enter a number."),
        ("threshold", "%00", "Enter a number."),
        ("window", "1", "Ensure this value is greater than or equal to 2."),
        ("window", "289", "Ensure this value is less than or equal to 288."),
        ("window", "2.5", "Enter a whole number."),
        ("interval", "3", "Choose one of: 1 (5 minutes), 2 (1 hour)."),
        ("interval_start_timestamp__gte", "x", "Enter a moment in ISO 8601, such as 2021-07-18T00:05:00Z."),
        ("service_id", "x", "Enter a whole number."),
        ("page_size", "0", "Ensure this value is greater than or equal to 1."),
        ("cursor", "x", "Damaged: take it as it stands in a Link header of this list."),
    ],
)
def test_wrong_value_is_named_with_its_reason(client, parameter, value, reason):
    response = client.get(f"/api/KPIs/1/anomalies/?{parameter}={value}")
    assert (response.status_code, response.json()) == (400, {parameter: [reason]})


@pytest.mark.django_db
def test_the_rank_is_no_filter_here(client):
    # A filter by rank would make gaps where a group is not among the first.
    assert list(client.get("/api/KPIs/1/anomalies/?rank__lte=3").json()) == ["rank__lte"]


@pytest.mark.django_db
def test_folded_groups_are_one_whatever_their_spelling(client):
    rows = [(1, number, value) for number, value in enumerate([1.0, 2.0, 1.0, 2.0, 50.0])]
    for one in rows:
        fill(KPIS[7], [one], spelled=str.upper if one[1] % 2 else str.lower)
    (found,) = client.get("/api/KPIs/7/anomalies/?window=4&operator=g1").json()
    assert (found["operator"], found["value"], found["mean"]) == ("g1", 50.0, 1.5)
    assert client.get("/api/KPIs/7/anomalies/?window=4&operator=g2").json() == []


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("examined", [1, 7, 50, 200_000])
def test_pages_hold_every_anomaly_once_and_in_order(client, peaks, monkeypatch, size, examined):
    address = "/api/KPIs/1/anomalies/?threshold=0.7&window=2"
    whole = [row["id"] for row in client.get(f"{address}&page_size=10000").json()]
    assert len(whole) > 10
    monkeypatch.setattr(series, "ROWS_A_PAGE", examined)
    pages = walk(client, f"{address}&page_size={size}")
    assert [row for page in pages for row in page] == whole
    assert max(map(len, pages)) <= size


@pytest.mark.django_db
def test_page_without_anomalies_still_says_where_the_next_one_is(client, peaks, monkeypatch):
    monkeypatch.setattr(series, "ROWS_A_PAGE", 30)
    response = client.get("/api/KPIs/1/anomalies/")
    assert response.json() == []
    assert "next" in links(response)


@pytest.mark.django_db
def test_a_page_is_two_queries_and_a_file_one(client, peaks, django_assert_num_queries):
    with django_assert_num_queries(2):
        client.get("/api/KPIs/1/anomalies/?page_size=1")
    for form in ("csv", "parquet"):
        with django_assert_num_queries(1):
            client.get(f"/api/KPIs/1/anomalies/?format={form}").getvalue()


@pytest.mark.django_db
def test_files_hold_the_same_rows(client, peaks):
    address = "/api/KPIs/1/anomalies/?threshold=100"
    expected = json_rows(client.get(address))
    assert len(expected) == 3
    for row, from_csv, from_parquet in zip(
        expected,
        csv_rows(client.get(f"{address}&format=csv")),
        parquet_rows(client.get(f"{address}&format=parquet")),
        strict=True,
    ):
        assert list(row) == list(from_csv) == list(from_parquet)
        assert {name: str(value) for name, value in row.items()} == from_csv
        for name in ("id", "service_id", "value", "mean", "deviation", "z", "intervals_in_window"):
            assert from_parquet[name] == row[name]


@pytest.mark.django_db
def test_top_list_that_a_group_left_is_a_gap(client):
    for number, value in enumerate([1, 2, 1, None, 2, 900]):
        if value:
            make_result(KPIS[1], HOUR + timedelta(minutes=5 * number), 1, service_id=1, total_bytes=value)
    (row,) = client.get("/api/KPIs/1/anomalies/?window=5").json()
    assert (row["mean"], row["intervals_in_window"]) == (1.5, 4)
