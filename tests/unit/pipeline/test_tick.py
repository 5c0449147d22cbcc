"""The cost of a run that cron starts every five minutes, with few and with many files in folder and ledger."""

from __future__ import annotations

import os
import re
import sys

import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection
from django.test.utils import CaptureQueriesContext

from kpis.engine.compiled import library
from kpis.models import Batch
from kpis.store import batches
from kpis.store.kpi_sets import save_kpi_set
from tests.factories import make_run
from tests.processes import Ended
from tests.twin import Flow, file_text, moment
from tests.unit.management.test_update_network_stats import START, put, update
from tests.unit.pipeline.test_archives import archive

pytestmark = pytest.mark.django_db(transaction=True)

OF_THE_WEB = {
    "django.contrib.auth.admin",
    "drf_spectacular.views",
    "kpis.admin",
    "kpis.api.urls",
    "kpis.health.views",
    "network_analysis.urls",
    "prometheus_client",
    "rest_framework.views",
}
OF_A_TERMINAL_OR_A_LOG = {"structlog", "tqdm"}
OF_THE_CLOUD = {"boto3", "botocore", "fsspec", "kpis.sources.bucket", "kpis.storage.bucket"}
OF_WORK = {
    "altair",
    "duckdb",
    "kpis.engine.aggregate",
    "kpis.stages.commit",
    "kpis.stages.merge",
    "numpy",
    "pandas",
    "pyarrow",
}
DRIVERS = {"mysql": "MySQLdb", "postgresql": "psycopg"}


def test_a_run_imports_only_what_it_works_with(place):
    place.put({"ipflow_data.1.csv": [Flow(START, 1, 10, 20, 1, 7)]})
    ended = place.run(PYTHONPROFILEIMPORTTIME="1")
    assert ended.out.startswith("ingested ipflow_data.1.csv: 1 records")
    imported = imported_by(ended)
    assert imported >= {"django.db.models", "kpis.stages.commit", "kpis.store.ledger"}
    assert set(sys.modules) >= OF_THE_WEB
    others = {driver for vendor, driver in DRIVERS.items() if vendor != connection.vendor}
    assert imported & (OF_THE_WEB | OF_A_TERMINAL_OR_A_LOG | OF_THE_CLOUD | others) == set()


