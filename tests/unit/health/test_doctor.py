"""``manage.py doctor``: one exact line a check, and 1 at the end where something must be mended."""

from __future__ import annotations

import io
import os
from datetime import timedelta
from subprocess import CompletedProcess

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from kpis.engine import compiled
from kpis.health import doctor
from kpis.models import Reference, Run, Watermark
from kpis.store.dialects import dialect
from tests.factories import MIDNIGHT, make_batch, make_run
from tests.references import CELL, referenced
from tests.unit.test_settings import manage

pytestmark = pytest.mark.django_db

CRONTAB = "# update_network_stats by hand\n*/5 * * * * cd /srv/x && .venv/bin/python manage.py update_network_stats\n"
GIGABYTES = 1_000_000_000


@pytest.fixture
def sound(settings, monkeypatch, data_dir, lake_dir):
    """An installation in which nothing is to be mended; gives its settings."""
    settings.SECRET_KEY = "k" * 50
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["kpis.example.org"]
    settings.HTTPS = True
    lake_dir.mkdir()
    (data_dir / "ipflow_data.1.csv").write_text("")
    (data_dir / ".ipflow_data.2.csv.Xy12ab").write_text("")
    monkeypatch.setattr(doctor.extras, "is_installed", lambda extra: True)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 12.34 * GIGABYTES}))
    set_crontab(monkeypatch, CRONTAB)
    make_run(MIDNIGHT, outcome="succeeded", ended_at=MIDNIGHT + timedelta(seconds=3))
    monkeypatch.setattr(timezone, "now", lambda: MIDNIGHT + timedelta(minutes=15))
    monkeypatch.setattr(type(dialect()), "host_time", lambda self: MIDNIGHT + timedelta(minutes=15))
    return settings


def set_crontab(monkeypatch, text: str, status: int = 0) -> None:
    monkeypatch.setattr(doctor.subprocess, "run", lambda *args, **kwargs: CompletedProcess(args, status, text, ""))


def run_doctor() -> tuple[list[str], int]:
    """The doctor's lines and exit code."""
    out = io.StringIO()
    try:
        call_command("doctor", stdout=out)
    except SystemExit as end:
        return out.getvalue().splitlines(), end.code
    return out.getvalue().splitlines(), 0


def database_lines() -> list[str]:
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL"}[connection.vendor]
    if getattr(connection, "mysql_is_mariadb", False):
        name = "MariaDB"
    version = ".".join(map(str, connection.get_database_version()))
    strict = ["ok   sql_mode: is strict", "ok   character set: utf8mb4"]
    strict.append("ok   time zone tables: are not needed for UTC")
    return [f"ok   database: {name} {version} answers", *(strict if connection.vendor == "mysql" else [])]


