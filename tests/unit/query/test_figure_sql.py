"""The SQL of a figure: for every KPI and length it gives, over the lake, what the API says."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command

from kpis.catalog.calendar import in_zone
from kpis.catalog.intervals import FIVE_MINUTES, LENGTHS, ONE_DAY, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.models import IntervalSummary, Subscriber
from kpis.query.figure_sql import figure_sql
from kpis.reference.subscribers import devices_at, put_subscribers, subscribers_at
from kpis.sample import SAMPLES, make_files
from tests.copies import made_once
from tests.factories import MIDNIGHT, make_user, utc
from tests.twin import Log, Message, file_text, uuid

# Two files of each feed have an hour, and what closes it.
ROWS = {"ipflow": 400, "antenna": 300, "coverage": 300, "cdr": 300}
START = 1626566400  # 2021-07-18T00:00:00Z


@pytest.fixture
def sample(data_dir, tmp_path, settings):
    """An hour of all four feeds, ingested; each device of the antennas has a small quota, and two have one owner."""
    settings.TOP_N = 3
    made_once(__name__, tmp_path, lambda: ingest_sample(data_dir, tmp_path))


def ingest_sample(data_dir: Path, tmp_path: Path) -> None:
    for name, rows in ROWS.items():
        made = list(make_files(SAMPLES[name], tmp_path / "made", MIDNIGHT, 13, rows, 1, 2))
        for number in (0, 1):
            header, *lines = "".join(path.read_text() for path in made[number::2]).splitlines(keepends=True)
            lines = [line for line in lines if line != header]
            (data_dir / made[number].name).write_text("".join([header, *lines]))
    devices = set()
    for path in data_dir.glob("antenna_data.*"):
        devices |= {json.loads(line)["id"] for line in path.read_text().splitlines()}
    first, second, *others = sorted(devices)
    owners = {first: "o'hara@example.com", second: "o'hara@example.com"}
    put_subscribers(
        Subscriber(id=device, name="x", email=owners.get(device, f"{device}@example.com"), quota=1)
        for device in (first, second, *others)
    )
    call_command("update_network_stats", verbosity=0)


def answer(query: str) -> list[dict]:
    out = io.StringIO()
    call_command("query_lake", query, format="json", stdout=out)
    return json.loads(out.getvalue())


def reference(kpi: KPI, start: datetime, group: dict) -> list[dict]:
    if not kpi.reference:
        return []
    summary = IntervalSummary.objects.get(kpi=kpi.id, interval=ONE_HOUR.code, interval_start_timestamp=start)
    return devices_at(group["email"], summary.first_computed_at)


def looked_at(kpi: KPI, rows: list[dict]) -> list[dict]:
    """The API's first row of the first interval, the last one of the last, and one with an empty text."""
    by_start: dict = {}
    for row in rows:
        by_start.setdefault(row["interval_start_timestamp"], []).append(row)
    wanted = [by_start[min(by_start)][0], by_start[max(by_start)][-1]]
    return wanted + [row for row in rows if "" in [row[name] for name in kpi.dimensions]][:1]


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_the_sql_of_every_kpi_and_length_gives_what_the_api_says(client, sample):
    client.force_login(make_user("view_personal"))
    tried = set()
    for kpi in KPIS.values():
        for length in kpi.lengths:
            rows = client.get(f"/api/KPIs/{kpi.id}/", {"interval": length.code, "page_size": 10000}).json()
            for row in looked_at(kpi, rows):
                start = datetime.fromisoformat(row["interval_start_timestamp"])
                group = {name: row[name] for name in kpi.dimensions}
                query = figure_sql(kpi, length.at(start), group, reference(kpi, start, group))
                assert answer(query) == [{name: row[name] for name in kpi.measure.values}], (kpi.name, length, query)
            summaries = client.get("/api/intervals/", {"kpi": kpi.id, "interval": length.code}).json()
            query = figure_sql(kpi, length.at(datetime.fromisoformat(summaries[0]["interval_start_timestamp"])))
            column = "mean" if kpi.measure.is_fraction else "total"
            assert answer(query) == [{column: summaries[0][column]}], (kpi.name, length, query)
            tried.add((kpi.id, length.code))
    assert tried == {(kpi.id, length.code) for kpi in KPIS.values() for length in kpi.lengths}
    # What a top list cuts off, the lake still has; and nobody counts twice in the hour.
    assert max(row["rank"] for row in client.get("/api/KPIs/1/").json()) == 3


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_a_group_beyond_the_top_list_has_its_figure_too(client, sample):
    shown = {row["service_id"] for row in client.get("/api/KPIs/1/", {"interval": 2}).json()}
    query = "SELECT service_id, sum(total_bytes) AS total FROM ServiceTrafficVolume WHERE hour = 0 GROUP BY ALL"
    cut = next(row for row in answer(query) if row["service_id"] not in shown)
    computed = figure_sql(KPIS[1], ONE_HOUR.at(MIDNIGHT), {"service_id": cut["service_id"]})
    assert answer(computed) == [{"total_bytes": cut["total"]}]


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_a_group_that_is_not_there_has_no_row(sample):
    groups = {int: 77_777_777, str: "no such"}
    for kpi in KPIS.values():
        for length in kpi.lengths:
            kinds = {
                name: groups[int if name in ("service_id", "cell_id", "status") else str] for name in kpi.dimensions
            }
            assert answer(figure_sql(kpi, length.at(MIDNIGHT), kinds)) == [], (kpi.name, length)


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_any_letter_case_and_any_quote_name_the_group(data_dir):
    logs = [Log(START, "O'Órange", "4", 0, "", ""), Log(START + 1, "o'órange", "2", 0, "", "a'b")]
    (data_dir / "coverage_data.a.csv").write_text(file_text(logs))
    call_command("update_network_stats", rollup_open_hours=True, verbosity=0)
    for length in (FIVE_MINUTES, ONE_HOUR):
        (row,) = answer(figure_sql(KPIS[7], length.at(MIDNIGHT), {"operator": "O'ÓRANGE"}))
        assert row == {"average_signal": 3.0, "number_of_samples": 2, "number_of_empty_values": 0}
        group = {"postal_code": "a'b", "status": 0}
        assert answer(figure_sql(KPIS[9], length.at(MIDNIGHT), group)) == [{"number_of_reports": 1}]


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_a_day_reads_its_own_hours(data_dir):
    messages = [Message(START + hour * 3600, 1, 1, 2**hour, "A") for hour in (-1, 0, 12, 23, 24)]
    (data_dir / "antenna_data.a.jsonl").write_text(file_text(messages))
    call_command("update_network_stats", verbosity=0)
    query = figure_sql(KPIS[4], ONE_DAY.at(MIDNIGHT), {"app": "A"})
    assert answer(query) == [{"total_bytes": 2**0 + 2**12 + 2**23}]
    assert ONE_DAY in LENGTHS.values()


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_a_local_day_reads_its_own_intervals_also_where_it_starts_within_an_hour(data_dir):
    # In Kolkata the day begins at 18:30Z.
    minutes = (-331, -330, 0, 1109, 1110)
    messages = [Message(START + minute * 60, 1, 1, 2**place, "A") for place, minute in enumerate(minutes)]
    (data_dir / "antenna_data.a.jsonl").write_text(file_text(messages))
    call_command("update_network_stats", verbosity=0)
    with in_zone("Asia/Kolkata"):
        query = figure_sql(KPIS[4], ONE_DAY.at(MIDNIGHT), {"app": "A"})
    assert answer(query) == [{"total_bytes": 2**1 + 2**2 + 2**3}]


