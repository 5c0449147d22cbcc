"""The overview: the newest figures, what stands out, and what the day's runs did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME
from kpis.catalog.builtin.coverage import OPERATOR_SIGNAL
from kpis.catalog.builtin.ipflow import SERVICE_TRAFFIC_VOLUME
from kpis.catalog.calendar import in_zone
from kpis.catalog.intervals import ONE_DAY, ONE_MONTH, ONE_WEEK
from kpis.catalog.registry import KPIS
from kpis.console.figures import earlier
from kpis.console.newest import feed_news, newest_total
from kpis.console.standouts import standouts
from kpis.console.today import today
from kpis.models import Batch, IntervalSummary, Run, Watermark
from tests.factories import MIDNIGHT, make_batch, make_result, make_run, make_summary, make_user, utc
from tests.unit.console.test_kpi_page import text_of

pytestmark = pytest.mark.django_db

FIVE = timedelta(minutes=5)


def test_an_empty_site_says_how_to_fill_it(client):
    page = text_of(client.get("/"))
    assert "Nothing has been ingested yet." in page
    assert "There was no run yet." in page
    assert "Nothing was ingested today." in page


def test_a_feeds_newest_interval_is_that_of_its_watermark():
    Watermark.objects.create(feed="cdr", newest_interval_end=MIDNIGHT)
    Watermark.objects.create(feed="ipflow", newest_interval_end=MIDNIGHT + FIVE)
    news = feed_news(MIDNIGHT + timedelta(minutes=65), hidden=())
    assert [(one.feed.title, one.start, one.end, one.age) for one in news] == [
        ("IP flows", MIDNIGHT, MIDNIGHT + FIVE, 3600.0),
        ("Call detail records", MIDNIGHT - timedelta(minutes=1), MIDNIGHT, 3900.0),
    ]


def test_a_total_is_held_against_the_same_interval_an_hour_and_a_day_before():
    for before, total in ((timedelta(0), 90), (timedelta(hours=1), 100), (timedelta(days=1), 60), (FIVE, 7)):
        make_summary(1, MIDNIGHT - before, total=total)
    # Not of the same length, and older than a day.
    make_summary(1, MIDNIGHT - timedelta(hours=1), KPIS[1].lengths[1], total=1)
    make_summary(1, MIDNIGHT - timedelta(days=2), total=1)
    found = newest_total(SERVICE_TRAFFIC_VOLUME)
    assert (found.value, {words: one.before for words, one in found.changes.items()}) == (
        90,
        {"hour before": 100, "day before": 60},
    )
    assert [f"{one}" for one in found.changes.values()] == ["\N{MINUS SIGN}10.0 %", "+50.0 %"]


def test_days_weeks_and_months_are_compared_with_the_one_before():
    # In Berlin 2026-10-25 has 25 hours.
    sunday, monday = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)
    week, october = datetime(2026, 10, 18, 22, tzinfo=UTC), datetime(2026, 9, 30, 22, tzinfo=UTC)
    with in_zone("Europe/Berlin"):
        assert earlier(ONE_DAY, monday) == {"day before": sunday}
        assert earlier(ONE_WEEK, monday) == {"week before": week}
        assert earlier(ONE_MONTH, datetime(2026, 10, 31, 23, tzinfo=UTC)) == {"month before": october}


def test_a_total_without_an_hour_before_is_held_against_nothing():
    make_summary(1, MIDNIGHT, total=90)
    found = newest_total(SERVICE_TRAFFIC_VOLUME)
    assert [one.direction for one in found.changes.values()] == ["none", "none"]
    assert found.line == "M2.0 22.0h0"


def test_the_page_shows_each_kpis_newest_total(client):
    Watermark.objects.create(feed="ipflow", newest_interval_end=MIDNIGHT + FIVE)
    Watermark.objects.create(feed="coverage", newest_interval_end=MIDNIGHT + FIVE)
    make_summary(1, MIDNIGHT, total=745_440_863_215, groups=172)
    make_summary(1, MIDNIGHT - timedelta(hours=1), total=700_000_000_000)
    make_summary(2, MIDNIGHT, total=7037, groups=324, state=IntervalSummary.State.PROVISIONAL)
    make_summary(7, MIDNIGHT, total=None, mean=13.0125)
    response = client.get("/")
    page = text_of(response)
    assert "IP flows 18 Jul 2021, 00:00 to 00:05" in page
    assert "Service traffic volume 745.4 GB hour before up +6.5 % day before no data" in page
    assert 'title="745,440,863,215 bytes"' in response.content.decode()
    assert "Cell unique users provisional 7,037 users" in page
    assert "Operator signal 13.01 ASU" in page
    assert "true total: 745.4 GB of 172 groups" in page
    assert "over all groups, not their sum: 7,037 users of 324 groups" in page
    explain = "/explain/?kpi=1&amp;interval=1&amp;start=2021-07-18T00%3A00%3A00Z"
    assert f'href="{explain}"' in response.content.decode()
    assert 'data-chart="/kpis/1/top.json?interval=1&amp;from=2021-07-18T00%3A00%3A00Z' in response.content.decode()


def make_series(county: str, *calls: int) -> None:
    """A county's calls in the five minutes up to midnight."""
    for number, value in enumerate(calls):
        start = MIDNIGHT - (len(calls) - number) * FIVE
        rank = 1 if county == "Kern" else 2
        make_result(COUNTY_CALL_VOLUME, start, rank, county=county, number_of_calls=value)
        if rank == 1:
            make_summary(10, start)