def power_line() -> str:
    # The tests' servers may do without durability.
    asked = {
        "mysql": ("SELECT @@innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit", {1}),
        "postgresql": (
            "SHOW synchronous_commit",
            "synchronous_commit",
            {"on", "local", "remote_write", "remote_apply"},
        ),
    }
    if connection.vendor in asked:
        query, name, durable = asked[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(query)
            (value,) = cursor.fetchone()
        if value not in durable:
            lost = f"may cost the database its last commits, which the lake relies on, as {name} is {value}"
            return f"note power cuts: {lost}"
    return "ok   power cuts: lose nothing that was reported as ingested"


def sound_lines(settings) -> list[str]:
    return [
        "ok   SECRET_KEY: is set",
        "ok   DEBUG: is off",
        "ok   ALLOWED_HOSTS: kpis.example.org",
        "ok   HTTPS: is on",
        "ok   extras: mysql, postgres, kafka, aws, redis, arrow, avro, spark installed",
        "ok   plug-in kinesis: network_analysis_kinesis adds source kinesis",
        "ok   plug-in pm3gpp: network_analysis_pm3gpp adds format pm_xml",
        "ok   plug-in spark: network_analysis_spark adds engine spark",
        "ok   compiled scanner: is built",
        *database_lines(),
        power_line(),
        "ok   migrations: all are applied",
        f"ok   lake: {settings.LAKE_DIR} can be written; 12.3 GB left",
        "ok   staging: no leftovers",
        f"ok   data folder: {settings.DATA_DIR} has 1 files of known feeds",
        "ok   clocks: agree",
        "ok   last run: started at 2021-07-18 00:00:00Z, succeeded",
        "ok   schedule: this user's crontab runs the command",
    ]


def assert_line(settings, subject: str, line: str | None, status: int) -> None:
    """The doctor's lines are those of a sound installation but for the subject's; None for no line at all."""
    wanted = [line if each[5:].startswith(f"{subject}: ") else each for each in sound_lines(settings)]
    assert run_doctor() == ([each for each in wanted if each is not None], status)


def test_a_sound_installation(sound):
    assert run_doctor() == (sound_lines(sound), 0)


@pytest.mark.parametrize(
    ("setting", "value", "line", "status"),
    [
        ("SECRET_KEY", "", "mend SECRET_KEY: is not set, so the web does not start; `make .env` makes one", 1),
        ("SECRET_KEY", "x" * 49, "mend SECRET_KEY: is short; take one of at least 50 random characters", 1),
        (
            "ALLOWED_HOSTS",
            ["*"],
            "mend ALLOWED_HOSTS: is *, which lets anyone choose the site's name; list its names",
            1,
        ),
        (
            "ALLOWED_HOSTS",
            ["localhost", "[::1]"],
            "note ALLOWED_HOSTS: has only this host, so no other host can use the web",
            0,
        ),
        (
            "HTTPS",
            False,
            "mend HTTPS: is off, and passwords travel readable; set HTTPS=on (see docs/how-to/deployment.md)",
            1,
        ),
    ],
)
def test_settings(sound, setting, value, line, status):
    setattr(sound, setting, value)
    assert_line(sound, setting, line, status)


def test_debug_makes_a_key_by_itself(sound):
    sound.DEBUG = True
    lines, status = run_doctor()
    assert lines[0] == "ok   SECRET_KEY: is set, or generated at each start while DEBUG is on"
    assert lines[1] == "mend DEBUG: is on, and errors show the program's inside; set DEBUG=off"
    assert status == 1


def test_this_host_alone_needs_no_https(sound):
    sound.ALLOWED_HOSTS, sound.HTTPS = ["localhost"], False
    lines, status = run_doctor()
    assert lines[3] == "ok   HTTPS: is off, which will do for this host alone"
    assert status == 0


def test_a_scanner_that_was_not_built(sound, monkeypatch):
    monkeypatch.setattr(compiled, "library", lambda: None)
    line = "note compiled scanner: is not built: files take several times as long; `make -B setup` tries again"
    assert_line(sound, "compiled scanner", line, 0)


def test_extras_that_are_not_installed(sound, monkeypatch):
    monkeypatch.setattr(doctor.extras, "is_installed", lambda extra: extra in ("kafka", "aws"))
    assert_line(sound, "extras", "ok   extras: kafka, aws installed, mysql, postgres, redis, arrow, avro, spark not", 0)
    monkeypatch.setattr(doctor.extras, "is_installed", lambda extra: False)
    absent = "mysql, postgres, kafka, aws, redis, arrow, avro, spark"
    assert_line(sound, "extras", f"ok   extras: none installed, {absent} not", 0)


def test_a_database_that_does_not_answer(sound):
    def refuse(*args):
        raise OperationalError("connection refused:\n  is the server running?")

    wanted = sound_lines(sound)
    with connection.execute_wrapper(refuse):
        lines, status = run_doctor()
    text = "does not answer (connection refused: is the server running?); start it, or correct DATABASE_URL"
    assert lines == [*wanted[:9], f"mend database: {text}", *wanted[-6:-3], wanted[-1]]
    assert status == 1


@pytest.mark.skipif(connection.vendor != "mysql", reason="of MySQL and MariaDB alone")
def test_a_lenient_mysql(sound):
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = ''")
    try:
        assert_line(sound, "sql_mode", "mend sql_mode: is not strict; leave init_command out of DATABASE_URL", 1)
    finally:
        connection.close()


def test_a_database_without_its_tables(tmp_path):
    result = manage("doctor", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", DATA_DIR=str(tmp_path))
    [line] = [line for line in result.stdout.splitlines() if "migrations" in line]
    assert line.startswith("mend migrations: ")
    assert line.endswith(" are missing; run `manage.py migrate`")
    assert "last run" not in result.stdout
    assert (result.returncode, result.stderr) == (1, "")


def test_a_lake_that_is_not_there_yet(sound):
    sound.LAKE_DIR.rmdir()
    line = f"ok   lake: {sound.LAKE_DIR} can be written; the first run will make it; 12.3 GB left"
    assert_line(sound, "lake", line, 0)


def test_a_lake_that_cannot_be_written(sound, tmp_path):
    (tmp_path / "file").write_text("")
    sound.LAKE_DIR = tmp_path / "file" / "lake"
    line = f"mend lake: cannot be written in {tmp_path}/file (Not a directory); mend it or LAKE_DIR"
    assert_line(sound, "lake", line, 1)


def test_a_lake_without_room(sound, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 0.9 * GIGABYTES}))
    assert_line(sound, "lake", f"mend lake: {sound.LAKE_DIR} has 0.9 GB left; make room", 1)


