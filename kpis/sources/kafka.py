"""A Kafka topic as a source of batches, each a range of one partition's offsets.

Offsets are committed in the ledger together with the results, not in Kafka: the consumer group only divides the
partitions among the processes that read the topic.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import from_milliseconds
from kpis.sources.directory import SourceError
from kpis.sources.kafka_client import (
    QUIET,
    Start,
    TopicIdentity,
    client,
    columns_of,
    mark_of,
    time_of,
    translate_errors,
)
from kpis.sources.positions import Origin, Partition, Position
from kpis.sources.spool import Spool
from kpis.sources.stream import MESSAGES_AT_ONCE, Limits, Stream

if TYPE_CHECKING:
    import confluent_kafka

logger = logging.getLogger(__name__)

# The interval in seconds at which Kafka is asked for new partitions, and for the topic's identity.
METADATA_SECONDS = 20
QUEUE_KILOBYTES = 32 * 1024
# How long the client fetches nothing after its queue was full. By default it is a second, in which a consumer that is
# behind ingests all that the queue holds and then waits.
QUEUE_FULL_MILLISECONDS = 20
# The Java client's names of librdkafka's options, and of those whose value is a file's content.
JAVA_SAME = ("bootstrap.servers", "security.protocol", "sasl.mechanism", "ssl.key.password")
JAVA_FILES = {
    "ssl.ca.location": "ssl.truststore.certificates",
    "ssl.certificate.location": "ssl.keystore.certificate.chain",
    "ssl.key.location": "ssl.keystore.key",
}
# After this time without a heartbeat, a killed process loses its partitions to the others.
SESSION_SECONDS = 10
# A batch may take this long when the database is slow, before the group considers this process dead.
LONGEST_BATCH_SECONDS = 900


class Topic(Stream[Spool]):
    """A topic, read together with the group's other processes.

    ``positions`` returns the ledger's position of each partition. The client's own queue of fetched messages stays
    below QUEUE_KILOBYTES.
    """

    def __init__(
        self,
        feed: Feed,
        name: str,
        group: str,
        connection: Mapping[str, str],
        limits: Limits,
        positions: Callable[[], Mapping[int, Position]],
        folder: Path,
    ):
        super().__init__(feed, name, limits, folder)
        self._servers = connection["bootstrap.servers"]
        self._ledger_positions = positions
        self._identity = TopicIdentity(connection, name)
        self._topic_id, self._check_at = "", 0.0
        self._kafka = client()
        self._partitions: list[int] = []
        self._at_end: set[int | None] = set()
        self._is_assigned = self._is_paused = False
        self._logged: set[int] = set()
        self._problem = ""
        with translate_errors(self._servers):
            self._consumer = self._kafka.Consumer(
                {
                    **QUIET,
                    **connection,
                    "group.id": group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    # Never reset automatically: the ledger has the position.
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    # A rebalance reassigns all partitions, and each is read from the ledger's position.
                    "partition.assignment.strategy": "range,roundrobin",
                    "session.timeout.ms": SESSION_SECONDS * 1000,
                    "max.poll.interval.ms": LONGEST_BATCH_SECONDS * 1000,
                    "topic.metadata.refresh.interval.ms": METADATA_SECONDS * 1000,
                    "queued.max.messages.kbytes": QUEUE_KILOBYTES,
                    "fetch.queue.backoff.ms": QUEUE_FULL_MILLISECONDS,
                    "error_cb": self._note,
                }
            )

    def __enter__(self) -> Topic:
        try:
            with translate_errors(self._servers):
                self._identity.partitions()
                self._consumer.subscribe([self.name], on_assign=self._assign, on_revoke=self._revoke)
        except SourceError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()
        self._identity.close()

    def poll(self, seconds: float) -> None:
        with translate_errors(self._servers):
            room = self._room()
            self._pause(not room)
            # While more is waiting no batch is due by its age, and few large polls cost less than many small ones.
            is_by_age = room and not self._are_more_waiting
            found = self._consumer.consume(room or 1, min(seconds, self._due_in()) if is_by_age else seconds)
            # What was read before the rebalance is of no use.
            if not self._is_stale:
                self._take(found)
            self._are_more_waiting = not self._is_stale and self._unread() >= MESSAGES_AT_ONCE
            if not self._are_more_waiting:
                self._empty_at = time.monotonic()
            if self._partitions and not self._is_stale and time.monotonic() >= self._check_at:
                self._is_same()
            if self._is_stale:
                self._go_on()
        if self._problem:
            raise SourceError(self._problem)

    def is_caught_up(self) -> bool:
        return bool(self._partitions) and self._is_at_end()

    def is_idle(self, seconds: float) -> bool:
        return self._is_assigned and self._is_at_end() and time.monotonic() - self._quiet_since >= seconds

    def lag(self) -> int | None:
        lag = 0
        for partition in self._partitions:
            of_partition = self._kafka.TopicPartition(self.name, partition)
            kept, end = self._consumer.get_watermark_offsets(of_partition, cached=True)
            if end < 0:
                return None
            lag += max(0, end - max(self._is_in_up_to(partition), kept))
        return lag

    def _unread(self) -> int:
        """Return how many messages of this process's partitions are not read yet, as far as the client knows."""
        unread = 0
        partitions = [self._kafka.TopicPartition(self.name, one) for one in self._partitions if one not in self._at_end]
        for partition in self._consumer.position(partitions):
            kept, end = self._consumer.get_watermark_offsets(partition, cached=True)
            read = partition.offset if partition.offset >= 0 else max(self._is_in_up_to(partition.partition), kept)
            unread += max(0, end - read)
        return unread

    def _is_same(self) -> bool:
        """See ``Stream``. If the brokers do not answer, they are asked again before anything is ingested."""
        self._check_at = time.monotonic() + METADATA_SECONDS
        try:
            if self._topic_id:
                is_same = self._identity.topic_id() == self._topic_id
            else:
                is_same = all(self._has_still(partition) for partition in self._partitions)
        except self._kafka.KafkaException as error:
            self._note(error.args[0])
            return False
        self._is_stale = self._is_stale or not is_same
        return is_same

    def _has_still(self, partition: int) -> bool:
        """Return True if Kafka still has the partition's first pending message, else the last one that was ingested."""
        pending, position = self._pending.get(partition), self._positions.get(partition)
        if pending is not None and pending.spool.first_message is not None:
            offset, mark = pending.spool.first_message
        elif position is not None and position.last_message:
            offset, mark = position.next_offset - 1, position.last_message
        else:
            return True
        # A message that was removed since then proves nothing.
        return self._identity.mark_at(partition, offset) in (mark, None)

    def _is_in_up_to(self, partition: int) -> int:
        position = self._positions.get(partition)
        return 0 if position is None else position.next_in(self._origins.get(partition, Origin()))

    def _ask_ledger(self) -> Mapping[int, Position]:
        return self._ledger_positions()

    def _new_spool(self, partition: Partition, path: Path) -> Spool:
        return Spool(self.feed, path)

    def _is_at_end(self) -> bool:
        return self._at_end >= set(self._partitions) and not self._pending and not self._in_hand

    def _pause(self, is_paused: bool) -> None:
        if is_paused != self._is_paused:
            partitions = [self._kafka.TopicPartition(self.name, partition) for partition in self._partitions]
            (self._consumer.pause if is_paused else self._consumer.resume)(partitions)
            self._is_paused = is_paused

    def _take(self, found: list[confluent_kafka.Message]) -> None:
        # A loop in Python over messages takes as long as all else that is done with them.
        message_type = self._kafka.Message
        ends = set()
        if any(error is not None for error in map(message_type.error, found)):
            for message in found:
                error = message.error()
                if error is not None and error.code() == self._kafka.KafkaError._PARTITION_EOF:
                    ends.add(message.partition())
                elif error is not None:
                    self._handle_error(error)
            found = [message for message in found if message.error() is None]
        if self._is_stale:
            return
        partitions = set()
        for partition, some in groupby(sorted(found, key=message_type.partition), message_type.partition):
            messages = list(some)
            partitions.add(partition)
            spool = self._spool(partition)
            if spool.first_message is None:
                spool.first_message = messages[0].offset(), mark_of(messages[0])
            spool.last_message = mark_of(messages[-1])
            values = list(map(message_type.value, messages))
            times = list(map(time_of, messages)) if spool.needs_times else ()
            headers = list(map(columns_of, messages)) if spool.needs_headers else ()
            spool.add(list(map(message_type.offset, messages)), values, self._arrival(messages[-1]), times, headers)
            self._largest = max(self._largest, max(map(len, filter(None, values)), default=0))
        # An end-of-partition event comes after the partition's last message.
        self._at_end = (self._at_end - partitions) | ends
        if found:
            self._logged.clear()
            self._quiet_since = time.monotonic()

    def _arrival(self, message: confluent_kafka.Message) -> datetime | None:
        """Return when a message arrived (UTC), if the topic has that time by the broker's clock; else None."""
        kind, milliseconds = message.timestamp()
        return from_milliseconds(milliseconds) if kind == self._kafka.TIMESTAMP_LOG_APPEND_TIME else None

    def _handle_error(self, error: confluent_kafka.KafkaError) -> None:
        if error.code() == self._kafka.KafkaError._AUTO_OFFSET_RESET:
            self._is_stale = True
        else:
            self._note(error)

    def _note(self, error: confluent_kafka.KafkaError) -> None:
        """Log an error after which the client continues; any other error ends the work."""
        if self._passes(error):
            # Once, until messages arrive again.
            if error.code() not in self._logged:
                logger.warning("Kafka at %s: %s", self._servers, error.str())
            self._logged.add(error.code())
        else:
            self._problem = f"Cannot read the topic {self.name} at {self._servers}: {error.str()}."

    def _passes(self, error: confluent_kafka.KafkaError) -> bool:
        passing = (
            self._kafka.KafkaError._ALL_BROKERS_DOWN,
            self._kafka.KafkaError._TRANSPORT,
            self._kafka.KafkaError._RESOLVE,
            self._kafka.KafkaError._TIMED_OUT,
            self._kafka.KafkaError._MAX_POLL_EXCEEDED,
            # A deleted topic may be created again.
            self._kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
            self._kafka.KafkaError._UNKNOWN_TOPIC,
            self._kafka.KafkaError._UNKNOWN_PARTITION,
        )
        return error.code() in passing or (error.retriable() and not error.fatal())

    def _assign(self, _: object, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._partitions = [one.partition for one in partitions]
        self._is_assigned = self._is_reassigned = self._is_stale = True

    def _revoke(self, *_: object) -> None:
        self._partitions, self._is_assigned, self._is_stale = [], False, True

    def _go_on(self) -> None:
        """Read this process's partitions from the ledger's positions, and drop what is pending."""
        self._forget()
        self._at_end.clear()
        self._positions = self._ask_ledger()
        try:
            self._topic_id = self._identity.topic_id()
            found = {one: self._identity.start_of(one, self._positions, self._topic_id) for one in self._partitions}
        except self._kafka.KafkaException as error:
            if not self._passes(error.args[0]):
                raise
            # Without its broker: it is asked again later.
            self._note(error.args[0])
            return
        self._check_at = time.monotonic() + METADATA_SECONDS
        self._origins = {partition: start.origin for partition, start in found.items()}
        note_recreated(found.values(), self.name, self._note_recreated)
        starts = [self._kafka.TopicPartition(self.name, partition, start.offset) for partition, start in found.items()]
        if starts:
            self._consumer.assign(starts)
            # A paused partition would stay paused in the client when it is assigned again.
            self._consumer.resume(starts)
        self._is_stale = self._is_paused = False


def note_recreated(starts: Iterable[Start], topic: str, note: Callable[[str], None]) -> None:
    """Call ``note`` with the evidence that the topic was recreated since it was ingested, if there is any."""
    for start in starts:
        if start.reason:
            name = start.origin.named(topic)
            note(f"{start.reason}; it is read from its beginning, in batches of {name}")
            return


def starts_of(
    connection: Mapping[str, str], topic: str, positions: Mapping[int, Position]
) -> tuple[str, dict[int, Start]]:
    """Return a topic's id, and each partition's start, given the ledger's ``positions``.

    Raises SourceError, also if Kafka lost messages that were ingested.
    """
    identity = TopicIdentity(connection, topic)
    with translate_errors(connection["bootstrap.servers"]):
        try:
            partitions, topic_id = identity.partitions(), identity.topic_id()
            return topic_id, {one: identity.start_of(one, positions, topic_id) for one in sorted(partitions)}
        finally:
            identity.close()


def java_options(connection: Mapping[str, str]) -> dict[str, str]:
    """Translate the connection's options from librdkafka's names to those of Kafka's Java client.

    Raises SourceError for a certificate or key that cannot be read.
    """
    options = {name: value for name, value in connection.items() if name in JAVA_SAME}
    if "security.protocol" in options:
        options["security.protocol"] = options["security.protocol"].upper()
    for name, java in JAVA_FILES.items():
        if name in connection:
            try:
                options[java] = Path(connection[name]).read_text()
            except OSError as error:
                raise SourceError(f"Cannot read {connection[name]}: {error.strerror}.") from error
    if "ssl.ca.location" in connection:
        options["ssl.truststore.type"] = "PEM"
    if "ssl.certificate.location" in connection:
        options["ssl.keystore.type"] = "PEM"
    if "sasl.username" in connection:
        module = "scram.Scram" if connection.get("sasl.mechanism", "").startswith("SCRAM") else "plain.Plain"
        account = {"username": connection["sasl.username"], "password": connection.get("sasl.password", "")}
        credentials = " ".join(f"{name}={_java_quoted(value)}" for name, value in account.items())
        options["sasl.jaas.config"] = f"org.apache.kafka.common.security.{module}LoginModule required {credentials};"
    return options


def _java_quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
