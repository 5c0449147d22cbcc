"""The short way to a page gives what the viewset gives, and only to those who may go it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from rest_framework.authtoken.models import Token

from kpis.api.urls import V1_NAMES
from kpis.api.viewsets import StrictView
from kpis.catalog.kpis import KPIS
from tests.factories import MIDNIGHT, group, make_result, make_user
from tests.unit.api.test_api_pages import links

OPEN = [kpi for kpi in KPIS.values() if not kpi.personal]
CALLS = KPIS[11]
QUERIES = [
    "",
    "page_size=2",
    "page_size=2&rank__lte=3",
    "interval_start_timestamp__gte=2021-07-18T00:05:00Z",
    "interval_end_timestamp__lt=2021-07-18 00:10",
    "interval=2",
    "page_size=",
    "cursor=",
    # None of these is right.
    "interval=7",
    "page_size=0",
    "cursor=abc",
    "rank__lte=x",
    "page_size=1&page_size=2",
    "nothing=1",
    "interval_start_timestamp=yesterday",
]
V1_QUERIES = ["", "page_size=2", "interval=5", "start_timestamp=1626566400000", "start_timestamp=-1", "interval=7"]


@pytest.fixture
def rows(db):
    """Five groups in each of two intervals of every KPI."""
    for kpi in KPIS.values():
        for start in (MIDNIGHT, MIDNIGHT + timedelta(minutes=5)):
            for rank in range(1, 6):
                make_result(kpi, start, rank, kpi.lengths[0])


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The addresses that views of the API were asked for."""
    addresses = []
    initial = StrictView.initial

    def noted(view, request, *args, **kwargs):
        addresses.append(request.get_full_path())
        initial(view, request, *args, **kwargs)

    monkeypatch.setattr(StrictView, "initial", noted)
    return addresses


def by_viewset(client, address: str, **headers: str):
    """The viewset's answer: whoever has a cookie may have an account."""
    return client.get(address, headers=headers | {"Cookie": "seen=1"})


def told(response) -> tuple:
    return response.status_code, response.content, dict(response.headers)


def addresses() -> list[str]:
    of_kpis = [f"/api/KPIs/{kpi.id}/?{query}" for kpi in OPEN for query in QUERIES]
    of_groups = [f"/api/KPIs/{kpi.id}/?{name}={value}" for kpi in OPEN for name, value in group(kpi, 2).items()]
    return of_kpis + of_groups + [f"/api/v1/{name}/?{query}" for name in V1_NAMES for query in V1_QUERIES]


def test_an_answer_is_the_viewsets_in_status_body_and_headers(client, rows, asked):
    for address in addresses():
        while address:
            short, long = client.get(address), by_viewset(client, address)
            assert told(short) == told(long), address
            if short.status_code != 200:
                assert len(asked) == 2, address
                break
            assert len(asked) == 1, address
            known = {"If-None-Match": short["ETag"]}
            assert told(client.get(address, headers=known)) == told(by_viewset(client, address, **known))
            assert client.get(address, headers=known).status_code == 304
            asked.clear()
            address = links(short).get("next", "").removeprefix("http://testserver")
        asked.clear()


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_scripts_need_no_viewset(client, rows, asked, accept):
    assert len(client.get("/api/KPIs/1/?interval=1", headers={"Accept": accept}).json()) == 10
    assert asked == []


@pytest.mark.parametrize(
    ("method", "query", "headers"),
    [
        ("get", "", {"Accept": "text/html"}),
        ("get", "", {"Accept": "application/json; indent=4"}),
        ("get", "", {"Accept": "text/csv"}),
        ("get", "?format=csv", {}),
        ("get", "?format=json", {}),
        ("get", "", {"Authorization": "Token unknown"}),
        ("get", "", {"Cookie": "sessionid=unknown"}),
        ("head", "", {}),
        ("options", "", {}),
        ("post", "", {}),
    ],
)
def test_the_viewset_is_asked_for_all_else(client, rows, asked, method, query, headers):
    getattr(client, method)(f"/api/KPIs/1/{query}", headers=headers)
    assert asked == [f"/api/KPIs/1/{query}"]


def test_figures_about_subscribers_need_their_permission(client, rows, asked):
    personal = [kpi for kpi in KPIS.values() if kpi.personal]
    assert personal
    for kpi in personal:
        assert client.get(f"/api/KPIs/{kpi.id}/").status_code == 401
        assert asked.pop() == f"/api/KPIs/{kpi.id}/"


def test_where_the_api_is_not_public_there_is_no_short_way(client, rows, asked, settings):
    settings.API_PUBLIC = False
    assert client.get("/api/KPIs/1/").status_code == 401
    token = Token.objects.create(user=make_user())
    assert client.get("/api/KPIs/1/", headers={"Authorization": f"Token {token.key}"}).status_code == 200
    assert asked == ["/api/KPIs/1/"] * 2


@pytest.fixture
def three_a_minute(settings):
    settings.ANONYMOUS_RATE = "3/min"
    cache.clear()
    yield
    cache.clear()


def test_both_ways_share_one_rate(client, rows, three_a_minute):
    assert client.get("/api/KPIs/1/").status_code == 200
    assert by_viewset(client, "/api/KPIs/1/").status_code == 200
    assert client.get("/api/KPIs/1/").status_code == 200
    short, long = client.get("/api/KPIs/1/"), by_viewset(client, "/api/KPIs/1/")
    assert short.status_code == long.status_code == 429
    assert short["Retry-After"] == long["Retry-After"]


def test_a_wrong_request_counts_once(client, rows, three_a_minute):
    statuses = [client.get("/api/KPIs/1/?page_size=0").status_code for _ in range(4)]
    assert statuses == [400, 400, 400, 429]


def test_letters_that_are_not_percent_encoded_are_understood(client, rows):
    make_result(CALLS, MIDNIGHT + timedelta(minutes=10), 1, CALLS.lengths[0], operator="Télé")
    for query in ("operator=Télé".encode().decode("latin-1"), "operator=T%C3%A9l%C3%A9"):
        (row,) = client.get("/api/KPIs/11/", QUERY_STRING=query).json()
        assert row["operator"] == "Télé"


def test_a_list_follows_its_table(client, rows):
    """What is kept of an address is what it asks for, never the answer."""
    address = "/api/KPIs/1/?service_id=999"
    assert client.get(address).json() == []
    make_result(KPIS[1], MIDNIGHT, 6, service_id=999)
    assert [row["service_id"] for row in client.get(address).json()] == [999]


def test_a_host_that_is_not_ours_is_refused(client, rows):
    short = client.get("/api/KPIs/1/", headers={"Host": "elsewhere.example"})
    long = by_viewset(client, "/api/KPIs/1/", Host="elsewhere.example")
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert short.status_code == 400