def test_what_stands_out_is_what_the_api_calls_an_anomaly_the_farthest_first(client):
    make_series("Kern", *[100, 102] * 6, *[101] * 10, 140, 101)
    make_series("Inyo", *[50] * 22, 50, 51)
    found = standouts(hidden=())
    assert [(one.words, one.value, one.verdict.z is None) for one in found] == [
        ("Inyo", 51, True),
        ("Kern", 140, False),
    ]
    rows = client.get("/api/KPIs/10/anomalies/").json()
    assert {(row["county"], row["value"], row["z"]) for row in rows} == {
        (one.words, one.value, one.verdict.z) for one in found
    }
    page = text_of(client.get("/standouts/"))
    assert "2 in all" in page
    assert "Inyo County call volume 17 Jul 2021, 23:55 51 calls 50.00 calls all before equal Explain" in page
    assert (
        f"Kern County call volume 17 Jul 2021, 23:50 140 calls 101.00 calls +{found[1].verdict.z:.1f} Explain" in page
    )


def test_what_stood_out_more_than_an_hour_ago_is_not_news():
    make_series("Kern", *[100, 102] * 6, 140, *[101] * 12)
    assert standouts(hidden=()) == []


def test_where_nothing_stands_out_the_page_says_so(client):
    make_series("Kern", *[100, 102] * 12)
    assert text_of(client.get("/standouts/")) == "No anomalies."


def test_a_standout_leads_to_its_group_and_interval():
    make_series("Kern", *[100, 102] * 6, *[101] * 11, 140)
    chosen = standouts(hidden=())[0].selection
    assert (chosen.group, chosen.at) == ({"county": "Kern"}, MIDNIGHT - FIVE)
    assert chosen.start <= chosen.at < chosen.end


def test_the_day_begins_at_midnight_of_the_zone(settings):
    settings.TIME_ZONE = "America/Los_Angeles"
    now = utc("2021-07-18T12:00")
    for started_at in ("2021-07-18T06:59", "2021-07-18T07:00", "2021-07-18T11:00"):
        run = make_run(utc(started_at))
        make_batch(run, f"ipflow_data.{started_at}.csv", utc(started_at), records=10, rejects=2, lines=12)
    make_batch(run, "cdr_data.1.csv", utc("2021-07-18T11:01"), feed="cdr", status=Batch.Status.FAILED)
    found = today(now)
    assert found.since == utc("2021-07-18T07:00")
    assert found.number == 2
    assert [run.started_at for run in found.runs] == [utc("2021-07-18T11:00"), utc("2021-07-18T07:00")]
    assert [(one.feed, one.batches, one.failed, one.records, one.rejects) for one in found.intakes] == [
        ("cdr", 0, 1, 0, 0),
        ("ipflow", 2, 0, 20, 4),
    ]
    assert found.intakes[1].reject_share == pytest.approx(4 / 24)
    assert found.intakes[0].reject_share is None


def test_the_page_shows_the_days_runs_and_rejects(client):
    now = timezone.now()
    run = make_run(now, outcome=Run.Outcome.INCOMPLETE, batches=3, failed_batches=1, records=1500, rejects=500)
    make_batch(run, "ipflow_data.1.csv", now, records=1500, rejects=500, lines=2000)
    page = text_of(client.get("/"))
    assert f"{now:%H:%M} a file failed 3 1 1,500 500" in page
    assert "ipflow 1 0 1,500 500 25.0 %" in page
    assert "/admin/kpis/run/" not in client.get("/").content.decode()
    client.force_login(make_user("view_run", is_staff=True))
    assert f"/admin/kpis/run/{run.pk}/change/" in client.get("/").content.decode()


def test_a_day_without_runs_tells_of_the_last_one(client):
    make_run(MIDNIGHT, outcome=Run.Outcome.BROKEN)
    assert "No run today. The last one started 18 Jul 2021, 00:00: failed." in text_of(client.get("/"))


def test_a_mean_of_nothing_has_no_figure(client):
    Watermark.objects.create(feed="coverage", newest_interval_end=MIDNIGHT + FIVE)
    make_summary(7, MIDNIGHT, total=None, mean=None)
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 1, average_signal=None)
    assert "Operator signal \N{EN DASH}" in text_of(client.get("/"))


def test_the_number_of_queries_does_not_grow_with_the_rows(client, django_assert_max_num_queries):
    for feed in ("ipflow", "antenna", "coverage", "cdr"):
        Watermark.objects.create(feed=feed, newest_interval_end=MIDNIGHT + FIVE)
    for kpi in KPIS.values():
        for step in range(3):
            make_summary(kpi.id, MIDNIGHT + step * FIVE)
    # Two for each of the ten KPIs that everybody sees, and the rest, one of them for KPIs that the catalog has no more.
    with django_assert_max_num_queries(26):
        client.get("/")
