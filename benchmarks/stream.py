"""The rate at which one consumer ingests a topic on one core, beside the producer; and a live load for minutes.

``stream.py [--intervals N] [--bootstrap-servers HOST:PORT]`` puts five minutes' messages, 300,000 of each feed, so many
times into a topic, and then starts one consumer, limited to one core, for them. Without an address it starts a Kafka of
its own from the folder that ``TEST_KAFKA_JARS`` names, on the other cores. The database of ``DATABASE_URL`` (by default
a new SQLite file) must be empty. It ends with 1 if a feed's rate is below its bar, from the consumer's start to its
last commit, or if the totals are not those of the messages.

``stream.py --load MINUTES [--rate N]`` produces so many messages of each feed a second instead, for one consumer a
feed. It ends with 1 if the lake had too many files of an hour and KPI at any time, if the consumers' memory grew, or if
they did not keep up.
"""
# Django has to be set up before its models are imported.
# ruff: noqa: E402

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FOLDER = tempfile.TemporaryDirectory(prefix="stream-")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
os.environ.setdefault("SECRET_KEY", "for-measurements-alone-0123456789-abcdefghijklmnopqrstuvwxyz")
os.environ.setdefault("DATABASE_URL", f"sqlite:///{FOLDER.name}/db.sqlite3")
os.environ["LAKE_DIR"] = f"{FOLDER.name}/lake"

import django

django.setup()

from confluent_kafka import Producer
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum

from benchmarks.checks import Check
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.models import AppTrafficVolume, Batch, CountyCallVolume
from kpis.sample.california import COUNTIES

ROOT = Path(__file__).resolve().parents[1]
START = datetime(2021, 7, 18, tzinfo=UTC)
# Of event time.
A_SECOND = 1_000
USERS, ANTENNAS = 20_000, 2_000
# Messages differ in their times alone after so many.
DIFFERENT = 200_000
# The lowest rates, in records a second.
LEAST = {"antenna": 100_000, "cdr": 150_000}
# The bars of the load: files of an hour and KPI, memory at the end of that after a fifth of the time, and seconds.
MOST_FILES, MOST_GROWTH, MOST_BEHIND = 40, 1.2, 10
SAMPLE_SECONDS = 5
CORE = min(os.sched_getaffinity(0))

Made = tuple[Callable[[int], bytes], Callable[[int], int]]


