"""Spark's Structured Streaming from a real Kafka: its driver is killed under load, and each message counts once.

``KILLS`` sets how many drivers are killed (2 by default).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from subprocess import TimeoutExpired

import pytest

from kpis import pipeline
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.intervals import ONE_HOUR
from kpis.models import Batch, Reject, Run, StreamPosition
from kpis.sources.directory import SourceError
from kpis.sources.kafka import java_options
from kpis.stages.prepare import prepare
from kpis.store.ledger import DatabaseLedger
from network_analysis_spark.consumer import SparkConsumer, SparkTopic, TopicStart
from network_analysis_spark.engine import kafka_settings
from network_analysis_spark.session import SparkError
from tests.broker import Broker
from tests.clusters import JAVA, need_spark
from tests.effort import times
from tests.factories import make_run
from tests.processes import PATIENCE, Place, end_of, killed
from tests.streams.test_stream_kafka import START, check_ranges, check_tables, consume, record
from tests.twin import Message, expected, moment, stored
from tests.unit.sources.test_stream import spooled, values

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
pytestmark = pytest.mark.django_db(transaction=True)

KILLS = times("KILLS", 1, 4)


def consume_by_spark(place: Place, broker: Broker, *arguments: str, topic: str = "killed"):
    jars = os.path.join(os.environ["TEST_KAFKA_JARS"], "spark")
    variables = {"SPARK_MASTER": "local[2]", "SPARK_KAFKA_JARS": jars, "JDK_JAVA_OPTIONS": JAVA, "ENGINE": "spark"}
    return consume(place, broker, "antenna", "unused", "-v1", *arguments, topic=topic, **variables)


def ingested_messages(place: Place) -> int:
    with place.alias() as alias:
        return sum(map(int, StreamPosition.objects.using(alias).values_list("position", flat=True)))


@contextmanager
def load(broker: Broker, random_: random.Random) -> Iterator[list[Message]]:
    """Puts messages of two hours into the topic all the while; gives those that it has put."""
    ended, records = threading.Event(), []

    def put() -> None:
        while not ended.wait(0.1):
            some = [record("antenna", random_, START + random_.randrange(7200)) for _ in range(20)]
            broker.put("killed", [one.line() for one in some])
            records.extend(some)

    thread = threading.Thread(target=put)
    thread.start()
    try:
        yield records
    finally:
        ended.set()
        thread.join()


def test_a_driver_that_is_killed_under_load_neither_loses_nor_doubles_a_message(kafka, place):
    random_ = random.Random(1)  # noqa: S311
    # In an hour of their own: of two that pass 64 bits together the second stands alone, whatever else is in its batch.
    largest = Message(START + 36_000, 1, 1, 2**63 - 1, "SKYPE")
    kafka.put("killed", [None, b"\xff", "two\nlines", *[largest.line()] * 2], partitions=1)
    with load(kafka, random_) as records:
        for _ in range(KILLS):
            process, before, began = consume_by_spark(place, kafka), ingested_messages(place), time.monotonic()
            while ingested_messages(place) == before:
                assert time.monotonic() < began + PATIENCE
                with suppress(TimeoutExpired):
                    process.wait(timeout=0.05)
                    pytest.fail("it ended by itself: " + process.stderr.read())
            # At any moment of what it does next.
            with suppress(TimeoutExpired):
                process.wait(timeout=2 * random_.random())
                pytest.fail("it ended by itself: " + process.stderr.read())
            killed(process)
            check_ranges(place)
    ended = end_of(consume_by_spark(place, kafka, "--until-idle=1"))
    with place.alias() as alias:
        failed = Batch.objects.using(alias).filter(status="failed")
        assert [(one.name, one.lines) for one in failed] == [("killed/0/4-4", 1)]
        rejects = Reject.objects.using(alias).order_by("line").values_list("line", "reason")
        assert list(rejects) == [(0, "is null"), (1, "is not valid UTF-8"), (2, "holds a line end")]
        assert set(Run.objects.using(alias).values_list("outcome", flat=True)) <= {"succeeded", "broken", "incomplete"}
    # The consumer that ingested it reports it.
    assert [line.partition(": ")[0] for line in ended.problems] in ([], ["failed killed/0/4-4"])
    assert ended.code == len(ended.problems)
    assert ingested_messages(place) == len(records) + 5
    check_tables(place, [*records, largest])
    check_ranges(place)
    names = {path.name for path in place.lake_files()} - {"lake.json"}
    assert {name.partition(".")[0] for name in names if "compacted-" not in name} <= place.keys()
    assert not list(place.lake.glob("staging/*"))


class QuietTopic:
    """Micro-batches of a topic without news, of which Spark says at each second look that it waits."""

    def __init__(self) -> None:
        self._looks = 0

    def poll(self, seconds: float) -> None:
        pass

    def is_waiting(self) -> bool:
        self._looks += 1
        return self._looks % 2 == 0

    def lag(self) -> int:
        return 0


def test_a_consumer_that_is_to_end_once_it_is_idle_closes_by_the_clock_before(tmp_path, settings):
    messages = [Message(START + 300 * number, 1, number, 5, "SKYPE") for number in range(4)]
    with pipeline.engine(settings.LAKE_DIR) as engine:
        batch, never = spooled(values(messages), None, tmp_path / "messages"), timedelta(days=10_000)
        options = pipeline.Options(max_reject_ratio=1, allowed_lateness=never)
        with prepare(batch, engine, options) as one:
            list(pipeline.run_prepared([one], DatabaseLedger(make_run()), engine, options))
        topic = SparkTopic(ANTENNA, "quiet", QuietTopic(), "", None, TopicStart("", {}))
        consumer = SparkConsumer(topic, engine, pipeline.Options(), "consume_stream", pipeline.Report())
        events = list(consumer.work(0, lambda: False))
    assert events == [pipeline.RolledUp(ANTENNA, ONE_HOUR.at(moment(START)))]
    assert stored() == expected({"quiet": messages}, START + 7200)


def test_a_topic_made_again_is_read_from_its_beginning_and_a_partition_that_is_added_from_its_first_message(
    kafka, place
):
    random_ = random.Random(1)  # noqa: S311
    records = [record("antenna", random_, START + number) for number in range(300)]
    lines = [one.line() for one in records]
    kafka.make("sparkled", 1)
    kafka.put("sparkled", lines[:40], partitions=1)
    # By the other engine, which leaves the same ledger.
    ended = end_of(consume(place, kafka, "antenna", "before", topic="sparkled"))
    assert (ended.code, ended.problems) == (0, [])
    kafka.make("sparkled", 1)
    kafka.put("sparkled", lines[40:140], partitions=1)
    process, began = consume_by_spark(place, kafka, topic="sparkled"), time.monotonic()

    def await_lines(number: int) -> None:
        with place.alias() as alias:
            while sum(Batch.objects.using(alias).values_list("lines", flat=True)) < number:
                assert time.monotonic() < began + PATIENCE
                with suppress(TimeoutExpired):
                    process.wait(timeout=0.05)
                    pytest.fail("it ended by itself: " + process.stderr.read())

    await_lines(140)
    kafka.add_partitions("sparkled", 2)
    kafka.put("sparkled", lines[140:], partitions=2)
    await_lines(300)
    # While it is read.
    kafka.make("sparkled", 1)
    kafka.put("sparkled", [records[0].line()] * 400, partitions=1)
    ended = end_of(process)
    problems = ended.problems
    assert ended.code == 1
    assert problems[0].endswith("it is read from its beginning, in batches of sparkled@2")
    assert problems[-1].startswith(
        ("CommandError: The topic sparkled was recreated while it was read.", "CommandError: Spark ")
    )
    check_tables(place, records)
    with place.alias() as alias:
        names = Batch.objects.using(alias).order_by("name").values_list("name", flat=True)
        assert {name.rpartition("/")[0] for name in names} == {"sparkled/0", "sparkled@2/0", "sparkled@2/1"}
        assert set(StreamPosition.objects.using(alias).values_list("partition", "position", "generation")) == {
            ("0", "180", 2),
            ("1", "80", 2),
        }


def test_what_kafka_is_reached_by_goes_by_its_java_clients_names(tmp_path):
    for name in ("ca", "certificate", "key"):
        (tmp_path / f"{name}.pem").write_text(f"{name}\n")
    connection = {
        "bootstrap.servers": "host:9093",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ana",
        "sasl.password": 'a"\\b',
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "ssl.certificate.location": str(tmp_path / "certificate.pem"),
        "ssl.key.location": str(tmp_path / "key.pem"),
        "ssl.key.password": "secret",
    }
    assert java_options(connection) == {
        "bootstrap.servers": "host:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="ana" password="a\\"\\\\b";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "ca\n",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "certificate\n",
        "ssl.keystore.key": "key\n",
        "ssl.key.password": "secret",
    }
    with pytest.raises(SourceError, match=r"Cannot read .*ca\.pem: No such file or directory\."):
        java_options({"ssl.ca.location": str(tmp_path / "nowhere" / "ca.pem")})


def test_the_jars_of_sparks_kafka_source_are_a_folders_or_fetched(tmp_path):
    need_spark()
    (package,) = kafka_settings("").items()
    assert package[0] == "spark.jars.packages"
    assert package[1].startswith("org.apache.spark:spark-sql-kafka-0-10_2.13:4.")
    (tmp_path / "b.jar").touch()
    (tmp_path / "a.jar").touch()
    assert kafka_settings(str(tmp_path)) == {"spark.jars": f"{tmp_path}/a.jar,{tmp_path}/b.jar"}
    with pytest.raises(SparkError, match="where there are no jars"):
        kafka_settings(str(tmp_path / "none"))