def test_what_a_broken_run_left_in_staging(sound):
    (sound.LAKE_DIR / "staging" / "key").mkdir(parents=True)
    line = "note staging: 1 half-written; a run is under way, or the next one clears them"
    assert_line(sound, "staging", line, 0)


def test_a_data_folder_that_is_not_there(sound):
    sound.DATA_DIR = sound.DATA_DIR / "nowhere"
    line = f"mend data folder: {sound.DATA_DIR} cannot be listed (No such file or directory); mend it or DATA_DIR"
    assert_line(sound, "data folder", line, 1)


def test_files_of_no_feed(sound):
    for name in ("notes.txt", "b\n.txt"):
        (sound.DATA_DIR / name).write_text("")
    line = r"note data folder: 2 files are of no feed, such as 'b\n.txt'; rename them, or see FEED_FILES"
    assert_line(sound, "data folder", line, 0)


def test_files_that_are_unfinished(sound):
    for name in ("ipflow_data.2.csv.filepart", "cdr_1.csv.done", "notes.txt"):
        (sound.DATA_DIR / name).write_text("")
    line = (
        "note data folder: 2 files are not read, as their names are those of unfinished files, such as "
        "'cdr_1.csv.done'; rename them when they are finished, or see FEED_FILES"
    )
    assert_line(sound, "data folder", line, 0)