def antenna(random_: random.Random) -> Made:
    """Return two functions of a message's number: one makes the message, the other returns its bytes as counted."""
    users, antennas = (
        [str(uuid.UUID(int=random_.getrandbits(128))) for _ in range(count)] for count in (USERS, ANTENNAS)
    )
    apps = ("FACEBOOK", "SKYPE", "SPOTIFY", "TELEGRAM", "SNAPCHAT")
    sizes = [random_.randrange(100, 100_000) for _ in range(DIFFERENT)]
    ends = [
        f', "id": "{random_.choice(users)}", "antenna_id": "{random_.choice(antennas)}", "bytes": {size}, '
        f'"app": "{random_.choice(apps)}"}}'.encode()
        for size in sizes
    ]
    first = int(START.timestamp())
    return (
        lambda number: b'{"timestamp": %d%s' % (first + number // A_SECOND, ends[number % DIFFERENT]),
        lambda number: sizes[number % DIFFERENT],
    )


def cdr(random_: random.Random) -> Made:
    """Return two functions of a message's number: one makes the message, the other returns 1."""
    counties, operators = list(COUNTIES), ("Pacific Mobile", "Bear Wireless", "Sierra Cell", "Poppy")
    parts = [
        (
            f"555{random_.randrange(2 * 10**6, 10**7)},555{random_.randrange(2 * 10**6, 10**7)},"
            f"{random_.choice(counties)},".encode(),
            f",{random_.choice(('CALL', 'TEXT'))},{random_.choice(operators)}".encode(),
        )
        for _ in range(DIFFERENT)
    ]

    def message(number: int) -> bytes:
        minutes, second = divmod(number // A_SECOND, 60)
        moment = b"Jul 18 2021 %02d:%02d:%02d" % (minutes // 60, minutes % 60, second)
        before, after = parts[number % DIFFERENT]
        return before + moment + b"," + moment + after

    return message, lambda number: 1


FEEDS = {"antenna": (antenna, AppTrafficVolume, "total_bytes"), "cdr": (cdr, CountyCallVolume, "number_of_calls")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-stream ARGS=", description="measures a consumer of streams")
    parser.add_argument("--intervals", type=int, default=10, help="of five minutes (default: 10)")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="a Kafka that runs already")
    parser.add_argument("--load", type=int, metavar="MINUTES", help="put a live load on consumers for so long")
    parser.add_argument("--rate", type=int, default=6_000, help="of the load, messages a second (default: 6,000)")
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    if Batch.objects.exists():
        parser.error("the database is not empty")
    messages = options.intervals * FIVE_MINUTES.minutes * 60 * A_SECOND
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {connection.vendor}", flush=True)
    with kafka(options.bootstrap_servers, parser.error) as servers:
        if options.load:
            checks = loaded(servers, options.load * 60, options.rate)
        else:
            print(f"{messages:,} messages a feed")
            checks = [measured(feed, messages, servers) for feed in FEEDS]
    print("\n".join(map(str, checks)))
    return int(not all(check.passed for check in checks))


@contextmanager
def kafka(servers: str | None, fail: Callable[[str], None]) -> Iterator[str]:
    if servers:
        yield servers
        return
    from tests.services import Kafka

    if Kafka.absent():
        fail(f"{Kafka.absent()} Or name one that runs with --bootstrap-servers.")
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        server = Kafka(Path(folder))
        try:
            os.sched_setaffinity(0, os.sched_getaffinity(0) - {CORE} or {CORE})
            server.install()
            yield server.url
        finally:
            server.kill()


def measured(feed: str, messages: int, servers: str) -> Check:
    """Produce and consume a feed's messages, and report the rates."""
    made, model, value = FEEDS[feed]
    message, worth = made(random.Random(1))  # noqa: S311
    topic = f"bench-{feed}-{uuid.uuid4().hex[:8]}"
    seconds = produce(servers, topic, map(message, range(messages)))
    print(f"{feed}: produced {messages / seconds:,.0f} a second")
    started = time.time()
    arguments = [f"--feed={feed}", f"--bootstrap-servers={servers}", f"--topic={topic}", f"--group={topic}", "-v0"]
    consumer = Popen(
        [sys.executable, ROOT / "manage.py", "consume_stream", *arguments, "--until-idle=2"],
        stdin=DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
    )
    _, status, usage = os.wait4(consumer.pid, 0)
    if status:
        sys.exit("The consumer failed.")
    batches = Batch.objects.filter(feed=feed)
    wall = batches.latest("ingested_at").ingested_at.timestamp() - started
    busy = usage.ru_utime + usage.ru_stime
    rate = messages / wall
    print(
        f"{feed}: consumed {rate:,.0f} a second on one core ({messages:,} in {wall:.1f} s, {len(batches)} batches), "
        f"{messages / busy:,.0f} a second of its own CPU time, peak memory {usage.ru_maxrss / 1000:,.0f} MB"
    )
    rows = model.objects.filter(interval=FIVE_MINUTES.code)
    total = rows.aggregate(total=Sum(value))["total"]
    wanted = sum(map(worth, range(messages)))
    if total != wanted:
        sys.exit(f"{feed}: the rows add up to {total:,}, the messages to {wanted:,}.")
    return Check("7", f"{feed}: records a second, from the start to the last commit", rate, LEAST[feed], least=True)


def manage(command: str, feed: str, servers: str, topic: str, *arguments: str, stdout: int = DEVNULL) -> Popen[str]:
    """Start a command on a feed's topic."""
    options = [f"--feed={feed}", f"--bootstrap-servers={servers}", f"--topic={topic}", *arguments]
    return Popen([sys.executable, ROOT / "manage.py", command, *options], stdin=DEVNULL, stdout=stdout, text=True)


def loaded(servers: str, seconds: int, rate: int) -> list[Check]:
    """Produce ``rate`` messages of each feed a second, consume them, and report files and memory."""
    topics = {feed: f"load-{feed}-{uuid.uuid4().hex[:8]}" for feed in FEEDS}
    for feed, topic in topics.items():
        # The topic has to be there.
        manage("produce_sample_stream", feed, servers, topic, "--rate=1", "--seconds=1").wait()
    with ExitStack() as started:
        consumers = [
            manage("consume_stream", feed, servers, topic, f"--group={topic}") for feed, topic in topics.items()
        ]
        pace = (f"--rate={rate}", f"--seconds={seconds}", "--seed=2")
        producers = [
            manage("produce_sample_stream", feed, servers, topic, *pace, stdout=PIPE) for feed, topic in topics.items()
        ]
        for process in (*consumers, *producers):
            started.callback(process.kill)
        files: Counter[str] = Counter()
        memory: list[float] = []
        began = time.monotonic()
        while any(producer.poll() is None for producer in producers):
            time.sleep(SAMPLE_SECONDS)
            if any(consumer.poll() is not None for consumer in consumers):
                sys.exit("A consumer ended.")
            memory.append(sum(map(resident, consumers)))
            files |= lake_files()
        produced = len(producers) + sum(
            int(producer.communicate()[0].partition(" ")[0].replace(",", "")) for producer in producers
        )
        ended = time.monotonic()
        while (ingested := counted()) < produced and time.monotonic() - ended < 60:
            time.sleep(0.1)
        behind = time.monotonic() - ended
        files |= lake_files()
        for consumer in consumers:
            consumer.terminate()
        usages = [os.wait4(consumer.pid, 0)[2] for consumer in consumers]
    if ingested != produced:
        sys.exit(f"{produced:,} messages were produced, and {ingested:,} are ingested.")
    first, last = (
        max(memory[place:][: len(memory) // 5 or 1]) for place in (len(memory) // 5, -(len(memory) // 5) or -1)
    )
    busy = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    print(
        f"{produced:,} messages in {ended - began:,.0f} s, {Batch.objects.count():,} batches; both consumers: "
        f"{first:,.0f} MB after a fifth of the time, {last:,.0f} MB at the end, {busy:,.0f} s of CPU time"
    )
    for folder, count in sorted(files.items()):
        print(f"{folder}: at most {count:,} files of an hour at a time")
    partials = {folder: count for folder, count in files.items() if folder.startswith("partials/")}
    return [
        Check("7", "lake files of an hour and KPI, at most at a time", max(partials.values()), MOST_FILES),
        Check("7", "memory at the end, of that after a fifth of the time", last / first, MOST_GROWTH),
        Check("7", "seconds from the last message to the last commit", behind, MOST_BEHIND),
    ]


def counted() -> int:
    """Return how many messages are ingested."""
    return Batch.objects.aggregate(total=Sum("lines"))["total"] or 0


def resident(process: Popen[str]) -> float:
    """Return a process's memory in MB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 10**6


def lake_files() -> Counter[str]:
    """Return the most files of any hour of each of the lake's tables, such as ``partials/UserTrafficVolume``."""
    found: Counter[str] = Counter()
    lake = Path(os.environ["LAKE_DIR"])
    for folder, _, names in os.walk(lake):
        count = sum(name.endswith(".parquet") for name in names)
        if count and "/hour=" in folder:
            found |= Counter({"/".join(Path(folder).relative_to(lake).parts[:2]): count})
    return found


def produce(servers: str, topic: str, messages: Iterator[bytes]) -> float:
    """Produce the messages as fast as the topic accepts them; return the seconds that it takes."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "acks": "all"})
    began = time.monotonic()
    for message in messages:
        while True:
            try:
                producer.produce(topic, message)
                break
            except BufferError:
                producer.poll(0.1)
    unsent = producer.flush(60)
    if unsent:
        sys.exit(f"Kafka did not take {unsent:,} messages.")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
