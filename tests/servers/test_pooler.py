"""Everything works behind a real PgBouncer that gives each transaction any free connection."""

from __future__ import annotations

import csv
import io
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from kpis.models import Batch
from kpis.store.dialects.postgresql import LOCK
from tests.databases import opened
from tests.processes import PATIENCE, Place, end_of
from tests.services import PgBouncer, PostgreSQL, running
from tests.twin import Flow, expected
from tests.web import running_web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

START = 1626566400  # 2021-07-18T00:00:00Z
FILES = {f"ipflow_data.{i:02}.csv": [Flow(START + i * 300, 1 + k, 3, 7, k, 5) for k in range(300)] for i in range(13)}


@pytest.fixture(scope="module")
def servers():
    with running(PostgreSQL) as server:

        class Pooler(PgBouncer):
            behind = server

        with running(Pooler) as pooler:
            yield server, pooler


@pytest.fixture
def pooled(servers, tmp_path) -> Place:
    """A place whose processes reach PostgreSQL through the pooler alone."""
    server, pooler = servers
    server.ask("DROP DATABASE IF EXISTS place WITH (FORCE)").check_returncode()
    server.ask("CREATE DATABASE place").check_returncode()
    place = Place(tmp_path / "pooled", pooler.url)
    ended = place.run("migrate", "-v0")
    assert (ended.code, ended.err) == (0, "")
    return place


def test_of_runs_started_at_once_behind_a_pooler_one_works_and_the_tables_are_exact(pooled):
    pooled.put(FILES)
    ended = [end_of(process) for process in [pooled.start() for _ in range(4)]]
    assert {(one.code, one.err) for one in ended} == {(0, "")}
    assert pooled.run().code == 0
    assert pooled.stored() == expected(FILES, START + 13 * 300)
    with pooled.alias() as alias:
        assert Batch.objects.using(alias).values("run").distinct().count() == 1


def test_a_run_behind_the_pooler_and_one_past_it_exclude_each_other(pooled, servers):
    pooled.put(FILES)
    with opened(servers[0].url) as past, connections[past].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        ended = pooled.run()
        assert (ended.code, "Another run is under way" in ended.out) == (0, True)
    assert "13 files ingested, 0 failed" in pooled.run().out


def test_exports_and_sql_over_the_ledger_work_behind_a_pooler(pooled):
    pooled.put(FILES)
    assert pooled.run().code == 0
    ended = pooled.run("query_lake", "SELECT count(*) AS number FROM batches", "--format", "csv")
    assert (ended.code, ended.out.split()) == (0, ["number", "13"])
    ended = pooled.run("doctor")
    assert "note pooler: is between this and PostgreSQL" in ended.out
    with running_web(pooled, ANONYMOUS_RATE="off") as web, ThreadPoolExecutor(8) as threads:
        # Several at once, so that each gets another connection from one moment to the next.
        for rows in threads.map(exported, [f"http://{web.address}/api/KPIs/1/?format=csv"] * 40):
            assert len(rows) - 1 == 140


def exported(url: str) -> list[list[str]]:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310
        return list(csv.reader(io.TextIOWrapper(answer)))
