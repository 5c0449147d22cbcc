"""A database server is killed before, in and between a run's commits: one clear line, and the next run repairs.

Each kind has a server of its own here, so these run once, beside whatever database the other tests are given.
"""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress

import pytest

from kpis.models import Run
from tests.processes import Ended, Place, end_of
from tests.services import MariaDB, PostgreSQL, Server, running
from tests.twin import Flow, expected

START = 1626566400  # 2021-07-18T00:00:00Z
# How many runs may end before the trouble begins.
RUNS = 20


class Trouble:
    """A server, a place on it, and all files that came there, an hour of them at a time."""

    def __init__(self, server: Server, place: Place):
        self.server, self.place = server, place
        self.random = random.Random(1)  # noqa: S311
        self.files: dict[str, list[Flow]] = {}
        self.hours = 0

    def put_hour(self) -> None:
        first = START + self.hours * 3600
        files = {
            f"ipflow_data.ts-{(start + 300) * 1000}.1.csv": self.flows(start)
            for start in range(first + 300, first + 3600, 600)
        }
        self.hours += 1
        self.files |= files
        self.place.put(files)

    def meets(self, files: int, trouble: Callable[[subprocess.Popen[str]], object]) -> None:
        """Checks that a run, which commits each file alone, fails by trouble that begins after so many files.

        A run that ends before it is followed by another one over another hour.
        """
        for _ in range(RUNS):
            self.put_hour()
            process = self.place.start(GROUP_FILES="1")
            for _ in range(files):
                assert process.stdout.readline().startswith("ingested ")
            trouble(process)
            ended = end_of(process)
            if ended.code:
                self.check_error(ended)
                return
            self.server.start()
        pytest.fail(f"each run ended before the trouble began, after {files} files")

    def flows(self, start: int) -> list[Flow]:
        some = self.random.randrange
        return [Flow(start, some(1, 9), some(99), some(99), some(20), some(20)) for _ in range(50)]

    def check_error(self, ended: Ended) -> None:
        (line,) = ended.err.splitlines()
        assert line.startswith(f"CommandError: Cannot use the database place at 127.0.0.1, port {self.server.port}: ")
        assert line.endswith("What was ingested before stays; the next run goes on from there.")
        assert ended.code == 1

    def check_next_run(self) -> None:
        ended = self.place.run()
        assert (ended.code, ended.err) == (0, "")
        assert self.place.stored() == expected(self.files, START + self.hours * 3600)
        alone, compacted = self.place.keys_in_lake()
        assert alone <= self.place.keys() <= alone | compacted
        with self.place.alias() as alias:
            outcomes = Run.objects.using(alias).values_list("outcome", flat=True)
            assert outcomes.first() == "succeeded"
            assert "running" not in set(outcomes)


@pytest.fixture(scope="module", params=[MariaDB, PostgreSQL], ids=lambda kind: kind.name)
def started(request, tmp_path_factory):
    pytest.importorskip({MariaDB: "MySQLdb", PostgreSQL: "psycopg"}[request.param])
    with running(request.param) as server:
        place = Place(tmp_path_factory.mktemp("trouble") / "place", server.url)
        migrated = place.run("migrate", "-v0")
        assert migrated.code == 0, migrated.err
        yield Trouble(server, place)


@pytest.fixture
def trouble(started, django_db_blocker):
    # Only the server's own database is used: the tests' database stays out of this.
    with django_db_blocker.unblock():
        yield started


def test_a_server_that_is_gone_before_the_run(trouble):
    trouble.put_hour()
    trouble.server.kill()
    trouble.check_error(trouble.place.run())
    trouble.server.start()
    trouble.check_next_run()


@pytest.mark.parametrize("files", [1, 4])
def test_a_server_that_is_killed_while_a_run_works(trouble, files):
    def kill(process: subprocess.Popen[str]) -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=trouble.random.random() * 0.02)
        trouble.server.kill()

    trouble.meets(files, kill)
    trouble.server.start()
    trouble.check_next_run()


def test_a_server_that_is_killed_between_lake_and_commit(trouble):
    def kill(process: subprocess.Popen[str]) -> None:
        while not list(trouble.place.lake.glob("staging/*/plan.json")) and process.poll() is None:
            pass
        trouble.server.kill()

    trouble.meets(1, kill)
    trouble.server.start()
    trouble.check_next_run()


def test_a_server_that_is_killed_and_is_back_before_the_run_asks_again(trouble):
    def kill(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGSTOP)
        trouble.server.kill()
        trouble.server.start()
        process.send_signal(signal.SIGCONT)

    trouble.meets(3, kill)
    with trouble.place.alias() as alias:
        run = Run.objects.using(alias).first()
        assert run.outcome == "broken"
        assert run.traceback.startswith("Traceback")
    trouble.check_next_run()
