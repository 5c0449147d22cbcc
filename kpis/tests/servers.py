"""Database servers of a test's own, from the machine's packages, which it may kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kpis.tests.processes import PATIENCE

POSTGRESQL_FOLDERS = sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: [int(part) for part in path.parts[4].split(".")]
)[::-1]
SEARCHED = os.pathsep.join([*map(str, POSTGRESQL_FOLDERS), os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])


class Server(ABC):
    """One server with an empty database; ``url`` is its address. ``name`` says what it is."""

    name: str
    user: str
    programs: tuple[str, ...]

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def install(self) -> None:
        """Makes the server's files."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts the server, in the foreground."""

    @abstractmethod
    def ask(self, query: str) -> subprocess.CompletedProcess[bytes]:
        """Asks the server by its own client."""

    def start(self) -> None:
        """Starts the server and waits until it answers.

        A server whose former self was killed may find that one's last processes still there, and start only when
        they have gone.
        """
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            if self.process is None or self.process.poll() is not None:
                self.process = self._popen(self.command())
            if self.ask("SELECT 1").returncode == 0:
                return
            try:
                self.process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"{self.name} does not answer: {self.log()}")

    def kill(self) -> None:
        """Ends the server as ``kill -9`` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        # The servers refuse to work as root, who can become the user that their packages made for them.
        user = {"user": self.user, "group": self.user, "extra_groups": []} if os.getuid() == 0 else {}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **user
            )

    def _install_by(self, command: list[str]) -> None:
        assert self._popen(command).wait(timeout=PATIENCE) == 0, self.log()


class MariaDB(Server):
    name, user, programs = "MariaDB", "mysql", ("mariadbd", "mariadb-install-db", "mariadb")

    def install(self) -> None:
        folder = f"--datadir={self.folder / 'data'}"
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self._install_by([program("mariadb-install-db"), "--no-defaults", folder, *options])
        self.start()
        self.ask("CREATE DATABASE place CHARACTER SET utf8mb4").check_returncode()
        self.ask("CREATE USER place@'127.0.0.1'; GRANT ALL ON place.* TO place@'127.0.0.1'").check_returncode()

    def command(self) -> list[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
        ]

    def ask(self, query: str) -> subprocess.CompletedProcess[bytes]:
        client = [program("mariadb"), "--no-defaults", f"--socket={self.folder / 'socket'}", "--user=root"]
        return subprocess.run([*client, "--execute", query], capture_output=True, check=False, timeout=PATIENCE)

    @property
    def url(self) -> str:
        return f"mysql://place@127.0.0.1:{self.port}/place"


class PostgreSQL(Server):
    name, user, programs = "PostgreSQL", "postgres", ("postgres", "initdb", "psql")

    def install(self) -> None:
        options = ["--username=place", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self._install_by([program("initdb"), "-D", str(self.folder / "data"), *options])
        self.start()
        self.ask("CREATE DATABASE place").check_returncode()

    def command(self) -> list[str]:
        options = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        return [program("postgres"), "-D", str(self.folder / "data"), *options]

    def ask(self, query: str) -> subprocess.CompletedProcess[bytes]:
        client = [program("psql"), "-X", "-h", "127.0.0.1", "-p", str(self.port), "-U", "place", "-d", "template1"]
        return subprocess.run([*client, "-c", query], capture_output=True, check=False, timeout=PATIENCE)

    @property
    def url(self) -> str:
        return f"postgres://place@127.0.0.1:{self.port}/place"


def program(name: str) -> str | None:
    """The path of a server's program, also where only the administrator has it on the path."""
    return shutil.which(name, path=SEARCHED)


@contextmanager
def running(kind: type[Server]) -> Iterator[Server]:
    """A new server that runs; leaves the test out where the machine has none, with REQUIRE_SERVICES=1 fails it."""
    missing = [one for one in kind.programs if program(one) is None]
    if missing:
        absent = f"{kind.name} is not installed: no {' and no '.join(missing)} on this machine."
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"REQUIRE_SERVICES=1, but {absent}")
        pytest.skip(absent)
    # Not under pytest's own folder, into which other users cannot look.
    with tempfile.TemporaryDirectory(prefix=f"{kind.name.lower()}-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, kind.user, kind.user)
        server = kind(Path(folder))
        try:
            server.install()
            yield server
        finally:
            server.kill()
