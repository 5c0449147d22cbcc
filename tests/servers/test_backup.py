"""The page on backup and restore, followed word by word: each of its shell blocks is run as it stands."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection

from tests.processes import PATIENCE
from tests.twin import Flow, expected

START = 1626566400
PAGE = (settings.BASE_DIR / "docs" / "how-to" / "backup.md").read_text()
YESTERDAY = {f"ipflow_data.{number}.csv": [Flow(START + 300 * number, 1, 10, 1, 1, 7)] for number in range(13)}
TODAY = {f"ipflow_data.{number}.csv": [Flow(START + 300 * number, 2, 20, 1, 2, 8)] for number in range(13, 26)}
EXACT = expected(YESTERDAY | TODAY, START + 26 * 300)
SERVERS = {"mysql": ("mysqldump", "mysql"), "postgresql": ("pg_dump", "pg_restore")}


def blocks(*headings: str) -> str:
    """The shell blocks below some headings that are for this kind of database or for any."""
    found = []
    for heading in ("# Backup and restore", *headings):
        section = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)[1]
        of_server = re.findall(r"^```sh (\w+)", section, flags=re.MULTILINE)
        for kind, text in re.findall(r"^```sh ?(\w*)\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE):
            is_of_sqlite = not kind and "$DATABASE_FILE" in text and of_server
            if kind == connection.vendor or (not kind and (connection.vendor == "sqlite" or not is_of_sqlite)):
                found.append(text)
    return "\n".join(found)


def follow(place, *headings: str) -> None:
    """Runs the page's blocks in the project's folder."""
    environment = place.environment(
        DATABASE_FILE=str(place.folder / "place.sqlite3"), LAKE=str(place.lake), BACKUP=str(place.folder / "backup")
    )
    script = "set -e\n" + blocks(*headings).replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the servers' blocks drop the tests' own database")
def test_what_the_page_says_brings_everything_back(place):
    place.put(YESTERDAY)
    assert place.run().code == 0
    follow(place, "## Backup")
    place.put(TODAY)
    assert place.run().code == 0
    (place.folder / "place.sqlite3").unlink()
    follow(place, "### The database is lost")
    assert place.stored() == EXACT
    shutil.rmtree(place.lake)
    follow(place, "### The lake is lost")
    ended = place.run("update_network_stats", "--rebuild", "2021-07-18T00:00Z", "2021-07-19T00:00Z")
    assert ended.code == 0, ended.err
    assert place.stored() == EXACT


def test_every_block_of_the_page_is_for_somebody():
    kinds = set(re.findall(r"^```sh ?(\w*)", PAGE, flags=re.MULTILINE))
    assert kinds == {"", *SERVERS}
    for kind, tools in SERVERS.items():
        text = "".join(re.findall(rf"^```sh {kind}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE))
        assert all(tool in text for tool in tools)
