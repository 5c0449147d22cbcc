"""Runs that the admin starts, and failed files that it has tried again: who may, and what comes of it."""

from __future__ import annotations

import pytest
from django.test import Client

from kpis.ingest import runs
from kpis.models import Batch, Run
from tests.factories import make_batch, make_run, make_user
from tests.processes import PATIENCE
from tests.servers.test_buckets import update
from tests.servers.test_faults import gate, open_gate
from tests.twin import Flow

START = 1626566400  # 2021-07-18T00:00:00Z
ADDRESS = "/admin/kpis/run/start/"


def staff(*permissions: str, name: str = "staff"):
    return make_user("view_run", "view_batch", *permissions, name=name, is_staff=True)


@pytest.fixture
def in_place(place, monkeypatch):
    """The place is what processes of this one work on."""
    for name, value in {
        "DATABASE_URL": place.database_url,
        "DATA_DIR": str(place.data),
        "LAKE_DIR": str(place.lake),
        "TMPDIR": str(place.temporary),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runs, "_started", None)
    return place


def test_a_run_that_is_started_works_by_itself_and_is_in_the_ledger(client, in_place):
    in_place.put({"ipflow_data.a.csv": [Flow(START, 1, 1, 0, service=1, cell=1)]})
    client.force_login(staff("start_run"))
    response = client.post(ADDRESS, follow=True)
    assert response.redirect_chain == [("/admin/kpis/run/", 302)]
    assert "A run was started" in response.content.decode()
    assert runs._started.wait(PATIENCE) == 0
    with in_place.alias() as alias:
        run = Run.objects.using(alias).get()
        assert (run.outcome, run.batches, run.process) == (Run.Outcome.SUCCEEDED, 1, runs._started.pid)
        assert run.command == "update_network_stats -v 0"


def test_one_process_starts_one_run_at_a_time(client, in_place):
    client.force_login(staff("start_run"))
    path = gate(in_place)
    first = runs.start_run()
    assert runs.start_run() is None
    assert "has not ended yet" in client.post(ADDRESS, follow=True).content.decode()
    open_gate(path, first)
    first.wait(PATIENCE)
    second = runs.start_run()
    assert second.wait(PATIENCE) == 0
    with in_place.alias() as alias:
        assert Run.objects.using(alias).count() == 2


def test_a_run_under_way_is_reported(client, in_place):
    run = make_run()
    client.force_login(staff("start_run"))
    assert f"Run {run.pk} is under way." in client.post(ADDRESS, follow=True).content.decode()
    runs._started.wait(PATIENCE)


@pytest.mark.django_db
@pytest.mark.parametrize("permissions", [(), ("view_personal", "add_run", "change_run")])
def test_who_lacks_the_permission_starts_nothing_and_sees_no_button(client, monkeypatch, permissions):
    monkeypatch.setattr(runs, "_started", None)
    client.force_login(staff(*permissions))
    assert client.post(ADDRESS).status_code == 403
    assert "Run now" not in client.get("/admin/kpis/run/").content.decode()
    batch = make_batch(make_run(), "a", status=Batch.Status.FAILED)
    assert "Try failed files again" not in client.get("/admin/kpis/batch/").content.decode()
    client.post("/admin/kpis/batch/", {"action": "retry", "_selected_action": [batch.pk]})
    assert not Batch.objects.get().retry
    assert runs._started is None


@pytest.mark.django_db
def test_only_the_admins_own_form_starts_a_run(monkeypatch):
    monkeypatch.setattr(runs, "_started", None)
    strict = Client(enforce_csrf_checks=True)
    assert Client().post(ADDRESS).headers["Location"].startswith("/admin/login/")
    strict.force_login(staff("start_run"))
    assert strict.get(ADDRESS).status_code == 405
    assert strict.post(ADDRESS).status_code == 403
    page = strict.get("/admin/kpis/run/").content.decode()
    assert f'action="{ADDRESS}"' in page
    assert runs._started is None


@pytest.mark.django_db
def test_failed_files_are_marked_and_others_stay_as_they_are(client):
    run = make_run()
    failed = make_batch(run, "a", status=Batch.Status.FAILED)
    other = make_batch(run, "b", status=Batch.Status.FAILED)
    fine = make_batch(run, "c")
    client.force_login(staff("start_run"))
    chosen = {"action": "retry", "_selected_action": [failed.pk, fine.pk]}
    text = client.post("/admin/kpis/batch/", chosen, follow=True).content.decode()
    assert "1 failed file will be tried again by the next run." in text
    assert [Batch.objects.get(pk=one.pk).retry for one in (failed, other, fine)] == [True, False, False]
    nothing = client.post("/admin/kpis/batch/", chosen | {"_selected_action": [fine.pk]}, follow=True)
    assert "0 failed files will be tried again" in nothing.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_marked_file_is_tried_again_by_the_next_run(data_dir):
    (data_dir / "ipflow_data.a.csv").write_text("rubbish")
    assert "0 files ingested, 1 failed" in update()
    # Unchanged, it is let alone.
    assert "0 files ingested, 0 failed" in update()
    assert runs.mark_for_retry(Batch.objects.all()) == 1
    assert "would ingest ipflow_data.a.csv (ipflow, tried" in update(dry_run=True)
    assert "0 files ingested, 1 failed" in update()
    assert not Batch.objects.get().retry
