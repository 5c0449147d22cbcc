"""A topic that is deleted and made again under its name: noticed, said, and read from its beginning, each message once.

And partitions that are added to a topic while it is read.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from contextlib import suppress
from subprocess import TimeoutExpired

import pytest

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.models import Batch, Run, StreamPosition
from kpis.sources import kafka as kafka_source
from kpis.sources.directory import SourceError
from kpis.sources.kafka import Topic
from kpis.sources.kafka_client import TopicIdentity
from kpis.sources.messages import Messages
from kpis.sources.positions import Origin, Position
from kpis.sources.stream import Limits
from tests.broker import Broker, mock_broker
from tests.processes import PATIENCE, Place, end_of, killed
from tests.streams.test_stream_kafka import START, check_tables, consume, put, record
from tests.twin import Record

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]


def messages(feed: str, number: int, seed: int) -> list[Record]:
    """Messages of ten minutes."""
    random_ = random.Random(seed)  # noqa: S311
    return [record(feed, random_, START + second % 600) for second in range(number)]


def check_names(place: Place, topic: str, numbers: list[int]) -> None:
    """The batches of each generation and partition hold all of its messages, one after the other."""
    with place.alias() as alias:
        names = list(Batch.objects.using(alias).values_list("name", "lines"))
    found: Counter = Counter()
    ends: dict = {}
    for name, lines in sorted(names, key=lambda one: int(re.search(r"([0-9]+)-[0-9]+$", one[0])[1])):
        generation, partition, first, last = re.fullmatch(
            rf"{topic}@?([0-9]*)/([0-9]+)/([0-9]+)-([0-9]+)", name
        ).groups()
        assert int(first) == ends.get((generation, partition), 0)
        ends[generation, partition] = int(first) + lines
        assert int(last) + 1 == ends[generation, partition]
        found[int(generation or 1)] += lines
    assert [found[number + 1] for number in range(len(numbers))] == numbers


def test_a_topic_made_again_with_more_messages_than_before_is_noticed_and_nothing_is_skipped(kafka, place):
    old, new, newest = (messages("cdr", number, seed) for seed, number in enumerate((120, 200, 320)))
    kafka.make("again")
    put(kafka, "again", old)
    ended = end_of(consume(place, kafka, "cdr", "again", topic="again"))
    assert (ended.code, ended.problems) == (0, [])
    with place.alias() as alias:
        (first_id,) = set(StreamPosition.objects.using(alias).values_list("stream_id", flat=True))
    for generation, records in ((2, new), (3, newest)):
        kafka.make("again")
        put(kafka, "again", records)
        ended = end_of(consume(place, kafka, "cdr", "again", topic="again"))
        (line,) = ended.problems
        assert ended.code == 0
        with place.alias() as alias:
            (id_,) = set(StreamPosition.objects.using(alias).values_list("stream_id", flat=True))
            last = Run.objects.using(alias).latest("id")
        assert id_ != first_id
        assert line == (
            f"recreated again: its id is {id_} now, and was {first_id}; it is read from its beginning, in batches of "
            f"again@{generation}"
        ) or re.match("recreated again: partition [0-3] has another message at offset ", line)
        assert line.endswith(f"it is read from its beginning, in batches of again@{generation}")
        assert last.notes == line.replace("recreated again", "again was recreated")
        first_id = id_
    check_tables(place, [*old, *new, *newest])
    check_names(place, "again", [120, 200, 320])
    # Once more there is nothing to say, and nothing to read.
    ended = end_of(consume(place, kafka, "cdr", "again", topic="again"))
    assert (ended.code, ended.problems) == (0, [])
    check_names(place, "again", [120, 200, 320])


def test_consumers_that_are_killed_as_their_topic_is_made_again_neither_skip_nor_double_a_message(kafka, place):
    random_ = random.Random(1)  # noqa: S311
    old, new = messages("cdr", 400, 1), messages("cdr", 900, 2)
    kafka.make("swept")
    put(kafka, "swept", old)
    started = [consume(place, kafka, "cdr", "swept", "-v0", topic="swept", STREAM_BATCH_RECORDS="40") for _ in range(2)]
    await_lines(place, 400, started)
    kafka.make("swept")
    put(kafka, "swept", new[:600])
    for process in started:
        with suppress(TimeoutExpired):
            process.wait(timeout=random_.random())
        killed(process)
    put(kafka, "swept", new[600:])
    ended = [
        end_of(process)
        for process in [consume(place, kafka, "cdr", "swept-2", "--until-idle=2", topic="swept") for _ in range(2)]
    ]
    assert [end.code for end in ended] == [0, 0]
    check_tables(place, [*old, *new])
    check_names(place, "swept", [400, 900])


def await_lines(place: Place, number: int, processes: list) -> None:
    """Waits until batches of so many messages are in; fails where a process ends before."""
    began = time.monotonic()
    with place.alias() as alias:
        while sum(Batch.objects.using(alias).values_list("lines", flat=True)) < number:
            assert time.monotonic() - began < PATIENCE
            with suppress(TimeoutExpired):
                processes[0].wait(timeout=0.05)
                pytest.fail(processes[0].stderr.read())


class Reading:
    """A topic that is read within this process, and what stands for its ledger."""

    def __init__(self, broker: Broker, name: str, folder, positions: dict[int, Position] | None = None):
        self.positions: dict[int, Position] = {} if positions is None else positions
        connection, limits = {"bootstrap.servers": broker.servers}, Limits(1000, 2**20, 0.2)
        self.topic = Topic(ANTENNA, name, name, connection, limits, lambda: dict(self.positions), folder)
        self.taken: list[Messages] = []

    def take(self, number: int) -> None:
        """Takes batches in until there are so many messages."""
        began = time.monotonic()
        while sum(batch.count for batch in self.taken) < number:
            assert time.monotonic() - began < PATIENCE
            self.topic.poll(0.1)
            if self.topic.due():
                batch = self.topic.batches()[0]
                if self.topic.follows_on(batch):
                    self.positions[batch.partition] = batch.new_position
                    self.topic.acknowledge(batch)
                    self.taken.append(batch)

    @property
    def names(self) -> list[str]:
        return [batch.name for batch in self.taken]


def values(number: int, first: int = 0) -> list[str]:
    return [f"{first + one}" for one in range(number)]


def test_a_topic_made_again_beneath_a_consumer_is_read_from_its_beginning(kafka, tmp_path, monkeypatch):
    monkeypatch.setattr(kafka_source, "METADATA_SECONDS", 0.5)
    kafka.make("beneath", 1)
    kafka.put("beneath", values(10), partitions=1)
    reading = Reading(kafka, "beneath", tmp_path)
    with reading.topic:
        reading.take(10)
        kafka.make("beneath", 1)
        kafka.put("beneath", values(25), partitions=1)
        reading.take(35)
        assert reading.taken[0].name == "beneath/0/0-9"
        assert {name.split("/")[0] for name in reading.names[1:]} == {"beneath@2"}
        assert sorted(int(offset) for batch in reading.taken[1:] for offset in batch.offsets) == list(range(25))
        (news,) = reading.topic.recreated()
        assert news.what == "beneath"
        assert reading.topic.recreated() == []
    assert reading.positions[0].next_offset == 25
    assert reading.positions[0].origin.generation == 2


def test_what_was_read_of_a_topic_before_it_was_made_again_does_not_go_in_with_what_came_after(kafka, tmp_path):
    kafka.make("mixed", 1)
    kafka.put("mixed", values(10), partitions=1)
    reading = Reading(kafka, "mixed", tmp_path)
    with reading.topic:
        began = time.monotonic()
        while sum(one.spool.count for one in reading.topic._pending.values()) < 10:
            assert time.monotonic() - began < PATIENCE
            reading.topic.poll(0.05)
        kafka.make("mixed", 1)
        kafka.put("mixed", values(15), partitions=1)
        # It is due by now, but of another topic.
        assert not reading.topic.due()
        reading.take(15)
    assert sorted(int(offset) for batch in reading.taken for offset in batch.offsets) == list(range(15))


def test_a_broker_that_gives_no_ids_shows_by_its_messages_that_a_topic_is_another_one(tmp_path):
    with mock_broker() as first, mock_broker() as second, mock_broker() as copy:
        first.put("calls", values(10), partitions=1, timestamp=1000)
        # The same messages, at another time.
        second.put("calls", values(25), partitions=1, timestamp=2000)
        copy.put("calls", values(12), partitions=1, timestamp=1000)
        reading = Reading(first, "calls", tmp_path)
        with reading.topic:
            reading.take(10)
        assert reading.positions[0].origin == Origin()
        there = dict(reading.positions)
        reading = Reading(second, "calls", tmp_path, dict(there))
        with reading.topic:
            reading.take(25)
            (news,) = reading.topic.recreated()
        assert news.reason == (
            "partition 0 has another message at offset 9 now; it is read from its beginning, in batches of calls@2"
        )
        assert sum(batch.count for batch in reading.taken) == 25
        assert reading.names[0].startswith("calls@2/0/0-")
        # A copy of the topic on other brokers is read on.
        reading = Reading(copy, "calls", tmp_path, dict(there))
        with reading.topic:
            reading.take(2)
            assert reading.topic.recreated() == []
        assert reading.names == ["calls/0/10-11"]


def test_a_topic_that_ends_before_what_is_in_is_another_one(tmp_path):
    with mock_broker() as broker:
        broker.put("short", values(3), partitions=1)
        reading = Reading(broker, "short", tmp_path, {0: Position.of_topic(1000)})
        with reading.topic:
            reading.take(3)
            (news,) = reading.topic.recreated()
    assert news.reason == (
        "partition 0 is ingested up to offset 1,000, and ends at 3 now; it is read from its beginning, in batches of "
        "short@2"
    )
    assert reading.names == ["short@2/0/0-2"]
    assert reading.positions == {0: Position.of_topic(3, Origin("", 2), reading.positions[0].last_message)}


def test_a_topic_that_lost_what_is_in_is_reported_and_not_read(kafka, place):
    kafka.make("lossy", 1)
    kafka.put("lossy", values(3), partitions=1)
    identity = TopicIdentity({"bootstrap.servers": kafka.servers}, "lossy")
    known = {0: Position.of_topic(1000, Origin(identity.topic_id(), 4))}
    with pytest.raises(SourceError, match="though it is the same topic: Kafka lost ingested messages"):
        identity.start_of(0, known, identity.topic_id())
    # That of a database from before ids were kept is the same topic, as nothing tells otherwise.
    start = identity.start_of(0, {0: Position.of_topic(2)}, identity.topic_id())
    assert (start.offset, start.origin, start.reason) == (2, Origin(identity.topic_id(), 1), "")
    # A partition that was added is the topic's own, whichever it is.
    assert identity._origin_of(7, known, identity.topic_id(), 0)[0].generation == 4
    assert (
        identity._origin_of(7, {0: Position.of_topic(2, Origin("other", 4))}, identity.topic_id(), 0)[0].generation == 5
    )
    identity.close()


def test_a_partition_that_is_added_is_read_from_its_first_message(kafka, tmp_path, monkeypatch):
    assert kafka_source.METADATA_SECONDS <= 30
    monkeypatch.setattr(kafka_source, "METADATA_SECONDS", 0.5)
    kafka.make("grown", 1)
    kafka.put("grown", values(5), partitions=1)
    reading = Reading(kafka, "grown", tmp_path)
    with reading.topic:
        reading.take(5)
        kafka.add_partitions("grown", 3)
        # Of which the consumer has not heard.
        kafka.put("grown", values(9), partitions=3)
        reading.take(14)
    offsets = {
        partition: sorted(int(one) for batch in reading.taken if batch.partition == partition for one in batch.offsets)
        for partition in range(3)
    }
    assert offsets == {0: list(range(8)), 1: [0, 1, 2], 2: [0, 1, 2]}
    assert {name.split("/")[0] for name in reading.names} == {"grown"}
