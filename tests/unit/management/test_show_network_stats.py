"""The newest results on the terminal: exact output."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE
from kpis.catalog.registry import KPIS
from kpis.management.commands import show_network_stats
from kpis.models import CellUniqueUsers, IntervalSummary, ServiceTrafficVolume
from tests.factories import make_result, make_summary

pytestmark = pytest.mark.django_db

MIDNIGHT = datetime(2021, 7, 18, tzinfo=UTC)


def add_interval(start: datetime, minutes: int, code: int, state: str, services: dict, cells: dict, users: int):
    """One interval of both KPIs; ``services`` and ``cells`` in rank order, ``users`` over all cells."""
    span = {
        "interval_start_timestamp": start,
        "interval_end_timestamp": start + timedelta(minutes=minutes),
        "interval": code,
    }
    for rank, (service, volume) in enumerate(services.items(), 1):
        ServiceTrafficVolume.objects.create(rank=rank, service_id=service, total_bytes=volume, **span)
    for rank, (cell, number) in enumerate(cells.items(), 1):
        CellUniqueUsers.objects.create(rank=rank, cell_id=cell, number_of_unique_users=number, **span)
    common = {**span, "records": 9, "batches": 1, "state": state, "updated_at": start, "first_computed_at": start}
    IntervalSummary.objects.create(kpi=1, total=12_345_678_999, groups=1_200, **common)
    IntervalSummary.objects.create(kpi=2, total=users, groups=len(cells), **common)


@pytest.fixture
def hours():
    """Two hours and a 5-minute interval."""
    add_interval(MIDNIGHT, 60, 2, "final", {9: 1}, {9: 1}, users=1)
    add_interval(
        MIDNIGHT + timedelta(hours=1),
        60,
        2,
        "provisional",
        services={3: 12_345_670_000, 1: 8_000, 100: 999},
        cells={-5: 1_004, 20001: 3},
        users=1_005,
    )
    add_interval(MIDNIGHT, 5, 1, "final", {7: 7}, {70: 1}, users=1)


@pytest.fixture
def two_kpis(monkeypatch):
    """A catalog of KPIs 1 and 2 alone."""
    monkeypatch.setattr(show_network_stats, "KPIS", {1: KPIS[1], 2: KPIS[2]})


def test_the_newest_hour(two_kpis, hours, capsys):
    call_command("show_network_stats")
    assert capsys.readouterr().out == (
        "Services by traffic: bytes up and down\n"
        "2021-07-18T01:00:00Z to 2021-07-18T02:00:00Z, provisional; "
        "bytes in all: 12,345,678,999; groups: 1,200\n"
        "\n"
        "rank  service_id     total_bytes\n"
        "   1           3  12,345,670,000\n"
        "   2           1           8,000\n"
        "   3         100             999\n"
        "\n"
        "Cells by unique users: distinct subscriber numbers (msisdn)\n"
        "2021-07-18T01:00:00Z to 2021-07-18T02:00:00Z, provisional; users in all: 1,005; groups: 2\n"
        "\n"
        "rank  cell_id  number_of_unique_users\n"
        "   1       -5                   1,004\n"
        "   2    20001                       3\n"
    )


def test_the_newest_five_minutes(two_kpis, hours, capsys):
    call_command("show_network_stats", "--interval=5m")
    assert capsys.readouterr().out == (
        "Services by traffic: bytes up and down\n"
        "2021-07-18T00:00:00Z to 2021-07-18T00:05:00Z, final; bytes in all: 12,345,678,999; groups: 1,200\n"
        "\n"
        "rank  service_id  total_bytes\n"
        "   1           7            7\n"
        "\n"
        "Cells by unique users: distinct subscriber numbers (msisdn)\n"
        "2021-07-18T00:00:00Z to 2021-07-18T00:05:00Z, final; users in all: 1; groups: 1\n"
        "\n"
        "rank  cell_id  number_of_unique_users\n"
        "   1       70                       1\n"
    )


def test_the_first_ranks_alone(hours, capsys):
    call_command("show_network_stats", "--top=1")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("   ")] == [["1", "3"], ["1", "-5"]]


def test_nothing_yet(two_kpis, capsys):
    call_command("show_network_stats")
    assert capsys.readouterr().out == (
        "Services by traffic: bytes up and down\n"
        "No data yet for 1 hour: no such interval has been ingested.\n"
        "\n"
        "Cells by unique users: distinct subscriber numbers (msisdn)\n"
        "No data yet for 1 hour: no such interval has been ingested.\n"
    )


def test_a_length_that_no_kpi_has(capsys):
    call_command("show_network_stats", "--interval=1d")
    assert capsys.readouterr().out == "No KPI has intervals of 1 day.\n"


def lines_of(capsys, kpi: int, *options: str) -> list[str]:
    """The lines shown of one KPI, below its description."""
    call_command("show_network_stats", *options)
    lines = capsys.readouterr().out.splitlines()
    descriptions = {one.description for one in KPIS.values()}
    (first,) = [number for number, line in enumerate(lines, 1) if line == KPIS[kpi].description]
    last = next((number for number, line in enumerate(lines) if number >= first and line in descriptions), None)
    return lines[first : last and last - 1]


def test_means_are_shown_with_their_samples_and_a_dash_where_there_are_none(capsys):
    make_summary(7, MIDNIGHT, ONE_HOUR, total=None, mean=12.34567, groups=2)
    columns = {"number_of_samples": 1_234, "number_of_empty_values": 1}
    make_result(KPIS[7], MIDNIGHT, 1, ONE_HOUR, operator="Órange", average_signal=14.0, **columns)
    columns = {"number_of_samples": 0, "number_of_empty_values": 3}
    make_result(KPIS[7], MIDNIGHT, 2, ONE_HOUR, operator="", average_signal=None, **columns)
    assert lines_of(capsys, 7) == [
        "2021-07-18T00:00:00Z to 2021-07-18T01:00:00Z, final; ASU on average: 12.3457; groups: 2",
        "",
        "rank  operator  average_signal  number_of_samples  number_of_empty_values",
        "   1    Órange         14.0000              1,234                       1",
        "   2    (none)               -                  0                       3",
    ]


def test_an_interval_without_any_sample_has_no_mean(capsys):
    make_summary(8, MIDNIGHT, ONE_HOUR, total=None, mean=None, groups=0)
    assert "; m on average: -; groups: 0" in lines_of(capsys, 8)[0]


def test_the_newest_minute_with_several_dimensions_and_values(capsys):
    make_summary(11, MIDNIGHT, FIVE_MINUTES)
    make_summary(11, MIDNIGHT, ONE_MINUTE, total=3, groups=2)
    for rank, kind, calls in ((1, "CALL", 2), (2, "TEXT", 1)):
        columns = {"operator": "A", "call_type": kind, "number_of_calls": calls, "market_share": calls / 3}
        make_result(KPIS[11], MIDNIGHT, rank, ONE_MINUTE, **columns)
    assert lines_of(capsys, 11, "--interval=1m") == [
        "2021-07-18T00:00:00Z to 2021-07-18T00:01:00Z, final; calls in all: 3; groups: 2",
        "",
        "rank  operator  call_type  number_of_calls  market_share",
        "   1         A       CALL                2        0.6667",
        "   2         A       TEXT                1        0.3333",
    ]


@pytest.mark.parametrize("length", [FIVE_MINUTES, ONE_HOUR, ONE_MINUTE])
@pytest.mark.parametrize("personal", [False, True])
def test_every_kpi_that_has_the_length_is_shown_the_personal_ones_only_if_asked_for(capsys, length, personal):
    shown = [kpi for kpi in KPIS.values() if length in kpi.lengths and (personal or not kpi.personal)]
    for kpi in KPIS.values():
        for any_length in kpi.lengths:
            make_result(kpi, MIDNIGHT, 1, any_length)
            make_summary(kpi.id, MIDNIGHT, any_length)
    options = ["--personal"] if personal else []
    code = {FIVE_MINUTES: "5m", ONE_HOUR: "1h", ONE_MINUTE: "1m"}[length]
    call_command("show_network_stats", f"--interval={code}", *options)
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line in {kpi.description for kpi in KPIS.values()}] == [
        kpi.description for kpi in shown
    ]
    assert out.count("rank  ") == len(shown)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--interval=2h", "--interval must be one of 1m, 5m, 15m, 1h, 1d, 1w, 1mo, not '2h'."),
        ("--top=0", "--top must be at least 1, not 0."),
    ],
)
def test_wrong_use_is_reported(option, message):
    with pytest.raises(CommandError) as error:
        call_command("show_network_stats", option)
    assert str(error.value) == message
    assert error.value.returncode == 2
