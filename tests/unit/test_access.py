"""Who may see what: every address of the site has a rule here, and every kind of user is tried on it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import get_resolver
from rest_framework.authtoken.models import Token, TokenProxy

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.models import (
    AppliedEntry,
    Batch,
    DueCompaction,
    DueReference,
    DueRollup,
    IntervalSummary,
    KPISet,
    LakeBinding,
    LakeFile,
    LiveCount,
    LiveFeed,
    LostFile,
    QuotaChange,
    Reference,
    ReferenceVersion,
    Reject,
    ResultPruning,
    StreamConsumer,
    StreamPosition,
    Watermark,
)
from kpis.models.result_models import result_model
from tests.factories import (
    MIDNIGHT,
    make_batch,
    make_batch_interval,
    make_region,
    make_reject,
    make_result,
    make_run,
    make_subscriber,
    make_summary,
    make_user,
)

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]

# Stands in a reject's text, which only those with kpis.view_personal may see.
PERSONAL = "31699999999"

ANONYMOUS, PLAIN, ANALYST, STAFF, CLEARED_STAFF = "anonymous", "plain", "analyst", "staff", "cleared staff"
ROLES = (ANONYMOUS, PLAIN, ANALYST, STAFF, CLEARED_STAFF)
CLEARED = (ANALYST, CLEARED_STAFF)
IS_STAFF = (STAFF, CLEARED_STAFF)


@dataclass(frozen=True)
class Rule:
    """The status that each role gets at an address, with each of its queries.

    ``private`` has those that differ where API_PUBLIC is off.
    """

    address: str
    statuses: dict[str, int]
    private: dict[str, int] = field(default_factory=dict)
    queries: tuple[str, ...] = ("",)
    shows_personal: bool = False

    def status(self, role: str, public: bool) -> int:
        return self.statuses[role] if public else {**self.statuses, **self.private}[role]


def same(status: int, roles: Iterable[str] = ROLES) -> dict[str, int]:
    return dict.fromkeys(roles, status)


CLOSED = {ANONYMOUS: 401}
FORMATS = ("?format=json", "?format=csv", "?format=api")
TO_LOGIN = same(302, (ANONYMOUS, PLAIN, ANALYST))


def aggregates(address: str, queries: tuple[str, ...] = FORMATS, shows_personal: bool = False) -> Rule:
    return Rule(address, same(200), CLOSED, queries, shows_personal)


def page(address: str, queries: tuple[str, ...] = ("",), shows_personal: bool = False) -> Rule:
    return Rule(address, same(200), {ANONYMOUS: 302}, queries, shows_personal)


def part(address: str, queries: tuple[str, ...] = ("",)) -> Rule:
    """A part that a page loads: an anonymous request gets the status instead of a redirect."""
    return Rule(address, same(200), CLOSED, queries)


CLEARED_ALONE = {ANONYMOUS: 401, PLAIN: 403, ANALYST: 200, STAFF: 403, CLEARED_STAFF: 200}


def personal(address: str) -> Rule:
    return Rule(address, CLEARED_ALONE, queries=FORMATS)


def kpi_rule(kpi_id: int, address: str) -> Rule:
    return personal(address) if KPIS[kpi_id].personal else aggregates(address)


def in_admin(address: str, status: int, shows_personal: bool = False) -> Rule:
    return Rule(f"/admin/{address}", TO_LOGIN | same(status, IS_STAFF), shows_personal=shows_personal)


def table(name: str, key: object, browsed: dict[str, int], shows_personal: bool = False) -> dict[str, Rule]:
    """The admin's pages of a table: ``browsed`` is what its list and its rows answer to the staff's roles."""
    pages = {"": browsed, "history/": browsed, "change/": browsed, "delete/": same(403, IS_STAFF)}
    rules = {
        f"admin/{name}/{f'<path:object_id>/{page}' if page else ''}": Rule(
            f"/admin/{name}/{f'{key}/{page}' if page else ''}", TO_LOGIN | statuses, shows_personal=shows_personal
        )
        for page, statuses in pages.items()
    }
    rules[f"admin/{name}/add/"] = in_admin(f"{name}/add/", 403)
    # Leads to the row's page, which has its own rule.
    rules[f"admin/{name}/<path:object_id>/"] = Rule(f"/admin/{name}/{key}/", same(302))
    return rules


def rules(keys: dict[str, object]) -> dict[str, Rule]:
    """The rule of every address pattern; ``keys`` has a row's key of each table."""
    batch = keys["batch"]
    found = {
        "": page("/"),
        "style.css": Rule("/style.css", same(200)),
        "login/": Rule("/login/", same(200)),
        "logout/": Rule("/logout/", same(405)),
        "standouts/": part("/standouts/"),
        "live/": page("/live/"),
        "live/<str:name>.json": part("/live/map.json", ("", "?theme=dark")),
        "operators/": page("/operators/"),
        "operators/<int:kpi_id>/<str:kind>.<str:extension>": part("/operators/11/shares.json"),
        "kpis/<int:kpi_id>/": page("/kpis/1/"),
        "kpis/<int:kpi_id>/series.<str:extension>": part("/kpis/1/series.json", ("", "?theme=dark")),
        "kpis/<int:kpi_id>/top.<str:extension>": part("/kpis/1/top.json"),
        "kpis/<int:kpi_id>/rows.<str:extension>": part("/kpis/1/rows.csv"),
        "kpis/<int:kpi_id>/groups/": part("/kpis/1/groups/"),
        "map/": page("/map/", ("", "?layer=signal")),
        "map/<str:layer>.<str:extension>": part("/map/calls.json"),
        "quality/": page("/quality/", shows_personal=True),
        "quotas/": Rule("/quotas/", CLEARED_ALONE | {ANONYMOUS: 302}),
        "quotas/hours.<str:extension>": Rule("/quotas/hours.json", CLEARED_ALONE),
        "explain/": page("/explain/", ("", "?kpi=1&interval=1&start=2021-07-18T00:00Z")),
        "healthz": Rule("/healthz", same(200)),
        "metrics": aggregates("/metrics", ("",)),
        "api/": aggregates("/api/", ("?format=json", "?format=api")),
        "api/schema/": aggregates("/api/schema/", ("", "?format=json")),
        "api/docs/": aggregates("/api/docs/", ("", "?script=")),
        r"api/^[\s\S]+/$": Rule("/api/nowhere/", same(404), CLOSED, FORMATS),
        "api/^KPIs/$": aggregates("/api/KPIs/"),
        "api/^intervals/$": aggregates("/api/intervals/"),
        "api/^batches/$": aggregates("/api/batches/"),
        "api/^batches/(?P<pk>[0-9]+)/$": aggregates(f"/api/batches/{batch}/"),
        "api/^batches/(?P<batch_id>[0-9]+)/rejects/$": aggregates(
            f"/api/batches/{batch}/rejects/", shows_personal=True
        ),
        "api/^v1/services-kpis/$": kpi_rule(1, "/api/v1/services-kpis/"),
        "api/^v1/cell-kpis/$": kpi_rule(2, "/api/v1/cell-kpis/"),
        "admin/": in_admin("", 200),
        "admin/login/": Rule("/admin/login/", same(200, (ANONYMOUS, PLAIN, ANALYST)) | same(302, IS_STAFF)),
        "admin/logout/": in_admin("logout/", 405),
        "admin/password_change/": in_admin("password_change/", 200),
        "admin/password_change/done/": in_admin("password_change/done/", 200),
        "admin/kpis/run/start/": in_admin("kpis/run/start/", 403),
        "admin/autocomplete/": in_admin("autocomplete/", 403),
        "admin/jsi18n/": in_admin("jsi18n/", 200),
        "admin/r/<path:content_type_id>/<path:object_id>/": in_admin("r/1/1/", 404),
        "admin/^(?P<app_label>auth|authtoken|axes|kpis)/$": in_admin("kpis/", 200),
        "admin/(?P<url>.*)$": in_admin("nowhere/", 404),
        "admin/auth/user/<id>/password/": in_admin(f"auth/user/{keys['user']}/password/", 403),
    }
    for kpi in KPIS.values():
        name = result_model(kpi)._meta.model_name
        found[f"api/^KPIs/{kpi.id}/$"] = kpi_rule(kpi.id, f"/api/KPIs/{kpi.id}/")
        found[f"api/^KPIs/{kpi.id}/anomalies/$"] = kpi_rule(kpi.id, f"/api/KPIs/{kpi.id}/anomalies/")
        browsed = {STAFF: 403 if kpi.personal else 200, CLEARED_STAFF: 200}
        found |= table(f"kpis/{name}", keys[name], browsed)
    for name in ("subscriber", "quotachange"):
        found |= table(f"kpis/{name}", keys[name], {STAFF: 403, CLEARED_STAFF: 200})
    ledger = ("run", "batchinterval", "watermark", "streamposition", "duecompaction", "duerollup", "intervalsummary")
    lake = ("duereference", "lakefile", "lostfile", "lakebinding", "kpiset", "appliedentry", "resultpruning")
    for name in (*ledger, *lake, "region", "reference", "referenceversion", "livecount", "livefeed", "streamconsumer"):
        found |= table(f"kpis/{name}", keys[name], same(200, IS_STAFF))
    for name in ("batch", "reject"):
        found |= table(f"kpis/{name}", keys[name], same(200, IS_STAFF), shows_personal=True)
    for name in ("auth/user", "auth/group", "authtoken/tokenproxy"):
        found |= table(name, keys[name.partition("/")[2]], same(403, IS_STAFF))
    for name in ("accessattempt", "accesslog", "accessfailurelog"):
        found |= table(f"axes/{name}", keys[name], same(403, IS_STAFF))
    return found


