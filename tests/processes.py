"""Real processes of ``manage.py``, each with the database, data folder and lake of its place."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit

import duckdb
from blake3 import blake3
from django.db import connection, connections
from django.db.utils import load_backend

from kpis.models import Batch
from network_analysis.settings import database
from tests.forks import Fork
from tests.twin import Flow, file_text, stored

MANAGE = Path(__file__).resolve().parents[1] / "manage.py"
# No process of these tests takes longer, also on a machine that has other things to do.
PATIENCE = 300
# What Kafka's client says of a connection that it makes again by itself.
RECONNECTS = re.compile(
    r" WARNING kpis\.sources\.kafka: Kafka at .*(brokers are down|[Dd]isconnect|[Cc]onnect.* failed|[Tt]imed out)"
)

# What variables begin with that Python, its loader or coverage reads as a process starts.
READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "COVERAGE_")

_aliases = count()


def bare_environment(**variables: str) -> dict[str, str]:
    """An environment of these variables, and of those by which coverage measures a process."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")} | variables


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it) and what it said."""

    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        """The lines of ``err``, without those of connections to Kafka that its client makes again by itself."""
        return [line for line in self.err.splitlines() if not RECONNECTS.search(line)]


class Place:
    """A database, a data folder, a lake and a folder for temporary files, and the processes that work on them."""

    def __init__(self, folder: Path, database_url: str):
        self.folder, self.database_url = folder, database_url
        self.data, self.lake, self.temporary = folder / "data", folder / "lake", folder / "temporary"
        self.data.mkdir(parents=True)
        self.temporary.mkdir()
        self._started: list[subprocess.Popen[str] | Fork] = []

    def put(self, files: dict[str, list[Flow]]) -> None:
        """Writes files of flows into the data folder."""
        for name, flows in files.items():
            (self.data / name).write_text(file_text(flows))

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a process that works here, with further variables."""
        return {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": self.database_url,
            "DATA_DIR": str(self.data),
            "LAKE_DIR": str(self.lake),
            "TMPDIR": str(self.temporary),
            **variables,
        }

    def start(
        self, *arguments: str, prefix: tuple[str, ...] = (), is_fork: bool = True, **variables: str
    ) -> subprocess.Popen[str] | Fork:
        """Starts ``manage.py`` with the arguments, ``update_network_stats`` by default.

        ``variables`` go to its environment, and ``prefix`` is a command that starts it. It is a fork of a process that
        has imported its libraries (``tests.forks``), unless it must not be or a variable is read as a process starts.
        """
        words = [str(MANAGE), *(arguments or ("update_network_stats",))]
        environment = self.environment(**variables)
        is_measured = any(name.startswith("COVERAGE_") for name in os.environ)
        if is_fork and not prefix and not is_measured and not any(name.startswith(READ_AT_START) for name in variables):
            process = Fork(words, environment)
        else:
            process = subprocess.Popen(
                [*prefix, sys.executable, *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                # A suite that runs in the background ignores these signals, and its processes would too.
                preexec_fn=_reset_signals,
            )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kills what a failed test left running and closes its pipes, so that no later test is blamed for them."""
        for process in self._started:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                pipe.close()

    def run(self, *arguments: str, prefix: tuple[str, ...] = (), **variables: str) -> Ended:
        """Starts ``manage.py`` and waits for its end."""
        return end_of(self.start(*arguments, prefix=prefix, **variables))

    @contextmanager
    def alias(self) -> Iterator[str]:
        """A name by which this thread can query the place's database: ``Batch.objects.using(name)``."""
        name = f"place_{next(_aliases)}"
        configured = connections.configure_settings({"default": database(self.database_url)})["default"]
        connections[name] = load_backend(configured["ENGINE"]).DatabaseWrapper(configured, name)
        try:
            yield name
        finally:
            connections[name].close()
            del connections[name]

    def stored(self) -> tuple[dict, dict]:
        """The rows of the place's tables, in the shape of the twin's ``expected``."""
        with self.alias() as alias:
            return stored(alias)

    def known(self) -> dict[str, str]:
        """The BLAKE3 of the content of each batch that is in, by its name."""
        with self.alias() as alias:
            batches = Batch.objects.using(alias).filter(status=Batch.Status.IN)
            return dict(batches.values_list("name", "digest"))

    def keys(self) -> set[str]:
        """The names in the lake of the ingested batches."""
        with self.alias() as alias:
            return set(Batch.objects.using(alias).filter(status=Batch.Status.IN).values_list("key", flat=True))

    def lake_files(self) -> list[Path]:
        """All files of the lake, staging included, by their paths within it."""
        return sorted(path.relative_to(self.lake) for path in self.lake.rglob("*") if path.is_file())

    def keys_in_lake(self) -> tuple[set[str], set[str]]:
        """The names of the batches whose partials lie in the lake: by themselves, and with others in a file.

        A file of several may still hold rows of a batch that was replaced since.
        """
        alone, compacted = set(), set()
        connection = duckdb.connect()
        for path in self.lake.glob("partials/**/*.parquet"):
            if path.name.startswith(("group-", "compacted-")):
                held = connection.sql(
                    f"SELECT decode(value) FROM parquet_kv_metadata('{path}') WHERE key = 'batches'::BLOB"
                )
                compacted |= set(held.fetchall()[0][0].split(","))
            else:
                alone.add(path.name.partition(".")[0])
        return alone, compacted


def _reset_signals() -> None:
    for one in (signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def end_of(process: subprocess.Popen[str] | Fork, timeout: float = PATIENCE) -> Ended:
    """Waits for the end of a process; kills it when it takes too long."""
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Ended(process.returncode, out, err)


def killed(process: subprocess.Popen[str] | Fork) -> Ended:
    """Kills a process as ``kill -9`` does, and waits until it is gone."""
    process.kill()
    return end_of(process)


def digest(flows: list[Flow]) -> str:
    """The BLAKE3 of a file of the flows."""
    return blake3(file_text(flows).encode()).hexdigest()


def own_database(folder: Path) -> str:
    """The address of a migrated, empty database: on SQLite a new file in the folder, else the tests' own."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{folder / 'place.sqlite3'}"
    url = urlsplit(os.environ["DATABASE_URL"])
    return url._replace(path=f"/{quote(connection.settings_dict['NAME'], safe='')}").geturl()


def migrated_database(folder: Path) -> str:
    """The address of a migrated database: on SQLite a file in the folder, made empty if it is not there yet."""
    if connection.vendor == "sqlite" and not (folder / "place.sqlite3").exists():
        import sqlite3

        connection.ensure_connection()
        copy = sqlite3.connect(folder / "place.sqlite3")
        connection.connection.backup(copy)
        copy.close()
    return own_database(folder)


def new_place(folder: Path) -> Place:
    """A place with a migrated, empty database."""
    folder.mkdir()
    return Place(folder, migrated_database(folder))
