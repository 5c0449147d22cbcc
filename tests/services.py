"""Servers of a test's own, from the machine's packages, which it may kill and start again."""

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

from tests.broker import PARTITIONS
from tests.processes import PATIENCE

POSTGRESQL_FOLDERS = sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: [int(part) for part in path.parts[4].split(".")]
)[::-1]
SEARCHED = os.pathsep.join([*map(str, POSTGRESQL_FOLDERS), os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"])


class Server(ABC):
    """One server with nothing in it; ``url`` is its address. ``name`` says what it is, ``user`` who may run it."""

    name: str
    user = ""
    programs: tuple[str, ...]

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def absent(cls) -> str:
        """The reason why the server cannot start here; "" if it can."""
        missing = [one for one in cls.programs if program(one) is None]
        return f"{cls.name} is not installed: no {' and no '.join(missing)} on this machine." if missing else ""

    @property
    @abstractmethod
    def url(self) -> str:
        """The server's address, in the form that its client needs."""

    @abstractmethod
    def install(self) -> None:
        """Makes the server's files, and starts it."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command that starts the server in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server does its work."""

    def start(self) -> None:
        """Starts the server and waits until it answers.

        A server whose former self was killed may find that one's last processes still there, and start only when
        they have gone.
        """
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            if self.process is None or self.process.poll() is not None:
                self.process = self._popen(self.command())
            if self.answers():
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
        become = self.user and os.getuid() == 0
        user = {"user": self.user, "group": self.user, "extra_groups": []} if become else {}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **user
            )

    def _install_by(self, command: list[str]) -> None:
        assert self._popen(command).wait(timeout=PATIENCE) == 0, self.log()


class Database(Server):
    """A database server with an empty database."""

    @abstractmethod
    def ask(self, query: str) -> subprocess.CompletedProcess[bytes]:
        """Asks the server by its own client."""

    def answers(self) -> bool:
        return self.ask("SELECT 1").returncode == 0


class MariaDB(Database):
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


class PostgreSQL(Database):
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


class PgBouncer(Server):
    """PostgreSQL's pooler, which gives each transaction one of a few connections; ``behind`` is the server."""

    name, user, programs = "PgBouncer", "postgres", ("pgbouncer",)
    behind: PostgreSQL

    def install(self) -> None:
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\nplace = host=127.0.0.1 port={self.behind.port} dbname=place user=place\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 5\nunix_socket_dir =\nquery_wait_timeout = 60\n"
        )
        self.start()

    def command(self) -> list[str]:
        return [program("pgbouncer"), str(self.folder / "pgbouncer.ini")]

    def answers(self) -> bool:
        client = [program("psql"), "-X", self.url, "-c", "SELECT 1"]
        return subprocess.run(client, capture_output=True, check=False, timeout=PATIENCE).returncode == 0

    @property
    def url(self) -> str:
        return f"postgres://place@127.0.0.1:{self.port}/place"


class Redis(Server):
    """A Redis that keeps nothing beyond its own life."""

    name, programs = "Redis", ("redis-server",)

    def install(self) -> None:
        self.start()

    def command(self) -> list[str]:
        return [program("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Kafka(Server):
    """A broker that is its own controller; ``TEST_KAFKA_JARS`` names the folder that ``.ci/kafka.sh`` filled."""

    name, programs = "Kafka", ("java",)
    # What it compiles for speed costs more time at its start than a test has use for.
    JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms64m", "-Xmx512m")

    @classmethod
    def absent(cls) -> str:
        if not os.environ.get("TEST_KAFKA_JARS"):
            return "TEST_KAFKA_JARS names no folder with Kafka's jars."
        return super().absent()

    def install(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            controller = free.getsockname()[1]
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.url},CONTROLLER://127.0.0.1:{controller}",
            "log.dirs": self.folder / "data",
            "num.partitions": PARTITIONS,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # One that was killed is not taken for alive when it comes back.
            # One that was killed is taken for alive for so long, and cannot come back before.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        cluster = ["--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config", str(self._settings)]
        self._install_by([*self._java(), "kafka.tools.StorageTool", "format", *cluster])
        self.start()

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", str(self._settings)]

    def answers(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            AdminClient({"bootstrap.servers": self.url, "log_level": 0}).list_topics(timeout=1)
        except KafkaException:
            return False
        return True

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _java(self) -> list[str]:
        return [program("java"), *self.JAVA, "-cp", str(Path(os.environ["TEST_KAFKA_JARS"]).absolute() / "*")]


def program(name: str) -> str | None:
    """The path of a server's program, also where only the administrator has it on the path."""
    return shutil.which(name, path=SEARCHED)


@contextmanager
def running(kind: type[Server]) -> Iterator[Server]:
    """A new server that runs; leaves the test out where the machine has none, with REQUIRE_SERVICES=1 fails it."""
    absent = kind.absent()
    if absent:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"REQUIRE_SERVICES=1, but {absent}")
        pytest.skip(absent)
    # Not under pytest's own folder, into which other users cannot look.
    with tempfile.TemporaryDirectory(prefix=f"{kind.name.lower()}-") as folder:
        if kind.user and os.getuid() == 0:
            shutil.chown(folder, kind.user, kind.user)
        server = kind(Path(folder))
        try:
            server.install()
            yield server
        finally:
            server.kill()
