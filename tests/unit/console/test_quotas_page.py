"""Quotas: who was over, by how much and how often, for those who may see it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.builtin.antenna import USER_QUOTA_EXCEEDED
from kpis.catalog.intervals import ONE_HOUR, to_milliseconds
from kpis.console.charts.quotas import quota_chart
from kpis.console.quotas import by_hour, by_subscriber
from kpis.console.theme import LIGHT
from tests.factories import MIDNIGHT, make_result, make_summary, make_user

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
SPAN = "from=2021-07-18T00:00Z&to=2021-07-18T03:00Z"
# Usage and quota by email, for the hours from midnight on.
HOURS = [
    {"ana@example.com": (150, 100), "bo@example.com": (30, 20)},
    {},
    {"ana@example.com": (101, 100)},
    {"ana@example.com": (900, 100)},
]


@pytest.fixture
def over():
    for number, emails in enumerate(HOURS):
        start = MIDNIGHT + number * HOUR
        make_summary(6, start, ONE_HOUR, total=sum(usage for usage, _ in emails.values()), groups=len(emails))
        for rank, (email, (usage, quota)) in enumerate(emails.items(), 1):
            make_result(USER_QUOTA_EXCEEDED, start, rank, ONE_HOUR, email=email, usage=usage, quota=quota)


@pytest.fixture
def analyst(client):
    client.force_login(make_user("view_personal"))
    return client


def test_subscribers_have_their_hours_and_what_was_beyond_the_quota(over):
    found = by_subscriber(MIDNIGHT, MIDNIGHT + 3 * HOUR).order_by("email")
    assert list(found) == [
        {"email": "ana@example.com", "hours": 2, "total": 51, "worst": 50, "last": MIDNIGHT + 2 * HOUR},
        {"email": "bo@example.com", "hours": 1, "total": 10, "worst": 10, "last": MIDNIGHT},
    ]


def test_hours_have_how_many_were_over(over):
    hours = by_hour(MIDNIGHT, MIDNIGHT + 3 * HOUR)
    assert hours == {MIDNIGHT: (2, 60), MIDNIGHT + 2 * HOUR: (1, 1)}


def test_the_chart_has_a_bar_for_each_hour(over):
    chart = quota_chart(MIDNIGHT, MIDNIGHT + 3 * HOUR, by_hour(MIDNIGHT, MIDNIGHT + 3 * HOUR), LIGHT)
    specification = chart.for_page()
    assert specification["datasets"]["bars"] == [
        {
            "start": to_milliseconds(MIDNIGHT + number * HOUR),
            "end": to_milliseconds(MIDNIGHT + (number + 1) * HOUR),
            "value": value,
            "when": f"18 Jul 2021, 0{number}:00 to 0{number + 1}:00",
            "figure": f"{value}",
            "excess": excess,
        }
        for number, value, excess in ((0, 2, "60 B"), (2, 1, "1 B"))
    ]
    assert specification["description"] == (
        "Subscribers over their quota, 18 Jul 2021, 00:00 to 03:00 (UTC). "
        "Most in one hour: 2, 18 Jul 2021, 00:00 to 01:00."
    )
    nobody = quota_chart(MIDNIGHT, MIDNIGHT + HOUR, {}, LIGHT)
    assert nobody.description.endswith("None.")


def test_the_page_lists_subscribers_and_hours_and_keeps_to_one(analyst, over):
    page = analyst.get(f"/quotas/?{SPAN}")
    assert [row["email"] for row, _ in page.context["subscriber_rows"]] == ["ana@example.com", "bo@example.com"]
    assert [(row.email, row.excess) for row, _ in page.context["hour_rows"]] == [
        ("ana@example.com", 1),
        ("ana@example.com", 50),
        ("bo@example.com", 10),
    ]
    assert page.context["hour_rows"][0][1] == (
        "/explain/?kpi=6&interval=2&start=2021-07-18T02%3A00%3A00Z&email=ana%40example.com"
    )
    one = analyst.get(f"/quotas/?{SPAN}&email=bo@example.com&hours_sort=-excess")
    assert [row.email for row, _ in one.context["hour_rows"]] == ["bo@example.com"]
    assert len(one.context["subscriber_rows"]) == 2
    assert "Hours of bo@example.com" in one.content.decode()


def test_the_page_has_the_chart_of_its_span(analyst, over):
    address = analyst.get(f"/quotas/?{SPAN}").context["chart"]
    assert [bar["value"] for bar in analyst.get(address).json()["datasets"]["bars"]] == [2, 1]


def test_nobody_over_is_reported(analyst):
    assert "No hour of antenna messages has been compared with quotas yet." in analyst.get("/quotas/").content.decode()
    assert analyst.get("/quotas/hours.json").status_code == 404
    make_summary(6, MIDNIGHT, ONE_HOUR, total=0, groups=0)
    assert "No subscriber was over the quota in this period." in analyst.get("/quotas/").content.decode()


@pytest.mark.parametrize("query", ["from=x", "subscribers_sort=quota", "hours_page=x"])
def test_what_there_cannot_be_is_refused(analyst, over, query):
    assert analyst.get(f"/quotas/?{query}").status_code == 400
