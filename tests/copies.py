"""What a fixture made by runs, kept so that the next test gets a copy of it in a hundredth of the time."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from django.db import connection

_kept: dict[str, tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str]]] = {}


def made_once(name: str, folder: Path, make: Callable[[], None]) -> None:
    """Leave the database and ``folder`` as ``make`` leaves them: on SQLite it is called once a process.

    The copies of files have the times of the files, and other inodes. For tests that commit.
    """
    if connection.vendor != "sqlite":
        make()
        return
    connection.ensure_connection()
    if name in _kept:
        database, files = _kept[name]
        database.backup(connection.connection)
        shutil.copytree(files.name, folder, dirs_exist_ok=True)
        return
    make()
    database, files = sqlite3.connect(":memory:"), tempfile.TemporaryDirectory()
    connection.connection.backup(database)
    shutil.copytree(folder, files.name, dirs_exist_ok=True)
    _kept[name] = database, files