def test_the_sql_reads_well():
    quarter = FIVE_MINUTES.at(utc("2021-07-18T01:05:00"))
    assert figure_sql(KPIS[1], quarter, {"service_id": -3}) == (
        'SELECT "total_bytes"\n'
        'FROM "ServiceTrafficVolume"\n'
        "WHERE hour_start = TIMESTAMP '2021-07-18 01:00:00'\n"
        "    AND interval_start >= TIMESTAMP '2021-07-18 01:05:00'\n"
        "    AND interval_start < TIMESTAMP '2021-07-18 01:10:00'\n"
        '    AND "service_id" = -3'
    )
    assert figure_sql(KPIS[11], ONE_HOUR.at(MIDNIGHT), {"operator": "O2", "call_type": "CALL"}) == (
        'SELECT "number_of_calls",\n'
        '    "market_share"\n'
        "FROM (\n"
        "    SELECT *,\n"
        '        CAST("number_of_calls" AS DOUBLE) / nullif(sum("number_of_calls") OVER same_interval, 0)'
        ' AS "market_share"\n'
        "    FROM (\n"
        '        SELECT fold("operator_spelling") AS "operator",\n'
        '            "call_type",\n'
        '            CAST(sum("count") AS BIGINT) AS "number_of_calls"\n'
        '        FROM "OperatorCallVolume_partials"\n'
        "        WHERE hour_start = TIMESTAMP '2021-07-18 00:00:00'\n"
        '        GROUP BY fold("operator_spelling"), "call_type"\n'
        "    )\n"
        "    WINDOW same_interval AS ()\n"
        ")\n"
        "WHERE fold(\"operator\") = fold('O2')\n"
        "    AND \"call_type\" = 'CALL'"
    )
    devices = [{"user_id": uuid(one), "email": "a@b.c", "quota": 7} for one in (1, 2)]
    assert figure_sql(KPIS[6], ONE_HOUR.at(MIDNIGHT), {"email": "a@b.c"}, devices) == (
        'SELECT CAST(sum("sum") AS BIGINT) AS "usage",\n'
        '    max("quota") AS "quota"\n'
        'FROM "UserTrafficVolume_partials"\n'
        "JOIN (VALUES\n"
        "    ('00000000-0000-0000-0000-000000000001', 'a@b.c', 7),\n"
        "    ('00000000-0000-0000-0000-000000000002', 'a@b.c', 7)\n"
        ') AS subscribers("user_id", "email", "quota") USING ("user_id")\n'
        "WHERE hour_start = TIMESTAMP '2021-07-18 00:00:00'\n"
        "    AND \"email\" = 'a@b.c'\n"
        'HAVING CAST(sum("sum") AS BIGINT) > max("quota")'
    )


@pytest.mark.django_db
def test_the_devices_of_an_email_are_those_of_the_moment():
    def put(device: int, email: str, quota: int) -> datetime:
        put_subscribers([Subscriber(id=uuid(device), name="x", email=email, quota=quota)])
        return datetime.now(UTC)

    before = datetime.now(UTC)
    put(1, "a@b.c", 5)
    put(2, "a@b.c", 9)
    both = put(3, "other@b.c", 100)
    moved = put(2, "other@b.c", 9)
    assert devices_at("a@b.c", before) == []
    assert devices_at("a@b.c", both) == [{"user_id": uuid(one), "email": "a@b.c", "quota": 9} for one in (1, 2)]
    assert devices_at("a@b.c", moved) == [{"user_id": uuid(1), "email": "a@b.c", "quota": 5}]
    for moment in (before, both, moved, moved + timedelta(days=1)):
        whole = subscribers_at(moment)
        found = [dict(zip(whole, row, strict=True)) for row in zip(*map(list, whole.values()), strict=True)]
        found.sort(key=lambda one: one["user_id"])
        for email in ("a@b.c", "other@b.c"):
            assert devices_at(email, moment) == [one for one in found if one["email"] == email]
