"""CSV: the whole filtered result as a stream, safe to open in a spreadsheet."""

from __future__ import annotations

import csv

import pytest

from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.registry import KPIS
from kpis.models import ServiceTrafficVolume
from kpis.query.csv import cell, csv_chunks
from kpis.query.rows import stream
from tests.factories import make_result, make_summary, utc

HOUR = utc("2021-07-17T23:00:00")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("a=1", "a=1"),
        ("", ""),
        (-1, -1),
        (-1.5, -1.5),
        (True, "true"),
        (None, None),
        (["a", "b"], "a b"),
        (["=a", "b"], "'=a b"),
    ],
)
def test_text_that_a_spreadsheet_would_run_is_made_harmless(value, expected):
    assert cell(value) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    ["/api/KPIs/12/?format=csv", "/kpis/12/rows.csv", "/api/KPIs/12/anomalies/?window=2&threshold=0&format=csv"],
)
def test_names_that_are_computed_here_and_numbers_are_given_as_they_are(client, address):
    for number, signal in enumerate([-1.5, -2.5, -2.5, -1.5]):
        start = HOUR + number * FIVE_MINUTES.delta
        make_result(KPIS[12], start, 1, grid_cell="-34.60,-58.40", average_signal=signal)
        make_summary(12, start, FIVE_MINUTES)
    rows = list(csv.DictReader(client.get(address).getvalue().decode().splitlines()))
    assert {row["grid_cell"] for row in rows} == {"-34.60,-58.40"}
    assert {row.get("average_signal") or row["value"] for row in rows} <= {"-1.5", "-2.5"}


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/KPIs/7/?format=csv", "/kpis/7/rows.csv"])
def test_a_users_text_is_made_harmless_on_every_page(client, address):
    make_result(KPIS[7], HOUR, 1, operator="-34.60,-58.40")
    make_summary(7, HOUR, FIVE_MINUTES)
    (row,) = csv.DictReader(client.get(address).getvalue().decode().splitlines())
    assert row["operator"] == "'-34.60,-58.40"


def test_rows_are_written_while_they_are_read():
    taken = []

    def rows():
        for number in range(2500):
            taken.append(number)
            yield (number,)

    chunks = csv_chunks(["n"], rows())
    assert next(chunks).count("\r\n") == 1001
    assert len(taken) == 1000
    assert next(chunks).count("\r\n") == 1000
    assert len(taken) == 2000
    assert next(chunks).count("\r\n") == 500


@pytest.mark.django_db
def test_a_list_is_given_whole_in_one_query(client, django_assert_num_queries):
    ServiceTrafficVolume.objects.bulk_create(
        ServiceTrafficVolume(
            interval_start_timestamp=HOUR,
            interval_end_timestamp=utc("2021-07-18T00:00:00"),
            interval=2,
            rank=rank,
            service_id=rank - 1500,
            total_bytes=2**63 - rank,
        )
        for rank in range(3000, 0, -1)
    )
    with django_assert_num_queries(1):
        response = client.get("/api/KPIs/1/?format=csv&interval=2")
        assert response.streaming
        text = response.getvalue().decode()
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="ServiceTrafficVolume.csv"'
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["rank"]) for row in rows] == list(range(1, 3001))
    assert list(rows[0].items())[1:] == [
        ("interval_start_timestamp", "2021-07-17T23:00:00Z"),
        ("interval_end_timestamp", "2021-07-18T00:00:00Z"),
        ("interval", "2"),
        ("service_id", "-1499"),
        ("total_bytes", "9223372036854775807"),
        ("rank", "1"),
    ]


@pytest.mark.django_db
def test_a_download_that_is_broken_off_leaves_the_connection_usable():
    for rank in range(1, 4):
        make_result(KPIS[1], HOUR, rank, service_id=rank, total_bytes=1)
    ranks = ServiceTrafficVolume.objects.order_by("rank").values_list("rank", flat=True)
    rows = stream(ranks)
    assert next(rows) == 1
    rows.close()
    assert ServiceTrafficVolume.objects.count() == 3
    assert [*stream(ranks)] == [1, 2, 3]


@pytest.mark.django_db
def test_the_accept_header_asks_for_csv_too(client):
    make_result(KPIS[1], HOUR, 1, service_id=1, total_bytes=1)
    response = client.get("/api/KPIs/1/", headers={"accept": "text/csv"})
    assert len(response.getvalue().splitlines()) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["KPIs/1", "batches", "intervals", "v1/cell-kpis"])
def test_a_list_without_rows_is_its_header(client, address):
    response = client.get(f"/api/{address}/?format=csv")
    (header,) = response.getvalue().splitlines()
    assert header.startswith(b"id,")


@pytest.mark.django_db
@pytest.mark.parametrize("parameter", ["page_size=10", "cursor=x"])
def test_there_are_no_pages_in_csv(client, parameter):
    response = client.get(f"/api/KPIs/1/?format=csv&{parameter}")
    assert response.status_code == 400


@pytest.mark.django_db
def test_a_wrong_value_is_reported_in_csv(client):
    response = client.get("/api/KPIs/1/?format=csv&service_id=x")
    assert (response.status_code, response.content) == (400, b"service_id\r\nEnter a whole number.\r\n")


def test_the_catalog(client):
    response = client.get("/api/KPIs/?format=csv")
    assert response["Content-Disposition"] == 'attachment; filename="KPIs.csv"'
    assert response.getvalue().decode().splitlines()[:2] == [
        "id,name,description,feed,dimensions,value,unit,intervals,top,personal,url",
        "1,ServiceTrafficVolume,Services by traffic: bytes up and down,ipflow,service_id,total_bytes,bytes,"
        "1 2,true,false,http://testserver/api/KPIs/1/",
    ]
