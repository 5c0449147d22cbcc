"""Messages into a topic's partitions, of a cluster within this process or of any other."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from kpis.sample.broker import embedded_broker

# Of each topic that is made by being used.
PARTITIONS = 4
# Also while a broker is killed and starts again, on a machine that has other things to do.
PATIENCE = 300


class Broker:
    """A cluster's address, and a way to put messages into its topics of PARTITIONS partitions each."""

    def __init__(self, servers: str):
        self.servers = servers
        self._producer = self._new_producer()

    def _new_producer(self):
        from confluent_kafka import Producer

        return Producer({"bootstrap.servers": self.servers, "log_level": 0, "enable.idempotence": True})

    def put(
        self,
        topic: str,
        values: Iterable[str | bytes | None],
        partitions: int = PARTITIONS,
        timestamp: int = 0,
        headers: dict[str, str] | None = None,
        first: int = 0,
    ) -> None:
        """Adds messages to a topic, in turn to each of so many partitions, and waits until they are in.

        ``timestamp`` (Unix ms) is their own time, now by default. The turn begins with the partition ``first``.
        """
        failed = []
        for number, value in enumerate(values, first):
            self._producer.produce(
                topic,
                value,
                partition=number % partitions,
                timestamp=timestamp,
                headers=headers or {},
                on_delivery=lambda error, _: error and failed.append(error),
            )
        assert self._producer.flush(PATIENCE) == 0
        assert failed == []

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Has a real Kafka remove a partition's messages before an offset, as it does with old ones."""
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        for removed in admin.delete_records([TopicPartition(topic, partition, before)]).values():
            removed.result()

    def make(self, topic: str, partitions: int = PARTITIONS) -> None:
        """Has a real Kafka make a topic, in the place of one of that name."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        with suppress(KafkaException):
            admin.delete_topics([topic], operation_timeout=30)[topic].result()
        began = time.monotonic()
        while True:
            try:
                admin.create_topics([NewTopic(topic, partitions)], operation_timeout=30)[topic].result()
                break
            except KafkaException:
                # The former one is still on its way out.
                assert time.monotonic() - began < PATIENCE
                time.sleep(0.05)
        # The one at hand knows the former topic.
        self._producer = self._new_producer()

    def add_partitions(self, topic: str, partitions: int) -> None:
        """Has a real Kafka give a topic so many partitions in all."""
        from confluent_kafka.admin import AdminClient, NewPartitions

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        admin.create_partitions([NewPartitions(topic, partitions)], operation_timeout=30)[topic].result()
        self._producer = self._new_producer()


@contextmanager
def mock_broker() -> Iterator[Broker]:
    """A cluster of one broker within this process."""
    with embedded_broker() as servers:
        yield Broker(servers)
