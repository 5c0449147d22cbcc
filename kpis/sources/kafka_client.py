"""Kafka's client, and which of the topics that had a name one after the other has it now.

A topic that is deleted and created again under its name is another one: its offsets begin at 0 again. Kafka tells it by
the topic's id (KIP-516). Where a broker gives no ids, the message before the next one to read tells it: at its offset
the new topic has another message, or none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kpis import extras
from kpis.sources.directory import SourceError
from kpis.sources.messages import Origin, Position, message_mark

if TYPE_CHECKING:
    import confluent_kafka
    import confluent_kafka.admin

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 10
# The client's own lines, of which there are many: what matters comes as an error too.
QUIET = {"log_level": 2}


def client() -> Any:
    """The Kafka client, which is needed for streams alone; raises SourceError where it cannot be imported."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise SourceError(extras.missing("kafka", "Streams from Kafka need", error)) from error
    return confluent_kafka


@contextmanager
def translate_errors(servers: str) -> Iterator[None]:
    """Turns whatever the Kafka client refuses into SourceError."""
    kafka = client()
    try:
        yield
    except kafka.KafkaException as error:
        reason = error.args[0].str() if isinstance(error.args[0], kafka.KafkaError) else str(error)
        raise SourceError(f"Cannot use Kafka at {servers}: {reason.rstrip('.')}.") from error


@dataclass(frozen=True)
class Start:
    """Where a partition is to be read from, and which topic its messages come from.

    ``reason`` says by what it shows that this is another topic than the one whose messages are in; empty where it is
    the same, or nothing is in.
    """

    offset: int
    origin: Origin
    reason: str = ""


