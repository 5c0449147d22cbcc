"""The KPIs' rows in the API: what they look like, and what they can be filtered by."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter, eq, ge, gt, le, lt

import pytest

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from tests.factories import group, make_result, make_user, utc

pytestmark = pytest.mark.django_db

SERVICES, CELLS = KPIS[1], KPIS[2]
HOUR = utc("2021-07-17T23:00:00")
FIVE_PAST, TEN_PAST = HOUR + timedelta(minutes=5), HOUR + timedelta(minutes=10)


@pytest.fixture
def services():
    """Six rows of KPI 1, by name, in the order in which the API gives them."""
    rows = {
        "hour 1": (HOUR, 1, ONE_HOUR, 3, 700),
        "hour 2": (HOUR, 2, ONE_HOUR, 7, 300),
        "five 1": (FIVE_PAST, 1, FIVE_MINUTES, 7, 300),
        "five 2": (FIVE_PAST, 2, FIVE_MINUTES, 3, 200),
        "ten 1": (TEN_PAST, 1, FIVE_MINUTES, 3, 500),
        "ten 2": (TEN_PAST, 2, FIVE_MINUTES, 9, 100),
    }
    return {
        name: make_result(SERVICES, start, rank, length, service_id=service_id, total_bytes=total_bytes)
        for name, (start, rank, length, service_id, total_bytes) in reversed(rows.items())
    }


def names(rows, response) -> list[str]:
    """The fixture's names of the rows of an answer."""
    by_id = {row.pk: name for name, row in rows.items()}
    return [by_id[row["id"]] for row in response.json()]


def test_catalog_is_a_plain_array(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/api/KPIs/")
    assert response.status_code == 200
    assert response.json()[:2] == [
        {
            "id": 1,
            "name": "ServiceTrafficVolume",
            "description": "Services by traffic: bytes up and down",
            "feed": "ipflow",
            "dimensions": ["service_id"],
            "value": "total_bytes",
            "unit": "bytes",
            "intervals": [1, 2],
            "top": True,
            "personal": False,
            "url": "http://testserver/api/KPIs/1/",
        },
        {
            "id": 2,
            "name": "CellUniqueUsers",
            "description": "Cells by unique users: distinct subscriber numbers (msisdn)",
            "feed": "ipflow",
            "dimensions": ["cell_id"],
            "value": "number_of_unique_users",
            "unit": "users",
            "intervals": [1, 2],
            "top": True,
            "personal": False,
            "url": "http://testserver/api/KPIs/2/",
        },
    ]
    assert [kpi["id"] for kpi in response.json()] == list(KPIS)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "America/Caracas"])
def test_rows_show_utc_whatever_the_zone(client, settings, zone):
    settings.TIME_ZONE = zone
    row = make_result(SERVICES, TEN_PAST, 1, service_id=-5, total_bytes=2**63 - 1)
    assert client.get("/api/KPIs/1/").json() == [
        {
            "id": row.pk,
            "interval_start_timestamp": "2021-07-17T23:10:00Z",
            "interval_end_timestamp": "2021-07-17T23:15:00Z",
            "interval": 1,
            "service_id": -5,
            "total_bytes": 9223372036854775807,
            "rank": 1,
        }
    ]


def test_cells_have_their_own_columns(client):
    row = make_result(CELLS, HOUR, 1, ONE_HOUR, cell_id=-(2**63), number_of_unique_users=12)
    assert client.get("/api/KPIs/2/").json() == [
        {
            "id": row.pk,
            "interval_start_timestamp": "2021-07-17T23:00:00Z",
            "interval_end_timestamp": "2021-07-18T00:00:00Z",
            "interval": 2,
            "cell_id": -9223372036854775808,
            "number_of_unique_users": 12,
            "rank": 1,
        }
    ]


