"""Kafka's client, and the identity of a topic: whether it was deleted and created again under its name.

A recreated topic is another one: its offsets begin at 0 again. It is recognised by the topic's id (KIP-516). If a
broker gives no ids, it is recognised by the last message that was ingested: at its offset the new topic has another
message, or none.
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
from kpis.sources.headed_rows import COLUMNS_KEY
from kpis.sources.messages import message_mark
from kpis.sources.positions import Origin, Position

if TYPE_CHECKING:
    import confluent_kafka
    import confluent_kafka.admin

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 10
# The client's own log lines are many, and everything important also comes as an error.
QUIET = {"log_level": 2}


def client() -> Any:
    """Import the Kafka client, which only streams need; raises SourceError if it is not installed."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise SourceError(extras.missing("kafka", "Streams from Kafka need", error)) from error
    return confluent_kafka


@contextmanager
def translate_errors(servers: str) -> Iterator[None]:
    """Translate the Kafka client's errors into SourceError."""
    kafka = client()
    try:
        yield
    except kafka.KafkaException as error:
        reason = error.args[0].str() if isinstance(error.args[0], kafka.KafkaError) else str(error)
        raise SourceError(f"Cannot use Kafka at {servers}: {reason.rstrip('.')}.") from error


@dataclass(frozen=True)
class Start:
    """The offset from which a partition is to be read, and the origin of its messages.

    ``reason`` is the evidence that this is another topic than the one that was ingested before; empty if it is the
    same, or nothing was ingested.
    """

    offset: int
    origin: Origin
    reason: str = ""


class TopicIdentity:
    """Recognise a topic that was recreated. All methods raise KafkaException if the brokers do not answer."""

    def __init__(self, connection: Mapping[str, str], topic: str):
        self._connection: dict[str, Any] = {**QUIET, **connection}
        self._topic = topic
        self._servers = connection["bootstrap.servers"]
        self._kafka = client()

    @cached_property
    def _reader(self) -> confluent_kafka.Consumer:
        # A consumer without a group: its partitions and offsets are assigned explicitly.
        return self._kafka.Consumer(
            {
                **self._connection,
                "group.id": "network-analysis",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                # A request for a partition waits until the one before it is answered, which asks for messages to come.
                "fetch.wait.max.ms": 10,
            }
        )

    @cached_property
    def _admin(self) -> confluent_kafka.admin.AdminClient:
        from confluent_kafka.admin import AdminClient

        return AdminClient(self._connection)

    @cached_property
    def _gives_ids(self) -> bool:
        # A controller that is not one of the brokers, as librdkafka's mock cluster has, cannot be asked.
        found = self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS)
        return found.controller_id in found.brokers

    def close(self) -> None:
        """Close the connections to the brokers."""
        if "_reader" in self.__dict__:
            self._reader.close()

    def partitions(self) -> list[int]:
        """Return the numbers of the topic's partitions. Raises SourceError if there is no such topic."""
        found = self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS).topics[self._topic]
        if found.error is not None:
            raise SourceError(f"Cannot read the topic {self._topic} at {self._servers}: {found.error.str()}.")
        return list(found.partitions)

    def topic_id(self) -> str:
        """Return the topic's present id; empty if the broker has no ids, as brokers before 2.8."""
        if not self._gives_ids:
            return ""
        topics = self._kafka.TopicCollection([self._topic])
        answer = self._admin.describe_topics(topics, request_timeout=ANSWER_SECONDS)[self._topic].result()
        found_id = str(answer.topic_id)
        return "" if not found_id.strip("A=") else found_id

    def mark_at(self, partition: int, offset: int) -> str | None:
        """Return the mark of the message at an offset; None if there is no such message."""
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
        """Return where a partition is to be read from, given the ledger's ``positions`` of the topic's partitions.

        Raises SourceError if Kafka lost messages that were ingested.
        """
        kept, end = self._offsets(partition)
        origin, reason = self._origin_of(partition, positions, topic_id, end)
        position = positions.get(partition)
        begin = 0 if position is None else position.next_in(origin)
        if begin < kept:
            place = f"{origin.named(self._topic)}/{partition}"
            logger.warning("%s: Kafka no longer has %s-%s, which were not ingested", place, begin, kept - 1)
        return Start(max(begin, kept), origin, reason)

    def _offsets(self, partition: int) -> tuple[int, int]:
        """Return the offsets of the partition's first message, and of the next one to come."""
        of_partition = self._kafka.TopicPartition(self._topic, partition)
        try:
            return self._reader.get_watermark_offsets(of_partition, timeout=ANSWER_SECONDS)
        except self._kafka.KafkaException as error:
            if error.args[0].code() != self._kafka.KafkaError._UNKNOWN_PARTITION:
                raise
        # The partition was added since this client last asked.
        self._reader.list_topics(self._topic, timeout=ANSWER_SECONDS)
        return self._reader.get_watermark_offsets(of_partition, timeout=ANSWER_SECONDS)

    def _origin_of(
        self, partition: int, positions: Mapping[int, Position], topic_id: str, end: int
    ) -> tuple[Origin, str]:
        """Return the origin of a partition's messages, and the evidence that it is another topic's, if it is."""
        position, origins = positions.get(partition), [one.origin for one in positions.values()]
        newest = max((one.generation for one in origins), default=1)
        # Other partitions of the same topic may have been ingested already.
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
        """Return the evidence that a partition is not the one that was ingested before; empty if there is none."""
        former, offset = position.origin, position.next_offset
        if topic_id and former.id == topic_id:
            if offset > end:
                raise SourceError(
                    f"{self._topic}/{partition} is ingested up to offset {offset:,}, but Kafka at {self._servers} "
                    f"has it only up to {end:,}, though it is the same topic: Kafka lost ingested messages, and those "
                    f"that come in their place cannot be distinguished from them. Recreate the topic to go on."
                )
            return ""
        if offset > end:
            return f"partition {partition} is ingested up to offset {offset:,}, and ends at {end:,} now"
        mark = self.mark_at(partition, offset - 1) if position.last_message else None
        if mark is not None:
            # A copy of a topic on other brokers has another id and the same messages.
            is_same = mark == position.last_message
            return "" if is_same else f"partition {partition} has another message at offset {offset - 1:,} now"
        return f"its id is {topic_id} now, and was {former.id}" if topic_id and former.id else ""


def mark_of(message: confluent_kafka.Message) -> str:
    """Return a mark that differs between messages at the same offset."""
    return message_mark(time_of(message), message.value())


def time_of(message: confluent_kafka.Message) -> int | None:
    """Return a message's own time (Unix ms), of its producer or of the broker; None if it has none."""
    kind, moment = message.timestamp()
    return None if kind == client().TIMESTAMP_NOT_AVAILABLE else moment


def columns_of(message: confluent_kafka.Message) -> bytes | None:
    """Return the header of a message that names its columns; None if it has none. Of several, the last counts."""
    for key, value in reversed(message.headers() or ()):
        if key == COLUMNS_KEY:
            return value.encode() if isinstance(value, str) else value
    return None
