"""The admin: every table can be browsed, none that the pipeline writes can be changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import RequestFactory
from django.urls import reverse

from kpis.admin import result_admin
from kpis.catalog.kpis import KPIS
from kpis.models import Batch, DueRollup, Reject, Run, ServiceTrafficVolume, Watermark
from kpis.tests.factories import (
    make_batch,
    make_batch_interval,
    make_reject,
    make_result,
    make_run,
    make_summary,
    make_user,
    utc,
)

pytestmark = pytest.mark.django_db

HOUR = utc("2021-07-17T23:00:00")
MODELS = list(apps.get_app_config("kpis").get_models())
TRACEBACK = 'Traceback (most recent call last):\n  File "<stdin>", line 1\nOSError: disk & all'


def page(model, name: str, *args, **query) -> str:
    return reverse(f"admin:kpis_{model._meta.model_name}_{name}", args=args, query=query or None)


def rows(number: int) -> None:
    """So many rows in every table."""
    for count in range(number):
        start = HOUR + timedelta(hours=count)
        run = make_run(started_at=start, outcome="broken", traceback=TRACEBACK, batches=1)
        batch = make_batch(
            run, f"ipflow_data.{count}.csv", status="failed", reason="has <no> header", taken_in_at=start
        )
        make_batch_interval(batch, start)
        make_reject(batch, 3, text="346001,=secret")
        make_result(KPIS[1], start, 1, service_id=17 + count, total_bytes=2**62)
        make_result(KPIS[2], start, 1, cell_id=-4 - count, number_of_unique_users=5)
        make_summary(1, start)
        DueRollup.objects.create(feed="ipflow", interval=2, interval_start_timestamp=start)
    Watermark.objects.create(feed="ipflow", interval_end_timestamp=HOUR)


@pytest.fixture
def filled():
    rows(3)


def staff(*permissions, name: str = "staff"):
    """A member of the staff who may view every table, with these permissions besides."""
    viewing = [f"view_{model._meta.model_name}" for model in MODELS]
    return make_user(*viewing, *permissions, name=name, is_staff=True)


def test_every_table_is_registered():
    assert [model for model in MODELS if model not in admin.site._registry] == []


@pytest.mark.parametrize("model", MODELS)
def test_table_is_browsed_searched_and_opened(admin_client, filled, model):
    listed = admin_client.get(page(model, "changelist"))
    assert listed.status_code == 200
    assert 'id="searchbar"' in listed.content.decode()
    assert len(listed.context["cl"].result_list) == model.objects.count()
    for row in model.objects.all():
        opened = admin_client.get(page(model, "change", row.pk))
        assert opened.status_code == 200
        assert 'name="_save"' not in opened.content.decode()
        assert "deletelink" not in opened.content.decode()
    assert admin_client.get(page(model, "changelist", q="x 9' %")).status_code == 200
    assert admin_client.get("/admin/kpis/").status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_table_is_read_only(admin_client, filled, model):
    row = model.objects.first()
    before = model.objects.values().get(pk=row.pk)
    assert admin_client.get(page(model, "add")).status_code == 403
    assert admin_client.post(page(model, "add"), {}).status_code == 403
    assert admin_client.post(page(model, "change", row.pk), {"_save": "Save"}).status_code == 403
    assert admin_client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin_client.post(page(model, "changelist"), chosen)
    assert model.objects.values().get(pk=row.pk) == before
    assert model.objects.count() == (1 if model is Watermark else 3)


@pytest.mark.parametrize("model", [model for model in MODELS if model is not Watermark])
def test_more_rows_are_not_more_queries(admin_client, django_assert_num_queries, model):
    with_one, with_more = [], []
    for counts, number in ((with_one, 1), (with_more, 6)):
        for other in reversed(MODELS):
            other.objects.all().delete()
        rows(number)
        with django_assert_num_queries(20, exact=False) as context:
            admin_client.get(page(model, "changelist"))
        counts.append(len(context))
    assert with_more == with_one


FILTERS = {
    "batch": [{"feed__exact": "ipflow"}, {"status__exact": "failed"}, {"retry__exact": "0"}],
    "run": [{"outcome__exact": "broken"}],
    "reject": [{"batch__feed__exact": "ipflow"}, {"column": "msisdn"}],
    "batchinterval": [{"batch__feed__exact": "ipflow"}, {"batch__status__exact": "failed"}],
    "duerollup": [{"interval__exact": "2"}],
    "intervalsummary": [{"kpi__exact": "1"}, {"interval__exact": "1"}, {"state__exact": "final"}],
    "servicetrafficvolume": [{"interval__exact": "1"}],
    "celluniqueusers": [{"interval__exact": "1"}],
}


@pytest.mark.parametrize("model", MODELS)
def test_filters_and_date_hierarchy(admin_client, filled, model):
    for query in FILTERS.get(model._meta.model_name, []):
        response = admin_client.get(page(model, "changelist", **query))
        assert response.status_code == 200, query
        assert response.context["cl"].has_active_filters, query
        assert len(response.context["cl"].result_list) == 3
    hierarchy = admin.site._registry[model].date_hierarchy
    for depth in ({"year": 2021}, {"year": 2021, "month": 7}, {"year": 2021, "month": 7, "day": 17}):
        if hierarchy:
            query = {f"{hierarchy}__{unit}": number for unit, number in depth.items()}
            response = admin_client.get(page(model, "changelist", **query))
            assert response.status_code == 200
            assert len(response.context["cl"].result_list) >= 1


@pytest.mark.parametrize(
    ("query", "found"), [("18", [18]), ("1", []), ("abc", []), ("99999999999999999999999", []), ("", [17, 18, 19])]
)
def test_results_are_searched_by_their_dimension(admin_client, filled, query, found):
    response = admin_client.get(page(ServiceTrafficVolume, "changelist", q=query))
    assert sorted(row.service_id for row in response.context["cl"].result_list) == found


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid"])
def test_moments_and_days_are_in_utc_whatever_the_zone(admin_client, filled, settings, zone):
    settings.TIME_ZONE = zone
    day = {f"interval_start_timestamp__{unit}": number for unit, number in (("year", 2021), ("month", 7), ("day", 17))}
    listed = admin_client.get(page(ServiceTrafficVolume, "changelist", **day))
    (row,) = listed.context["cl"].result_list
    assert row.interval_start_timestamp == HOUR
    opened = admin_client.get(page(ServiceTrafficVolume, "change", row.pk))
    for response in (listed, opened):
        assert "July 17, 2021, 11 p.m." in response.content.decode()


def test_batch_shows_reason_rejects_and_run(admin_client, filled):
    batch = Batch.objects.first()
    listed = admin_client.get(page(Batch, "changelist")).content.decode()
    opened = admin_client.get(page(Batch, "change", batch.pk)).content.decode()
    for text in (listed, opened):
        assert "has &lt;no&gt; header" in text
        assert page(Run, "change", batch.run_id) in text
    assert "is empty" in opened
    assert "346001,=secret" in opened


def test_run_shows_its_traceback_and_leads_to_its_batches(admin_client, filled):
    run = Run.objects.first()
    opened = admin_client.get(page(Run, "change", run.pk)).content.decode()
    assert "<pre>Traceback (most recent call last):\n  File &quot;&lt;stdin&gt;&quot;, line 1\n" in opened
    assert "OSError: disk &amp; all</pre>" in opened
    address = page(Batch, "changelist", run__id__exact=run.pk)
    assert address in opened
    found = admin_client.get(address).context["cl"].result_list
    assert [batch.run_id for batch in found] == [run.pk]


@pytest.mark.parametrize(("permissions", "shown"), [((), False), (("view_personal",), True)])
def test_text_of_rejects_needs_the_permission(client, filled, permissions, shown):
    client.force_login(staff(*permissions))
    reject = Reject.objects.first()
    addresses = [
        page(Batch, "change", reject.batch_id),
        page(Reject, "change", reject.pk),
        page(Reject, "changelist"),
    ]
    pages = [client.get(address) for address in addresses]
    assert [response.status_code for response in pages] == [200, 200, 200]
    assert ["secret" in response.content.decode() for response in pages] == [shown, shown, False]
    searched = client.get(page(Reject, "changelist", q="secret"))
    assert len(searched.context["cl"].result_list) == (3 if shown else 0)
    asked = client.get(page(Reject, "changelist", text__contains="secret"))
    assert (asked.status_code == 200) is shown


@pytest.mark.parametrize(("permissions", "allowed"), [((), False), (("view_personal",), True)])
def test_personal_kpi_needs_the_permission(permissions, allowed):
    personal = result_admin(replace(KPIS[1], personal=True))(ServiceTrafficVolume, admin.site)
    request = RequestFactory().get("/")
    request.user = staff(*permissions)
    assert personal.has_view_permission(request) is allowed
    assert personal.has_module_permission(request) is True
    assert bool(personal.get_model_perms(request)["view"]) is allowed


@pytest.mark.parametrize(("permissions", "shown"), [((), 0), (("view_personal",), 3)])
def test_summaries_of_personal_kpis_are_held_back(client, filled, monkeypatch, permissions, shown):
    monkeypatch.setitem(KPIS, 1, replace(KPIS[1], personal=True))
    client.force_login(staff(*permissions))
    response = client.get(reverse("admin:kpis_intervalsummary_changelist"))
    assert len(response.context["cl"].result_list) == shown


@pytest.mark.parametrize("model", MODELS)
def test_viewing_needs_the_tables_own_permission(client, filled, model):
    client.force_login(make_user(is_staff=True))
    assert client.get(page(model, "changelist")).status_code == 403
