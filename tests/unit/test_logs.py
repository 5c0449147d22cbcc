"""Log lines: a run's events, one line each with the run's id, and none where the command's own lines say the same."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.conf import settings as project_settings
from django.core.management import CommandError, call_command

from kpis.ingest import events
from kpis.lake import LakeError
from kpis.models import Run
from kpis.store.errors import AlreadyRunning
from network_analysis import logs
from network_analysis.logs import configuration
from tests.twin import Flow
from tests.unit.management.test_update_network_stats import START, put

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def logged(settings, capsys):
    """A function that switches structured logs on, and returns one that reads the lines on standard error."""
    roots = list(logging.root.handlers), logging.root.level

    def switch_on(log_format: str, level: str = "INFO"):
        settings.LOG_FORMAT = log_format
        logging.config.dictConfig(configuration(log_format, level))
        return lambda: capsys.readouterr().err.splitlines()

    yield switch_on
    logging.config.dictConfig(project_settings.LOGGING)
    logging.root.handlers, logging.root.level = roots


def fields(line: str) -> dict:
    """A line in JSON without what differs from run to run."""
    found = json.loads(line)
    return {name: value for name, value in found.items() if name not in ("timestamp", "seconds", "pid", "host")}


def test_a_runs_events_are_lines_of_json_with_its_id(data_dir, logged, capsys):
    lines = logged("json")
    path = put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7), Flow(START, 2, 10, 20, 1, 7)])
    put(data_dir, 2, [Flow(START + 3600, 1, 10, 20, 1, 7)], end=START + 3900)
    (data_dir / "ipflow_data.bad.csv").write_text("nonsense\n1\n")
    with pytest.raises(SystemExit, match="1"):
        call_command("update_network_stats")
    run = Run.objects.get()
    events = [fields(line) for line in lines()]
    of_run = {"logger": "kpis.ingest.events", "run": run.pk}
    assert [line["event"] for line in events] == [
        "run started",
        "file ingested",
        "file ingested",
        "failed",
        "rolled up",
        "run ended",
    ]
    assert all(of_run.items() <= line.items() for line in events)
    assert events[1] == of_run | {
        "event": "file ingested",
        "level": "info",
        "feed": "ipflow",
        "file": path.name,
        "bytes": path.stat().st_size,
        "lines": 2,
        "records": 2,
        "rejects": 0,
        "intervals": 1,
    }
    assert events[3]["level"] == "warning"
    assert events[3]["what"] == "ipflow_data.bad.csv"
    assert "header" in events[3]["reason"]
    assert events[4] == of_run | {
        "event": "rolled up",
        "level": "info",
        "feed": "ipflow",
        "interval": "1 hour",
        "interval_start": "2021-07-18T00:00:00Z",
    }
    assert events[5] == of_run | {
        "event": "run ended",
        "level": "warning",
        "outcome": "incomplete",
        "files": 2,
        "failed": 1,
        "duplicates": 0,
        "records": 3,
        "rejects": 0,
        "intervals": 2,
        "rollups": 1,
    }


def test_as_text_each_event_is_one_line_too(data_dir, logged):
    lines = logged("text")
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    call_command("update_network_stats")
    events = lines()
    run = f" run={Run.objects.get().pk} "
    assert [
        "event='run started'" in events[0],
        "event='file ingested'" in events[1],
        "event='run ended'" in events[2],
    ] == [True] * 3
    assert all(line.startswith("timestamp='20") and run in line for line in events)


def test_after_the_run_no_line_has_its_id(data_dir, logged):
    lines = logged("json")
    call_command("update_network_stats")
    logging.getLogger("elsewhere").warning("later\nand longer")
    last = json.loads(lines()[-1])
    assert last["event"] == "later\nand longer"
    assert "run" not in last


def test_without_a_format_the_commands_lines_stand_alone(data_dir, logged, capsys):
    lines = logged("")
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    (data_dir / "ipflow_data.bad.csv").write_text("nonsense\n1\n")
    with pytest.raises(SystemExit, match="1"):
        call_command("update_network_stats")
    [failure] = lines()
    assert failure.startswith("failed ipflow_data.bad.csv: ")


def test_the_level_leaves_out_what_went_well(data_dir, logged):
    lines = logged("json", "WARNING")
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    call_command("update_network_stats")
    assert lines() == []


def test_a_busy_lock_is_an_event_of_no_run(data_dir, logged, monkeypatch):
    def busy(patience):
        raise AlreadyRunning

    monkeypatch.setattr(events, "ledger_lock", busy)
    lines = logged("json")
    call_command("update_network_stats")
    [line] = map(fields, lines())
    assert (line["event"], line["level"], "run" in line) == ("lock busy", "info", False)


def test_a_run_that_breaks_off_says_why(data_dir, logged, monkeypatch):
    def full(*args):
        raise LakeError("The lake is full:\n/lake")

    monkeypatch.setattr("kpis.pipeline.run", full)
    lines = logged("json")
    with pytest.raises(CommandError):
        call_command("update_network_stats")
    last = fields(lines()[-1])
    assert (last["event"], last["level"], last["outcome"]) == ("run ended", "error", "broken")
    assert last["reason"] == "LakeError: The lake is full: /lake"
    assert last["run"] == Run.objects.get().pk


def test_a_failing_request_is_one_line_with_its_traceback(client, logged, monkeypatch):
    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr("kpis.api.viewsets.CatalogViewSet.list", fail)
    client.raise_request_exception = False
    for log_format in ("json", "text"):
        lines = logged(log_format)
        client.get("/api/KPIs/")
        [line] = lines()
        assert "ZeroDivisionError" in line
    assert "exception=" in line


@pytest.mark.sqlite_alone
def test_the_settings_come_from_the_environment(tmp_path):
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DATA_DIR": str(tmp_path),
        "LAKE_DIR": str(tmp_path / "lake"),
        "LOG_FORMAT": "json",
    }

    def manage(*arguments):
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=project_settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

    manage("migrate", "-v", "0")
    result = manage("update_network_stats")
    assert result.stdout.startswith("0 files ingested, 0 failed")
    assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == ["run started", "run ended"]


def test_of_what_the_client_of_redis_logs_each_second_one_line_a_minute_is_logged(logged, monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    lines = logged("json")
    logger = pytest.importorskip("channels_redis.pubsub").logger
    for now.seconds in (1000, 1001, 1059.9, 1060, 1119.9, 1200):
        logger.error("away since %s", now.seconds)
    assert [fields(line)["event"] for line in lines()] == ["away since 1000", "away since 1060", "away since 1200"]
