"""A Kafka cluster within this process, from librdkafka: the real protocol, with nothing to install."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

ANSWER_SECONDS = 10


@contextmanager
def embedded_broker(*topics: str) -> Iterator[str]:
    """Provide the address of a cluster of one broker with these topics, also for other processes on this machine.

    It keeps only the newest messages, in memory, and ends with this process.
    """
    from confluent_kafka import Producer

    # Hide the client's notice that this is a mock cluster.
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none:1", "log_level": 3})
    for topic in topics:
        # Asking for a topic creates it.
        producer.list_topics(topic, timeout=ANSWER_SECONDS)
    brokers = producer.list_topics(timeout=ANSWER_SECONDS).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    # The cluster belongs to the producer, which is kept alive until here.
    producer.flush()