ALL = ["hour 1", "hour 2", "five 1", "five 2", "ten 1", "ten 2"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        (
            "interval_start_timestamp__gte=2021-07-17T23%3A10%3A00Z&interval_end_timestamp__lte=&interval=1",
            ["ten 1", "ten 2"],
        ),
        ("interval_start_timestamp=2021-07-17T23:05:00Z", ["five 1", "five 2"]),
        ("interval_start_timestamp__gte=2021-07-17T23:05:00Z", ["five 1", "five 2", "ten 1", "ten 2"]),
        ("interval_start_timestamp__gt=2021-07-17T23:05:00Z", ["ten 1", "ten 2"]),
        ("interval_start_timestamp__lte=2021-07-17T23:05:00Z", ["hour 1", "hour 2", "five 1", "five 2"]),
        ("interval_start_timestamp__lt=2021-07-17T23:05:00Z", ["hour 1", "hour 2"]),
        ("interval_end_timestamp=2021-07-17T23:15:00Z", ["ten 1", "ten 2"]),
        ("interval_end_timestamp__gte=2021-07-17T23:15:00Z", ["hour 1", "hour 2", "ten 1", "ten 2"]),
        ("interval_end_timestamp__gt=2021-07-17T23:15:00Z", ["hour 1", "hour 2"]),
        ("interval_end_timestamp__lte=2021-07-17T23:15:00Z", ["five 1", "five 2", "ten 1", "ten 2"]),
        ("interval_end_timestamp__lt=2021-07-17T23:15:00Z", ["five 1", "five 2"]),
        ("interval=1", ["five 1", "five 2", "ten 1", "ten 2"]),
        ("interval=2", ["hour 1", "hour 2"]),
        ("rank__lte=1", ["hour 1", "five 1", "ten 1"]),
        ("rank__lte=0", []),
        ("service_id=3", ["hour 1", "five 2", "ten 1"]),
        ("service_id=-3", []),
        ("service_id=3&interval=1&rank__lte=1", ["ten 1"]),
        ("interval=&rank__lte=&service_id=&interval_start_timestamp=", ALL),
        ("format=&page_size=&cursor=", ALL),
        # Moments as people write them: no zone, an offset, an offset whose + was decoded, a date.
        ("interval_start_timestamp=2021-07-17T23:05:00", ["five 1", "five 2"]),
        ("interval_start_timestamp=2021-07-17%2023:05", ["five 1", "five 2"]),
        ("interval_start_timestamp=2021-07-18T01:05:00%2B02:00", ["five 1", "five 2"]),
        ("interval_start_timestamp=2021-07-18T01:05:00+02:00", ["five 1", "five 2"]),
        ("interval_start_timestamp=2021-07-17T18:35:00-04:30", ["five 1", "five 2"]),
        ("interval_start_timestamp=2021-07-17t23:05:00.000z", ["five 1", "five 2"]),
        ("interval_start_timestamp__gte=2021-07-18", []),
        ("interval_start_timestamp__gte=1000-01-01T00:00:00Z", ALL),
        ("interval_start_timestamp__lt=9999-12-31T23:59:59.999999Z", ALL),
    ],
)
def test_filter(client, services, django_assert_num_queries, query, expected):
    with django_assert_num_queries(1):
        response = client.get(f"/api/KPIs/1/?{query}")
    assert response.status_code == 200
    assert names(services, response) == expected


def test_filter_by_the_other_dimension(client, django_assert_num_queries):
    row = make_result(CELLS, FIVE_PAST, 1, cell_id=2**63 - 1, number_of_unique_users=4)
    make_result(CELLS, FIVE_PAST, 2, cell_id=-7, number_of_unique_users=3)
    with django_assert_num_queries(1):
        response = client.get(f"/api/KPIs/2/?cell_id={2**63 - 1}")
    assert [found["id"] for found in response.json()] == [row.pk]


