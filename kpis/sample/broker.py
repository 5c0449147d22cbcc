"""A Kafka cluster within this process, which librdkafka brings along: the real protocol, and nothing to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

ANSWER_SECONDS = 10


@contextmanager
def embedded_broker(*topics: str) -> Iterator[str]:
    """The address of a cluster of one broker with these topics, for other processes on this machine too.

    It keeps the newest messages alone, in memory, and ends with this process.
    """
    from confluent_kafka import Producer

    # The notice that it is a mock cluster is no news.
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none:1", "log_level": 3})
    for topic in topics:
        # To ask for a topic is to make it.
        producer.list_topics(topic, timeout=ANSWER_SECONDS)
    brokers = producer.list_topics(timeout=ANSWER_SECONDS).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    # The cluster is the producer's own: it is needed until here.
    producer.flush()
