"""``/healthz`` and ``/metrics``: the responses to probes and Prometheus."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from kpis.health import state
from kpis.models import Run, Watermark
from tests.factories import MIDNIGHT, make_batch, make_run, make_user

NOW = MIDNIGHT + timedelta(hours=1)


@pytest.fixture
def an_hour_later(monkeypatch):
    """It is an hour after midnight, and ipflow came in until a quarter past."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    Watermark.objects.create(feed="ipflow", newest_interval_end=MIDNIGHT + timedelta(minutes=15))


@pytest.fixture
def silent_database(monkeypatch):
    """Every query fails, as with a server that is gone."""

    def fail(*args):
        raise DatabaseError("server at 10.0.0.7 has gone away")

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.django_db
def test_all_is_well_before_the_first_file(client):
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ok",
        "database": True,
        "lake": True,
        "fresh": True,
        "newest_interval_age": {},
    }
    assert "no-cache" in response.headers["Cache-Control"]


@pytest.mark.django_db
@pytest.mark.parametrize(("longest", "status"), [(None, 200), (2700, 200), (2699, 503)])
def test_data_may_be_so_old(client, settings, an_hour_later, longest, status):
    settings.HEALTH_MAX_AGE = longest
    response = client.get("/healthz")
    assert response.status_code == status
    assert response.json()["newest_interval_age"] == {"ipflow": 2700.0}
    assert response.json()["fresh"] is (status == 200)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("end", "age"),
    [(timedelta(minutes=64), 0.0), (timedelta(hours=25), None), (None, None)],
    ids=["under way", "tomorrow's", "all ahead"],
)
def test_an_age_is_never_that_of_what_lies_ahead(client, settings, monkeypatch, end, age):
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    Watermark.objects.create(feed="ipflow", newest_interval_end=end and MIDNIGHT + end)
    settings.HEALTH_MAX_AGE = 900
    response = client.get("/healthz")
    assert response.json()["newest_interval_age"] == {"ipflow": age}
    assert response.json()["fresh"] is (age is not None)
    assert [sample for sample in samples(client) if "age" in sample] == (
        ["newest_interval_age_seconds feed=ipflow"] if age is not None else []
    )


@pytest.mark.django_db
def test_where_an_age_is_wanted_no_data_is_not_well(client, settings):
    settings.HEALTH_MAX_AGE = 900
    assert client.get("/healthz").status_code == 503


@pytest.mark.django_db
def test_a_lake_that_cannot_be_written_is_not_well(client, settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.LAKE_DIR = tmp_path / "file" / "lake"
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json()["lake"] is False


def test_a_full_disk_is_not_well(monkeypatch, tmp_path):
    assert state.can_be_written(tmp_path / "not" / "there")
    monkeypatch.setattr(state.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    assert not state.can_be_written(tmp_path)


@pytest.mark.django_db
@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_healthz_reports_a_silent_database_without_querying_it(client, settings, silent_database, public, known):
    settings.API_PUBLIC = public
    headers = {"Authorization": "Token abc"} if known else {}
    response = client.get("/healthz", headers=headers)
    assert response.status_code == 503
    details = {"database": False, "lake": True, "fresh": True, "newest_interval_age": None}
    assert response.json() == {"status": "failing"} | (details if public else {})


@pytest.mark.django_db
def test_where_the_api_is_not_public_the_details_are_not_either(client, settings):
    settings.API_PUBLIC = False
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/metrics").status_code == 401
    client.force_login(make_user())
    assert client.get("/healthz").json()["database"] is True
    assert client.get("/metrics").status_code == 200


def samples(client) -> dict[str, float]:
    """Every sample of the metrics, by its name and labels as they are written."""
    text = client.get("/metrics").content.decode()
    return {
        sample.name.removeprefix("network_analysis_")
        + "".join(f" {label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.django_db
def test_without_a_run_there_is_nothing_to_measure(client):
    assert samples(client) == {}


@pytest.mark.django_db
def test_metrics_are_the_ledgers(client, an_hour_later):
    make_run(MIDNIGHT, outcome="broken")
    run = make_run(MIDNIGHT, ended_at=MIDNIGHT + timedelta(seconds=12.5), outcome="incomplete")
    make_run(MIDNIGHT + timedelta(minutes=5))
    make_batch(run, "1.csv", lines=103, records=100, rejects=3)
    make_batch(run, "2.csv", lines=2**62, records=2**62)
    make_batch(run, "3.csv", lines=900, rejects=900, status="failed")
    assert samples(client) == {
        "batches feed=ipflow status=in": 2,
        "batches feed=ipflow status=failed": 1,
        "records feed=ipflow": float(2**62 + 100),
        "rejects feed=ipflow": 3,
        "last_run_outcome outcome=succeeded": 0,
        "last_run_outcome outcome=incomplete": 1,
        "last_run_outcome outcome=broken": 0,
        "last_run_end_timestamp_seconds": MIDNIGHT.timestamp() + 12.5,
        "last_run_seconds": 12.5,
        "newest_interval_age_seconds feed=ipflow": 2700,
    }


@pytest.mark.django_db
def test_the_last_run_may_have_broken_off_after_one_that_ended(client):
    make_run(MIDNIGHT, ended_at=MIDNIGHT + timedelta(seconds=3), outcome="succeeded")
    make_run(MIDNIGHT + timedelta(minutes=5), outcome="broken")
    found = samples(client)
    assert found["last_run_outcome outcome=broken"] == 1
    assert found["last_run_seconds"] == 3


@pytest.mark.django_db
def test_more_batches_are_not_more_queries(client, django_assert_num_queries):
    run = make_run()
    for number in range(20):
        make_batch(run, f"{number}.csv")
    with django_assert_num_queries(4):
        client.get("/metrics")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("image/png", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_the_scraper_chooses_the_form(client, accept, kind):
    response = client.get("/metrics", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(kind)


@pytest.mark.django_db
def test_a_scrape_without_the_database_says_so(client, silent_database):
    response = client.get("/metrics")
    assert response.status_code == 503
    assert response.content == b"The database does not answer.\n"


@pytest.mark.django_db
def test_every_outcome_has_a_sample(client):
    make_run(outcome="succeeded")
    outcomes = {name.rpartition("=")[2] for name in samples(client) if name.startswith("last_run_outcome")}
    assert outcomes == set(Run.Outcome.values) - {Run.Outcome.RUNNING}
