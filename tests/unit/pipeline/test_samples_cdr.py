"""Sample call detail records: as real ones are written, and with what analysts look for in them."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from statistics import median

import pytest

from kpis.sample import SAMPLES, make_files
from kpis.sample.california import COUNTIES

# 17:00 in California.
AFTERNOON = datetime(2021, 7, 18, 1, 0, tzinfo=UTC)
ROWS, SEED = 20_000, 3


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> list[dict[str, str]]:
    """The calls and texts of half an hour."""
    rows = []
    for path in make_files(SAMPLES["cdr"], tmp_path_factory.mktemp("calls"), AFTERNOON, 6, ROWS, SEED):
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %Y %H:%M:%S").replace(tzinfo=UTC)


def test_a_row_is_spelled_as_a_real_one(tmp_path):
    (path,) = make_files(SAMPLES["cdr"], tmp_path, AFTERNOON, 1, 1000, SEED)
    header, *rows = path.read_text().splitlines()
    assert header == "SourcePN,DestPN,Location,StartT,EndT,Type,Company"
    row = re.compile(
        r"555[2-9][0-9]{6},555[2-9][0-9]{6},[A-Z][A-Za-z ]+"
        r",Jul 18 2021 01:0[0-4]:[0-5][0-9],Jul 18 2021 0[0-2]:[0-5][0-9]:[0-5][0-9],(CALL|TEXT),[A-Z][A-Za-z ]+"
    )
    assert [one for one in rows if not row.fullmatch(one)] == []


def test_the_counties_are_the_58_of_the_2020_census():
    assert len(COUNTIES) == 58
    # California's people, by the same census.
    assert sum(COUNTIES.values()) == 39_538_223
    assert list(COUNTIES) == sorted(COUNTIES)


def test_counties_call_as_their_people_are_many(calls):
    counts = Counter(call["Location"] for call in calls)
    assert set(counts) <= set(COUNTIES)
    assert [county for county, _ in counts.most_common(1)] == ["Los Angeles"]
    people = sum(COUNTIES.values())
    for county, number in COUNTIES.items():
        if number > 400_000:
            assert counts[county] / len(calls) == pytest.approx(number / people, rel=0.15)
    assert sum(counts[county] for county in ("Alpine", "Sierra", "Modoc")) < 0.002 * len(calls)


def test_operators_have_uneven_shares(calls):
    counts = Counter(call["Company"] for call in calls)
    shares = {company: count / len(calls) for company, count in counts.items()}
    assert shares == pytest.approx(
        {"Pacific Mobile": 0.38, "Bear Wireless": 0.29, "Sierra Cell": 0.17, "Poppy": 0.11, "Mojave Telecom": 0.05},
        rel=0.1,
    )


def test_there_are_more_texts_than_calls(calls):
    counts = Counter(call["Type"] for call in calls)
    assert set(counts) == {"CALL", "TEXT"}
    assert 0.4 < counts["CALL"] / len(calls) < 0.5


def test_calls_last_a_minute_or_two_and_texts_no_time(calls):
    lengths = defaultdict(list)
    for call in calls[::5]:
        lengths[call["Type"]].append((moment(call["EndT"]) - moment(call["StartT"])).seconds)
    assert set(lengths["TEXT"]) == {0}
    assert 60 < median(lengths["CALL"]) < 120
    assert min(lengths["CALL"]) >= 1
    assert 1200 < max(lengths["CALL"]) <= 3600


def test_everyone_has_one_operator_and_mostly_calls_from_home(calls):
    companies, counties = defaultdict(set), defaultdict(Counter)
    for call in calls:
        companies[call["SourcePN"]].add(call["Company"])
        counties[call["SourcePN"]][call["Location"]] += 1
    assert all(len(seen) == 1 for seen in companies.values())
    several = [counts for counts in counties.values() if counts.total() > 1]
    assert len(several) > 1000
    at_one_place = sum(counts.most_common(1)[0][1] for counts in several)
    assert 0.9 < at_one_place / sum(counts.total() for counts in several) < 1


def test_no_one_calls_himself(calls):
    assert all(call["SourcePN"] != call["DestPN"] for call in calls)
