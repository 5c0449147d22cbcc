"""Names of references in the API: beside the values of dimensions, and as filters."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import duckdb
import pytest
from django.contrib.auth.models import AnonymousUser
from rest_framework.test import APIRequestFactory

from kpis.api.serializers import result_serializer
from kpis.api.viewsets import anomaly_viewset, result_viewset, v1_viewset
from kpis.catalog.builtin.coverage import KPIS as COVERAGE_KPIS
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.intervals import EPOCH
from kpis.models import Reference, ReferenceVersion
from kpis.query import names as names_module
from tests.factories import make_result, utc
from tests.references import CELL, OPERATOR, referenced

pytestmark = pytest.mark.django_db

START = utc("2026-03-01T00:00:00")
LATER = START + timedelta(minutes=5)
OPERATOR_SIGNAL = next(kpi for kpi in COVERAGE_KPIS if kpi.name == "OperatorSignal")


@pytest.fixture(autouse=True)
def references():
    with referenced(CELL, OPERATOR):
        yield


@pytest.fixture
def cells():
    """Two intervals, each with the cells 1, 2 and 3; the first one's name changes between them."""
    reference = Reference.objects.create(name="cell", loaded_at=START)
    for key, since, until, name in (
        ("1", EPOCH, LATER, "Sol"),
        ("1", LATER, None, "Luna"),
        ("2", EPOCH, None, "Luna"),
        ("3", EPOCH, None, ""),
    ):
        ReferenceVersion.objects.create(reference=reference, key=key, valid_from=since, valid_to=until, name=name)
    other = Reference.objects.create(name="another", loaded_at=START)
    ReferenceVersion.objects.create(reference=other, key="3", valid_from=EPOCH, name="Marte")
    for start in (START, LATER):
        for rank, cell in enumerate((1, 2, 3), 1):
            make_result(CELL_UNIQUE_USERS, start, rank, cell_id=cell)


def asked(kpi, viewset=result_viewset, **query):
    request = APIRequestFactory().get("/", query)
    request.user = AnonymousUser()
    return viewset(kpi).as_view({"get": "list"})(request)


def rows(**query) -> list[tuple]:
    return [
        (row["interval_start_timestamp"].replace(tzinfo=START.tzinfo) > START, row["cell_id"], row["cell_name"])
        for row in asked(CELL_UNIQUE_USERS, **query).data
    ]


ALL = [
    (False, 1, "Sol"),
    (False, 2, "Luna"),
    (False, 3, None),
    (True, 1, "Luna"),
    (True, 2, "Luna"),
    (True, 3, None),
]


def test_a_row_has_the_name_of_its_interval(cells):
    assert rows() == ALL


def test_a_name_is_beside_its_value():
    names = names_module.name_columns(CELL_UNIQUE_USERS)
    fields = [*result_serializer(CELL_UNIQUE_USERS, names)().fields]
    assert fields[fields.index("cell_id") + 1] == "cell_name"
    assert [*result_serializer(CELL_UNIQUE_USERS)().fields] == [name for name in fields if name != "cell_name"]


def test_other_kpis_and_version_1_are_as_they_were(cells):
    make_result(SERVICE_TRAFFIC_VOLUME, START, 1)
    (row,) = asked(SERVICE_TRAFFIC_VOLUME).data
    assert not [name for name in row if name.endswith("_name")]
    (row, *_) = asked(CELL_UNIQUE_USERS, lambda kpi: v1_viewset(kpi, "cell-kpis")).data
    assert "cell_name" not in row
    assert asked(CELL_UNIQUE_USERS, lambda kpi: v1_viewset(kpi, "cell-kpis"), cell_id="Sol").status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"cell_id": "1"}, [ALL[0], ALL[3]]),
        ({"cell_id": " 1 "}, [ALL[0], ALL[3]]),
        ({"cell_id": "Sol"}, [ALL[0]]),
        ({"cell_id": "Luna"}, [ALL[1], ALL[3], ALL[4]]),
        ({"cell_name": "Luna"}, [ALL[1], ALL[3], ALL[4]]),
        ({"cell_name": "Luna", "cell_id": "1"}, [ALL[3]]),
        ({"cell_name": "luna"}, []),
        ({"cell_name": "1"}, []),
        ({"cell_name": ""}, ALL),
        ({"cell_id": ""}, ALL),
        ({"cell_id": "Marte"}, []),
    ],
)
def test_rows_are_found_by_value_or_name(cells, query, found):
    assert rows(**query) == found


