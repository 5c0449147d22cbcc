"""A Kafka cluster within the test process, which librdkafka brings along: the real protocol, and nothing to install."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

PARTITIONS = 4


class Broker:
    """The cluster's address, and a way to put messages into its topics of PARTITIONS partitions each."""

    def __init__(self, producer):
        self._producer = producer
        brokers = producer.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def put(self, topic: str, values: Iterable[str | bytes | None], partitions: int = PARTITIONS) -> None:
        """Adds messages to a topic, in turn to each of so many partitions, and waits until they are in."""
        for number, value in enumerate(values):
            self._producer.produce(topic, value, partition=number % partitions)
        assert self._producer.flush(30) == 0


@contextmanager
def running_broker() -> Iterator[Broker]:
    """A cluster of one broker; it ends with the process's last reference to it."""
    from confluent_kafka import Producer

    # The notice that it is a mock cluster is no news.
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none:1", "log_level": 3})
    yield Broker(producer)
    producer.flush()
