"""Messages into a topic's partitions, of a cluster within this process or of any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kpis.sample.broker import embedded_broker

# Of each topic that is made by being used.
PARTITIONS = 4


class Broker:
    """A cluster's address, and a way to put messages into its topics of PARTITIONS partitions each."""

    def __init__(self, servers: str):
        from confluent_kafka import Producer

        self.servers = servers
        self._producer = Producer({"bootstrap.servers": servers, "log_level": 0, "enable.idempotence": True})

    def put(self, topic: str, values: Iterable[str | bytes | None], partitions: int = PARTITIONS) -> None:
        """Adds messages to a topic, in turn to each of so many partitions, and waits until they are in."""
        failed = []
        for number, value in enumerate(values):
            self._producer.produce(
                topic, value, partition=number % partitions, on_delivery=lambda error, _: error and failed.append(error)
            )
        assert self._producer.flush(30) == 0
        assert failed == []

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Has a real Kafka remove a partition's messages before an offset, as it does with old ones."""
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        for removed in admin.delete_records([TopicPartition(topic, partition, before)]).values():
            removed.result()


@contextmanager
def mock_broker() -> Iterator[Broker]:
    """A cluster of one broker within this process."""
    with embedded_broker() as servers:
        yield Broker(servers)
