"""The load of a sample stream: all of it arrives at its pace, or an error says what did not."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.builtin.cdr import CDR
from kpis.sample.stream import SampleStream
from kpis.sources import kafka_producer
from kpis.sources.directory import SourceError
from kpis.sources.kafka_producer import produce
from tests.broker import PATIENCE, mock_broker

confluent_kafka = pytest.importorskip(
    "confluent_kafka", reason="confluent-kafka is not installed: streams are left out"
)

NOW = 1626566400.25
# Nothing listens there.
NOWHERE = "127.0.0.1:1"


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept = 0.0

    def time(self) -> float:
        return NOW + self.slept

    def monotonic(self) -> float:
        return 5000 + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(kafka_producer, "time", clock)
    return clock


@pytest.fixture
def servers():
    with mock_broker() as broker:
        yield broker.servers


def arrived(servers: str, topic: str) -> list[bytes]:
    """The values of all of a topic's messages, sorted."""
    # As fast as it can.
    quick = {"fetch.wait.max.ms": 10, "topic.metadata.refresh.fast.interval.ms": 10}
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "any", **quick})
    partitions = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    parts = [confluent_kafka.TopicPartition(topic, partition, 0) for partition in partitions]
    number = sum(consumer.get_watermark_offsets(part, timeout=PATIENCE)[1] for part in parts)
    consumer.assign(parts)
    messages, began = [], time.monotonic()
    while len(messages) < number:
        assert time.monotonic() - began < PATIENCE
        messages += consumer.consume(number - len(messages), timeout=0.1)
    consumer.close()
    return sorted(message.value() for message in messages if not message.error())


def test_each_seconds_messages_arrive_also_where_few_may_be_in_flight(clock, servers):
    seconds = []

    def messages_of(second: int) -> list[bytes]:
        seconds.append((second, clock.time()))
        return [b"%d/%d" % (second, number) for number in range(10)]

    connection = {"bootstrap.servers": servers, "queue.buffering.max.messages": "1"}
    assert produce(connection, "calls", messages_of, 2, lambda: False) == (20, pytest.approx(2))
    # From the next full second on; each is asked for before it begins.
    assert seconds == [(1626566401, NOW), (1626566402, pytest.approx(1626566401.95, rel=0, abs=0.001))]
    wanted = [b"%d/%d" % (second, number) for second in (1626566401, 1626566402) for number in range(10)]
    assert arrived(servers, "calls") == sorted(wanted)


def test_a_stream_that_is_stopped_has_sent_what_was_due_until_then(clock, servers):
    connection = {"bootstrap.servers": servers}
    # In the middle of the second second.
    stop = 1626566402.5
    count, seconds = produce(connection, "stopped", lambda _: [b""] * 20, None, lambda: clock.time() >= stop - 0.01)
    assert (count, seconds) == (30, pytest.approx(1.5))
    assert arrived(servers, "stopped") == [b""] * 30


def test_messages_that_are_not_acknowledged_are_an_error(clock, monkeypatch):
    with ExitStack() as stack:
        servers = stack.enter_context(mock_broker()).servers

        def messages_of(_: int) -> list[bytes]:
            # The brokers are gone.
            stack.close()
            monkeypatch.setattr(kafka_producer, "ANSWER_SECONDS", 0.01)
            return [b"one", b"two", b"three"]

        with pytest.raises(SourceError) as raised:
            produce({"bootstrap.servers": servers}, "calls", messages_of, 1, lambda: False)
    assert str(raised.value) == f"Kafka at {servers} did not take 3 messages: they were not acknowledged in time."


def produced(*options: str) -> str:
    out = StringIO()
    call_command("produce_sample_stream", "--feed=cdr", *options, stdout=out)
    return out.getvalue()


def test_the_command_produces_the_sample_and_says_how_much(clock, servers):
    options = f"--bootstrap-servers={servers}", "--topic=sample", "--rate=40", "--seconds=1"
    assert produced(*options) == "40 messages in 1.0 s, 40 a second\n"
    assert arrived(servers, "sample") == sorted(SampleStream(CDR.name, 40, 1).messages(1626566401))
    assert produced(*options, "-v0") == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate=0"], "--rate must be at least 1, not 0."),
        (["--rate=1", "--seconds=0"], "--seconds must be at least 1, not 0."),
        (["--rate=1", "--seed=-1"], "--seed must be at least 0, not -1."),
        (["--rate=1", "--disturb", "--feed=antenna"], "--disturb goes with the feed cdr."),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(CommandError, match=f"^{re.escape(said)}$") as raised:
        produced(f"--bootstrap-servers={NOWHERE}", "--topic=sample", *options)
    assert raised.value.returncode == 2


def test_brokers_that_do_not_answer_are_one_clear_line(monkeypatch):
    monkeypatch.setattr(kafka_producer, "ANSWER_SECONDS", 0.1)
    with pytest.raises(CommandError, match=r"^Cannot use Kafka at 127\.0\.0\.1:1: .*\.$"):
        produced(f"--bootstrap-servers={NOWHERE}", "--topic=sample", "--rate=1", "--seconds=1")