def patterns(some=None, before: str = "") -> Iterator[str]:
    """Every address pattern of the site, as Django's resolver has it."""
    for one in some or get_resolver().url_patterns:
        text = f"{before}{one.pattern}"
        yield from patterns(one.url_patterns, text) if hasattr(one, "url_patterns") else [text]


@pytest.fixture
def keys() -> dict[str, object]:
    """A row in every table; their keys by the tables' names."""
    run = make_run()
    batch = make_batch(run, "ipflow_data.1.csv")
    rows = [run, batch, make_batch_interval(batch, MIDNIGHT), make_reject(batch, 2, text=f"{PERSONAL},x")]
    rows.append(Watermark.objects.create(feed="ipflow", newest_interval_end=MIDNIGHT))
    rows.append(StreamPosition.objects.create(feed="cdr", source="kafka", stream="calls", partition="0", position="1"))
    rows.append(StreamConsumer.objects.create(feed="cdr", topic="calls", host="here", process=1, reported_at=MIDNIGHT))
    rows.append(LiveFeed.objects.create(feed="cdr", revision=1, committed_at=MIDNIGHT, delay=1))
    of_live = {"feed": "cdr", "length": 1, "start_timestamp": MIDNIGHT, "revision": 1}
    rows.append(LiveCount.objects.create(groups={"county": {"Kern": 1}}, **of_live))
    rows.append(DueRollup.objects.create(feed="ipflow", interval=2, interval_start_timestamp=MIDNIGHT))
    of_reference = {"reference": "cells", "reason": "cells.csv changed the reference cells"}
    rows.append(
        DueReference.objects.create(feed="ipflow", interval=2, interval_start_timestamp=MIDNIGHT, **of_reference)
    )
    rows.append(DueCompaction.objects.create(feed="ipflow", interval_start_timestamp=MIDNIGHT))
    in_hour = {"folder": "partials/x", "interval_start_timestamp": MIDNIGHT}
    rows.append(LakeFile.objects.create(feed="ipflow", name="x", size=1, **in_hour))
    rows.append(LostFile.objects.create(batch=batch, kpi=1, reason="lost", noted_at=MIDNIGHT, **in_hour))
    rows.append(LakeBinding.objects.create(database_id=uuid.uuid4()))
    rows.append(KPISet.objects.create(digest="1", kpis="1"))
    rows.append(AppliedEntry.objects.create(kind="kpi", key="1001", name="CellVolume", applied_at=MIDNIGHT))
    rows.append(ResultPruning.objects.create(interval=1, before=MIDNIGHT))
    rows.append(make_summary(1, MIDNIGHT))
    for kpi_id in (10, 11, 12):
        make_summary(kpi_id, MIDNIGHT)
    make_summary(6, MIDNIGHT - ONE_HOUR.delta, ONE_HOUR)
    rows += [make_subscriber(), QuotaChange.objects.get(), make_region()]
    rows.append(Reference.objects.create(name="cell", loaded_at=MIDNIGHT))
    rows.append(ReferenceVersion.objects.create(reference=rows[-1], key="1", valid_from=MIDNIGHT))
    rows += [make_result(kpi, MIDNIGHT, 1) for kpi in KPIS.values()]
    someone = make_user(name="someone")
    rows += [someone, Group.objects.create(name="some"), TokenProxy.objects.create(user=someone)]
    rows.append(AccessAttempt.objects.create(username="someone", failures_since_start=1))
    rows += [model.objects.create(username="someone") for model in (AccessLog, AccessFailureLog)]
    return {row._meta.model_name: row.pk for row in rows}


