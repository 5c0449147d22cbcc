"""Real consumers of a real protocol, killed, stopped, doubled and kept waiting: each message counts once.

``KILLS`` sets how many consumers are killed: 3, with ``LONG=1`` 30. ``LONG=1`` also ingests 200,000 messages of which
some are days late, with the default memory.
"""

from __future__ import annotations

import os
import random
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import Sum

from kpis import pipeline
from kpis.catalog import feeds as catalog
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.formats import CSV
from kpis.ingest.consumer import Consumer
from kpis.models import Batch, IntervalSummary, Reject, Run, StreamConsumer, StreamPosition, Watermark
from kpis.sample import SAMPLES, make_files, write_file
from kpis.sources.kafka import Limits, Topic
from kpis.sources.messages import Messages
from kpis.sources.positions import Position, by_number
from kpis.store.ledger import DatabaseLedger
from tests.broker import Broker, mock_broker
from tests.effort import times
from tests.processes import PATIENCE, Place, end_of, killed, new_place
from tests.twin import ONE_HOUR, Call, Message, Record, expected, moment, stored
from tests.unit.sources.test_stream import days_late, without_batches

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

KILLS = times("KILLS", 3, 30)
START = 1626566400  # 2021-07-18T00:00:00Z
# Of a feed's sample file.
ROWS = 300
FEEDS = {"antenna": Message, "cdr": Call}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with mock_broker() as broker:
        yield broker


@pytest.fixture(params=["broker", "kafka"])
def any_broker(request) -> Broker:
    return request.getfixturevalue(request.param)


