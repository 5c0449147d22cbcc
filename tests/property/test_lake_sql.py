"""The views of SQL over the lake give what the tables and the records give, at any point of any history."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from django.core.management import CommandError
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from kpis.catalog.registry import FEEDS, KPIS
from kpis.lake.views import view_names
from kpis.models import Batch, LakeFile, QuotaChange, Subscriber
from kpis.reference.subscribers import put_subscribers
from kpis.store.kpi_sets import save_kpi_set
from tests import twin
from tests.copies import made_once
from tests.effort import times
from tests.factories import make_user
from tests.property.test_histories import Histories
from tests.twin import Flow, expected, moment, stored, uuid
from tests.two_hours import (
    ALL,
    CALLS,
    FILES,
    FLOWS,
    LOGS,
    MESSAGES,
    START,
    SUBSCRIBERS,
    WATERMARK,
    described,
    figures,
    ingest_two_hours,
    of_shortest,
    output_of,
    questions,
    rows,
    update,
    write,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lake(data_dir, lake_dir, tmp_path, settings) -> Path:
    """The lake with the two hours, and rejects in two feeds."""
    settings.ARCHIVE_FEEDS = tuple(FEEDS)
    made_once("two hours", tmp_path, lambda: ingest_two_hours(data_dir))
    return lake_dir


# What the views hold.


@pytest.mark.sqlite_alone
def test_a_kpis_view_has_the_twins_figures_of_all_groups(lake):
    wanted, _ = expected(FILES, WATERMARK, top_n=ALL, subscribers=SUBSCRIBERS)
    for kpi in twin.KPIS:
        assert figures(kpi) == of_shortest(kpi, wanted) != {}, KPIS[kpi.id].name


@pytest.mark.sqlite_alone
def test_a_kpis_view_goes_beyond_the_top_of_its_table(data_dir):
    write(data_dir, "ipflow_data.a.csv", [Flow(START, 1, service, 0, service, cell=7) for service in range(1, 31)])
    update()
    assert rows("SELECT count(*), sum(total_bytes) FROM ServiceTrafficVolume") == [(30, 465)]


@pytest.mark.sqlite_alone
def test_partials_keep_distinct_users_exact_over_any_span(lake):
    by_hour = (
        "SELECT hour_start, cell_id, count(DISTINCT msisdn) FROM CellUniqueUsers_partials GROUP BY ALL ORDER BY ALL"
    )
    midnight, one = "2021-07-18T00:00:00Z", "2021-07-18T01:00:00Z"
    assert rows(by_hour) == [(midnight, 7, 2), (midnight, 8, 1), (one, 7, 2), (one, 8, 1), (one, 9, 1)]


@pytest.mark.sqlite_alone
def test_a_feeds_view_has_its_records(lake):
    flows = rows(
        "SELECT interval_start_timestamp, msisdn, bytes_uplink, bytes_downlink, service_id, cell_id FROM ipflow"
    )
    assert Counter(flows) == Counter(
        (flow.start * 1000, flow.msisdn, flow.uplink, flow.downlink, flow.service, flow.cell) for flow in FLOWS
    )
    messages = rows("SELECT timestamp, id, antenna_id, bytes, app FROM antenna")
    assert Counter(messages) == Counter(
        (one.start, uuid(one.device), uuid(one.antenna), one.bytes, one.app) for one in MESSAGES
    )
    logs = rows("SELECT date, coverage_hour, operator, signal, status, precission, postal_code FROM coverage")
    assert Counter(logs) == Counter(
        (
            f"{moment(log.start):%Y-%m-%d}",
            f"{moment(log.start):%H:%M:%S}",
            log.operator,
            float(log.signal) if log.signal else None,
            log.status,
            float(log.precision) if log.precision else None,
            log.postal_code.removesuffix(".0") or None,
        )
        for log in LOGS
    )
    calls = rows("SELECT StartT, Location, Company, Type FROM cdr")
    assert Counter(calls) == Counter(
        (f"{moment(one.start):%Y-%m-%dT%H:%M:%SZ}", one.county, one.operator, one.call_type) for one in CALLS
    )


def test_rejects_name_their_file_and_line(lake):
    found = rows('SELECT feed, file_name, line, "column", reason, text FROM rejects ORDER BY ALL')
    assert [row[:5] for row in found] == [
        ("antenna", "antenna_data.a.jsonl", 5, "", "is JSON, but not an object"),
        ("ipflow", "ipflow_data.a.csv", 6, "msisdn", "is not a whole number"),
        ("ipflow", "ipflow_data.a.csv", 7, "msisdn", "is less than 1"),
    ]
    assert found[0][5] == "[]"


def test_batches_are_the_ledger(lake, data_dir):
    (data_dir / "cdr_data.b.csv").write_text("rubbish")
    with pytest.raises(SystemExit):
        update()
    assert rows("SELECT feed, name, status, records, rejects FROM batches ORDER BY name") == [
        ("antenna", "antenna_data.a.jsonl", "in", 4, 1),
        ("cdr", "cdr_data.a.csv", "in", 5, 0),
        ("cdr", "cdr_data.b.csv", "failed", 0, 1),
        ("coverage", "coverage_data.a.csv", "in", 6, 0),
        ("ipflow", "ipflow_data.a.csv", "in", 4, 2),
        ("ipflow", "ipflow_data.b.csv", "in", 3, 0),
    ]


@pytest.mark.sqlite_alone
def test_views_of_nothing_are_empty_with_the_types_of_full_ones(lake):
    full = {view: described(view) for view in view_names()}
    LakeFile.objects.all().delete()
    for view in view_names():
        assert described(view) == full[view]
    for view in set(view_names()) - {"batches", "UserQuotaExceeded"}:
        assert rows(f"SELECT count(*) FROM {view}") == [(0,)]


def test_quotas_are_those_that_were_in_force(lake):
    hour = [("2021-07-18T00:00:00Z", "2021-07-18T01:00:00Z", "ana@example.com", 60, 50)]
    query = "SELECT interval_start, interval_end, email, usage, quota FROM UserQuotaExceeded"
    assert rows(query) == hour
    put_subscribers([Subscriber(id=uuid(4), name="ana", email="ana@example.com", quota=1)])
    assert QuotaChange.objects.count() == 3
    assert rows(query) == hour


# What counts.


def test_only_batches_that_the_ledger_counts_are_in(lake):
    queries = [f"SELECT * EXCLUDE (hour_start) FROM {view} ORDER BY ALL" for view in view_names() if view != "batches"]
    before = [rows(query) for query in queries]
    for path in [*lake.rglob("*.parquet")]:
        foreign = path.with_name("0123456789abcdef01234567.parquet")
        duckdb.sql(f"SELECT * REPLACE ('0123456789abcdef01234567' AS batch) FROM '{path}'").write_parquet(str(foreign))
    assert [rows(query) for query in queries] == before


def test_a_file_that_fails_when_it_changes_takes_its_figures_along(lake, data_dir):
    (data_dir / "cdr_data.a.csv").write_text("rubbish\n" * 3)
    with pytest.raises(SystemExit):
        update()
    assert rows("SELECT count(*) FROM cdr") == rows("SELECT count(*) FROM OperatorCallVolume") == [(0,)]


def test_a_compaction_that_broke_off_counts_nothing_twice(lake):
    query = "SELECT app, sum(total_bytes) FROM AppTrafficVolume GROUP BY ALL ORDER BY ALL"
    before = rows(query)
    for path in [*(lake / "partials" / "AppTrafficVolume").rglob("*.parquet")]:
        shutil.copy(path, path.with_name("compacted-x.0123456789abcdef.parquet"))
    assert rows(query) == before == [("SKYPE", 60), ("TELEGRAM", 10)]


def test_an_interval_with_a_batch_older_than_the_kpi_has_no_figures_of_it(lake):
    Batch.objects.filter(name="ipflow_data.a.csv").update(kpi_set=save_kpi_set(frozenset({1})))
    assert {start for (start,) in rows("SELECT interval_start FROM CellUniqueUsers")} == {"2021-07-18T01:05:00Z"}
    assert len(rows("SELECT * FROM ServiceTrafficVolume")) == 5


@pytest.mark.sqlite_alone
def test_views_agree_with_the_tables_at_every_point_of_any_history(tmp_path, settings):
    settings.DATA_DIR, settings.LAKE_DIR = tmp_path / "history" / "data", tmp_path / "history" / "lake"
    Watched.folder = tmp_path / "history"
    run_state_machine_as_test(Watched, settings=TRIED)


class Watched(Histories):
    """Histories after each step of which, and so after each death too, the views say what the tables say."""

    @invariant()
    def views_and_tables_agree(self):
        tables, _ = stored()
        for kpi in twin.KPIS:
            found = {start: groups[: 10 if kpi.top else ALL] for start, groups in figures(kpi).items()}
            assert found == of_shortest(kpi, tables)


TRIED = settings(
    max_examples=times("LAKE_HISTORIES", 2, 30),
    stateful_step_count=5,
    suppress_health_check=list(HealthCheck),
)


# What the database answers too.


def api(client, kpi: int, **filters) -> list[dict]:
    client.force_login(make_user("view_personal", name=f"analyst {kpi} {filters}"))
    response = client.get(f"/api/KPIs/{kpi}/", {"interval": 2, **filters})
    assert response.status_code == 200
    return response.json()


def test_the_answers_are_the_apis_where_both_can_answer(lake, client):
    asked = questions()
    cells = asked["The cells with the most users of a day"].replace("day = 18", "day = 18 AND hour = 1")
    assert rows(cells) == [
        (row["cell_id"], row["number_of_unique_users"])
        for row in api(client, 2, interval_start_timestamp__gte="2021-07-18T01:00:00Z")
    ]
    assert rows(asked["Bytes per app and hour"]) == [
        (row["interval_start_timestamp"], row["app"], row["total_bytes"]) for row in api(client, 4)
    ]
    assert rows(asked["One user's hourly usage"]) == [
        (row["interval_start_timestamp"], row["total_bytes"]) for row in api(client, 5, user_id=uuid(4))
    ]


def test_a_ledger_that_cannot_be_read_is_reported(monkeypatch):
    monkeypatch.setattr(Batch._meta, "db_table", "nosuch")
    with pytest.raises(CommandError, match=r"The ledger cannot be read: .*nosuch"):
        output_of("SELECT * FROM batches")