@pytest.fixture
def user(request) -> User | None:
    """The user of a role, which is the test's parameter."""
    viewing = [f"view_{model._meta.model_name}" for model in admin.site._registry if model._meta.app_label == "kpis"]
    return {
        ANONYMOUS: lambda: None,
        PLAIN: make_user,
        ANALYST: lambda: make_user("view_personal"),
        STAFF: lambda: make_user(*viewing, is_staff=True),
        CLEARED_STAFF: lambda: make_user(*viewing, "view_personal", is_staff=True),
    }[request.param]()


def test_every_address_has_a_rule(keys):
    assert sorted(rules(keys)) == sorted(patterns())


@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
@pytest.mark.parametrize(("user", "role"), [(role, role) for role in ROLES], indirect=["user"], ids=ROLES)
def test_each_role_gets_what_the_rules_say(client, settings, keys, user, role, public):
    settings.API_PUBLIC = public
    if user:
        client.force_login(user)
    got, wanted, shown = {}, {}, set()
    for rule in rules(keys).values():
        if not public and rule.address.startswith("/admin/"):
            # API_PUBLIC is for the API and the pages.
            continue
        for query in rule.queries:
            address = rule.address + query
            response = client.get(address)
            got[address], wanted[address] = response.status_code, rule.status(role, public)
            body = response.getvalue() if response.streaming else response.content
            if PERSONAL.encode() in body:
                shown.add(address)
    assert got == wanted
    allowed = {rule.address + query for rule in rules(keys).values() for query in rule.queries if rule.shows_personal}
    if role in CLEARED:
        assert shown, "nobody saw the text: this test would not notice if it were shown to all"
    assert shown <= allowed
    assert not shown or role in CLEARED


