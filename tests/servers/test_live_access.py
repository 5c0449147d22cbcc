"""Who may open ``/ws/live/``, and that a server with WebSockets has the pages as every other has them."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from email.message import Message
from http.client import HTTPConnection

import pytest
from rest_framework.authtoken.models import Token
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from kpis.catalog.registry import KPIS
from tests.factories import MIDNIGHT, make_result, make_user
from tests.processes import PATIENCE, new_place
from tests.web import Web, running_web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]


def open_live(web: Web, path: str = "/ws/live/", origin: str | None = None, **headers: str) -> AbstractContextManager:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    address = f"ws://{web.address}{path}"
    return connect(address, origin=origin, additional_headers=named, max_size=None, open_timeout=PATIENCE)


def is_shown(page: ClientConnection) -> bool:
    return json.loads(page.recv(timeout=PATIENCE))["type"] == "window"


def code_of(page: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        page.recv(timeout=PATIENCE)
    return closed.value.rcvd.code


def test_live_counts_are_for_whoever_may_read_the_api(client, tmp_path):
    user, left = make_user(), make_user(name="left", is_active=False)
    client.force_login(user)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    tokens = {one: f"Token {Token.objects.create(user=one).key}" for one in (user, left)}
    place = new_place(tmp_path / "place")
    with running_web(place) as web, open_live(web) as page:
        assert is_shown(page)
    with running_web(place, API_PUBLIC="off") as web:
        for allowed in ({"Cookie": cookie}, {"Authorization": tokens[user]}):
            with open_live(web, **allowed) as page:
                assert is_shown(page)
        for refused in ({}, {"Cookie": "sessionid=x"}, {"Authorization": tokens[left]}, {"Authorization": "Token x"}):
            with open_live(web, **refused) as page:
                assert code_of(page) == 4403


def test_pages_of_other_sites_and_other_addresses_are_refused(place):
    with running_web(place) as web:
        with open_live(web, origin=f"http://{web.address}") as page:
            assert is_shown(page)
        for refused in (
            {"origin": "http://example.com"},
            # Another server of the same machine.
            {"origin": "http://127.0.0.1:1"},
            {"origin": "null"},
            {"path": "/ws/"},
            {"path": "/"},
        ):
            check_refused(web, **refused)
    with running_web(place, ALLOWED_HOSTS="kpis.example.org") as web:
        check_refused(web)


def check_refused(web: Web, **options: str) -> None:
    with pytest.raises(InvalidStatus) as status, open_live(web, **options):
        pass
    assert status.value.response.status_code == 403


def test_a_client_beyond_the_rate_is_refused_with_the_reason(place):
    with running_web(place, ANONYMOUS_RATE="2/day") as web:
        for _ in range(2):
            with open_live(web) as page:
                assert is_shown(page)
        with open_live(web) as page:
            assert code_of(page) == 4429


def test_the_pages_are_there_beside_it(client, tmp_path):
    for number in range(1, 4):
        make_result(KPIS[1], MIDNIGHT, number)
    rows = b"".join(client.get("/api/KPIs/1/?format=csv").streaming_content)
    style = client.get("/style.css").headers
    with running_web(new_place(tmp_path / "place"), PROXIES="1", HTTPS="on") as web:
        by_proxy = {"X-Forwarded-Proto": "https"}
        assert ask(web, "/api/KPIs/1/?format=csv", by_proxy)[::2] == (200, rows)
        status, headers, _ = ask(web, "/style.css", by_proxy)
        assert (status, headers["Content-Type"]) == (200, style["Content-Type"])
        status, headers, _ = ask(web, "/static/console/console.css", by_proxy)
        assert (status, headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
        assert "Content-Security-Policy" in ask(web, "/", by_proxy)[1]
        # What a proxy says is not for clients to say in another spelling.
        assert ask(web, "/", {"X_Forwarded_Proto": "https"})[0] == 301


def ask(web: Web, address: str, headers: dict[str, str]) -> tuple[int, Message, bytes]:
    """A page's status, headers and content."""
    connection = HTTPConnection(web.address, timeout=PATIENCE)
    connection.request("GET", address, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content