MOMENT = "Enter a moment in ISO 8601, such as 2021-07-18T00:05:00Z."
YEARS = "Enter a moment in the years 1000 to 9999."
NUMBER = "Enter a whole number."
LENGTHS = "Choose one of: 1 (5 minutes), 2 (1 hour)."


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("interval_start_timestamp", "yesterday", MOMENT),
        ("interval_start_timestamp__gte", "1626563400000", MOMENT),
        ("interval_start_timestamp__gt", "2021-02-30T00:00:00Z", MOMENT),
        ("interval_start_timestamp__lte", "2021-07-17T23:10:00Z%00", MOMENT),
        ("interval_start_timestamp__lt", "0001-01-01T00:00:00%2B12:00", YEARS),
        ("interval_end_timestamp", "0999-12-31T23:59:59Z", YEARS),
        ("interval_end_timestamp__gte", "12021-01-01T00:00:00Z", MOMENT),
        ("interval_end_timestamp__gt", "9999-12-31T23:59:59-12:00", YEARS),
        ("interval_end_timestamp__lte", "%00", MOMENT),
        ("interval_end_timestamp__lte", "2021-07-17T23:10:00Zulu", MOMENT),
        ("interval_end_timestamp__lte", "2021-07-17T23:10:00%2B99:00", MOMENT),
        ("interval_end_timestamp__lt", "2021-07-17T25:00:00Z", MOMENT),
        ("interval", "5", LENGTHS),
        ("interval", "3", LENGTHS),
        ("interval", "1%00", LENGTHS),
        ("interval", "null", LENGTHS),
        ("rank__lte", "ten", NUMBER),
        ("rank__lte", "-1", "Ensure this value is greater than or equal to 0."),
        ("rank__lte", "2147483648", "Ensure this value is less than or equal to 2147483647."),
        ("service_id", "1.0", NUMBER),
        ("service_id", "1_0", NUMBER),
        ("service_id", "%D9%A3", NUMBER),
        ("service_id", "3%00", NUMBER),
        ("service_id", "2147483648", "Ensure this value is less than or equal to 2147483647."),
        ("service_id", "-2147483649", "Ensure this value is greater than or equal to -2147483648."),
        ("service_id", "9" * 5000, "Ensure this value is less than or equal to 2147483647."),
        ("format", "xml", "Choose one of: json, api, csv, parquet."),
        ("page_size", "0", "Ensure this value is greater than or equal to 1."),
        ("page_size", "10001", "Ensure this value is less than or equal to 10000."),
        ("page_size", "all", NUMBER),
    ],
)
def test_wrong_value_is_named_with_its_reason(client, django_assert_num_queries, parameter, value, reason):
    with django_assert_num_queries(0):
        response = client.get(f"/api/KPIs/1/?{parameter}={value}")
    assert response.status_code == 400
    assert response.json() == {parameter: [reason]}


@pytest.mark.parametrize("cell_id", [2**63, -(2**63) - 1])
def test_number_beyond_64_bits_is_a_wrong_value(client, cell_id):
    response = client.get(f"/api/KPIs/2/?cell_id={cell_id}")
    assert response.status_code == 400
    assert list(response.json()) == ["cell_id"]


def test_every_wrong_value_is_named(client):
    response = client.get("/api/KPIs/1/?interval=9&service_id=x")
    assert response.json() == {"interval": [LENGTHS], "service_id": [NUMBER]}


def test_unknown_parameter_names_the_known_ones(client):
    response = client.get("/api/KPIs/2/?intervall=1")
    assert response.status_code == 400
    assert response.json() == {
        "intervall": [
            "Unknown parameter. The known ones are: cell_id, cursor, format, interval, "
            "interval_end_timestamp, interval_end_timestamp__gt, interval_end_timestamp__gte, "
            "interval_end_timestamp__lt, interval_end_timestamp__lte, "
            "interval_start_timestamp, interval_start_timestamp__gt, interval_start_timestamp__gte, "
            "interval_start_timestamp__lt, interval_start_timestamp__lte, page_size, rank__lte."
        ]
    }


@pytest.mark.parametrize("address", ["/api/", "/api/KPIs/", "/api/batches/", "/api/intervals/"])
def test_every_list_refuses_unknown_parameters(client, address):
    response = client.get(f"{address}?kpis=1")
    assert response.status_code == 400
    assert list(response.json()) == ["kpis"]


def test_parameter_given_twice_is_refused(client):
    response = client.get("/api/KPIs/1/?interval=1&interval=2")
    assert (response.status_code, response.json()) == (400, {"interval": ["Given more than once."]})


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
@pytest.mark.parametrize("address", ["/api/", "/api/KPIs/", "/api/KPIs/1/", "/api/v1/cell-kpis/", "/api/intervals/"])
def test_nothing_can_be_written(client, method, address):
    assert getattr(client, method)(address).status_code == 405