@pytest.mark.sqlite_alone
@pytest.mark.skipif(library() is None, reason="without the compiled scanner DuckDB reads the files")
@pytest.mark.parametrize("feed", ["ipflow", "coverage", "cdr"])
def test_a_run_over_plain_files_does_without_duckdb(place, feed):
    place.put(archive(feed, files=2, rows=50, days=1))
    ended = place.run(PYTHONPROFILEIMPORTTIME="1")
    assert re.search("2 files ingested, 0 failed.* [1-9][0-9]* rollups", ended.out)
    assert imported_by(ended) & {"duckdb", "pandas", "pyarrow"} == set()


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--retry-failed", "--verify")], ids=" ".join)
def test_a_run_over_nothing_new_imports_nothing_that_computes(place, arguments):
    assert place.run("update_network_stats").out.startswith("0 files ingested")
    ended = place.run("update_network_stats", *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    assert re.match("0 files ingested|would ingest 0 files", ended.out)
    imported = imported_by(ended)
    assert imported >= {"kpis.pipeline", "kpis.store.ledger"}
    assert imported & (OF_WORK | OF_THE_WEB | OF_A_TERMINAL_OR_A_LOG | OF_THE_CLOUD) == set()


def test_a_run_over_known_files_imports_nothing_that_computes(place):
    place.put({"ipflow_data.1.csv": [Flow(START, 1, 10, 20, 1, 7)]})
    place.run()
    ended = place.run(PYTHONPROFILEIMPORTTIME="1")
    assert ended.out.startswith("0 files ingested, 0 failed")
    assert imported_by(ended) & OF_WORK == set()


@pytest.mark.sqlite_alone
@pytest.mark.parametrize(
    ("command", "says"), [("check", "no issues"), ("migrate", "No migrations to apply"), ("showmigrations", "[X]")]
)
def test_a_command_of_django_imports_nothing_that_computes_or_draws(place, command, says):
    ended = place.run(command, PYTHONPROFILEIMPORTTIME="1")
    assert (ended.code, says in ended.out) == (0, True)
    assert imported_by(ended) & (OF_WORK | OF_A_TERMINAL_OR_A_LOG | OF_THE_CLOUD) == set()


@pytest.mark.sqlite_alone
def test_a_command_that_answers_leaves_the_web_alone(place):
    ended = place.run("show_network_stats", PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    assert imported_by(ended) & (OF_WORK | OF_THE_WEB | OF_A_TERMINAL_OR_A_LOG | OF_THE_CLOUD) == set()


def test_no_command_of_ours_runs_the_checks_which_import_the_web():
    commands = [name for name, app in get_commands().items() if app == "kpis" and name != "migrate"]
    assert len(commands) > 10
    assert {name for name in commands if load_command_class("kpis", name).requires_system_checks} == set()


def imported_by(ended: Ended) -> set[str]:
    """The modules that a process imported with PYTHONPROFILEIMPORTTIME."""
    return set(re.findall(r"^import time: .*\| +(\S+)$", ended.err, re.MULTILINE))


def statements_of_a_tick(data_dir, number: int) -> list[str]:
    """The statements of a run that ingests one file, without their values; the file is gone afterwards."""
    path = put(data_dir, number, [Flow(START, number, 10, 20, 1, 7)])
    with CaptureQueriesContext(connection) as captured:
        assert f"ingested {path.name}: 1 records" in update()
    path.unlink()
    return [re.sub(r"'[^']*'|[0-9]+", "?", query["sql"]) for query in captured]


def test_a_tick_takes_the_same_statements_however_much_the_ledger_knows(data_dir):
    statements_of_a_tick(data_dir, 1)
    few = statements_of_a_tick(data_dir, 2)
    run, ingested_at, kpi_set = make_run(), moment(START), save_kpi_set(frozenset({1, 2}))
    Batch.objects.bulk_create(
        Batch(
            run=run,
            feed="ipflow",
            name=f"ipflow_data.{number}.csv",
            status=Batch.Status.IN,
            kpi_set=kpi_set,
            size=1,
            modified_ns=1,
            ingested_at=ingested_at,
        )
        for number in range(1000)
    )
    assert statements_of_a_tick(data_dir, 3) == few
    # The others are asked for their clock, once for the run and once for the file.
    assert len(few) <= (38 if connection.vendor == "sqlite" else 43), len(few)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the others know what their tables hold, and plan by that")
def test_no_statement_of_a_tick_goes_through_all_that_a_table_has_of_a_feed(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update()
    with CaptureQueriesContext(connection) as captured:
        put(data_dir, 1, [Flow(START, 2, 10, 20, 1, 7), Flow(START + 300, 2, 10, 20, 1, 7)])
        put(data_dir, 2, [Flow(START + 3600, 1, 10, 20, 1, 7)], end=START + 3900)
        assert "3 intervals, 1 rollups" in update()
    looked_at = [query["sql"] for query in captured if query["sql"].startswith(("SELECT", "UPDATE", "DELETE"))]
    with connection.cursor() as cursor:
        plans = {sql: [step[3] for step in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in looked_at}
    assert len(plans) > 20
    most = re.compile(
        r"SCAN kpis_(?!watermark|due|lakebinding|appliedentry|kpiset)|"
        r"SEARCH kpis_(?!watermark|due).*\((feed|status|kpi|interval)=\?\)"
    )
    assert {sql: plan for sql, plan in plans.items() if any(map(most.match, plan))} == {}


def test_a_tick_takes_the_same_statements_however_many_known_files_lie_there(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update()
    one = len(statements_of_a_tick(data_dir, 2))
    for number in range(3, 43):
        put(data_dir, number, [Flow(START, number, 10, 20, 1, 7)])
    update()
    assert len(statements_of_a_tick(data_dir, 43)) == one


@pytest.mark.parametrize("most_names", [0, 10_000], ids=["read all names", "ask for names"])
def test_only_files_that_are_in_and_as_they_were_are_passed_over(data_dir, monkeypatch, most_names):
    monkeypatch.setattr(batches, "MOST_NAMES", most_names)
    monkeypatch.setattr(batches, "NAMES_A_QUERY", 2)
    paths = {name: data_dir / f"ipflow_data.{name}.csv" for name in ("same", "longer", "later", "lacking", "failed")}
    for number, path in enumerate(paths.values(), 1):
        path.write_text(file_text([Flow(START, number, 10, 20, 1, 7)]) if path != paths["failed"] else "no,header\n")
        os.utime(path, ns=(number, number))
    with pytest.raises(SystemExit):
        update()
    assert "would ingest 0 files" in update(dry_run=True)

    paths["longer"].write_text(file_text([Flow(START, 2, 10, 20, 1, 7)] * 2))
    os.utime(paths["longer"], ns=(2, 2))
    os.utime(paths["later"], ns=(4, 4))
    Batch.objects.filter(name="ipflow_data.lacking.csv").update(kpi_set=save_kpi_set(frozenset({1})))
    (data_dir / "ipflow_data.new.csv").write_text(file_text([Flow(START, 9, 10, 20, 1, 7)]))
    planned = re.findall(r"would ingest (\S+) \(ipflow, (.*), ", update(dry_run=True))
    assert sorted(planned) == [
        ("ipflow_data.lacking.csv", "for a new KPI"),
        ("ipflow_data.later.csv", "changed"),
        ("ipflow_data.longer.csv", "changed"),
        ("ipflow_data.new.csv", "new"),
    ]


def test_a_file_named_as_the_ledger_writes_another_is_not_taken_for_that(data_dir):
    control, look_alike = data_dir / "ipflow_data.\x01.csv", data_dir / r"ipflow_data.\x01.csv"
    control.write_text(file_text([Flow(START, 1, 10, 20, 1, 7)]))
    os.utime(control, ns=(1, 1))
    update()
    assert Batch.objects.get().name == look_alike.name
    look_alike.write_text(file_text([Flow(START, 2, 10, 20, 1, 7)]))
    os.utime(look_alike, ns=(1, 1))
    assert "1 files ingested" in update()
    assert "0 files ingested" in update()
