"""The ledger and the intervals' summaries in the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import KPIS
from tests.answers import csv_rows, json_rows, parquet_rows
from tests.factories import make_batch, make_batch_interval, make_reject, make_run, make_summary, make_user, utc

pytestmark = pytest.mark.django_db

HOUR = utc("2021-07-17T23:00:00")


@pytest.fixture
def batches():
    """Three batches of two runs, by name, newest first as the API gives them."""
    first, second = make_run(), make_run()
    one = make_batch(first, "one.csv", ingested_at=HOUR, lines=5, records=3, rejects=2)
    two = make_batch(first, "Two.csv", ingested_at=HOUR + timedelta(minutes=5))
    bad = make_batch(
        second,
        "bad.csv",
        ingested_at=HOUR + timedelta(minutes=10),
        status="failed",
        reason="has no header",
        retry=True,
    )
    for minutes in (0, 20):
        make_batch_interval(one, HOUR + timedelta(minutes=minutes))
    make_batch_interval(two, HOUR + timedelta(minutes=10))
    return {"bad": bad, "two": two, "one": one}


def test_batch(client, batches, django_assert_num_queries):
    batch = batches["bad"]
    with django_assert_num_queries(1):
        response = client.get(f"/api/batches/{batch.pk}/")
    assert response.json() == {
        "id": batch.pk,
        "feed": "ipflow",
        "name": "bad.csv",
        "status": "failed",
        "duplicate_of": None,
        "reason": "has no header",
        "retry": True,
        "read_again_at": None,
        "size": 1000,
        "modified_ns": 1626566700000000000,
        "digest": "",
        "reading": "",
        "lines": 0,
        "records": 0,
        "rejects": 0,
        "revision": 1,
        "taken_in_at": "2021-07-17T23:10:00Z",
        "run": batch.run_id,
    }
    assert client.get("/api/batches/").json()[0] == response.json()


@pytest.mark.parametrize("batch_id", ["0", "999999999", "9" * 30, "9" * 5000])
@pytest.mark.parametrize("address", ["/api/batches/{}/", "/api/batches/{}/rejects/"])
def test_unknown_batch_is_missing(client, address, batch_id):
    response = client.get(address.format(batch_id))
    assert response.status_code == 404
    assert set(response.json()) == {"detail"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["bad", "two", "one"]),
        ("feed=ipflow", ["bad", "two", "one"]),
        ("status=in", ["two", "one"]),
        ("status=failed", ["bad"]),
        ("name=Two.csv", ["two"]),
        ("name=two.csv", []),
        ("name=%20one.csv", []),
        ("run=RUN", ["two", "one"]),
        ("run=0", []),
        ("taken_in_at__gte=2021-07-17T23:05:00Z", ["bad", "two"]),
        ("taken_in_at__lt=2021-07-17T23:05:00Z", ["one"]),
        ("interval_start_timestamp=2021-07-17T23:20:00Z", ["one"]),
        ("interval_start_timestamp__gte=2021-07-17T23:00:00Z", ["two", "one"]),
        ("interval_start_timestamp__lt=2021-07-17T23:10:00Z", ["one"]),
        # Both ends are about the same interval: "one" has none in between.
        (
            "interval_start_timestamp__gte=2021-07-17T23:05:00Z&interval_start_timestamp__lt=2021-07-17T23:15:00Z",
            ["two"],
        ),
        ("status=&feed=&name=&run=&interval_start_timestamp=", ["bad", "two", "one"]),
    ],
)
def test_filter_batches(client, batches, django_assert_num_queries, query, expected):
    with django_assert_num_queries(1):
        response = client.get(f"/api/batches/?{query.replace('RUN', str(batches['one'].run_id))}")
    assert [row["id"] for row in response.json()] == [batches[name].pk for name in expected]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("feed=x", {"feed": ["Choose one of: ipflow, antenna, coverage, cdr."]}),
        ("status=ok", {"status": ["Choose one of: in (ingested), failed, duplicate, renamed."]}),
        ("name=%00", {"name": ["Null characters are not allowed."]}),
        ("run=x", {"run": ["Enter a whole number."]}),
        ("run=9223372036854775808", {"run": [f"Ensure this value is less than or equal to {2**63 - 1}."]}),
    ],
)
def test_wrong_value_for_batches(client, query, errors):
    response = client.get(f"/api/batches/?{query}")
    assert (response.status_code, response.json()) == (400, errors)


@pytest.fixture
def rejects(batches):
    """Two rejects of one batch, and another batch's that must not be among them."""
    made = [
        make_reject(batches["one"], 7, "", "has too few fields", "123"),
        make_reject(batches["one"], 3, "msisdn", "is empty", "=1+1,,5"),
    ]
    make_reject(batches["two"], 3)
    return made


