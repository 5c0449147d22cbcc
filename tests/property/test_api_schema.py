"""The OpenAPI schema is valid and whole, and the API keeps to it."""

from __future__ import annotations

import gc
from collections import Counter
from datetime import timedelta

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from kpis.catalog.registry import KPIS
from network_analysis.wsgi import application
from tests.effort import times
from tests.factories import make_batch, make_batch_interval, make_reject, make_result, make_run, make_summary, utc

pytestmark = pytest.mark.sqlite_alone

HOUR = utc("2021-07-17T23:00:00")

load_all_checks()
EXAMPLES = times("SCHEMA_EXAMPLES", 3, 40)
KEPT = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
)


@pytest.fixture
def api(db):
    """The API's schema, over tables that all have rows."""
    for minutes in (0, 5):
        start = HOUR + timedelta(minutes=minutes)
        for rank in (1, 2):
            for kpi in KPIS.values():
                make_result(kpi, start, rank)
        make_summary(1, start)
    batch = make_batch(make_run(), "ipflow_data.csv")
    make_batch_interval(batch, HOUR)
    make_reject(batch, 1)
    # As Django's own test client does: the end of a request must not end the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


# Unlike a web server, the client that walks the schema leaves files open.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_schema_tells_of(api, mode):
    statuses = Counter()
    for operation in api.get_all_operations():

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.ok().as_strategy(generation_mode=mode))
        def walk(case):
            statuses[case.call_and_validate(checks=KEPT).status_code] += 1

        walk()
    gc.collect()
    assert set(statuses) >= ({200, 400} if mode is GenerationMode.POSITIVE else {400})


def test_schema_is_valid_and_without_warnings(capsys):
    call_command("spectacular", validate=True, fail_on_warn=True)
    assert "openapi: 3" in capsys.readouterr().out


@pytest.mark.django_db
def test_every_operation_says_what_it_answers(client):
    paths = client.get("/api/schema/?format=json").json()["paths"]
    operations = {path: operation for path, methods in paths.items() for operation in methods.values()}
    assert set(operations) == {
        "/api/KPIs/",
        *(f"/api/KPIs/{kpi}/" for kpi in KPIS),
        *(f"/api/KPIs/{kpi}/anomalies/" for kpi in KPIS),
        "/api/batches/",
        "/api/batches/{id}/",
        "/api/batches/{batch_id}/rejects/",
        "/api/intervals/",
        "/api/v1/services-kpis/",
        "/api/v1/cell-kpis/",
    }
    assert all(list(methods) == ["get"] for methods in paths.values())
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    for path, operation in operations.items():
        statuses = {"200", "304", "400", "401", "403", "429"} | ({"404"} if "{" in path else set())
        assert set(operation["responses"]) == statuses
        assert "ETag" in operation["responses"]["200"]["headers"]
        assert all(parameter.get("description") for parameter in operation["parameters"]), path


@pytest.mark.django_db
def test_page_of_the_schema_needs_no_other_site(client):
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert "//cdn" not in page.content.decode()
    assert "/static/drf_spectacular_sidecar/" in page.content.decode()
