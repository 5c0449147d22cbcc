"""Consumers, a real broker and database servers are killed under load: the tables end up exact all the same.

A consumer goes on by itself when the broker is back. Without its database it ends, and is started again here,
as systemd would. ``TROUBLES`` sets how often something is killed (5 by default).
"""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from kpis.models import Run, StreamPosition
from tests.broker import Broker
from tests.effort import times
from tests.processes import PATIENCE, Ended, Place, end_of, killed
from tests.services import Database, Kafka, MariaDB, PostgreSQL, running
from tests.streams.test_stream_kafka import START, check_ranges, check_tables, consume, record
from tests.twin import Record

for module in ("confluent_kafka", "MySQLdb", "psycopg"):
    pytest.importorskip(module)

TROUBLES = times("TROUBLES", 5, 30)
TOPIC = FEED = "antenna"
CONSUMERS = 2
WITHOUT = ("CommandError: Cannot use the database place at 127.0.0.1, ", "CommandError: Cannot use Kafka at 127.0.0.1:")
# Of messages, which are ten seconds of event time.
CHUNK = 50


class Load:
    """Messages that go into the topic all the time, whatever becomes of the broker; ``records`` are those that did."""

    def __init__(self, broker: Broker, random_: random.Random):
        self.records: list[Record] = []
        self._broker, self._random = broker, random_
        # A topic has to be there before it is read.
        self.add()

    def add(self) -> None:
        second = START + 10 * (len(self.records) // CHUNK)
        late = [self._random.choice((0, 0, 0, 0, 1200)) for _ in range(CHUNK)]
        chunk = [record(FEED, self._random, max(second - seconds, START)) for seconds in late]
        self._broker.put(TOPIC, [one.line() for one in chunk])
        self.records += chunk

    @contextmanager
    def poured(self) -> Iterator[None]:
        ended = threading.Event()

        def pour() -> None:
            while not ended.wait(0.1):
                self.add()

        with ThreadPoolExecutor(1) as threads:
            pouring = threads.submit(pour)
            try:
                yield
            finally:
                ended.set()
                pouring.result()


class Consumers:
    """A database server, a place on it, and consumers that somebody sees to."""

    def __init__(self, server: Database, folder: Path, broker: Broker):
        self.server, self.broker = server, broker
        self.place = Place(folder, server.url)
        migrated = self.place.run("migrate", "-v0")
        assert migrated.code == 0, migrated.err
        self.processes = [self.start() for _ in range(CONSUMERS)]

    def __enter__(self) -> Consumers:
        return self

    def __exit__(self, *_: object) -> None:
        self.place.close()

    def start(self) -> subprocess.Popen[str]:
        return consume(self.place, self.broker, FEED, self.server.name, "-v0", topic=TOPIC)

    def see_to(self) -> None:
        """Starts those again that ended, as they may without their database, and at their start without the broker."""
        for number, process in enumerate(self.processes):
            if process.poll() is not None:
                check_lost(end_of(process))
                self.processes[number] = self.start()

    def number_in(self) -> int:
        """How many messages are in."""
        with self.place.alias() as alias:
            return sum(map(int, StreamPosition.objects.using(alias).values_list("position", flat=True)))

    def await_number(self, number: int) -> None:
        began = time.monotonic()
        while self.number_in() < number:
            if time.monotonic() - began > PATIENCE:
                pytest.fail(f"{self.number_in():,} of {number:,} are in; {[killed(one).err for one in self.processes]}")
            self.see_to()
            self.pass_time(0.1)

    def pass_time(self, seconds: float) -> None:
        """So long, or until a consumer ends."""
        with suppress(subprocess.TimeoutExpired):
            self.processes[0].wait(timeout=seconds)

    def kill_one(self, random_: random.Random) -> None:
        number = random_.randrange(CONSUMERS)
        killed(self.processes[number])
        self.processes[number] = self.start()

    def kill_server(self) -> None:
        self.server.kill()
        self.server.start()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            end = end_of(process)
            # What was killed last may have ended one before. One that has only just been started again handles no
            # signal yet, and ends by it without a word.
            if end.code not in (0, -signal.SIGTERM):
                check_lost(end)

    def check(self, records: list[Record]) -> None:
        check_tables(self.place, records)
        check_ranges(self.place)
        assert not list(self.place.lake.glob("staging/*"))
        alone, compacted = self.place.keys_in_lake()
        assert alone <= self.place.keys() <= alone | compacted
        with self.place.alias() as alias:
            assert set(Run.objects.using(alias).values_list("outcome", flat=True)) <= {"succeeded", "broken"}


def check_lost(end: Ended) -> None:
    """Checks that a consumer ended as it lost what it cannot do without, and says so."""
    assert end.err, end
    *_, line = end.err.splitlines()
    assert line.startswith(WITHOUT), line
    assert line.endswith("What was ingested before stays; the next consumer goes on from there.")
    assert end.code == 1


def test_whatever_is_killed_each_message_counts_once(tmp_path, django_db_blocker):
    random_ = random.Random(1)  # noqa: S311
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        kafka = stack.enter_context(running(Kafka))
        servers = [stack.enter_context(running(kind)) for kind in (MariaDB, PostgreSQL)]
        broker = Broker(kafka.url)
        load = Load(broker, random_)
        places = [stack.enter_context(Consumers(server, tmp_path / server.name, broker)) for server in servers]
        with load.poured():
            for number in range(TROUBLES):
                consumers = places[(number % 5) // 3]
                consumers.await_number(consumers.number_in() + CHUNK)
                consumers.pass_time(random_.random())
                trouble(number, kafka, consumers, random_)()
        for consumers in places:
            consumers.await_number(len(load.records))
            consumers.stop()
            consumers.check(load.records)


def trouble(number: int, kafka: Kafka, consumers: Consumers, random_: random.Random) -> Callable[[], None]:
    """The call that kills the process whose turn it is: at each place a consumer and the server, once the broker."""

    def kill_broker() -> None:
        kafka.kill()
        kafka.start()

    def kill_one() -> None:
        consumers.kill_one(random_)

    return (kill_one, kill_broker, consumers.kill_server, kill_one, consumers.kill_server)[number % 5]
