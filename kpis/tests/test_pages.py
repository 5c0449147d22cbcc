"""What pages and charts have in common: permissions, headers, the menu and the colours."""

from __future__ import annotations

import pytest

from kpis.tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_a_private_site_sends_people_to_the_login_and_back(client, settings):
    settings.API_PUBLIC = False
    make_user()
    response = client.get("/?x=1")
    assert (response.status_code, response.headers["Location"]) == (302, "/login/?next=/%3Fx%3D1")
    sent = client.post("/login/", {"username": "analyst", "password": "correct horse", "next": "/?x=1"})
    assert (sent.status_code, sent.headers["Location"]) == (302, "/?x=1")
    assert client.get("/?x=1").status_code == 200