class TopicIdentity:
    """Tells which topic has a name. All its methods raise KafkaException where the brokers do not answer."""

    def __init__(self, connection: Mapping[str, str], topic: str):
        self._connection: dict[str, Any] = {**QUIET, **connection}
        self._topic = topic
        self._servers = connection["bootstrap.servers"]
        self._kafka = client()

    @cached_property
    def _reader(self) -> confluent_kafka.Consumer:
        # In no group: it is told what to read.
        return self._kafka.Consumer(
            {
                **self._connection,
                "group.id": "network-analysis",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
            }
        )

    @cached_property
    def _admin(self) -> confluent_kafka.admin.AdminClient:
        from confluent_kafka.admin import AdminClient

        return AdminClient(self._connection)

    @cached_property
    def _gives_ids(self) -> bool:
        # A controller that is none of the brokers (librdkafka's own mock cluster has such a one) cannot be asked.
        found = self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS)
        return found.controller_id in found.brokers

    def close(self) -> None:
        """Ends the connections to the brokers."""
        if "_reader" in self.__dict__:
            self._reader.close()

    def partitions(self) -> list[int]:
        """The numbers of the topic's partitions. Raises SourceError where there is no such topic."""
        found = self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS).topics[self._topic]
        if found.error is not None:
            raise SourceError(f"Cannot read the topic {self._topic} at {self._servers}: {found.error.str()}.")
        return list(found.partitions)

    def topic_id(self) -> str:
        """The id of the topic that has the name now; empty where the broker gives none, as those before 2.8."""
        if not self._gives_ids:
            return ""
        topics = self._kafka.TopicCollection([self._topic])
        answer = self._admin.describe_topics(topics, request_timeout=ANSWER_SECONDS)[self._topic].result()
        found_id = str(answer.topic_id)
        return "" if not found_id.strip("A=") else found_id

    def mark_at(self, partition: int, offset: int) -> str | None:
        """The mark of the message at an offset; None where there is none, or no longer."""
        errors = self._kafka.KafkaError
        self._reader.assign([self._kafka.TopicPartition(self._topic, partition, offset)])
        try:
            message = self._reader.poll(ANSWER_SECONDS)
        finally:
            self._reader.unassign()
        if message is None:
            raise self._kafka.KafkaException(errors(errors._TIMED_OUT))
        error = message.error()
        if error is not None and error.code() not in (errors._PARTITION_EOF, errors._AUTO_OFFSET_RESET):
            raise self._kafka.KafkaException(error)
        return mark_of(message) if error is None and message.offset() == offset else None

    def start_of(self, partition: int, positions: Mapping[int, Position], topic_id: str) -> Start:
        """Where a partition is to be read from, if the ledger has the topic's partitions up to ``positions``.

        Raises SourceError where Kafka lost messages that are in.
        """
        kept, end = self._offsets(partition)
        origin, reason = self._origin_of(partition, positions, topic_id, end)
        position = positions.get(partition)
        begin = 0 if position is None else position.next_in(origin)
        if begin < kept:
            place = f"{origin.named(self._topic)}/{partition}"
            logger.warning("%s: Kafka no longer has %s-%s, which are not in", place, begin, kept - 1)
        return Start(max(begin, kept), origin, reason)

    def _offsets(self, partition: int) -> tuple[int, int]:
        """The offsets of the first message that a partition has, and of the next one to come."""
        of_partition = self._kafka.TopicPartition(self._topic, partition)
        try:
            return self._reader.get_watermark_offsets(of_partition, timeout=ANSWER_SECONDS)
        except self._kafka.KafkaException as error:
            if error.args[0].code() != self._kafka.KafkaError._UNKNOWN_PARTITION:
                raise
        # It was added since this client last asked for them.
        self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS)
        return self._reader.get_watermark_offsets(of_partition, timeout=ANSWER_SECONDS)

    def _origin_of(
        self, partition: int, positions: Mapping[int, Position], topic_id: str, end: int
    ) -> tuple[Origin, str]:
        """Where a partition's messages come from, and by what it shows that they are another topic's, if they are."""
        position, origins = positions.get(partition), [one.origin for one in positions.values()]
        newest = max((one.generation for one in origins), default=1)
        # Other partitions of the same topic may be in already.
        of_this = [one.generation for one in origins if topic_id and one.id == topic_id]
        if position is None:
            is_other = bool(topic_id and origins) and all(one.id not in ("", topic_id) for one in origins)
            return Origin(topic_id, of_this[0] if of_this else newest + is_other), ""
        former = position.origin
        reason = self._other(partition, position, topic_id, end)
        if not reason:
            return Origin(topic_id or former.id, former.generation), ""
        later = [generation for generation in of_this if generation > former.generation]
        return Origin(topic_id, later[0] if later else newest + 1), reason

    def _other(self, partition: int, position: Position, topic_id: str, end: int) -> str:
        """By what it shows that a partition is another topic's than what is in of it; empty where nothing tells."""
        former, offset = position.origin, position.next_offset
        if topic_id and former.id == topic_id:
            if offset > end:
                raise SourceError(
                    f"{self._topic}/{partition} is in up to offset {offset:,}, but Kafka at {self._servers} has it "
                    f"only up to {end:,}, though it is the same topic: Kafka lost messages that are in, and what comes "
                    f"in their place cannot be told from them. Recreate the topic to go on."
                )
            return ""
        if offset > end:
            return f"partition {partition} is in up to offset {offset:,}, and ends at {end:,} now"
        mark = self.mark_at(partition, offset - 1) if position.last_message else None
        if mark is not None:
            # A copy of a topic, on other brokers, has another id and the same messages.
            is_same = mark == position.last_message
            return "" if is_same else f"partition {partition} has another message at offset {offset - 1:,} now"
        return f"its id is {topic_id} now, and was {former.id}" if topic_id and former.id else ""


def mark_of(message: confluent_kafka.Message) -> str:
    """What tells a message from another one at its offset."""
    kind, moment = message.timestamp()
    return message_mark(None if kind == client().TIMESTAMP_NOT_AVAILABLE else moment, message.value())
