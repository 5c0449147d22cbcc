"""This project as a contestant: a database, a lake, and its commands on them."""

from __future__ import annotations

import csv
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contest import ROOT, Command, output

PYTHON = ROOT / ".venv" / "bin" / "python"
# The tables' code for the length of an interval, and their rows as the peers answer them.
CODES = {"five_minutes": 1, "hours": 2}
LISTS = {
    "services": "SELECT interval_start_timestamp, service_id, total_bytes FROM kpis_servicetrafficvolume",
    "cells": "SELECT interval_start_timestamp, cell_id, number_of_unique_users FROM kpis_celluniqueusers",
}


class Place:
    """A folder with a SQLite database and a lake; copies of a migrated database and its lake, if these are given."""

    def __init__(self, folder: Path, database: Path | None = None, lake: Path | None = None):
        self.database, self.lake = folder / "db.sqlite3", folder / "lake"
        folder.mkdir(parents=True, exist_ok=True)
        if database:
            shutil.copyfile(database, self.database)
        if lake:
            shutil.copytree(lake, self.lake)

    def command(self, *arguments: str | Path) -> Command:
        """Return a command of ``manage.py``."""
        return self.python(ROOT / "manage.py", *arguments)

    def python(self, *arguments: str | Path) -> Command:
        """Return a command of the project's Python, with its settings for this place."""
        settings = {
            "DJANGO_SETTINGS_MODULE": "network_analysis.settings",
            "PYTHON_DOTENV_DISABLED": "1",
            "SECRET_KEY": "for-benchmarks-alone",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "LAKE_DIR": str(self.lake),
            "ANONYMOUS_RATE": "off",
        }
        return Command([PYTHON, *arguments], settings)

    def update(self, data: Path) -> Command:
        """Return the command that is measured."""
        return self.command("update_network_stats", "--data-dir", data, "-v", "0")

    def output(self, *arguments: str | Path) -> str:
        """Return the output of a command of ``manage.py``, unmeasured."""
        return output(self.command(*arguments))

    def output_of_python(self, *arguments: str | Path) -> str:
        """Return the output of the project's Python, unmeasured."""
        return output(self.python(*arguments))

    def answer(self, since: int = 0) -> dict[str, dict]:
        """Return both lists of each interval that starts at ``since`` (Unix ms) or later, as the peers answer them."""
        found: dict[str, dict] = {kind: {} for kind in CODES}
        moment = datetime.fromtimestamp(since / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        with closing(sqlite3.connect(self.database)) as connection:
            for kind, code in CODES.items():
                for name, query in LISTS.items():
                    where = "WHERE interval = ? AND interval_start_timestamp >= ? ORDER BY 1, rank"
                    for start, group, value in connection.execute(f"{query} {where}", [code, moment]):
                        milliseconds = str(int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) * 1000)
                        lists = found[kind].setdefault(milliseconds, {"services": [], "cells": []})
                        lists[name].append([group, value])
        return found

    def rejects(self) -> Iterator[list[str]]:
        """Return every reject: the file's name, the line's number, the reason and the line's text."""
        query = "SELECT file_name, line, reason, text FROM rejects"
        rows = csv.reader(self.output("query_lake", query, "--format", "csv").splitlines())
        next(rows)
        yield from rows