@pytest.mark.parametrize("address", ["/api/KPIs/99/", "/api/nothing/here/", "/api/batches/x/", "/api/a%0Ab/"])
def test_missing_address_is_reported_in_json(client, address):
    response = client.get(address)
    assert (response.status_code, response.json()) == (404, {"detail": "Not found."})


def test_missing_slash_is_added(client):
    response = client.get("/api/KPIs/1?interval=1")
    assert (response.status_code, response["Location"]) == (301, "/api/KPIs/1/?interval=1")


@pytest.mark.parametrize("address", ["/api/", "/api/KPIs/", "/api/KPIs/1/?interval=1", "/api/batches/"])
def test_browsable_page(client, services, address):
    response = client.get(address, headers={"accept": "text/html"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")


def test_root_lists_the_endpoints(client):
    endpoints = client.get("/api/").json()
    results = {f"KPIs/{kpi}" for kpi in KPIS} | {f"KPIs/{kpi}/anomalies" for kpi in KPIS}
    assert set(endpoints) == results | {"KPIs", "intervals", "batches", "v1/services-kpis", "v1/cell-kpis"}
    client.force_login(make_user("view_personal"))
    assert all(client.get(address).status_code == 200 for address in endpoints.values())


@pytest.mark.sqlite_alone
@pytest.mark.parametrize(
    ("public", "logged_in", "status"),
    [(True, False, 200), (True, True, 200), (False, False, 401), (False, True, 200)],
)
@pytest.mark.parametrize(
    "address",
    [
        "/api/",
        "/api/KPIs/",
        "/api/KPIs/1/",
        "/api/KPIs/1/?format=csv",
        "/api/v1/services-kpis/",
        "/api/batches/",
        "/api/intervals/",
        "/api/schema/",
    ],
)
def test_aggregates_are_open_where_the_api_is_public(client, settings, address, public, logged_in, status):
    settings.API_PUBLIC = public
    if logged_in:
        client.force_login(make_user())
    assert client.get(address).status_code == status


@pytest.fixture
def reader(client):
    """A client who may read every KPI."""
    client.force_login(make_user("view_personal"))
    return client


ROWS = {
    1: {"service_id": -5, "total_bytes": 2**63 - 1},
    2: {"cell_id": -(2**63), "number_of_unique_users": 12},
    3: {"antenna_id": "7bcf7e8a-cd5b-47cb-8e25-d5e0c1d1e5f2", "total_bytes": 0},
    4: {"app": "SKYPE", "total_bytes": 71236},
    5: {"user_id": "00000000-0000-4000-8000-000000000001", "total_bytes": 71236},
    6: {"email": "ann@example.com", "usage": 71236, "quota": 5000},
    7: {"operator": "Órange", "average_signal": 14.1, "number_of_samples": 3, "number_of_empty_values": 1},
    8: {"operator": "", "average_precision": None, "number_of_samples": 0, "number_of_empty_values": 2},
    9: {"postal_code": "08001", "status": 3, "number_of_reports": 9},
    10: {"county": "BEDFORD", "number_of_calls": 4},
    11: {"operator": "Vodafone", "call_type": "CALL", "number_of_calls": 4, "market_share": 2 / 3},
    12: {"grid_cell": "34.05,-118.25", "average_signal": 9.5, "number_of_samples": 2, "number_of_empty_values": 1},
}


def test_every_kpi_has_a_row_here():
    assert set(ROWS) == set(KPIS)


@pytest.mark.parametrize("kpi", KPIS.values(), ids=attrgetter("name"))
def test_row_of_every_kpi(reader, kpi):
    row = make_result(kpi, HOUR, 1, ONE_HOUR, **ROWS[kpi.id])
    (found,) = reader.get(f"/api/KPIs/{kpi.id}/").json()
    assert found == {
        "id": row.pk,
        "interval_start_timestamp": "2021-07-17T23:00:00Z",
        "interval_end_timestamp": "2021-07-18T00:00:00Z",
        "interval": 2,
        **ROWS[kpi.id],
        "rank": 1,
    }


COMPARE = {"": eq, "__gte": ge, "__gt": gt, "__lte": le, "__lt": lt}


@pytest.mark.parametrize("kpi", KPIS.values(), ids=attrgetter("name"))
def test_every_filter_of_every_kpi_gives_exactly_its_rows(reader, kpi):
    rows = [
        make_result(kpi, HOUR + timedelta(minutes=minutes), rank, length, **group(kpi, minutes + rank))
        for length in kpi.lengths
        for minutes in {0, length.minutes, 3 * length.minutes}
        for rank in (1, 2, 3)
    ]
    rows.sort(key=lambda row: (row.interval_start_timestamp, row.interval, row.rank))
    wanted = [(f"interval={length.code}", lambda row, code=length.code: row.interval == code) for length in kpi.lengths]
    wanted += [(f"rank__lte={rank}", lambda row, rank=rank: row.rank <= rank) for rank in (0, 1, 2, 9)]
    for column in ("interval_start_timestamp", "interval_end_timestamp"):
        for moment in {getattr(row, column) for row in rows}:
            for lookup, holds in COMPARE.items():
                query = f"{column}{lookup}={moment:%Y-%m-%dT%H:%M:%SZ}"
                wanted.append((query, lambda row, c=column, h=holds, m=moment: h(getattr(row, c), m)))
    for column in kpi.dimensions:
        for value in {getattr(rows[0], column), getattr(rows[-1], column)}:
            wanted.append((f"{column}={value}", lambda row, c=column, v=value: getattr(row, c) == v))
    for query, holds in [*wanted, ("", lambda row: True)]:
        found = [row["id"] for row in reader.get(f"/api/KPIs/{kpi.id}/?{query}").json()]
        assert found == [row.pk for row in rows if holds(row)], query


@pytest.mark.parametrize("kpi", [kpi for kpi in KPIS.values() if kpi.folded], ids=attrgetter("name"))
@pytest.mark.parametrize("name", ["ÓRANGE (2%_.*)", "órange (2%_.*)", "Órange (2%_.*)", " órange (2%_.*) "])
def test_folded_dimension_is_filtered_whatever_the_letter_case(client, kpi, name):
    found = {spelling: make_result(kpi, HOUR, rank, operator=spelling).pk for rank, spelling in enumerate(SPELLINGS, 1)}
    rows = client.get(f"/api/KPIs/{kpi.id}/", {"operator": name}).json()
    assert [row["id"] for row in rows] == [found["Órange (2%_.*)"]]


SPELLINGS = ["Órange (2%_.*)", "Orange (2%_.*)", "Órange (2x_.*)", "Órange (2%_.*)\u00a0", "Órange (22_..)", ""]


@pytest.mark.parametrize(
    ("kpi", "column"),
    [(3, "antenna_id"), (4, "app"), (9, "postal_code"), (10, "county"), (11, "call_type"), (12, "grid_cell")],
)
def test_other_texts_are_filtered_letter_by_letter(client, kpi, column):
    rows = {text: make_result(KPIS[kpi], HOUR, rank, **{column: text}).pk for rank, text in enumerate("aAáb", 1)}
    found = {text: client.get(f"/api/KPIs/{kpi}/", {column: text}).json() for text in "aAáAc"}
    assert {text: [row["id"] for row in answer] for text, answer in found.items()} == {
        text: [rows[text]] if text in rows else [] for text in "aAác"
    }


PERSONAL = ["/api/KPIs/5/", "/api/KPIs/6/", "/api/KPIs/5/anomalies/", "/api/KPIs/6/anomalies/"]


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("query", ["", "?format=csv", "?format=parquet", "?interval=9"])
@pytest.mark.parametrize(("permissions", "status"), [(None, 401), ((), 403), (("view_personal",), 200)])
@pytest.mark.parametrize("address", PERSONAL)
def test_personal_kpi_needs_the_permission(client, address, query, permissions, status):
    if permissions is not None:
        client.force_login(make_user(*permissions))
    response = client.get(f"{address}{query}")
    response.getvalue()
    assert response.status_code == (400 if status == 200 and "interval" in query else status)


def test_the_catalog_marks_the_personal_kpis(client):
    assert [kpi["id"] for kpi in client.get("/api/KPIs/").json() if kpi["personal"]] == [5, 6]