def test_pages_of_a_name_that_several_have_hold_each_row_once(cells):
    found, address = [], "/?cell_id=Luna&page_size=1"
    while address:
        request = APIRequestFactory().get(address)
        request.user = AnonymousUser()
        response = result_viewset(CELL_UNIQUE_USERS).as_view({"get": "list"})(request)
        found += [(row["interval_start_timestamp"], row["cell_id"]) for row in response.data]
        following = [one for one in response.get("Link", "").split(", ") if 'rel="next"' in one]
        address = following[0].split(";")[0].strip("<>") if following else ""
    assert [cell for _, cell in found] == [2, 1, 2]


def test_a_name_that_too_many_have_is_refused(cells, monkeypatch):
    monkeypatch.setattr(names_module, "MOST_KEYS", 1)
    response = asked(CELL_UNIQUE_USERS, cell_id="Luna")
    assert response.status_code == 400
    assert response.data == {"cell_id": ["More than 1 values of cell_id have this name."]}


def test_a_number_beyond_the_column_is_refused(cells):
    assert asked(CELL_UNIQUE_USERS, cell_id=str(2**63)).status_code == 400


def test_files_have_the_names(cells, tmp_path):
    response = asked(CELL_UNIQUE_USERS, format="csv", cell_id="Luna")
    table = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert [(row["cell_id"], row["cell_name"]) for row in table] == [("2", "Luna"), ("1", "Luna"), ("2", "Luna")]
    response = asked(CELL_UNIQUE_USERS, format="parquet")
    file = tmp_path / "cells.parquet"
    file.write_bytes(b"".join(response.streaming_content))
    response.close()
    found = duckdb.sql(f"SELECT cell_id, cell_name FROM '{file}'").fetchall()
    assert found == [(cell, name) for _, cell, name in ALL]


def test_a_page_is_one_query_with_names_too(cells, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert len(asked(CELL_UNIQUE_USERS).data) == 6
    with django_assert_num_queries(2):
        assert len(asked(CELL_UNIQUE_USERS, cell_id="Luna").data) == 3


def test_anomalies_have_names_and_are_found_by_them(cells):
    for step in range(2, 15):
        users = 1000 if step == 14 else 10 + step % 2
        start = START + step * timedelta(minutes=5)
        make_result(CELL_UNIQUE_USERS, start, 1, cell_id=1, number_of_unique_users=users)
    (one,) = asked(CELL_UNIQUE_USERS, anomaly_viewset).data
    assert (one["cell_id"], one["cell_name"], one["value"]) == (1, "Luna", 1000)
    assert [*one][4:7] == ["cell_id", "cell_name", "value"]
    assert asked(CELL_UNIQUE_USERS, anomaly_viewset, cell_id="Luna").data == [one]
    assert asked(CELL_UNIQUE_USERS, anomaly_viewset, cell_name="Marte").data == []
    response = asked(CELL_UNIQUE_USERS, anomaly_viewset, format="csv")
    (row,) = csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode()))
    assert (row["cell_id"], row["cell_name"], row["value"]) == ("1", "Luna", "1000")


def test_a_dimension_of_texts_is_found_by_value_or_name_in_any_case_of_the_value():
    reference = Reference.objects.create(name="operator", loaded_at=START)
    for key, name in (("móvil", "M"), ("m", "X")):
        ReferenceVersion.objects.create(reference=reference, key=key, valid_from=EPOCH, name=name)
    for rank, operator in enumerate(("MÓVIL", "M", "Otro"), 1):
        make_result(OPERATOR_SIGNAL, START, rank, operator=operator)

    def found(**query) -> list[tuple]:
        return [(row["operator"], row["operator_name"]) for row in asked(OPERATOR_SIGNAL, **query).data]

    assert found() == [("MÓVIL", "M"), ("M", "X"), ("Otro", None)]
    # The name of one, and the value of the other.
    assert found(operator="M") == [("MÓVIL", "M"), ("M", "X")]
    assert found(operator="m") == [("M", "X")]
    assert found(operator="Móvil") == [("MÓVIL", "M")]
    assert found(operator_name="M") == [("MÓVIL", "M")]
    assert found(operator="otro") == [("Otro", None)]