@pytest.mark.parametrize(
    ("permissions", "texts"),
    [(None, [None, None]), ((), [None, None]), (("view_personal",), ["=1+1,,5", "123"])],
)
def test_text_of_rejects_needs_the_permission(client, batches, rejects, permissions, texts):
    if permissions is not None:
        client.force_login(make_user(*permissions))
    assert client.get(f"/api/batches/{batches['one'].pk}/rejects/").json() == [
        {
            "id": rejects[1].pk,
            "line": 3,
            "sequence_number": "",
            "column": "msisdn",
            "reason": "is empty",
            "text": texts[0],
        },
        {
            "id": rejects[0].pk,
            "line": 7,
            "sequence_number": "",
            "column": "",
            "reason": "has too few fields",
            "text": texts[1],
        },
    ]


def test_csv_of_rejects_is_safe_and_keeps_the_text_back(client, batches, rejects):
    address = f"/api/batches/{batches['one'].pk}/rejects/?format=csv"
    header, first, second = client.get(address).getvalue().decode().splitlines()
    assert header == "id,line,column,reason,text,sequence_number"
    assert first == f"{rejects[1].pk},3,msisdn,is empty,,"
    client.force_login(make_user("view_personal"))
    response = client.get(address)
    assert response["Content-Disposition"] == (f'attachment; filename="batch-{batches["one"].pk}-rejects.csv"')
    header, first, second = response.getvalue().decode().splitlines()
    assert first == f'{rejects[1].pk},3,msisdn,is empty,"\'=1+1,,5",'
    assert second == f"{rejects[0].pk},7,,has too few fields,123,"


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("", [3, 7]),
        ("line=7", [7]),
        ("column=msisdn", [3]),
        ("reason=has%20too%20few%20fields", [7]),
        ("reason=has", []),
        ("column=&line=", [3, 7]),
    ],
)
def test_filter_rejects(client, batches, rejects, django_assert_num_queries, query, lines):
    with django_assert_num_queries(2):
        response = client.get(f"/api/batches/{batches['one'].pk}/rejects/?{query}")
    assert [row["line"] for row in response.json()] == lines


def test_wrong_value_for_rejects(client, batches):
    response = client.get(f"/api/batches/{batches['one'].pk}/rejects/?line=x&column=%00")
    assert (response.status_code, response.json()) == (
        400,
        {"line": ["Enter a whole number."], "column": ["Null characters are not allowed."]},
    )


def test_unknown_parameter_for_one_batch(client, batches):
    response = client.get(f"/api/batches/{batches['one'].pk}/?status=in")
    assert (response.status_code, response.json()) == (
        400,
        {"status": ["Unknown parameter. The known ones are: format."]},
    )


@pytest.fixture
def summaries():
    """Three summaries, by name, in the order in which the API gives them."""
    later = HOUR + timedelta(minutes=5)
    return {
        "five": make_summary(1, HOUR),
        "hour": make_summary(1, HOUR, ONE_HOUR, state="provisional", updated_at=HOUR + timedelta(minutes=6)),
        "cells": make_summary(2, later, previous_total=9, previous_updated_at=later, revision=2),
    }


