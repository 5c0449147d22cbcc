"""The example units and crontab start what there is, with the arguments that it takes."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.utils.module_loading import import_string

UNITS = sorted(Path(settings.BASE_DIR, "docs", "systemd").glob("*.service"))
PROJECT = "/srv/network-analysis"


def parsed(words: list[str]) -> str:
    """The name of the command that ``manage.py`` would run; fails where it does not take the arguments."""
    name, *arguments = words[words.index("manage.py") + 1 :]
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args(arguments)
    return name


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_there_is(path):
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(path)
    line = unit["Service"]["ExecStart"].replace("%i", "cdr").replace("${BROKERS}", "kafka-1:9092")
    program, *words = shlex.split(line)
    assert program.startswith(f"{PROJECT}/.venv/bin/")
    assert unit["Service"]["WorkingDirectory"] == PROJECT
    if "manage.py" in words:
        assert parsed(words) in ("update_network_stats", "consume_stream")
    else:
        assert program.endswith("/uvicorn")
        assert callable(import_string(words[0].replace(":", ".")))


def test_the_timer_and_cron_do_the_same():
    lines = Path(settings.BASE_DIR, "crontab.example").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("*"))
    assert line.startswith("*/5 * * * *  ")
    command = re.search(r"manage\.py [^>]*", line)[0]
    assert parsed(shlex.split(command)) == "update_network_stats"
    timer = Path(settings.BASE_DIR, "docs/systemd/network-analysis-update.timer").read_text()
    assert "OnCalendar=*:0/5\n" in timer