def test_files_that_cannot_be_read(sound, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    line = "mend data folder: 1 files cannot be read, such as 'ipflow_data.1.csv'; give this user the right to"
    assert_line(sound, "data folder", line, 1)


@pytest.mark.parametrize(
    ("run", "line", "status"),
    [
        (
            None,
            "mend last run: there was none; run `manage.py update_network_stats`, then see crontab.example",
            1,
        ),
        (
            {"started_at": MIDNIGHT - timedelta(seconds=1), "outcome": "succeeded"},
            "mend last run: started at 2021-07-17 23:59:59Z, longer ago than 0:15:00; see to the schedule",
            1,
        ),
        (
            {"outcome": "broken", "traceback": "Traceback\n  File\nLakeError: The lake is full.\n"},
            "mend last run: started at 2021-07-18 00:00:00Z and failed (LakeError: The lake is full.); "
            "the admin has its traceback",
            1,
        ),
        (
            {"outcome": "incomplete", "failed_batches": 2},
            "note last run: started at 2021-07-18 00:00:00Z, 2 files failed; the admin's batches have the reasons",
            0,
        ),
        ({"outcome": "running"}, "ok   last run: started at 2021-07-18 00:00:00Z, running", 0),
    ],
)
def test_the_last_run(sound, run, line, status):
    Run.objects.all().delete()
    if run:
        make_run(**run)
    assert_line(sound, "last run", line, status)


def test_a_crontab_without_the_command(sound, monkeypatch):
    set_crontab(monkeypatch, "# update_network_stats\n", status=1)
    line = "note schedule: this user's crontab does not run the command; see crontab.example"
    assert_line(sound, "schedule", line, 0)


def test_a_host_without_crontab(sound, monkeypatch):
    def absent(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(doctor.subprocess, "run", absent)
    assert_line(sound, "schedule", "note schedule: there is no crontab to look at", 0)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no clock of its own")
@pytest.mark.parametrize(
    ("minutes", "than"), [(15 + 183, "3:03:00 behind"), (15 - 1443, "1 day, 0:03:00 ahead of")], ids=["behind", "ahead"]
)
def test_clocks_that_disagree(sound, monkeypatch, minutes, than):
    monkeypatch.setattr(type(dialect()), "host_time", lambda self: MIDNIGHT + timedelta(minutes=minutes))
    line = (
        f"mend clocks: this host's is {than} the database's; set both by NTP. Until then intervals close by the "
        "earlier of the two"
    )
    assert_line(sound, "clocks", line, 1)


AHEAD = (
    "ahead of this host's: another host's clock was ahead, or this one is behind; set them by NTP. What was closed "
    "ahead of the clock is reopened by the next run"
)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"newest_interval_end": MIDNIGHT + timedelta(hours=2)}, "the newest interval of ipflow is 1:40:00"),
        ({"closed_until": MIDNIGHT + timedelta(days=1)}, "the closing of ipflow is 23:45:00"),
    ],
)
def test_a_watermark_ahead_of_the_clock(sound, columns, named):
    Watermark.objects.create(feed="ipflow", **columns)
    assert_line(sound, "clocks", f"mend clocks: {named} {AHEAD}", 1)


def test_a_batch_of_a_clock_that_was_ahead(sound):
    make_batch(Run.objects.get(), "ipflow_data.1.csv", MIDNIGHT + timedelta(days=3))
    assert_line(sound, "clocks", f"mend clocks: the ingestion of a batch is 2 days, 23:45:00 {AHEAD}", 1)


def test_a_run_of_a_clock_that_was_ahead(sound):
    Run.objects.update(started_at=MIDNIGHT + timedelta(hours=1))
    wanted = f"mend clocks: the start of a run is 0:45:00 {AHEAD}"
    assert wanted in run_doctor()[0]


def test_files_with_rows_too_far_ahead(sound):
    again = MIDNIGHT + timedelta(days=3)
    make_batch(Run.objects.get(), "ipflow_data.1.csv", MIDNIGHT, read_again_at=again)
    line = (
        "note clocks: 1 files have rows too far ahead of them, such as 'ipflow_data.1.csv', which is read again from "
        "2021-07-21T00:00:00Z on"
    )
    assert_line(sound, "clocks", line, 0)


@pytest.mark.skipif(connection.vendor != "mysql", reason="of MySQL and MariaDB alone")
def test_a_zone_that_the_database_does_not_know(sound):
    sound.TIME_ZONE = "Europe/Madrid"
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONVERT_TZ('2001-01-01', 'UTC', 'Europe/Madrid') IS NULL")
        if not cursor.fetchone()[0]:
            pytest.skip("the server has its time zone tables")
    lines, status = run_doctor()
    (line,) = [line for line in lines if "time zone tables" in line]
    assert line.startswith("note time zone tables: are not loaded, so the database does not know Europe/Madrid.")
    assert "`mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql`" in line
    assert status == 0


def test_references_that_are_not_loaded_or_not_declared_are_named(sound):
    def found() -> list[str]:
        return [line for line in run_doctor()[0] if " references: " in line]

    assert found() == []
    with referenced(CELL):
        assert found() == ["note references: cell never loaded: run `manage.py load_reference NAME FILE`"]
        Reference.objects.create(name="cell", loaded_at=MIDNIGHT)
        assert found() == ["ok   references: cell loaded"]
    assert found() == ["note references: cell loaded, and no longer in the catalog"]
