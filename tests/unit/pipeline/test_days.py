"""Days of the time zone from files to API, console and CSV; pruned parts of them, and another zone."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from unittest.mock import Mock

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIRequestFactory

from kpis.api.viewsets import anomaly_viewset, result_viewset
from kpis.catalog.intervals import ONE_DAY, ONE_MONTH, ONE_WEEK, to_text
from kpis.catalog.registry import whole_from
from kpis.console import selection
from kpis.health.doctor import days
from kpis.models import Batch, DueRollup, IntervalSummary, LakeBinding, Watermark
from kpis.models.result_models import result_model
from kpis.store.dialects import Verdict
from kpis.store.ledger import DatabaseLedger
from kpis.store.rollups import RollupLedger
from tests.visits import KPIS, VISITS, Visit, visits, write

pytestmark = pytest.mark.django_db(transaction=True)

SIZE, SUBSCRIBERS = 1001, 1002
BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def visit(text: str, cell: int, subscriber: int, size: int = 1) -> Visit:
    return int(at(text).timestamp()), cell, subscriber, f"device-{subscriber}", size


@pytest.fixture
def berlin(settings):
    settings.TIME_ZONE = BERLIN
    with visits(settings):
        yield settings


def update(*arguments: str) -> str:
    out = io.StringIO()
    try:
        call_command("update_network_stats", *arguments, stdout=out, stderr=out)
    except SystemExit as ended:
        out.write(f"ended with {ended.code}\n")
    return out.getvalue()


def totals(kpi: int, length, *columns: str) -> list[tuple]:
    found = IntervalSummary.objects.filter(kpi=kpi, interval=length.code).order_by("interval_start_timestamp")
    rows = found.values_list("interval_start_timestamp", "interval_end_timestamp", *columns)
    return [(to_text(start), to_text(end), *rest) for start, end, *rest in rows]


# The 25 hours of 2025-10-26, its last one, and the days about it; the last record closes the month.
AUTUMN = [
    visit("2025-10-25T21:59", 1, 9),
    visit("2025-10-25T22:00", 1, 1),
    visit("2025-10-26T00:30", 1, 1),
    visit("2025-10-26T01:30", 1, 2),
    visit("2025-10-26T22:59", 1, 2),
    visit("2025-10-26T22:59", 2, 2),
    visit("2025-10-26T23:00", 1, 8),
    visit("2025-11-30T23:00", 1, 7),
]
DAY_OF_25_HOURS = "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"


def test_a_day_of_25_hours_is_one_interval_with_its_distinct_subscribers(data_dir, berlin):
    write(data_dir, "1", AUTUMN)
    update()
    assert totals(SUBSCRIBERS, ONE_DAY, "total", "records", "groups", "state") == [
        ("2025-10-24T22:00:00Z", "2025-10-25T22:00:00Z", 1, 1, 1, "final"),
        (*DAY_OF_25_HOURS, 2, 5, 2, "final"),
        ("2025-10-26T23:00:00Z", "2025-10-27T23:00:00Z", 1, 1, 1, "final"),
    ]
    assert totals(SUBSCRIBERS, ONE_WEEK, "total", "records") == [
        ("2025-10-19T22:00:00Z", "2025-10-26T23:00:00Z", 3, 6),
        ("2025-10-26T23:00:00Z", "2025-11-02T23:00:00Z", 1, 1),
    ]
    assert totals(SUBSCRIBERS, ONE_MONTH, "total", "records") == [
        ("2025-09-30T22:00:00Z", "2025-10-31T23:00:00Z", 4, 7)
    ]


def test_the_api_csv_and_console_show_it_as_one_interval(client, data_dir, berlin, monkeypatch):
    # The API has addresses of the KPIs that there are when it is imported.
    monkeypatch.setattr(selection.Selection, "api_address", lambda self: "/api/KPIs/")
    write(data_dir, "1", AUTUMN)
    update()

    def answered(view, **parameters):
        request = APIRequestFactory().get("/api/KPIs/1002/", {"interval": "4", **parameters})
        return view.as_view({"get": "list"})(request)

    rows = answered(result_viewset(KPIS[SUBSCRIBERS]), interval_start_timestamp=DAY_OF_25_HOURS[0])
    assert [(row["rank"], row["cell"], row["figure"]) for row in rows.data] == [(1, 1, 2), (2, 2, 1)]
    # By its end too, which no other day has 25 hours before.
    for lookup, starts in (("", [1]), ("__gte", [1, 2]), ("__gt", [2]), ("__lte", [0, 1]), ("__lt", [0])):
        rows = answered(result_viewset(KPIS[SUBSCRIBERS]), **{f"interval_end_timestamp{lookup}": DAY_OF_25_HOURS[1]})
        days = ["2025-10-24T22:00:00Z", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"]
        found = sorted({to_text(row["interval_start_timestamp"].replace(tzinfo=UTC)) for row in rows.data})
        assert found == [days[number] for number in starts], lookup
    # The window of two days before the last one has 49 hours.
    (anomaly,) = answered(anomaly_viewset(KPIS[SUBSCRIBERS]), window="2", threshold="0").data
    assert list(anomaly.values())[-5:] == [1, 1.5, 0.7071067811865476, -0.7071067811865476, 2]
    file = answered(result_viewset(KPIS[SUBSCRIBERS]), format="csv", cell="1")
    lines = b"".join(file.streaming_content if file.streaming else [file.content]).decode().splitlines()
    assert [line.partition(",")[2] for line in lines[1:]] == [
        "2025-10-24T22:00:00Z,2025-10-25T22:00:00Z,4,1,1,1",
        "2025-10-25T22:00:00Z,2025-10-26T23:00:00Z,4,1,2,1",
        "2025-10-26T23:00:00Z,2025-10-27T23:00:00Z,4,1,1,1",
    ]

    page = client.get("/kpis/1002/", {"interval": "4", "from": "2025-10-26", "to": "2025-10-27"})
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", page.content.decode())).split())
    assert page.context["selection"].window.bounds == [at(one.rstrip("Z")) for one in DAY_OF_25_HOURS]
    assert "26 Oct 2025, 00:00 (+0200) to 27 Oct 2025, 00:00 (+0100)" in words
    assert "per 1 day" in words
    explained = client.get("/explain/", {"kpi": SUBSCRIBERS, "interval": 4, "start": DAY_OF_25_HOURS[0]})
    assert explained.status_code == 200
    wrong = client.get("/explain/", {"kpi": SUBSCRIBERS, "interval": 4, "start": "2025-10-26T00:00Z"})
    assert "the one that holds it starts 2025-10-25T22:00:00Z" in unescape(wrong.content.decode())


def test_a_late_file_changes_the_day_week_and_month_that_it_touches_once(data_dir, berlin):
    write(data_dir, "1", AUTUMN)
    update()
    write(data_dir, "2", [visit("2025-10-26T05:00", 1, 3), visit("2025-10-26T06:00", 1, 3)])
    update()
    for length, revisions in ((ONE_DAY, [1, 2, 1]), (ONE_WEEK, [2, 1]), (ONE_MONTH, [2])):
        assert [revision for *_, revision in totals(SUBSCRIBERS, length, "revision")] == revisions
    assert totals(SUBSCRIBERS, ONE_DAY, "total", "previous_total")[1] == (*DAY_OF_25_HOURS, 3, 2)
    update()
    assert [revision for *_, revision in totals(SUBSCRIBERS, ONE_DAY, "revision")] == [1, 2, 1]
    # The last record's own day, week and month are open.
    assert sorted(DueRollup.objects.values_list("interval", flat=True)) == [4, 5, 7]


def test_days_of_another_zone_are_computed_only_after_a_rebuild(data_dir, berlin):
    write(data_dir, "1", AUTUMN)
    update()
    before = totals(SUBSCRIBERS, ONE_DAY, "total", "revision")
    berlin.TIME_ZONE = "Asia/Tokyo"
    write(data_dir, "2", [visit("2025-10-26T15:30", 1, 3)])
    said = update()
    assert (
        "days, weeks and months: the stored ones are of the time zone Europe/Berlin, and TIME_ZONE is Asia/Tokyo. Run "
        "manage.py update_network_stats --rebuild-days, which computes them again in Asia/Tokyo"
    ) in said
    assert said.endswith("ended with 1\n")
    assert Batch.objects.filter(status=Batch.Status.IN).count() == 2
    assert totals(SUBSCRIBERS, ONE_DAY, "total", "revision") == before

    assert [(finding.verdict, finding.text[:53]) for finding in days()] == [
        (Verdict.MEND, "the stored ones are of the time zone Europe/Berlin, a")
    ]
    said = update("--rebuild-days")
    assert said.startswith("rebuilding days, weeks and months (Asia/Tokyo)\n")
    assert "ended with" not in said
    assert list(days()) == []
    found = totals(SUBSCRIBERS, ONE_DAY, "total", "records", "revision")
    # The hours from 15:00 on are the next day's in Tokyo.
    assert found == [
        ("2025-10-25T15:00:00Z", "2025-10-26T15:00:00Z", 3, 4, 1),
        ("2025-10-26T15:00:00Z", "2025-10-27T15:00:00Z", 3, 4, 1),
    ]
    assert result_model(KPIS[SUBSCRIBERS]).objects.filter(interval=ONE_DAY.code).count() == 3
    assert "days, weeks and months" not in update()
    assert totals(SUBSCRIBERS, ONE_DAY, "total", "records", "revision") == found
    assert LakeBinding.objects.get().days_zone == "Asia/Tokyo"


def test_a_rebuild_of_days_that_is_killed_is_ended_by_the_next_run(data_dir, berlin, monkeypatch):
    write(data_dir, "1", AUTUMN)
    update()
    before = totals(SUBSCRIBERS, ONE_DAY, "total")
    with monkeypatch.context() as patched:
        patched.setattr(RollupLedger, "due_rollups", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            call_command("update_network_stats", "--rebuild-days", verbosity=0)
    assert totals(SUBSCRIBERS, ONE_DAY, "total") == []
    update()
    assert totals(SUBSCRIBERS, ONE_DAY, "total") == before
    assert sorted(DueRollup.objects.values_list("interval", flat=True)) == [4, 5, 7]


def test_a_zone_that_is_set_back_needs_a_rebuild_if_a_run_had_another(data_dir, berlin):
    write(data_dir, "1", AUTUMN)
    update()
    berlin.TIME_ZONE = "Asia/Tokyo"
    # Without a run nothing was marked for the other zone.
    berlin.TIME_ZONE = BERLIN
    assert "days, weeks and months" not in update()
    berlin.TIME_ZONE = "Asia/Tokyo"
    write(data_dir, "2", [visit("2025-10-26T22:30", 1, 3)])
    update()
    berlin.TIME_ZONE = BERLIN
    write(data_dir, "3", [visit("2025-10-26T22:35", 1, 4)])
    assert "of the time zone Europe/Berlin, and TIME_ZONE was another one since. Run" in update()
    update("--rebuild-days")
    assert totals(SUBSCRIBERS, ONE_DAY, "total")[1] == (*DAY_OF_25_HOURS, 4)


def test_the_first_zone_is_that_of_the_first_days(data_dir, berlin):
    berlin.TIME_ZONE = "Asia/Tokyo"
    update()
    berlin.TIME_ZONE = BERLIN
    write(data_dir, "1", AUTUMN)
    assert "days, weeks and months" not in update()
    assert totals(SUBSCRIBERS, ONE_DAY, "total")[1] == (*DAY_OF_25_HOURS, 2)


def test_a_rebuild_of_a_local_day_names_the_zone(data_dir, berlin):
    write(data_dir, "1", AUTUMN)
    update()
    said = update("--rebuild", "2025-10-26", "2025-10-27")
    assert said.startswith("rebuilding 26 Oct 2025, 00:00 (+0200) to 27 Oct 2025, 00:00 (+0100) (Europe/Berlin)\n")
    assert [revision for *_, revision in totals(SUBSCRIBERS, ONE_DAY, "revision")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rebuild-days", "--dry-run"], "--rebuild-days takes no files, folder, feed or dry run."),
        (
            ["--rebuild-days", "--rebuild", "2025-10-26", "2025-10-27"],
            "--rebuild-days takes no files, folder, feed or dry run or other rebuild.",
        ),
    ],
)
def test_rebuilding_days_is_all_that_a_run_does(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("update_network_stats", *arguments)


def prune_lake(before: str) -> str:
    age = datetime.now(UTC) - at(before)
    out = io.StringIO()
    call_command("prune", f"--older-than={age // timedelta(hours=1)}h", "--kind=lake", stdout=out)
    return out.getvalue()


def test_pruning_leaves_months_whole_and_what_is_late_for_a_pruned_part_fails(data_dir, berlin):
    old = [visit("2025-09-28T12:00", 1, 1), visit("2025-09-29T12:00", 1, 2), visit("2025-10-01T12:00", 1, 3)]
    write(data_dir, "1", [*old, *AUTUMN])
    update()
    said = prune_lake("2025-10-20T00:00")
    # All of October is left, though three weeks of it are older.
    assert "of visit before 2025-09-30T22:00:00Z" in said
    assert "later hours stay, as a rollup of them is due, or their 1 month is not as old" in said
    assert Watermark.objects.get().kept_from == at("2025-09-30T22:00")
    weeks = totals(SUBSCRIBERS, ONE_WEEK, "total", "revision")
    assert weeks[:2] == [
        ("2025-09-21T22:00:00Z", "2025-09-28T22:00:00Z", 1, 1),
        ("2025-09-28T22:00:00Z", "2025-10-05T22:00:00Z", 2, 1),
    ]

    # A stream's messages from before this are rejects.
    assert whole_from(VISITS.feeds["visit"], at("2025-09-30T22:00")) == at("2025-10-05T22:00")
    # Two days of this week are gone, so nothing of it can change; the month's other weeks can.
    write(data_dir, "2", [visit("2025-10-02T12:00", 1, 4)])
    assert "touches the 1 week from 2025-09-28T22:00:00Z, whose other records the lake no longer has" in update()
    write(data_dir, "3", [visit("2025-09-29T12:00", 1, 4)])
    assert "touches the interval from 2025-09-29T12:00:00Z, whose other records the lake no longer has" in update()
    write(data_dir, "4", [visit("2025-10-06T12:00", 1, 5)])
    update()
    assert totals(SUBSCRIBERS, ONE_WEEK, "total", "revision")[:2] == weeks[:2]
    assert totals(SUBSCRIBERS, ONE_MONTH, "total", "revision") == [
        ("2025-08-31T22:00:00Z", "2025-09-30T22:00:00Z", 2, 1),
        ("2025-09-30T22:00:00Z", "2025-10-31T23:00:00Z", 6, 2),
    ]

    # A rebuild, of hours or of days, keeps what it cannot compute.
    update("--rebuild", "2025-09-01", "2025-12-01")
    berlin.TIME_ZONE = "UTC"
    update("--rebuild-days")
    assert totals(SUBSCRIBERS, ONE_WEEK, "total")[:3] == [
        ("2025-09-21T22:00:00Z", "2025-09-28T22:00:00Z", 1),
        ("2025-09-28T22:00:00Z", "2025-10-05T22:00:00Z", 2),
        ("2025-10-06T00:00:00Z", "2025-10-13T00:00:00Z", 1),
    ]
    assert totals(SUBSCRIBERS, ONE_MONTH, "total") == [
        ("2025-08-31T22:00:00Z", "2025-09-30T22:00:00Z", 2),
        ("2025-10-01T00:00:00Z", "2025-11-01T00:00:00Z", 6),
    ]
    assert not DueRollup.objects.filter(interval_start_timestamp__lt=at("2025-11-01T00:00")).exists()


def test_the_clock_closes_the_newest_week_also_after_its_month(data_dir, berlin):
    write(data_dir, "1", AUTUMN[:-1])
    update()
    assert Watermark.objects.get().closed_until == at("2025-10-26T23:05")
    assert DatabaseLedger().close_by_clock(VISITS.feeds["visit"], timedelta(0))
    assert Watermark.objects.get().closed_until == at("2025-11-02T23:00")
    update()
    assert [total for *_, total in totals(SUBSCRIBERS, ONE_WEEK, "total")] == [3, 1]
    assert [total for *_, total in totals(SUBSCRIBERS, ONE_MONTH, "total")] == [4]
    assert not DueRollup.objects.exists()


def test_an_open_month_keeps_the_lake_from_its_first_hour_on(data_dir, berlin):
    write(data_dir, "1", AUTUMN[:-1])
    update()
    assert totals(SUBSCRIBERS, ONE_MONTH) == []
    assert "of visit before 2025-09-30T22:00:00Z" in prune_lake("2025-10-26T00:00")
    ledger = DatabaseLedger()
    assert ledger.prunable_before(VISITS.feeds["visit"], at("2025-12-24T00:00")) == at("2025-09-30T22:00")
