"""Settings from the environment: a wrong one stops the program with one clear line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from network_analysis.settings import database
from tests.processes import bare_environment

DATABASE_HELP = (
    "DATABASE_URL must be like sqlite:////folder/file.sqlite3, mysql://user:password@host:3306/name "
    "or postgres://user:password@host:5432/name."
)
BOOLEANS = "one of 1, true, yes, on, 0, false, no, off"


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs manage.py with these settings and no others."""
    inherited = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.run(
        [sys.executable, settings.BASE_DIR / "manage.py", *arguments],
        env=bare_environment(**inherited, **{"PYTHON_DOTENV_DISABLED": "1", "SECRET_KEY": "x" * 50} | environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TOP_N", "0", "TOP_N must be a whole number of at least 1, not '0'."),
        ("TOP_N", "ten", "TOP_N must be a whole number of at least 1, not 'ten'."),
        ("MAX_CLOCK_AHEAD", "-1", "MAX_CLOCK_AHEAD must be a whole number from 0 to 1000000000, not '-1'."),
        ("MEMORY_LIMIT_MB", "1.5", "MEMORY_LIMIT_MB must be a whole number of at least 100, not '1.5'."),
        ("DEBUG", "maybe", f"DEBUG must be {BOOLEANS}, not 'maybe'."),
        ("API_PUBLIC", "2", f"API_PUBLIC must be {BOOLEANS}, not '2'."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'loud'."),
        (
            "TIME_ZONE",
            "Europe/Nowhere",
            "TIME_ZONE must be a zone's name such as UTC or Europe/Madrid, not 'Europe/Nowhere'.",
        ),
        (
            "FEED_FILES",
            "f.*=smoke",
            "FEED_FILES must be pattern=feed pairs, comma-separated, feeds being ipflow, antenna, coverage, cdr, "
            "not 'f.*=smoke'.",
        ),
        ("DATABASE_URL", "oracle://somewhere", DATABASE_HELP),
        ("DATABASE_URL", "nonsense", DATABASE_HELP),
        ("DATABASE_URL", "postgres://user@host:port/name", DATABASE_HELP),
    ],
)
def test_a_wrong_value_stops_with_one_line(name, value, message):
    result = manage("check", **{name: value})
    assert result.returncode == 1
    assert result.stderr == message + "\n"
    assert result.stdout == ""


def test_a_zone_whose_days_start_within_a_feeds_intervals_is_refused(tmp_path):
    catalog = tmp_path / "days.toml"
    catalog.write_text(
        """
[feeds.probe]
description = "Probes"
files = ["probe_*.csv"]
format = {type = "csv"}
interval = "1h"
time = {column = "at"}
[feeds.probe.columns]
at = {type = "time", format = "unix_s"}
cell = {type = "integer"}
[kpis.CellDays]
id = 1001
feed = "probe"
description = "Cells by records"
by = ["cell"]
measure = {type = "count", name = "number"}
unit = "records"
lengths = ["1h", "1d"]
"""
    )
    database = f"sqlite:///{tmp_path}/db.sqlite3"
    result = manage("check", CATALOG=f"{catalog}", TIME_ZONE="Asia/Kolkata", DATABASE_URL=database)
    assert result.stderr == (
        "TIME_ZONE: days of Asia/Kolkata do not start at intervals of 1 hour, in which the feed probe counts its "
        "records, and the KPI CellDays has days, weeks or months of it. Give the feed a shorter interval, such as "
        "15m, or choose another zone.\n"
    )
    assert result.returncode == 1
    assert manage("check", CATALOG=f"{catalog}", TIME_ZONE="Asia/Tokyo", DATABASE_URL=database).returncode == 0


def test_a_plug_ins_setting_that_the_projects_settings_replace_is_refused(tmp_path):
    package = tmp_path / "replacing"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "own.py").write_text("STATIC_URL = 'ours/'\n")
    (package / "plugin.py").write_text(
        "from kpis.plugins.plugin import Plugin\n"
        "PLUGIN = Plugin(name='replacing', description='', hooks=1, settings='replacing.own')\n"
    )
    result = manage("check", PLUGINS="replacing", PYTHONPATH=str(tmp_path))
    assert (result.stderr, result.returncode) == ("A plug-in has the setting STATIC_URL, which there is already.\n", 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SECRET_KEY": "", "DEBUG": "on"},
        {"TOP_N": " 3 ", "API_PUBLIC": "No", "LOG_LEVEL": "debug", "TIME_ZONE": "Europe/Madrid"},
        {"FEED_FILES": "flows.*=ipflow, ipflow_data.*=ipflow"},
    ],
)
def test_right_values_pass(environment, tmp_path):
    result = manage("check", DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", **environment)
    assert result.stderr == ""
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("mysql://ana:word@host:3307/kpis", "django.db.backends.mysql"),
        ("mysql+mysqldb://ana:word@host:3307/kpis", "django.db.backends.mysql"),
        ("mariadb://ana:word@host:3307/kpis", "django.db.backends.mysql"),
        ("postgres://ana:word@host:3307/kpis", "django.db.backends.postgresql"),
        ("postgresql://ana:word@host:3307/kpis", "django.db.backends.postgresql"),
        ("postgresql+psycopg2://ana:word@host:3307/kpis", "django.db.backends.postgresql"),
    ],
)
def test_every_spelling_of_a_database_address(url, engine):
    found = database(url)
    wanted = {
        "ENGINE": engine,
        "NAME": "kpis",
        "USER": "ana",
        "PASSWORD": "word",
        "HOST": "host",
        "PORT": 3307,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_an_address_that_cannot_be_read_does_not_show_its_password():
    with pytest.raises(ImproperlyConfigured) as error:
        database("oracle://ana:word@host/kpis")
    assert "ana:word" not in str(error.value)