def test_summary(client, summaries):
    assert client.get("/api/intervals/?kpi=2").json() == [
        {
            "id": summaries["cells"].pk,
            "kpi": 2,
            "interval_start_timestamp": "2021-07-17T23:05:00Z",
            "interval_end_timestamp": "2021-07-17T23:10:00Z",
            "interval": 1,
            "total": 1000,
            "mean": None,
            "groups": 12,
            "records": 40,
            "batches": 2,
            "revision": 2,
            "state": "final",
            "reason": "",
            "updated_at": "2021-07-17T23:15:00Z",
            "previous_total": 9,
            "previous_mean": None,
            "previous_updated_at": "2021-07-17T23:05:00Z",
        }
    ]


def test_summary_of_a_mean_has_the_mean_in_the_totals_place(client):
    make_summary(7, HOUR, total=None, mean=15.25, previous_mean=-0.5, revision=2, previous_updated_at=HOUR)
    make_summary(8, HOUR, total=None, mean=None)
    found = client.get("/api/intervals/").json()
    columns = ("kpi", "total", "mean", "previous_total", "previous_mean")
    assert [tuple(row[name] for name in columns) for row in found] == [
        (7, None, 15.25, None, -0.5),
        (8, None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["five", "hour", "cells"]),
        ("kpi=1", ["five", "hour"]),
        ("interval=2", ["hour"]),
        ("interval=3", []),
        ("state=provisional", ["hour"]),
        ("state=final", ["five", "cells"]),
        ("interval_start_timestamp=2021-07-17T23:00:00Z", ["five", "hour"]),
        ("interval_start_timestamp__gte=2021-07-17T23:05:00Z", ["cells"]),
        ("interval_start_timestamp__gt=2021-07-17T23:00:00Z", ["cells"]),
        ("interval_start_timestamp__lte=2021-07-17T23:00:00Z", ["five", "hour"]),
        ("interval_start_timestamp__lt=2021-07-17T23:05:00Z", ["five", "hour"]),
        ("interval_end_timestamp=2021-07-18T00:00:00Z", ["hour"]),
        ("interval_end_timestamp__gte=2021-07-17T23:10:00Z", ["hour", "cells"]),
        ("interval_end_timestamp__gt=2021-07-17T23:10:00Z", ["hour"]),
        ("interval_end_timestamp__lte=2021-07-17T23:10:00Z", ["five", "cells"]),
        ("interval_end_timestamp__lt=2021-07-17T23:10:00Z", ["five"]),
        ("updated_at__gte=2021-07-17T23:10:00Z", ["five", "cells"]),
        ("updated_at__lt=2021-07-17T23:10:00Z", ["hour"]),
    ],
)
def test_filter_summaries(client, summaries, django_assert_num_queries, query, expected):
    # One for the KPIs that a catalog had once.
    with django_assert_num_queries(2):
        response = client.get(f"/api/intervals/?{query}")
    assert [row["id"] for row in response.json()] == [summaries[name].pk for name in expected]


@pytest.mark.parametrize("parameter", ["kpi", "interval", "state", "updated_at__gte", "updated_at__lt"])
def test_wrong_value_for_summaries(client, parameter):
    response = client.get(f"/api/intervals/?{parameter}=99")
    assert response.status_code == 400
    assert list(response.json()) == [parameter]


@pytest.mark.parametrize(("permissions", "expected"), [((), set(KPIS) - {5, 6}), (("view_personal",), set(KPIS))])
@pytest.mark.parametrize("query", ["", "?format=csv", "?format=parquet"])
def test_summaries_of_personal_kpis_are_held_back(client, permissions, expected, query):
    for kpi in KPIS:
        make_summary(kpi, HOUR)
    client.force_login(make_user(*permissions))
    response = client.get(f"/api/intervals/{query}")
    found = {"": json_rows, "?format=csv": csv_rows, "?format=parquet": parquet_rows}[query](response)
    assert {int(row["kpi"]) for row in found} == expected


def test_summary_of_a_personal_kpi_is_not_found_by_its_kpi_either(client):
    make_summary(5, HOUR)
    assert client.get("/api/intervals/?kpi=5").json() == []