PERSONAL_KPIS = [kpi.id for kpi in KPIS.values() if kpi.personal]
# Each with what it answers to those who are not known, and to those who are but may not.
PERSONAL_PARTS = {
    "": (302, 403),
    "series.json": (401, 403),
    "series.png": (401, 403),
    "series.svg": (401, 403),
    "top.json": (401, 403),
    "rows.csv": (401, 403),
    "rows.parquet": (401, 403),
    "groups/": (401, 403),
    # Not even what there cannot be is shown apart.
    "rows.xml": (401, 403),
    "?interval=9": (302, 403),
}


@pytest.mark.parametrize("kpi_id", PERSONAL_KPIS)
@pytest.mark.parametrize(("part", "statuses"), PERSONAL_PARTS.items(), ids=[part or "page" for part in PERSONAL_PARTS])
@pytest.mark.parametrize("public", [True, False], ids=["public", "private"])
def test_no_page_and_no_part_of_one_shows_single_subscribers_to_others(
    client, settings, keys, public, part, statuses, kpi_id
):
    settings.API_PUBLIC = public
    address = f"/kpis/{kpi_id}/{part}"
    assert client.get(address).status_code == statuses[0]
    client.force_login(make_user())
    response = client.get(address)
    assert response.status_code == statuses[1]
    # A token can have any letters.
    assert b"G1" not in re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", response.content)