def messages(feed: str, number: int, seed: int = 1) -> list[Record]:
    """Two hours of messages in their order, some of which come late."""
    random_ = random.Random(seed)  # noqa: S311
    moments = [START + second * 7200 // number - random_.choice((0, 0, 0, 0, 600)) for second in range(number)]
    return [record(feed, random_, max(moment, START)) for moment in moments]


def record(feed: str, random_: random.Random, moment: int) -> Record:
    some = random_.randrange
    if feed == "cdr":
        return Call(moment, f"County {some(5)}", random_.choice(["Vodafone", "O2"]), random_.choice(["CALL", "TEXT"]))
    return Message(moment, some(9), some(4), some(999), random_.choice(["SKYPE", "SPOTIFY"]))


def consume(
    place: Place, broker: Broker, feed: str, group: str, *arguments: str, topic: str = "", **variables: str
) -> subprocess.Popen[str]:
    """Starts a consumer of a topic, the feed's by default, until it is idle by default."""
    return place.start(
        "consume_stream",
        f"--feed={feed}",
        f"--bootstrap-servers={broker.servers}",
        f"--topic={topic or feed}",
        f"--group={group}",
        *(arguments or ("--until-idle=1",)),
        **{"STREAM_BATCH_SECONDS": "1", **variables},
    )


def put(broker: Broker, topic: str, records: list[Record]) -> None:
    broker.put(topic, [record.line() for record in records])


def check_tables(place: Place, records: list[Record]) -> None:
    # Once caught up, a consumer closes past intervals by the clock.
    rows, summaries = expected({"all": records}, round(time.time()) - 3600)
    found_rows, found_summaries = place.stored()
    assert found_rows == rows
    assert without_batches(found_summaries) == without_batches(summaries)


def check_ranges(place: Place) -> None:
    """The batches of each partition follow on one another, up to where the ledger says it is."""
    with place.alias() as alias:
        names = Batch.objects.using(alias).values_list("name", "lines", "rejects")
        offsets = {(one.stream, one.partition): int(one.position) for one in StreamPosition.objects.using(alias)}
        ranges: dict = {}
        for name, lines, _ in names:
            topic, partition, first, last = re.fullmatch(r"(.*)/([0-9]+)/([0-9]+)-([0-9]+)", name).groups()
            assert int(last) - int(first) + 1 == lines
            ranges.setdefault((topic, partition), []).append((int(first), int(last) + 1))
    for partition, found in ranges.items():
        firsts, ends = zip(*sorted(found), strict=True)
        assert [0, *ends] == [*firsts, offsets[partition]]


def await_all(place: Place, feed: str, number: int, processes: list[subprocess.Popen]) -> None:
    """Waits until so many messages are in; fails where a process ends before."""
    began = time.monotonic()
    with place.alias() as alias:
        offsets = StreamPosition.objects.using(alias).filter(feed=feed).values_list("position", flat=True)
        while sum(map(int, offsets.all())) < number:
            assert time.monotonic() - began < PATIENCE
            with suppress(subprocess.TimeoutExpired):
                processes[0].wait(timeout=0.05)
                pytest.fail(processes[0].stderr.read())


def await_at_work(place: Place, feed: str, processes: list[subprocess.Popen]) -> None:
    """Waits until each consumer of a feed is at work, so that a signal ends it after its batch and not at its start."""
    began = time.monotonic()
    with place.alias() as alias:
        consumers = StreamConsumer.objects.using(alias).filter(feed=feed).values_list("process", flat=True)
        while {process.pid for process in processes} - set(consumers.all()):
            assert time.monotonic() - began < PATIENCE
            assert [process.poll() for process in processes] == [None] * len(processes)
            time.sleep(0.05)


def await_closed(place: Place, feed: str, until: int, processes: list[subprocess.Popen]) -> None:
    """Waits until what ends by a time is closed, which a consumer that is asked to stop leaves to the next one."""
    began = time.monotonic()
    with place.alias() as alias:
        watermarks = Watermark.objects.using(alias).filter(feed=feed, closed_until__gte=moment(until))
        while not watermarks.exists():
            assert time.monotonic() - began < PATIENCE
            assert [process.poll() for process in processes] == [None] * len(processes)
            time.sleep(0.05)


def test_messages_give_the_tables_of_the_files_that_they_are_the_lines_of(any_broker, tmp_path):
    subscribers = tmp_path / "subscribers.csv"
    write_file(subscribers, CSV(), SAMPLES["antenna"].subscribers(ROWS, 1))
    call_command("load_subscribers", subscribers, verbosity=0)
    filed = new_place(tmp_path / "filed")
    lines = {feed: list(sample_lines(feed, filed)) for feed in FEEDS}
    places = {consumers: new_place(tmp_path / f"{consumers}") for consumers in (1, 3)}
    for feed in FEEDS:
        any_broker.put(feed, lines[feed][:50])
    started = {
        (feed, place): [consume(place, any_broker, feed, f"{feed}-{consumers}", "-v1") for _ in range(consumers)]
        for consumers, place in places.items()
        for feed in FEEDS
    }
    # While they join their groups.
    for feed in FEEDS:
        any_broker.put(feed, lines[feed][50:])
    ended = filed.run()
    assert (ended.code, ended.err) == (0, "")
    for (feed, place), processes in started.items():
        await_all(place, feed, len(lines[feed]), processes)
        await_at_work(place, feed, processes)
        await_closed(place, feed, START + 2 * 3600, processes)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [end_of(process).code for process in processes] == [0] * len(processes)
    rows, summaries = filed.stored()
    assert {kpi for kpi, length, _ in rows if length == ONE_HOUR} == {3, 4, 5, 6, 10, 11}
    for place in places.values():
        found_rows, found_summaries = place.stored()
        assert found_rows == rows
        assert without_batches(found_summaries) == without_batches(summaries)
        check_ranges(place)
        assert counts_of(place) == counts_of(filed)
        with place.alias() as alias:
            assert set(Run.objects.using(alias).values_list("outcome", flat=True)) == {"succeeded"}


def sample_lines(feed: str, place: Place) -> Iterator[str]:
    """Puts sample files of an hour into the place's data folder, some rows of them wrong; gives their rows."""
    # 17:00 in California.
    for path in make_files(SAMPLES[feed], place.data, moment(START + 3600), 12, ROWS, seed=1, bad=300):
        lines = path.read_text().splitlines()
        yield from lines if feed == "antenna" else lines[1:]


def counts_of(place: Place) -> list[tuple]:
    """The lines, records and rejects of each feed."""
    with place.alias() as alias:
        of_feeds = Batch.objects.using(alias).order_by("feed").values_list("feed")
        return list(of_feeds.annotate(Sum("lines"), Sum("records"), Sum("rejects")))


def test_consumers_that_are_killed_at_any_moment_neither_lose_nor_double_a_message(broker, place):
    random_ = random.Random(1)  # noqa: S311
    records: list[Record] = []
    for round_ in range(0, KILLS, 3):
        records += messages("cdr", 1500, seed=round_)
        put(broker, "killed", records[-1500:])
        # A group of their own: those killed before are still members of theirs.
        processes = [
            consume(place, broker, "cdr", f"round-{round_}", "-v1", topic="killed", STREAM_BATCH_RECORDS="40")
            for _ in range(min(3, KILLS - round_))
        ]
        # When some are in, whichever consumer has them.
        await_all(place, "cdr", len(records) - 1499, processes)
        for process in random_.sample(processes, len(processes)):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=random_.random())
                pytest.fail("it ended by itself: " + process.stderr.read())
            killed(process)
        check_ranges(place)
    ended = end_of(consume(place, broker, "cdr", "last", topic="killed"))
    assert (ended.code, ended.problems) == (0, [])
    check_tables(place, records)
    check_ranges(place)
    # What the killed ones left in the lake is gone.
    alone, compacted = place.keys_in_lake()
    assert alone <= place.keys() <= alone | compacted
    assert not list(place.lake.glob("staging/*"))
    with place.alias() as alias:
        assert set(Run.objects.using(alias).values_list("outcome", flat=True)) <= {"succeeded", "broken"}


