"""Explain this number: the figure, its revisions, its batches, and the query."""

from __future__ import annotations

import html
import io
import json
import re
import shlex
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.console.addresses import explain
from kpis.console.explanation import MOST_BATCHES
from kpis.models import Subscriber
from kpis.reference.subscribers import put_subscribers
from tests.factories import MIDNIGHT, make_batch, make_batch_interval, make_result, make_run, make_summary, make_user
from tests.twin import Flow, Log, Message, file_text, uuid

pytestmark = pytest.mark.django_db

START = 1626566400  # 2021-07-18T00:00:00Z
FIVE = timedelta(minutes=5)
ONE = "/explain/?kpi=1&interval=1&start=2021-07-18T00:00Z"


def words(response) -> str:
    """A page's text without its marks."""
    text = re.sub(r"<(script|style).*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def answer(query: str) -> list[dict]:
    out = io.StringIO()
    call_command("query_lake", query, format="json", stdout=out)
    return json.loads(out.getvalue())


def test_a_groups_figure_with_its_rank_and_batches(client):
    run = make_run()
    make_summary(1, MIDNIGHT, total=5000, groups=12, records=7, batches=2, revision=2, previous_total=4000,
                 previous_updated_at=MIDNIGHT + FIVE)  # fmt: skip
    make_result(KPIS[1], MIDNIGHT, 3, service_id=42, total_bytes=1234)
    for name, records, rejects in (("ipflow_data.b.csv", 4, 0), ("ipflow_data.a.csv", 3, 5)):
        batch = make_batch(run, name, records=records + 10, rejects=rejects, lines=records + 10 + rejects)
        make_batch_interval(batch, MIDNIGHT, records)
        make_batch_interval(batch, MIDNIGHT + FIVE, 10)
    make_batch_interval(make_batch(run, "cdr_data.a.csv", feed="cdr"), MIDNIGHT, 100)
    response = client.get(f"{ONE}&service_id=42")
    text = words(response)
    assert "Service traffic volume: 42" in text
    assert "5 minutes, 18 Jul 2021, 00:00 to 00:05 (UTC)" in text
    assert "Total bytes 1,234 bytes Rank 3 of 12" in text
    assert "2 18 Jul 2021, 00:10 5,000 +25.0 % 1 18 Jul 2021, 00:05 4,000" in text
    assert "7 records from 2 batches" in text
    assert f"ipflow_data.a.csv 3 13 5 1 18 Jul 2021, 00:00 {run.pk} ipflow_data.b.csv 4 14 0 1" in text
    assert "cdr_data" not in text
    assert '"service_id" = 42' in response.context["sql"]
    assert shlex.split(response.context["command"])[2:] == ["query_lake", response.context["sql"]]


def test_the_total_stands_for_no_group(client):
    make_summary(1, MIDNIGHT, total=5000, groups=12)
    text = words(client.get(ONE))
    assert "Service traffic volume: All groups" in text
    assert "Total bytes 5,000 bytes Groups 12" in text


def test_a_mean_is_reported_with_all_its_digits(client):
    make_summary(7, MIDNIGHT, total=None, mean=1.0)
    make_result(KPIS[7], MIDNIGHT, 1, operator="Orange", average_signal=2 / 3)
    text = words(client.get("/explain/?kpi=7&interval=1&start=2021-07-18T00:00Z&operator=ORANGE"))
    assert "Operator signal: Orange" in text
    assert "0.6667 ASU with all digits 0.6666666666666666" in text


def test_what_is_not_there_is_not_zero(client):
    assert "no record of it was ingested" in words(client.get(ONE))
    make_summary(1, MIDNIGHT)
    assert "Not among the first of the interval's 12 groups" in words(client.get(f"{ONE}&service_id=5"))
    make_summary(3, MIDNIGHT)
    text = words(client.get("/explain/?kpi=3&interval=1&start=2021-07-18T00:00Z&antenna_id=x"))
    assert "The interval has no records of this group." in text


def test_of_many_batches_those_with_most_records_are_listed(client):
    run = make_run()
    make_summary(1, MIDNIGHT, batches=MOST_BATCHES + 2, records=5253)
    for number in range(1, MOST_BATCHES + 3):
        make_batch_interval(make_batch(run, f"ipflow_data.{number:03}"), MIDNIGHT, number)
    response = client.get(ONE)
    parts = response.context["figure"].parts
    assert [part.records for part in parts] == list(range(3, MOST_BATCHES + 3))
    assert "The 100 with most records, 5,250 together." in words(response)


def test_more_batches_are_not_more_queries(client, django_assert_num_queries):
    run, counts = make_run(), []
    make_summary(1, MIDNIGHT)
    for number in (1, 20):
        for count in range(number):
            make_batch_interval(make_batch(run, f"ipflow_data.{number}.{count}"), MIDNIGHT)
        with django_assert_num_queries(12, exact=False) as queries:
            client.get(ONE)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_links_lead_to_the_admin_only_those_who_may_go_there(client):
    make_summary(1, MIDNIGHT)
    batch = make_batch(make_run(), "ipflow_data.a.csv")
    make_batch_interval(batch, MIDNIGHT)
    admin = reverse("admin:kpis_batch_change", args=[batch.pk])
    assert admin not in client.get(ONE).content.decode()
    client.force_login(make_user(is_staff=True))
    assert admin in client.get(ONE).content.decode()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("kpi=99", "kpi must be the id of a KPI, from 1 to 12."),
        ("kpi=x&interval=1", "kpi must be the id of a KPI"),
        ("kpi=1", "interval must be one of 1 (5 minutes), 2 (1 hour)."),
        ("kpi=1&interval=3&start=2021-07-18T00:00Z", "interval must be one of"),
        ("kpi=1&interval=1", "is not a time"),
        ("kpi=1&interval=1&start=2021-07-18T00:03Z", "starts 2021-07-18T00:00:00Z."),
        ("kpi=1&interval=1&start=2021-07-18T00:00Z&cell_id=4", "ServiceTrafficVolume has no cell_id"),
        ("kpi=1&interval=1&start=2021-07-18T00:00Z&service_id=x", "service_id must be a whole number"),
        ("kpi=9&interval=1&start=2021-07-18T00:00Z&status=1", "postal_code is missing"),
    ],
)
def test_what_names_no_figure_is_refused_with_the_reason(client, query, reason):
    response = client.get(f"/explain/?{query}")
    assert response.status_code == 400
    assert reason in words(response)


