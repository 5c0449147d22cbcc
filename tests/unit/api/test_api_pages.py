"""Pages: every row once, whatever the page's size, and a Link header that says where the next one is."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from kpis.api.cursors import BadCursor, decode_cursor, encode_cursor
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.models import Batch, ServiceTrafficVolume
from tests.factories import group, make_batch, make_reject, make_result, make_run, make_summary, make_user, utc

HOUR = utc("2021-07-17T23:00:00")
DAMAGED = "Damaged: take it as it stands in a Link header of this list."


def links(response) -> dict[str, str]:
    """The addresses of a Link header, by relation."""
    return {rel: url for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', response["Link"])}


def walk(client, address: str) -> list[list[int]]:
    """The ids on each page, following the next links."""
    pages, seen = [], set()
    while address:
        assert address not in seen
        seen.add(address)
        response = client.get(address)
        assert response.status_code == 200
        pages.append([row["id"] for row in response.json()])
        address = links(response).get("next")
    return pages


@pytest.fixture
def rows(db) -> list[ServiceTrafficVolume]:
    """Seven rows of KPI 1 in the API's order, some with equal starts, made in another order."""
    made = [
        make_result(KPIS[1], HOUR + minutes * timedelta(minutes=1), rank, length, service_id=rank, total_bytes=9)
        for minutes, length, rank in [
            (5, FIVE_MINUTES, 1),
            (0, ONE_HOUR, 2),
            (0, FIVE_MINUTES, 1),
            (0, ONE_HOUR, 1),
            (0, FIVE_MINUTES, 3),
            (60, ONE_HOUR, 1),
            (0, FIVE_MINUTES, 2),
        ]
    ]
    return [made[number] for number in (2, 6, 4, 3, 1, 0, 5)]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_pages_hold_every_row_once_and_in_order(client, rows, size):
    pages = walk(client, f"/api/KPIs/1/?page_size={size}")
    assert [row for page in pages for row in page] == [row.pk for row in rows]
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert 1 <= len(pages[-1]) <= size


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_keep_their_filters(client, rows, size):
    expected = [row.pk for row in rows if row.interval == FIVE_MINUTES.code]
    pages = walk(client, f"/api/KPIs/1/?interval=1&page_size={size}")
    assert [row for page in pages for row in page] == expected


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_list_comes_in_pages(client, db, size):
    run = make_run()
    batches = [make_batch(run, f"ipflow_data.{number}.csv") for number in range(5)]
    rejects = [make_reject(batches[0], line) for line in (9, 2, 4)]
    summaries = [make_summary(kpi, HOUR, length) for kpi, length in [(2, ONE_HOUR), (1, ONE_HOUR), (2, FIVE_MINUTES)]]
    cells = [make_result(KPIS[2], HOUR, rank, cell_id=rank, number_of_unique_users=5) for rank in (1, 2, 3, 4)]
    for address, expected in [
        ("/api/batches/", batches[::-1]),
        (f"/api/batches/{batches[0].pk}/rejects/", [rejects[1], rejects[2], rejects[0]]),
        ("/api/intervals/", summaries[::-1]),
        ("/api/v1/cell-kpis/", cells),
    ]:
        pages = walk(client, f"{address}?page_size={size}")
        assert [row for page in pages for row in page] == [row.pk for row in expected]


@pytest.mark.parametrize("query", ["page_size=2", "interval=1&service_id=1&page_size=1"])
def test_every_page_is_one_query_and_the_rest_nothing(client, rows, django_assert_num_queries, query):
    address = f"/api/KPIs/1/?{query}"
    while address:
        with django_assert_num_queries(1):
            response = client.get(address)
        assert response.status_code == 200
        address = links(response).get("next")


def test_a_bound_beyond_the_cursor_holds(client, rows):
    bound = f"{HOUR + timedelta(minutes=60):%Y-%m-%dT%H:%M:%SZ}"
    cursor = encode_cursor([HOUR, 1, 1])
    response = client.get(f"/api/KPIs/1/?interval_start_timestamp__gte={bound}&cursor={cursor}")
    assert [row["id"] for row in response.json()] == [rows[-1].pk]


def plan_of(client, address: str) -> str:
    """How SQLite reads the rows of a page, as it says itself."""
    asked = []

    def listen(execute, sql, params, many, context):
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        response = client.get(address)
    assert response.status_code == 200
    sql, params = asked[-1]  # after those about who asks
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        return "; ".join(step[-1] for step in cursor.fetchall())


FROM, TO = "interval_start_timestamp__gte=2021-07-01", "interval_end_timestamp__lte=2021-07-31"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases scan a table as small as a test's")
@pytest.mark.parametrize("paged", [False, True], ids=["first page", "later page"])
@pytest.mark.parametrize("kpi", KPIS.values(), ids=attrgetter("name"))
def test_pages_are_read_in_the_order_of_an_index_from_where_they_start(client, db, kpi, paged):
    client.force_login(make_user("view_personal"))
    length = kpi.lengths[-1]
    cursor = f"&cursor={encode_cursor([HOUR, length.code, 1])}" if paged else ""
    group_of = "&".join(f"{name}={value}" for name, value in group(kpi, 7).items())
    for query in ["", FROM, TO, f"{FROM}&{TO}", f"interval={length.code}&{FROM}", "rank__lte=1", f"{TO}&rank__lte=3"]:
        plan = plan_of(client, f"/api/KPIs/{kpi.id}/?{query}{cursor}")
        assert "USING INDEX" in plan, query
        assert "TEMP B-TREE" not in plan, query
        assert not paged or "(interval_start_timestamp,interval,rank)>(?,?,?)" in plan, query
    for query in [] if kpi.folded else ["", f"interval={length.code}", f"{FROM}&{TO}"]:
        plan = plan_of(client, f"/api/KPIs/{kpi.id}/?{group_of}&{query}{cursor}")
        assert f"({kpi.dimensions[0]}=?" in plan, query
        assert "TEMP B-TREE" not in plan, query
        assert not paged or "(interval_start_timestamp,interval)>(?,?)" in plan, query
    for query in ["", f"kpi={kpi.id}", f"kpi={kpi.id}&interval={length.code}&{FROM}"]:
        plan = plan_of(client, f"/api/intervals/?{query}{cursor}")
        assert "USING INDEX" in plan, query
        assert "TEMP B-TREE" not in plan, query


