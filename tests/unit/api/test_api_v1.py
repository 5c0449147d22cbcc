"""Version 1 of the API: Unix-ms timestamps and intervals in minutes."""

from __future__ import annotations

import pytest

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from tests.factories import make_result, utc

pytestmark = pytest.mark.django_db

# 2021-07-17T23:00:00Z, 23:05 and 24:00 as Unix time.
HOUR_MS, FIVE_PAST_MS, NEXT_HOUR_MS = 1626562800000, 1626563100000, 1626566400000


@pytest.fixture
def rows():
    """Three rows of each of KPIs 1 and 2, by name, in the order in which the API gives them."""
    hour, last = utc("2021-07-17T23:00:00"), utc("2021-07-17T23:55:00")
    placed = {"five": (hour, 1, FIVE_MINUTES), "hour": (hour, 1, ONE_HOUR), "last": (last, 1, FIVE_MINUTES)}
    return {
        "services-kpis": {
            name: make_result(KPIS[1], *place, service_id=number, total_bytes=100 + number).pk
            for number, (name, place) in enumerate(placed.items())
        },
        "cell-kpis": {
            name: make_result(KPIS[2], *place, cell_id=number, number_of_unique_users=100 + number).pk
            for number, (name, place) in enumerate(placed.items())
        },
    }


def test_rows_of_services(client, rows):
    assert client.get("/api/v1/services-kpis/?interval=60").json() == [
        {
            "id": rows["services-kpis"]["hour"],
            "interval_start_timestamp": HOUR_MS,
            "interval_end_timestamp": NEXT_HOUR_MS,
            "interval": 60,
            "service_id": 1,
            "total_bytes": 101,
            "rank": 1,
        }
    ]


def test_rows_of_cells(client, rows):
    assert client.get(f"/api/v1/cell-kpis/?end_timestamp={FIVE_PAST_MS}").json() == [
        {
            "id": rows["cell-kpis"]["five"],
            "interval_start_timestamp": HOUR_MS,
            "interval_end_timestamp": FIVE_PAST_MS,
            "interval": 5,
            "cell_id": 0,
            "number_of_unique_users": 100,
            "rank": 1,
        }
    ]


@pytest.mark.parametrize(("name", "dimension"), [("services-kpis", "service_id"), ("cell-kpis", "cell_id")])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["five", "hour", "last"]),
        (f"end_timestamp={NEXT_HOUR_MS}", ["hour", "last"]),
        (f"end_timestamp={NEXT_HOUR_MS}&interval=5", ["last"]),
        (f"start_timestamp={HOUR_MS}", ["five", "hour"]),
        ("interval=5", ["five", "last"]),
        ("interval=60", ["hour"]),
        ("DIMENSION=2", ["last"]),
        ("end_timestamp=0", []),
        ("end_timestamp=253402300799999", []),
        ("end_timestamp=&start_timestamp=&interval=&DIMENSION=", ["five", "hour", "last"]),
    ],
)
def test_filter(client, rows, django_assert_num_queries, name, dimension, query, expected):
    with django_assert_num_queries(1):
        response = client.get(f"/api/v1/{name}/?{query.replace('DIMENSION', dimension)}")
    assert [row["id"] for row in response.json()] == [rows[name][row] for row in expected]


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("interval=1", {"interval": ["Choose one of: 5 (5 minutes), 60 (1 hour)."]}),
        ("end_timestamp=2021-07-17T23:05:00Z", {"end_timestamp": ["Enter a whole number."]}),
        ("start_timestamp=-1", {"start_timestamp": ["Ensure this value is greater than or equal to 0."]}),
        (
            "end_timestamp=253402300800000",
            {"end_timestamp": ["Ensure this value is less than or equal to 253402300799999."]},
        ),
        ("service_id=%00", {"service_id": ["Enter a whole number."]}),
    ],
)
def test_wrong_value_is_named_with_its_reason(client, query, errors):
    response = client.get(f"/api/v1/services-kpis/?{query}")
    assert (response.status_code, response.json()) == (400, errors)


def test_csv(client, rows):
    response = client.get("/api/v1/services-kpis/?interval=60&format=csv")
    assert response["Content-Disposition"] == 'attachment; filename="services-kpis.csv"'
    assert response.getvalue().decode().splitlines() == [
        "id,interval_start_timestamp,interval_end_timestamp,interval,service_id,total_bytes,rank",
        f"{rows['services-kpis']['hour']},{HOUR_MS},{NEXT_HOUR_MS},60,1,101,1",
    ]
