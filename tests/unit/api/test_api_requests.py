"""Requests as scripts send them: rates, letters, hosts, and answers that follow the tables."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache

from kpis.catalog.registry import KPIS
from tests.factories import MIDNIGHT, make_result

CALLS = KPIS[11]

pytestmark = pytest.mark.django_db


@pytest.fixture
def three_a_minute(settings):
    settings.ANONYMOUS_RATE = "3/min"
    cache.clear()
    yield
    cache.clear()


def test_a_client_that_asks_too_often_learns_how_long_to_wait(client, three_a_minute):
    responses = [client.get("/api/KPIs/1/") for _ in range(4)]
    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert 1 <= int(responses[-1]["Retry-After"]) <= 60


def test_a_wrong_request_counts_once(client, three_a_minute):
    statuses = [client.get("/api/KPIs/1/?page_size=0").status_code for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


def test_letters_that_are_not_percent_encoded_are_understood(client):
    make_result(CALLS, MIDNIGHT + timedelta(minutes=10), 1, CALLS.lengths[0], operator="Télé")
    for query in ("operator=Télé".encode().decode("latin-1"), "operator=T%C3%A9l%C3%A9"):
        (row,) = client.get("/api/KPIs/11/", QUERY_STRING=query).json()
        assert row["operator"] == "Télé"


def test_a_list_follows_its_table(client):
    address = "/api/KPIs/1/?service_id=999"
    assert client.get(address).json() == []
    make_result(KPIS[1], MIDNIGHT, 6, service_id=999)
    assert [row["service_id"] for row in client.get(address).json()] == [999]


def test_a_host_that_is_not_ours_is_refused(client):
    assert client.get("/api/KPIs/1/", headers={"Host": "elsewhere.example"}).status_code == 400


def test_the_same_answer_is_for_whoever_has_a_session(client):
    make_result(KPIS[1], MIDNIGHT, 1)
    by_script, by_browser = (client.get("/api/KPIs/1/", headers=headers) for headers in ({}, {"Cookie": "seen=1"}))
    assert by_script.content == by_browser.content
    assert dict(by_script.headers) == dict(by_browser.headers)