def test_link_header(client, rows):
    first = client.get("/api/KPIs/1/?page_size=4&interval=")
    assert isinstance(first.json(), list)
    assert links(first)["first"] == "http://testserver/api/KPIs/1/?interval=&page_size=4"
    second = client.get(links(first)["next"])
    assert set(links(second)) == {"first"}
    assert client.get(links(second)["first"]).json() == first.json()


def test_a_list_without_rows_has_no_next_page(client, db):
    response = client.get("/api/KPIs/1/")
    assert response.json() == []
    assert set(links(response)) == {"first"}


def test_a_thousand_rows_a_page_unless_asked_otherwise(client, db):
    run = make_run()
    Batch.objects.bulk_create(
        Batch(run=run, feed="ipflow", name=str(number), status="in", size=1, modified_ns=1, ingested_at=HOUR)
        for number in range(1001)
    )
    assert [len(page) for page in walk(client, "/api/batches/")] == [1000, 1]
    assert [len(page) for page in walk(client, "/api/batches/?page_size=10000")] == [1001]


def test_rows_written_between_pages_move_nothing(client, rows):
    first = client.get("/api/KPIs/1/?page_size=3")
    make_result(KPIS[1], HOUR - timedelta(hours=1), 1, service_id=1, total_bytes=1)
    rest = walk(client, links(first)["next"])
    assert [row for page in rest for row in page] == [row.pk for row in rows[3:]]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "interval=1&", "service_id=3&"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_there_all_the_while_come_once_and_in_order_whatever_else_is_written(client, query, seed):
    chance = random.Random(seed)  # noqa: S311
    places = [
        (start, length, rank)
        for start, length in [*((5 * five, FIVE_MINUTES) for five in range(12)), (0, ONE_HOUR), (60, ONE_HOUR)]
        for rank in (1, 2, 3)
    ]
    there: dict[int, tuple] = {}

    def write(start: int, length, rank: int) -> None:
        # As a run replaces an interval's rows: the same places, other ids.
        ServiceTrafficVolume.objects.filter(
            interval_start_timestamp=HOUR + start * timedelta(minutes=1), interval=length.code, rank=rank
        ).delete()
        row = make_result(KPIS[1], HOUR + start * timedelta(minutes=1), rank, length)
        there[row.pk] = (row.interval_start_timestamp, row.interval, row.rank)

    for place in chance.sample(places, 25):
        write(*place)
    stayed = set(there)
    found, address = [], f"/api/KPIs/1/?{query}page_size=2"
    while address:
        response = client.get(address)
        found += [row["id"] for row in response.json()]
        for place in chance.sample(places, 2):
            write(*place)
        ServiceTrafficVolume.objects.filter(pk__in=chance.sample(sorted(there), 1)).delete()
        stayed &= set(ServiceTrafficVolume.objects.values_list("pk", flat=True))
        address = links(response).get("next")
    assert [there[pk] for pk in found] == sorted({there[pk] for pk in found})
    fits = {"": lambda row: True, "interval=1&": lambda row: row[1] == 1, "service_id=3&": lambda row: row[2] == 3}
    assert {pk for pk in stayed if fits[query](there[pk])} <= set(found)
    assert stayed


def cursor_of(response) -> str:
    return re.search(r"cursor=([^&>]*)", links(response)["next"])[1]


def test_damaged_cursor_is_a_wrong_value(client, rows):
    cursor = cursor_of(client.get("/api/KPIs/1/?page_size=3"))
    other_list = cursor_of(client.get("/api/batches/?page_size=1") if make_two_batches() else None)
    damaged = [cursor[:-1], cursor[1:], cursor + "A", cursor.swapcase(), "x", "!", "%00", "é", other_list]
    for text in damaged:
        response = client.get(f"/api/KPIs/1/?cursor={text}")
        assert (response.status_code, response.json()) == (400, {"cursor": [DAMAGED]}), text


def make_two_batches() -> list[Batch]:
    run = make_run()
    return [make_batch(run, name) for name in ("a", "b")]


FIELDS = [ServiceTrafficVolume._meta.get_field(name) for name in ("interval_start_timestamp", "interval", "rank")]
MOMENTS = st.datetimes(
    min_value=datetime(1000, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(MOMENTS, st.integers(0, 4), st.integers(1, 2**31 - 1))
def test_a_cursor_gives_back_what_it_was_made_of(moment, interval, rank):
    assert decode_cursor(encode_cursor([moment, interval, rank]), FIELDS) == [moment, interval, rank]


@given(
    st.one_of(
        st.text(),
        st.lists(st.one_of(st.integers(), st.booleans())).map(encode_cursor),
        st.tuples(st.integers(), st.integers(), st.integers()).map(list).map(encode_cursor),
    )
)
def test_no_text_breaks_the_cursor(text):
    try:
        moment, interval, rank = decode_cursor(text, FIELDS)
    except BadCursor:
        return
    assert moment.tzinfo
    assert 0 <= interval < 2**15
    assert 0 <= rank < 2**31
