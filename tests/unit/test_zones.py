"""Every page where TIME_ZONE has an hour that comes twice: on each database, also without its time zone tables."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from axes.models import AccessFailureLog
from django.contrib import admin
from django.core.management import call_command
from django.urls import reverse

from kpis.catalog.registry import KPIS
from kpis.query.intervals import default_length
from tests.factories import make_batch, make_result, make_run, make_subscriber, make_summary, utc

pytestmark = pytest.mark.django_db

# The clocks of Madrid go back from 03:00 (+0200) to 02:00 (+0100) at 01:00 UTC.
FIRST, SECOND = utc("2023-10-29T00:05:00"), utc("2023-10-29T01:05:00")
FIVE = timedelta(minutes=5)
BARE = re.compile(r"02:(?:05|10)(?!:| \(\+0[12]00\)|(?:\+|%2B)0[12]:?00)")


@pytest.fixture
def twice(settings):
    """Two rows of each KPI, at 02:05 by the clocks of Madrid each."""
    settings.TIME_ZONE = "Europe/Madrid"
    for kpi in KPIS.values():
        for start in (FIRST, SECOND):
            length = default_length(kpi)
            start = length.floor(start)
            make_result(kpi, start, 1, length)
            make_summary(kpi.id, start, length)
    make_batch(make_run(), "cdr_data.1.csv", feed="cdr", ingested_at=SECOND)
    make_subscriber(1)


PAGES = [
    "/", "/kpis/10/", "/kpis/7/", "/kpis/5/", "/operators/", "/map/", "/map/?layer=signal", "/quality/", "/quotas/",
    "/standouts/", "/live/", "/kpis/12/", "/api/KPIs/10/", "/api/KPIs/10/anomalies/", "/api/intervals/",
    "/api/batches/", "/kpis/10/series.json", "/kpis/10/top.json", "/kpis/10/rows.csv",
]  # fmt: skip


@pytest.mark.parametrize("address", PAGES)
def test_every_page_tells_apart_the_times_that_come_twice(admin_client, twice, address):
    response = admin_client.get(address)
    assert response.status_code in (200, 404), address
    text = response.getvalue().decode()
    assert not BARE.findall(re.sub(r"2023-10-29T0[0-3]:[0-9:]*Z", "", text)), address


def test_each_hour_of_the_two_has_a_page_of_its_own(client, twice):
    for start, offset in ((FIRST, "+0200"), (SECOND, "+0100")):
        page = client.get("/kpis/10/", {"from": f"{start:%Y-%m-%dT%H:%MZ}", "to": f"{start + FIVE:%Y-%m-%dT%H:%MZ}"})
        text = page.content.decode()
        assert f"29 Oct 2023, 02:05 ({offset}) to 02:10 ({offset})" in text
        colon = f"{offset[:3]}:{offset[3:]}"
        assert f'<input type="text" id="from" name="from" value="2023-10-29T02:05{colon}" required>' in text


def test_plot_tells_the_offsets(twice, tmp_path):
    path, out = tmp_path / "calls.svg", io.StringIO()
    call_command(
        "plot", "10", "--from", "2023-10-29T00:00Z", "--to", "2023-10-29T02:00Z", "--out", str(path), stdout=out
    )
    assert "29 Oct 2023, 02:00 (+0200) to 03:00 (+0100) (Europe/Madrid)" in out.getvalue()
    drawn = path.read_text()
    assert "02:30 (+0200)" in drawn
    assert "02:30 (+0100)" in drawn


@pytest.mark.parametrize("query", ["", "year=2023", "year=2023&month=10", "year=2023&month=10&day=29"])
def test_every_admin_page_opens_also_without_time_zone_tables(admin_client, twice, query):
    for model, shown in admin.site._registry.items():
        column = shown.date_hierarchy
        if query and not column:
            continue
        parameters = dict(part.split("=") for part in query.split("&") if part)
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        response = admin_client.get(address, {f"{column}__{name}": value for name, value in parameters.items()})
        assert response.status_code == 200, address


def test_the_admin_of_failed_logins_shows_them_by_their_day_in_utc(admin_client, twice):
    AccessFailureLog.objects.create(ip_address="127.0.0.1", username="x", attempt_time=FIRST)
    AccessFailureLog.objects.update(attempt_time=FIRST)
    page = admin_client.get(reverse("admin:axes_accessfailurelog_changelist"))
    assert page.status_code == 200
    assert page.context["cl"].result_count == 1
