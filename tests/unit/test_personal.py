"""Personal data is not shown to anyone without the permission: on no page, chart, file or explanation."""

from __future__ import annotations

import pytest

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.models import AppliedEntry, Watermark
from tests.factories import (
    MIDNIGHT,
    make_batch,
    make_batch_interval,
    make_reject,
    make_result,
    make_run,
    make_subscriber,
    make_summary,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]

EMAIL, DEVICE, ROW = "secret.name@example.com", "00000000-0000-4000-8000-0000000000ff", "31699999999,the whole row"
SECRETS = (EMAIL, DEVICE, ROW, "secret.name%40example.com")
FIGURE = "interval=2&start=2021-07-18T00:00Z"

# Each address that tells one of them, or would if it forgot to ask who is there: what others than those who may see it
# get there. 200 is the page without what is personal.
ADDRESSES = {
    "/": 200,
    "/standouts/": 200,
    "/quality/": 200,
    "/quality/?show=rejects": 200,
    "/map/": 200,
    "/explain/": 200,
    "/quotas/": 403,
    f"/quotas/?email={EMAIL}": 403,
    "/quotas/hours.json": 403,
    "/quotas/hours.svg": 403,
    "/kpis/5/": 403,
    "/kpis/6/": 403,
    "/kpis/5/series.json?interval=2": 403,
    f"/kpis/5/series.svg?interval=2&user_id={DEVICE}": 403,
    "/kpis/5/top.json?interval=2": 403,
    "/kpis/6/top.json": 403,
    "/kpis/6/top.svg": 403,
    "/kpis/5/rows.csv?interval=2": 403,
    "/kpis/6/rows.csv": 403,
    "/kpis/5/groups/?interval=2": 403,
    "/kpis/6/groups/": 403,
    f"/explain/?kpi=5&{FIGURE}": 403,
    f"/explain/?kpi=5&{FIGURE}&user_id={DEVICE}": 403,
    f"/explain/?kpi=6&{FIGURE}&email={EMAIL}": 403,
    f"/explain/?kpi=6&{FIGURE}": 403,
    # Wrong, and still about somebody.
    f"/explain/?kpi=6&email={EMAIL}": 403,
    f"/explain/?kpi=1&{FIGURE}&email={EMAIL}": 400,
    f"/explain/?kpi=06&{FIGURE}&email={EMAIL}": 403,
}
# Where it is meant to show to those who may see it.
SHOWING = {
    "/quality/",
    "/quality/?show=rejects",
    "/quotas/",
    f"/quotas/?email={EMAIL}",
    "/kpis/6/",
    "/kpis/6/top.json",
    "/kpis/6/rows.csv",
    "/kpis/6/groups/",
    f"/explain/?kpi=5&{FIGURE}&user_id={DEVICE}",
    f"/explain/?kpi=6&{FIGURE}&email={EMAIL}",
}


@pytest.fixture
def secrets():
    """An hour of a subscriber over the quota, and a rejected row."""
    run = make_run()
    batch = make_batch(run, "antenna_data.a", feed="antenna", rejects=1, lines=1)
    make_batch_interval(batch, MIDNIGHT)
    make_reject(batch, 1, text=ROW)
    make_subscriber(email=EMAIL, id=DEVICE)
    Watermark.objects.create(feed="antenna", newest_interval_end=MIDNIGHT + ONE_HOUR.delta)
    for kpi in KPIS.values():
        for length in kpi.lengths:
            own = {"email": EMAIL, "usage": 1000, "quota": 7} if kpi.id == 6 else {"user_id": DEVICE}
            make_result(kpi, MIDNIGHT, 1, length, **(own if kpi.personal else {}))
            make_summary(kpi.id, MIDNIGHT, length, **({"mean": 5.0, "total": None} if kpi.measure.is_fraction else {}))
    assert FIVE_MINUTES in KPIS[5].lengths


def status_and_secrets(client, address: str) -> tuple[int, set[str]]:
    """The status of an address, and the secrets in its answer beyond those that its own address has."""
    response = client.get(address)
    body = response.getvalue().decode("utf-8", "replace") if response.streaming else response.content.decode()
    return response.status_code, {secret for secret in SECRETS if secret in body}


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
def test_anonymous_readers_are_shown_nothing_personal(client, settings, secrets, public):
    settings.API_PUBLIC = public
    for address, refused in ADDRESSES.items():
        status, found = status_and_secrets(client, address)
        assert status in ((302, 401) if refused == 403 or not public else (refused,)), address
        # An error message repeats the address.
        assert status == 400 or found == set(), address


@pytest.mark.parametrize("is_staff", [False, True], ids=["an account", "the staff"])
def test_accounts_without_the_permission_are_shown_nothing_personal(client, secrets, is_staff):
    client.force_login(make_user("view_batch", "view_reject", "view_userquotaexceeded", is_staff=is_staff))
    for address, refused in ADDRESSES.items():
        status, found = status_and_secrets(client, address)
        # An error message repeats the address.
        assert (status, found if status != 400 else set()) == (refused, set()), address


def test_those_who_may_see_it_are_shown_it(client, secrets):
    client.force_login(make_user("view_personal"))
    showing = {address for address in ADDRESSES if status_and_secrets(client, address)[1]}
    assert showing >= SHOWING
    assert {address for address in ADDRESSES if status_and_secrets(client, address)[0] == 403} == set()


def test_the_menu_leads_to_personal_pages_only_those_who_may_see_them(client, secrets):
    assert 'href="/quotas/"' not in client.get("/").content.decode()
    client.force_login(make_user("view_personal"))
    assert 'href="/quotas/"' in client.get("/").content.decode()


def test_revised_intervals_of_personal_kpis_are_left_out_without_the_permission(client, secrets):
    for kpi_id in (3, 5):
        make_summary(kpi_id, MIDNIGHT + ONE_HOUR.delta, revision=2, previous_total=1, updated_at=MIDNIGHT)
    address = "/quality/?from=2021-07-17T23:00Z&to=2021-07-18T12:00Z"
    plain = client.get(address).content.decode()
    client.force_login(make_user("view_personal"))
    cleared = client.get(address).content.decode()
    assert [text.count("kpi=3&amp;interval=1") for text in (plain, cleared)] == [1, 1]
    assert [text.count("kpi=5&amp;interval=1") for text in (plain, cleared)] == [0, 1]


@pytest.mark.parametrize("cleared", [False, True], ids=["anonymous", "cleared"])
def test_a_declared_kpi_whose_catalog_is_unset_shows_nothing(client, settings, cleared):
    settings.API_PUBLIC = True
    AppliedEntry.objects.create(kind="kpi", key="1007", name="OwnerVolume", definition="[]", applied_at=MIDNIGHT)
    for kpi_id in (3, 1007):
        make_summary(kpi_id, MIDNIGHT, total=4711, revision=2, previous_total=1, updated_at=MIDNIGHT)
    if cleared:
        client.force_login(make_user("view_personal", "view_intervalsummary", is_staff=True))
    assert [row["kpi"] for row in client.get("/api/intervals/").json()] == [3]
    quality = client.get("/quality/?from=2021-07-17T00:00Z&to=2021-07-18T12:00Z").content.decode()
    assert "kpi=1007" not in quality
    assert client.get("/api/KPIs/1007/").status_code == 404
    if cleared:
        assert "1007" not in client.get("/admin/kpis/intervalsummary/").content.decode()