@pytest.mark.parametrize("kpi_id", PERSONAL_KPIS)
def test_a_cleared_analyst_sees_single_subscribers_on_every_part_of_their_pages(client, keys, kpi_id):
    client.force_login(make_user("view_personal"))
    kpi = KPIS[kpi_id]
    make_summary(kpi_id, MIDNIGHT, length=kpi.lengths[-1])
    make_result(kpi, MIDNIGHT, 1, kpi.lengths[-1])
    for part in ("", "top.json", "rows.csv", "groups/"):
        response = client.get(f"/kpis/{kpi_id}/{part}?interval={kpi.lengths[-1].code}")
        body = response.getvalue() if response.streaming else response.content
        assert response.status_code == 200, part
        assert b"G1" in body, part


@pytest.mark.parametrize("address", ["/", "/standouts/", "/kpis/1/", "/operators/"])
def test_pages_of_everybody_name_no_kpi_about_single_subscribers(client, keys, address):
    names = ("User traffic volume", "User quota exceeded", "/kpis/5/", "/kpis/6/")
    for kpi_id in PERSONAL_KPIS:
        make_summary(kpi_id, MIDNIGHT)
    client.force_login(make_user())
    page = client.get(address).content.decode()
    assert [name for name in names if name in page] == []
    client.force_login(make_user("view_personal", name="cleared"))
    page = client.get(address).content.decode()
    assert address == "/standouts/" or [name for name in names if name not in page] == []


@pytest.mark.parametrize("name", ["batch", "reject"])
def test_a_cleared_member_of_the_staff_sees_the_text_in_the_admin(client, keys, name):
    viewing = ["view_batch", "view_reject", "view_personal"]
    client.force_login(make_user(*viewing, is_staff=True))
    assert PERSONAL in client.get(f"/admin/kpis/{name}/{keys[name]}/change/").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        f"kpis/batch/?first_rejects__text__startswith={PERSONAL}",
        f"kpis/run/?batch__first_rejects__text__startswith={PERSONAL}",
        f"kpis/batchinterval/?batch__first_rejects__text__startswith={PERSONAL}",
        f"kpis/reject/?text__startswith={PERSONAL}",
        f"kpis/reject/?batch__first_rejects__text__startswith={PERSONAL}",
    ],
)
def test_the_admin_cannot_be_asked_whose_text_starts_how(client, keys, query):
    client.force_login(make_user("view_batch", "view_run", "view_batchinterval", "view_reject", is_staff=True))
    assert client.get(f"/admin/{query}").status_code == 400


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nobody_writes_through_the_pages_the_api_or_to_monitoring(admin_client, keys, method):
    counts = [model.objects.count() for model in (Batch, Reject, IntervalSummary)]
    for pattern, rule in rules(keys).items():
        if not pattern.startswith(("admin/", "login/", "logout/")):
            assert getattr(admin_client, method)(rule.address).status_code == 405, rule.address
    assert [model.objects.count() for model in (Batch, Reject, IntervalSummary)] == counts


@pytest.mark.parametrize(
    ("permissions", "shown"), [((), None), (("view_personal",), f"{PERSONAL},x")], ids=["plain", "analyst"]
)
def test_a_token_opens_what_its_account_may_see(client, settings, keys, permissions, shown):
    settings.API_PUBLIC = False
    token = Token.objects.create(user=make_user(*permissions))
    address = f"/api/batches/{keys['batch']}/rejects/?format=json"
    response = client.get(address, headers={"Authorization": f"Token {token.key}"})
    assert response.status_code == 200
    assert [row["text"] for row in response.json()] == [shown]
    token.user.is_active = False
    token.user.save()
    assert client.get(address, headers={"Authorization": f"Token {token.key}"}).status_code == 401


@pytest.mark.parametrize("header", ["Token nonsense", "Token", "Token a b", "Bearer x"])
def test_a_wrong_token_opens_nothing(client, settings, keys, header):
    settings.API_PUBLIC = False
    response = client.get("/api/KPIs/", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"
