"""Keep what a slow fixture made, so that later tests of the process copy it instead of making it again."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from django.contrib.contenttypes.models import ContentType
from django.db import connection

_kept: dict[str, tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str]]] = {}


def made_once(name: str, folder: Path, make: Callable[[], None]) -> None:
    """Leave the database and ``folder`` as ``make`` leaves them; on SQLite ``make`` is called once per process.

    Copied files keep their modification times, but have other inodes: a run digests them again. For tests that commit.
    """
    if connection.vendor != "sqlite":
        make()
        return
    connection.ensure_connection()
    assert not connection.in_atomic_block, "the copy would not be rolled back: use django_db(transaction=True)"
    if name in _kept:
        database, files = _kept[name]
        database.backup(connection.connection)
        shutil.copytree(files.name, folder, dirs_exist_ok=True)
        ContentType.objects.clear_cache()
        return
    make()
    database, files = sqlite3.connect(":memory:"), tempfile.TemporaryDirectory()
    connection.connection.backup(database)
    shutil.copytree(folder, files.name, dirs_exist_ok=True)
    _kept[name] = database, files