def test_without_parameters_it_says_where_to_come_from(client):
    assert 'Select "Explain" beside any figure' in words(client.get("/explain/"))


@pytest.mark.django_db(transaction=True)
def test_the_pages_query_gives_the_pages_number(client, data_dir, settings):
    """A top list's service, an operator in two spellings, and a subscriber with two devices over the quota."""
    settings.TOP_N = 1
    put_subscribers(Subscriber(id=uuid(one), name="x", email="ana@example.com", quota=9 * one) for one in (1, 2))
    files = {
        "ipflow_data.a.csv": [Flow(START, 1, 10, 5, service=7, cell=1), Flow(START + 300, 1, 4, 0, service=8, cell=1)],
        "coverage_data.a.csv": [Log(START, "Orange", "4", 0, "", ""), Log(START + 301, "ORANGE", "3", 0, "", "")],
        "antenna_data.a.jsonl": [Message(START + one, one, 1, 12, "A") for one in (1, 2)],
    }
    for name, records in files.items():
        (data_dir / name).write_text(file_text(records))
    call_command("update_network_stats", rollup_open_hours=True, verbosity=0)
    # Quotas of later change nothing of the hour.
    put_subscribers([Subscriber(id=uuid(1), name="x", email="other@example.com", quota=1)])
    client.force_login(make_user("view_personal"))
    figures = {
        (1, ("service_id", 7)): [{"total_bytes": 15}],
        (1, ("service_id", 8)): [{"total_bytes": 4}],
        (7, ("operator", "orange")): [{"average_signal": 3.5, "number_of_samples": 2, "number_of_empty_values": 0}],
        (6, ("email", "ana@example.com")): [{"usage": 24, "quota": 18}],
    }
    for (kpi_id, group), wanted in figures.items():
        response = client.get(explain(KPIS[kpi_id], ONE_HOUR, MIDNIGHT, dict([group])))
        assert answer(response.context["sql"]) == wanted
        shown = re.search(r'<pre class="code" id="sql"[^>]*>(.*?)</pre>', response.content.decode(), re.DOTALL)[1]
        assert html.unescape(shown) == response.context["sql"]
    assert response.context["figure"].value == 24