def test_a_consumer_closes_what_one_that_was_killed_left_open(broker, place):
    records = messages("antenna", 30)
    put(broker, "left-open", records)
    # As one leaves it that is killed before it closes anything.
    ended = end_of(consume(place, broker, "antenna", "first", topic="left-open", ALLOWED_LATENESS=str(10**9)))
    assert (ended.code, ended.problems) == (0, [])
    with place.alias() as alias:
        assert set(IntervalSummary.objects.using(alias).values_list("state", flat=True)) == {"provisional"}
    # There is nothing new for the next one.
    ended = end_of(consume(place, broker, "antenna", "second", topic="left-open"))
    assert (ended.code, ended.problems) == (0, [])
    check_tables(place, records)


def test_a_consumer_closes_what_another_left_open_whose_partitions_it_is_assigned(
    kafka, tmp_path, settings, monkeypatch
):
    monkeypatch.setattr("kpis.ingest.consumer.POLL_SECONDS", 0.01)
    # Kafka takes neither of them for dead, however slow this machine is.
    monkeypatch.setattr("kpis.sources.kafka.SESSION_SECONDS", PATIENCE)
    # The first two are of the partitions of the first consumer, the others, which are hours later, of the second's.
    records = [Message(START + second, 1, 1, 5, "SKYPE") for second in (0, 1, 14_400, 14_401)]
    kafka.make("inherited")
    with pipeline.engine(settings.LAKE_DIR) as engine, ExitStack() as stack:
        consumers, ends = {}, {}
        for name, lateness in (("first", timedelta(0)), ("second", timedelta(days=10_000))):
            # Kafka assigns partitions in the order of the clients' ids. A short heartbeat tells of others soon.
            connection = {"bootstrap.servers": kafka.servers, "client.id": name, "heartbeat.interval.ms": 50}
            folder = tmp_path / name
            folder.mkdir()
            topic = Topic(ANTENNA, "inherited", "inherited", connection, Limits(10, 2**20, 0.1), positions, folder)
            ends[name] = stack.enter_context(ExitStack())
            ends[name].enter_context(topic)
            options = pipeline.Options(max_reject_ratio=1, allowed_lateness=lateness)
            consumers[name] = topic, Consumer(topic, engine, options, "consume_stream", pipeline.Report())
        await_steps(consumers.values(), lambda: all(topic.is_caught_up() for topic, _ in consumers.values()))
        put(kafka, "inherited", records)
        await_steps([consumers["first"]], lambda: ingested() == 2 and states() == {"final": 2})
        await_steps([consumers["second"]], lambda: ingested() == 4)
        assert states() == {"final": 2, "provisional": 1}
        # As if it were killed now, but Kafka knows at once.
        ends["second"].close()
        await_steps([consumers["first"]], lambda: states() == {"final": 4})
    rows, summaries = expected({"all": records}, START + 86_400)
    found_rows, found_summaries = stored()
    assert (found_rows, without_batches(found_summaries)) == (rows, without_batches(summaries))


