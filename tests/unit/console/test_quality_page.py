"""Data quality: rejects by reason, late and replaced files, figures that changed, and gaps."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import call_command

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.intervals import ONE_HOUR
from kpis.console.quality import MOST_GAPS, Gap, Period, coverages, newest_intake, reasons, unusual
from kpis.models import Batch, IntervalSummary, Watermark
from tests.factories import MIDNIGHT, make_batch, make_reject, make_run, make_summary, make_user
from tests.twin import Call, Message, file_text

pytestmark = pytest.mark.django_db

START = 1626566400  # 2021-07-18T00:00:00Z
FIVE, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
PERIOD = Period(MIDNIGHT - HOUR, MIDNIGHT + DAY)


def now_and_then() -> Period:
    """All that runs of this test took in."""
    return Period(newest_intake() - DAY, newest_intake() + DAY)


def put(folder, name: str, records) -> None:
    (folder / name).write_text(file_text(records))


def update() -> None:
    out = io.StringIO()
    call_command("update_network_stats", verbosity=0, stdout=out, stderr=out)


# Rejects.


def test_rejects_are_counted_by_reason_with_the_first_and_the_last_as_examples():
    run = make_run()
    first = make_batch(run, "ipflow_data.a.csv", rejects=3, lines=3)
    second = make_batch(run, "ipflow_data.b.csv", rejects=1, lines=1)
    make_batch(run, "ipflow_data.c.csv")
    old = make_batch(run, "ipflow_data.d.csv", ingested_at=MIDNIGHT - DAY, rejects=1, lines=1)
    rejects = [make_reject(first, line, reason="is empty") for line in (2, 3)]
    rejects.append(make_reject(second, 7, reason="is empty"))
    other = make_reject(first, 4, column="", reason="holds a NUL byte")
    make_reject(old, 2, reason="is negative")
    found = reasons(PERIOD)
    assert [(one.feed, one.column, one.reason, one.number, one.batches) for one in found] == [
        ("ipflow", "msisdn", "is empty", 3, 2),
        ("ipflow", "", "holds a NUL byte", 1, 1),
    ]
    assert [one.examples for one in found] == [[rejects[0], rejects[-1]], [other]]


@pytest.mark.parametrize(("permissions", "shown"), [((), False), (("view_personal",), True)])
def test_the_text_of_rejects_shows_as_in_the_api(client, permissions, shown):
    batch = make_batch(make_run(), "ipflow_data.a.csv", rejects=1, lines=1)
    make_reject(batch, 2, text="<b>a row</b>")
    client.force_login(make_user(*permissions))
    text = client.get("/quality/").content.decode()
    assert f'<a href="/api/batches/{batch.pk}/rejects/">ipflow_data.a.csv</a>, line 2' in text
    assert ("&lt;b&gt;a row&lt;/b&gt;" in text) is shown
    assert "<b>a row" not in text


def test_a_reject_of_a_stream_is_named_by_its_offset(client):
    batch = make_batch(make_run(), "calls/3/10-33", feed="cdr", rejects=1, lines=1)
    make_reject(batch, 12)
    text = client.get("/quality/").content.decode()
    assert f'<a href="/api/batches/{batch.pk}/rejects/">calls, partition 3, offsets 10-33</a>, offset 12' in text


# Late and replaced files.


@pytest.mark.django_db(transaction=True)
def test_a_file_is_late_where_its_hour_had_been_computed(data_dir):
    put(data_dir, "cdr_data.a.csv", [Call(START, "Kern", "O2", "CALL"), Call(START + 3600, "Kern", "O2", "CALL")])
    put(data_dir, "cdr_data.b.csv", [Call(START + 60, "Kern", "O2", "CALL")])
    update()
    assert unusual(now_and_then()) == []
    # The first hour is closed, the second is open.
    put(data_dir, "cdr_data.c.csv", [Call(START + 120, "Kern", "O2", "CALL"), Call(START + 3700, "Kern", "O2", "CALL")])
    put(data_dir, "cdr_data.d.csv", [Call(START + 3660, "Kern", "O2", "CALL")])
    update()
    (late,) = unusual(now_and_then())
    assert (late.batch.name, late.batch.revision, late.late_for) == ("cdr_data.c.csv", 1, [MIDNIGHT])


@pytest.mark.django_db(transaction=True)
def test_a_replaced_file_is_reported_by_its_revision_and_by_the_hours_it_changed(data_dir):
    put(data_dir, "cdr_data.a.csv", [Call(START + 3600, "Kern", "O2", "CALL")])
    update()
    put(data_dir, "cdr_data.a.csv", [Call(START + 3600, "Kern", "O2", "CALL")] * 2)
    update()
    (replaced,) = unusual(now_and_then())
    assert (replaced.batch.name, replaced.batch.revision, replaced.late_for) == ("cdr_data.a.csv", 2, [])
    newest = newest_intake()
    assert unusual(Period(newest + HOUR, newest + DAY)) == []


# Figures that changed.


def test_the_page_has_intervals_with_their_value_before(client):
    make_batch(make_run(), "ipflow_data.a.csv")
    make_summary(1, MIDNIGHT)
    make_summary(
        1,
        MIDNIGHT + FIVE,
        total=1500,
        revision=3,
        previous_total=1000,
        previous_updated_at=MIDNIGHT,
        updated_at=MIDNIGHT + HOUR,
    )
    mean = {"total": None, "mean": 9.5, "previous_mean": 10.0, "revision": 2, "updated_at": MIDNIGHT + 2 * HOUR}
    make_summary(7, MIDNIGHT + 2 * FIVE, **mean)
    page = client.get("/quality/?from=2021-07-18T00:00Z&to=2021-07-19T00:00Z")
    rows = page.context["revised_rows"]
    assert [
        (row["kpi"].id, row["summary"].revision, row["before"], row["now"], str(row["change"])) for row in rows
    ] == [
        (7, 2, 10.0, 9.5, "\N{MINUS SIGN}5.0 %"),
        (1, 3, 1000, 1500, "+50.0 %"),
    ]
    text = page.content.decode()
    assert 'href="/explain/?kpi=1&amp;interval=1&amp;start=2021-07-18T00%3A05%3A00Z"' in text
    by_revision = client.get("/quality/?from=2021-07-18T00:00Z&to=2021-07-19T00:00Z&revised_sort=-revision")
    assert [row["summary"].revision for row in by_revision.context["revised_rows"]] == [3, 2]


# Gaps.


def make_intervals(feed, kpi_id: int, minutes: list[int]) -> None:
    for minute in minutes:
        make_summary(kpi_id, MIDNIGHT + timedelta(minutes=minute), feed.interval)
    end = MIDNIGHT + timedelta(minutes=max(minutes)) + feed.interval.delta
    Watermark.objects.create(feed=feed.name, newest_interval_end=end)


def test_gaps_are_the_intervals_without_records_up_to_the_watermark():
    make_intervals(CDR, 10, [0, 1, 4, 5, 7])
    make_intervals(IPFLOW, 1, [0, 5, 10])
    # Longer intervals are no gaps' matter.
    make_summary(1, MIDNIGHT + DAY, ONE_HOUR)
    flows, calls = coverages()
    assert (flows.feed, flows.expected, flows.there, flows.missing, flows.gaps) == (IPFLOW, 3, 3, 0, [])
    assert (calls.feed, calls.start, calls.end) == (CDR, MIDNIGHT, MIDNIGHT + timedelta(minutes=8))
    assert (calls.expected, calls.there, calls.missing) == (8, 5, 3)

    def at(minute: int):
        return MIDNIGHT + timedelta(minutes=minute)

    assert calls.gaps == [Gap(at(6), at(7), 1), Gap(at(2), at(4), 2)]


def test_what_a_replaced_file_took_back_at_the_end_is_a_gap():
    make_intervals(ANTENNA, 3, [0, 5])
    Watermark.objects.update(newest_interval_end=MIDNIGHT + 4 * FIVE)
    (found,) = coverages()
    assert found.gaps == [Gap(MIDNIGHT + 2 * FIVE, MIDNIGHT + 4 * FIVE, 2)]
    IntervalSummary.objects.all().delete()
    (nothing,) = coverages()
    assert (nothing.expected, nothing.missing, nothing.gaps) == (0, 0, [])


def test_only_the_newest_gaps_are_listed_and_all_are_counted():
    make_intervals(CDR, 10, list(range(0, 100, 2)))
    (found,) = coverages()
    assert (found.missing, len(found.gaps)) == (49, MOST_GAPS)
    assert found.gaps[0].start == MIDNIGHT + timedelta(minutes=97)


# The page.


@pytest.mark.django_db(transaction=True)
def test_the_page_tells_what_came_in_and_what_did_not(client, data_dir):
    put(data_dir, "antenna_data.a.jsonl", [Message(START, 1, 1, 5, "A"), Message(START + 900, 1, 1, 5, "A")])
    (data_dir / "antenna_data.b.jsonl").write_text("rubbish\n")
    with pytest.raises(SystemExit):
        update()
    page = client.get("/quality/")
    (intake,) = page.context["intakes"]
    assert (intake.feed, intake.batches, intake.failed, intake.records, intake.rejects) == ("antenna", 1, 1, 2, 0)
    (coverage,) = page.context["coverages"]
    assert coverage.gaps == [Gap(MIDNIGHT + FIVE, MIDNIGHT + 3 * FIVE, 2)]
    shown = {
        show: [batch.name for batch in client.get(f"/quality/?show={show}").context["batch_rows"]]
        for show in ("all", "failed", "rejects", "replaced")
    }
    assert {show: sorted(names) for show, names in shown.items()} == {
        "all": ["antenna_data.a.jsonl", "antenna_data.b.jsonl"],
        "failed": ["antenna_data.b.jsonl"],
        "rejects": ["antenna_data.b.jsonl"],
        "replaced": [],
    }
    assert "is the wrong file: 1 of its 1 rows are rejects" in page.content.decode()


def test_a_page_of_nothing_says_so(client):
    assert "Nothing has been ingested yet." in client.get("/quality/").content.decode()
    make_batch(make_run(), "ipflow_data.a.csv")
    text = client.get("/quality/").content.decode()
    for sentence in (
        "No row was rejected.",
        "Every file was new and arrived in time.",
        "Every interval was computed once.",
    ):
        assert sentence in text


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("show=x", "show must be one of all, failed, duplicates, rejects, replaced"),
        ("from=x", "is not a time"),
        ("from=2021-07-19T00:00Z&to=2021-07-18T00:00Z", "The time span ends before it starts."),
        ("from=2021-07-01T00:00Z&to=2021-07-18T00:00Z", "The time span is longer than 7 days"),
        ("batches_sort=digest", "batches_sort must be one of"),
        ("revised_page=0", "revised_page must be a whole number"),
    ],
)
def test_what_there_cannot_be_is_refused_with_the_reason(client, query, reason):
    make_batch(make_run(), "ipflow_data.a.csv")
    page = client.get(f"/quality/?{query}")
    assert page.status_code == 400
    assert reason in page.content.decode()


def test_more_rows_are_not_more_queries(client, django_assert_num_queries):
    counts = []
    for number in (1, 15):
        Batch.objects.all().delete()
        IntervalSummary.objects.all().delete()
        run = make_run()
        for count in range(number):
            batch = make_batch(run, f"ipflow_data.{count}", rejects=1, lines=1, revision=2)
            make_reject(batch, 2, reason=f"reason {count}")
            make_summary(1, MIDNIGHT + count * FIVE, revision=2, updated_at=MIDNIGHT)
        with django_assert_num_queries(30, exact=False) as queries:
            client.get("/quality/?from=2021-07-17T12:00Z&to=2021-07-19T00:00Z")
        counts.append(len(queries))
    assert counts[0] == counts[1]
