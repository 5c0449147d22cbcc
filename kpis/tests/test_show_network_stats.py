"""The newest results on the terminal: exact output."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.kpis import KPIS
from kpis.models import CellUniqueUsers, IntervalSummary, ServiceTrafficVolume

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
    common = {**span, "records": 9, "batches": 1, "state": state, "updated_at": start}
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


def test_the_newest_hour(hours, capsys):
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


def test_the_newest_five_minutes(hours, capsys):
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


def test_nothing_yet(capsys):
    call_command("show_network_stats")
    assert capsys.readouterr().out == (
        "Services by traffic: bytes up and down\n"
        "Nothing yet for 1 hour: no such interval has been taken in.\n"
        "\n"
        "Cells by unique users: distinct subscriber numbers (msisdn)\n"
        "Nothing yet for 1 hour: no such interval has been taken in.\n"
    )


def test_a_length_that_no_kpi_has(capsys):
    call_command("show_network_stats", "--interval=1d")
    assert capsys.readouterr().out == "No KPI has intervals of 1 day.\n"


@pytest.mark.parametrize(("options", "titles"), [([], 1), (["--personal"], 2)])
def test_personal_kpis_are_left_out_unless_asked_for(hours, capsys, monkeypatch, options, titles):
    monkeypatch.setitem(KPIS, 2, replace(KPIS[2], personal=True))
    call_command("show_network_stats", *options)
    assert capsys.readouterr().out.count("rank  ") == titles


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--interval=2h", "--interval must be one of 5m, 1h, 1m, 1d, not '2h'."),
        ("--top=0", "--top must be at least 1, not 0."),
    ],
)
def test_wrong_use_is_told(option, message):
    with pytest.raises(CommandError) as error:
        call_command("show_network_stats", option)
    assert str(error.value) == message
    assert error.value.returncode == 2