def positions() -> dict[int, Position]:
    return by_number(DatabaseLedger().positions(ANTENNA, "kafka", "inherited"))


def ingested() -> int:
    return sum(Batch.objects.values_list("lines", flat=True))


def states() -> dict[str, int]:
    """How many summaries of a KPI there are in each state."""
    return dict(Counter(IntervalSummary.objects.filter(kpi=4).values_list("state", flat=True)))


def await_steps(consumers: Iterable[tuple[Topic, Consumer]], until: Callable[[], bool]) -> None:
    """Has the consumers poll once and work on what is due, by turns, until something is so."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < PATIENCE
        for topic, consumer in consumers:
            looks = iter([False])
            list(consumer.work(None, lambda looks=looks, topic=topic: next(looks, True) and not topic.due()))


@pytest.mark.skipif(os.environ.get("LONG") != "1", reason="takes minutes; LONG=1 runs it")
@pytest.mark.parametrize("feed", FEEDS)
def test_a_stream_of_which_some_messages_are_days_late_goes_in_exactly_within_the_default_memory(broker, place, feed):
    topic, wave = f"days-late-{feed}", 40_000
    records = days_late(catalog.FEEDS[feed], 5 * wave, 7_200)
    options = {"topic": topic, "is_fork": False, "MEMORY_LIMIT_MB": "800"}
    process = consume(place, broker, feed, topic, "--until-idle=30", "-v0", **options)
    # Wave by wave: the broker keeps the newest messages alone.
    for first in range(0, len(records), wave):
        put(broker, topic, records[first : first + wave])
        await_all(place, feed, first + wave, [process])
    ended = end_of(process)
    assert (ended.code, ended.problems) == (0, [])
    check_tables(place, records)
    check_ranges(place)
    # In KB. What Python takes lies beside the 800 MB that the engine may use.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1_000_000


def test_a_poison_message_is_a_reject_and_one_that_cannot_be_counted_stands_alone(broker, place):
    good = [Message(START + 1, 1, 1, 2**63 - 1, "SKYPE"), Message(START + 4000, 1, 1, 5, "SKYPE")]
    values = [good[0].line(), None, b"\xff", "two\nlines", Message(START, 1, 1, 1, "SKYPE").line(), good[1].line()]
    # A key that comes twice, and a number that is no JSON.
    values += [good[1].line().replace("{", '{"bytes": 1, '), good[1].line().replace(": 5", ": 00010")]
    broker.put("poison", values, partitions=1)
    ended = end_of(consume(place, broker, "antenna", "poison", topic="poison"))
    assert ended.code == 1
    assert ended.problems[0].startswith("failed poison/0/4-4: ")
    check_tables(place, good)
    with place.alias() as alias:
        rejects = Reject.objects.using(alias).order_by("line").values_list("line", "reason")
        *others, twice, number = rejects
        assert (twice, number[1].partition(" at ")[0]) == ((6, "comes twice"), "is not JSON: a number begins with 0")
        assert others == [(1, "is null"), (2, "is not valid UTF-8"), (3, "holds a line end")]
        assert StreamPosition.objects.using(alias).get().position == "8"


def test_messages_of_pruned_hours_are_rejects_however_many(broker, place):
    records = messages("antenna", 600)
    hour = START + 3600
    with place.alias() as alias:
        Watermark.objects.using(alias).create(feed="antenna", newest_interval_end=moment(hour), kept_from=moment(hour))
    put(broker, "late", records)
    ended = end_of(consume(place, broker, "antenna", "late", topic="late"))
    assert (ended.code, ended.problems) == (0, [])
    late = [record for record in records if record.start < hour]
    assert len(late) > 300
    check_tables(place, [record for record in records if record.start >= hour])
    with place.alias() as alias:
        assert Batch.objects.using(alias).aggregate(Sum("rejects")) == {"rejects__sum": len(late)}
        assert set(Reject.objects.using(alias).values_list("column", "reason")) == {
            ("timestamp", "lies before 2021-07-18T01:00:00Z, where the lake was pruned")
        }
    check_ranges(place)


def test_what_kafka_no_longer_has_is_reported_also_at_the_first_start(kafka, place):
    records = messages("cdr", 10)
    kafka.put("pruned", [record.line() for record in records], partitions=1)
    kafka.forget("pruned", 0, before=4)
    ended = end_of(consume(place, kafka, "cdr", "pruned", topic="pruned"))
    assert ended.code == 0
    (line,) = ended.problems
    assert line.endswith(
        "WARNING kpis.sources.kafka_client: pruned/0: Kafka no longer has 0-3, which were not ingested"
    )
    check_tables(place, records[4:])


def test_a_partition_that_was_full_is_read_on_when_it_has_to_be_read_again(broker, tmp_path):
    values = [Message(START, 1, 1, number, "SKYPE").line() for number in range(30)]
    broker.put("full", values, partitions=1)
    positions: dict[int, Position] = {}
    limits = Limits(messages=10, size=2**20, seconds=60)
    connection = {"bootstrap.servers": broker.servers}
    with Topic(ANTENNA, "full", "full", connection, limits, lambda: positions, tmp_path) as topic:
        batch = next_batch(topic)
        assert batch.name == "full/0/0-9"
        # It waits for the lock, and there is no room for more.
        topic.poll(0.1)
        # Meanwhile another consumer takes some of it in.
        positions[0] = Position.of_topic(5)
        assert not topic.follows_on(batch)
        batch = next_batch(topic)
        assert (batch.name, batch.position, batch.next_offset) == ("full/0/5-14", Position.of_topic(5), 15)
        assert topic.follows_on(batch)
        # The files of batches that are no more go with them.
        assert list(tmp_path.iterdir()) == [batch.path]


def test_a_full_batch_takes_all_that_was_read_of_every_partition(broker, tmp_path):
    # No partition has as many messages as a batch.
    broker.put("spread", [Message(START, 1, 1, number, "SKYPE").line() for number in range(24)])
    connection, limits = {"bootstrap.servers": broker.servers}, Limits(messages=20, size=2**20, seconds=PATIENCE)
    with Topic(ANTENNA, "spread", "spread", connection, limits, dict, tmp_path) as topic:
        batches = next_batches(topic)
        assert sum(batch.count for batch in batches) == 20
        assert sorted(batch.partition for batch in batches) == [0, 1, 2, 3]


def next_batch(topic: Topic) -> Messages:
    (batch,) = next_batches(topic)
    return batch


def next_batches(topic: Topic) -> list[Messages]:
    began = time.monotonic()
    topic.poll(0.1)
    while not topic.due():
        assert time.monotonic() - began < PATIENCE
        topic.poll(0.1)
    return topic.batches()


def test_a_sample_stream_comes_out_as_it_went_in(broker, place):
    made = place.run(
        "produce_sample_stream", "--feed=cdr", f"--bootstrap-servers={broker.servers}", "--topic=sample", "--rate=300",
        "--seconds=2",
    )  # fmt: skip
    assert (made.code, made.err) == (0, "")
    assert made.out.startswith("600 messages in ")
    ended = end_of(consume(place, broker, "cdr", "sample", topic="sample"))
    assert (ended.code, ended.problems) == (0, [])
    assert re.search(r"^[1-4] batches ingested, 0 failed, 600 records, 0 rejects, ", ended.out, re.MULTILINE)
