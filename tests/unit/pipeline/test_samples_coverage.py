"""Sample coverage logs: as real ones are written, and with what analysts look for in them."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from statistics import mean

import pytest

from kpis.sample import SAMPLES, make_files

# 17:00 in California.
AFTERNOON = datetime(2021, 7, 18, 1, 0, tzinfo=UTC)
ROWS, SEED = 4000, 3


@pytest.fixture(scope="module")
def hour(tmp_path_factory) -> dict[datetime, list[dict[str, str]]]:
    """An hour's logs by the start of their file's interval."""
    hour = {}
    paths = make_files(SAMPLES["coverage"], tmp_path_factory.mktemp("hour"), AFTERNOON, 12, ROWS, SEED)
    for index, path in enumerate(paths):
        with path.open(newline="") as file:
            hour[AFTERNOON + index * timedelta(minutes=5)] = list(csv.DictReader(file))
    return hour


@pytest.fixture(scope="module")
def logs(hour) -> list[dict[str, str]]:
    return [log for logs in hour.values() for log in logs]


def share(logs, holds) -> float:
    return sum(map(holds, logs)) / len(logs)


def test_a_row_is_spelled_as_a_real_one(tmp_path):
    (path,) = make_files(SAMPLES["coverage"], tmp_path, AFTERNOON, 1, 1000, SEED)
    header, *rows = path.read_text().splitlines()
    assert header == (
        "hour,lat,long,signal,network,operator,status,description,speed,satellites,precission,provider,activity,"
        "postal_code"
    )
    name = "[A-Za-z ]*"
    row = re.compile(
        r"01:0[0-4]:[0-5][0-9],[34][0-9]\.[0-9]{1,5},-1[12][0-9]\.[0-9]{1,5},([0-9]{0,2})"
        rf",{name},{name},[0-3],STATE_[A-Z_]+,[0-9]+\.[0-9],[0-9]+\.0,([0-9]+\.0)?,(gps|fused),[A-Z_]+,([0-9]{{5}}\.0)?"
    )
    assert [one for one in rows if not row.fullmatch(one)] == []


def test_files_are_numbered_through_the_day_of_universal_time(tmp_path):
    made = make_files(SAMPLES["coverage"], tmp_path, datetime(2021, 7, 18, 23, 55, tzinfo=UTC), 2, 10, SEED)
    assert [path.name for path in made] == ["coverage_data.2021-07-18.288.csv", "coverage_data.2021-07-19.1.csv"]


def test_every_place_is_in_california(logs):
    """From 32.5 to 42 N; the east border runs along 120 W, and from 39 N straight to 35 N 114.6 W."""
    for log in logs:
        latitude, longitude = float(log["lat"]), float(log["long"])
        assert 32.5 < latitude < 42
        east = -120 + max(0, 39 - latitude) * 5.4 / 4
        # The coast, roughly: some of the land lies further west, but none of the towns does.
        west = -124.3 if latitude > 39 else -122.8 + max(0, 37.5 - latitude)
        assert west < longitude < east


def test_operators_have_uneven_shares_and_several_spellings(logs):
    spellings = Counter(log["operator"] for log in logs if log["operator"])
    folded = Counter()
    for spelling, count in spellings.items():
        folded[spelling.lower()] += count
    assert len(spellings) > len(folded) >= 5
    ordered = [count for _, count in folded.most_common(5)]
    assert ordered[0] > 5 * ordered[-1]


def test_operators_differ_in_signal(logs):
    signals = defaultdict(list)
    for log in logs:
        if log["signal"] and log["operator"]:
            signals[log["operator"].lower()].append(int(log["signal"]))
    means = [mean(values) for values in signals.values()]
    assert max(means) - min(means) > 5
    assert all(0 <= value <= 31 for values in signals.values() for value in values)


@pytest.mark.parametrize("column", ["signal", "operator", "network", "precission", "postal_code"])
def test_some_values_are_empty(logs, column):
    assert 0.002 < share(logs, lambda log: not log[column]) < 0.15


@pytest.mark.parametrize(
    "column", ["hour", "lat", "long", "status", "description", "speed", "satellites", "provider", "activity"]
)
def test_other_values_are_never_empty(logs, column):
    assert share(logs, lambda log: not log[column]) == 0


def test_status_and_description_say_the_same(logs):
    assert {(log["status"], log["description"]) for log in logs} == {
        ("0", "STATE_IN_SERVICE"),
        ("1", "STATE_OUT_OF_SERVICE"),
        ("2", "STATE_EMERGENCY_ONLY"),
        ("3", "STATE_POWER_OFF"),
    }


def test_phones_without_service_have_no_signal_and_no_operator(logs):
    for log in logs:
        if log["status"] in "13":
            assert (log["signal"], log["network"], log["operator"]) == ("", "", "")


def test_one_postal_code_is_out_of_service_from_17_10_to_17_50(hour):
    out = {}
    for start, logs in hour.items():
        statuses = defaultdict(set)
        for log in logs:
            statuses[log["postal_code"]].add(log["status"])
        out[start] = {code for code, seen in statuses.items() if seen == {"1"}}
    begin, end = AFTERNOON + timedelta(minutes=10), AFTERNOON + timedelta(minutes=50)
    assert out == {start: {"90101.0"} if begin <= start < end else set() for start in hour}


def test_elsewhere_nearly_all_is_well(logs):
    assert share([log for log in logs if log["postal_code"] != "90101.0"], lambda log: log["status"] == "0") > 0.97


def test_speed_goes_with_what_people_do(logs):
    speeds = defaultdict(list)
    for log in logs:
        speeds[log["activity"]].append(float(log["speed"]))
    assert mean(speeds["IN_VEHICLE"]) > mean(speeds["ON_BICYCLE"]) > mean(speeds["ON_FOOT"]) > mean(speeds["STILL"])


def test_places_without_satellites_are_those_that_were_put_together_otherwise(logs):
    assert {log["provider"] for log in logs if log["satellites"] == "0.0"} == {"fused"}
    assert 0.05 < share(logs, lambda log: log["provider"] == "fused") < 0.2
