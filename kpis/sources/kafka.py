"""A Kafka topic as a source of batches, each a range of one partition's offsets.

Where to go on is the ledger's to say, never the offsets that Kafka keeps for the group: the group only shares the
partitions out among the processes that work on the topic.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis.catalog.feeds import Feed
from kpis.sources.directory import SourceError
from kpis.sources.messages import Message, Messages, spool

if TYPE_CHECKING:
    import confluent_kafka

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 10
MESSAGES_AT_ONCE = 10_000
TICKS = 10
LARGEST_MESSAGE_BYTES = 2**20
# The client's own lines, of which there are many: what matters comes as an error too.
QUIET = {"log_level": 2}
# After so long a process that was killed has its partitions taken over by the others.
SESSION_SECONDS = 10
# A batch may take this long when the database is slow, before the group takes this process for dead.
LONGEST_BATCH_SECONDS = 900


@dataclass(frozen=True)
class Limits:
    """When a batch is full: so many messages or bytes (``size``), of all partitions together, or so many seconds."""

    messages: int = 100_000
    size: int = 32 * 2**20
    seconds: float = 5


@dataclass
class _Pending:
    """A partition's messages that are read and not in."""

    messages: list[Message] = field(default_factory=list)
    size: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, offset: int, value: bytes | None) -> None:
        self.messages.append((offset, value))
        self.size += len(value or b"")

    def drop(self, count: int) -> None:
        self.size -= sum(len(value or b"") for _, value in self.messages[:count])
        del self.messages[:count]
        self.since = time.monotonic()


def client() -> Any:
    """The Kafka client, which is needed for streams alone; raises SourceError where it cannot be imported."""
    try:
        import confluent_kafka
    except ImportError as error:
        raise SourceError(f"Streams need confluent-kafka: {error}. Run make setup.") from error
    return confluent_kafka


@contextmanager
def telling(servers: str) -> Iterator[None]:
    """Turns whatever the Kafka client refuses into SourceError."""
    kafka = client()
    try:
        yield
    except kafka.KafkaException as error:
        reason = error.args[0].str() if isinstance(error.args[0], kafka.KafkaError) else str(error)
        raise SourceError(f"Cannot use Kafka at {servers}: {reason.rstrip('.')}.") from error


class Topic:
    """A topic, read together with the group's other processes.

    ``next_offsets`` gives what the ledger says: up to which offset each partition is in. What is read and not in stays
    below the limits, and so does what the client has ahead in its own queue.
    """

    def __init__(
        self,
        feed: Feed,
        name: str,
        group: str,
        connection: Mapping[str, str],
        limits: Limits,
        next_offsets: Callable[[], Mapping[int, int]],
    ):
        self.feed, self.name = feed, name
        self._servers = connection["bootstrap.servers"]
        self._limits, self._next_offsets = limits, next_offsets
        self._kafka = client()
        self._partitions: list[int] = []
        self._pending: dict[int, _Pending] = defaultdict(_Pending)
        self._positions: Mapping[int, int] = {}
        self._at_end: set[int] = set()
        self._is_stale = self._is_assigned = self._is_paused = False
        self._largest = 0
        self._quiet_since = time.monotonic()
        self._told: set[int] = set()
        self._problem = ""
        with telling(self._servers):
            self._consumer = self._kafka.Consumer(
                {
                    **QUIET,
                    **connection,
                    "group.id": group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    # Never to be guessed: the ledger says where to go on.
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    # A rebalance hands all partitions out anew, and each is read on from where the ledger is.
                    "partition.assignment.strategy": "range,roundrobin",
                    "session.timeout.ms": SESSION_SECONDS * 1000,
                    "max.poll.interval.ms": LONGEST_BATCH_SECONDS * 1000,
                    "queued.max.messages.kbytes": limits.size // 1024,
                    "error_cb": self._note,
                }
            )

    def __enter__(self) -> Topic:
        try:
            with telling(self._servers):
                found = self._consumer.list_topics(self.name, timeout=ANSWER_SECONDS).topics[self.name]
                if found.error is not None:
                    raise SourceError(f"Cannot read the topic {self.name} at {self._servers}: {found.error.str()}.")
                self._consumer.subscribe([self.name], on_assign=self._assign, on_revoke=self._revoke)
        except SourceError:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, seconds: float) -> None:
        """Reads on for at most so long; waits where as much is pending as may be. Raises SourceError."""
        with telling(self._servers):
            room = self._room()
            self._pause(not room)
            found = self._consumer.consume(room or 1, seconds)
            # What came before the partitions changed hands is of no use.
            for message in [] if self._is_stale else found:
                self._take(message)
            if self._is_stale:
                self._go_on()
        if self._problem:
            raise SourceError(self._problem)

    def due(self) -> int | None:
        """The partition whose messages are a batch by now: its own age says so, or there is no room for more."""
        if not self._pending:
            return None
        if not self._room():
            return max(self._pending, key=lambda partition: len(self._pending[partition].messages))
        oldest = min(self._pending, key=lambda partition: self._pending[partition].since)
        return oldest if time.monotonic() - self._pending[oldest].since >= self._limits.seconds else None

    def is_caught_up(self) -> bool:
        """Whether this process has partitions, and all there is in them is in."""
        return bool(self._partitions) and self._is_at_end()

    def is_idle(self, seconds: float) -> bool:
        """Whether all there is in this process's partitions, if any, is in, and nothing came for so long."""
        return self._is_assigned and self._is_at_end() and time.monotonic() - self._quiet_since >= seconds

    def lag(self) -> int | None:
        """How many messages of this process's partitions are not in, as far as the client has heard; None: unknown."""
        lag = 0
        for partition in self._partitions:
            of_partition = self._kafka.TopicPartition(self.name, partition)
            kept, end = self._consumer.get_watermark_offsets(of_partition, cached=True)
            if end < 0:
                return None
            lag += max(0, end - max(self._positions.get(partition, kept), kept))
        return lag

    def count(self, partition: int) -> int:
        """How many of a partition's messages are pending."""
        return len(self._pending[partition].messages)

    def batch(self, partition: int, count: int, folder: Path) -> Messages:
        """The first so many of a partition's pending messages, spooled into the folder."""
        messages = self._pending[partition].messages[:count]
        position = self._positions.get(partition)
        return spool(self.feed, self.name, partition, position, messages, folder / "messages")

    def settle(self, messages: Messages) -> None:
        """Notes that a batch is in."""
        messages.path.unlink()
        pending = self._pending.pop(messages.partition)
        pending.drop(messages.count)
        if pending.messages:
            self._pending[messages.partition] = pending
        self._positions = {**self._positions, messages.partition: messages.next_offset}

    def follows_on(self, partition: int) -> bool:
        """Whether a partition's pending messages follow on what the ledger has; else they are read anew from there."""
        if self._next_offsets().get(partition) == self._positions.get(partition):
            return True
        self._is_stale = True
        return False

    def _is_at_end(self) -> bool:
        return self._at_end >= set(self._partitions) and not self._pending

    def _room(self) -> int:
        """How many more messages may be pending."""
        messages = self._limits.messages - sum(len(pending.messages) for pending in self._pending.values())
        size = self._limits.size - sum(pending.size for pending in self._pending.values())
        room = min(messages, size // (self._largest or LARGEST_MESSAGE_BYTES), MESSAGES_AT_ONCE)
        # A message that is larger than a batch may be is one by itself.
        return max(0 if self._pending else 1, room)

    def _pause(self, is_paused: bool) -> None:
        if is_paused != self._is_paused:
            partitions = [self._kafka.TopicPartition(self.name, partition) for partition in self._partitions]
            (self._consumer.pause if is_paused else self._consumer.resume)(partitions)
            self._is_paused = is_paused

    def _take(self, message: confluent_kafka.Message) -> None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is None and partition is not None and offset is not None:
            self._pending[partition].add(offset, message.value())
            self._largest = max(self._largest, len(message))
            self._at_end.discard(partition)
            self._told.clear()
            self._quiet_since = time.monotonic()
        elif error is not None and error.code() == self._kafka.KafkaError._AUTO_OFFSET_RESET:
            self._is_stale = True
        elif error is not None and error.code() != self._kafka.KafkaError._PARTITION_EOF:
            self._note(error)
        elif partition is not None:
            self._at_end.add(partition)

    def _note(self, error: confluent_kafka.KafkaError) -> None:
        """An error that the client goes on after is told; any other ends the work."""
        passing = (
            self._kafka.KafkaError._ALL_BROKERS_DOWN,
            self._kafka.KafkaError._TRANSPORT,
            self._kafka.KafkaError._RESOLVE,
            self._kafka.KafkaError._TIMED_OUT,
            self._kafka.KafkaError._MAX_POLL_EXCEEDED,
        )
        if error.code() in passing or (error.retriable() and not error.fatal()):
            # Once, until messages come again.
            if error.code() not in self._told:
                logger.warning("Kafka at %s: %s", self._servers, error.str())
            self._told.add(error.code())
        else:
            self._problem = f"Cannot read the topic {self.name} at {self._servers}: {error.str()}."

    def _assign(self, _: object, partitions: list[confluent_kafka.TopicPartition]) -> None:
        self._partitions = [one.partition for one in partitions]
        self._is_assigned = self._is_stale = True

    def _revoke(self, *_: object) -> None:
        self._partitions, self._is_assigned, self._is_stale = [], False, True

    def _go_on(self) -> None:
        """Reads this process's partitions from where the ledger is, and forgets what is pending."""
        self._is_stale = self._is_paused = False
        self._pending.clear()
        self._at_end.clear()
        self._quiet_since = time.monotonic()
        self._positions = self._next_offsets()
        if self._partitions:
            self._consumer.assign([self._start(partition) for partition in self._partitions])

    def _start(self, partition: int) -> confluent_kafka.TopicPartition:
        """Where a partition is to be read from; raises SourceError where it ends before that."""
        kept, end = self._consumer.get_watermark_offsets(
            self._kafka.TopicPartition(self.name, partition), timeout=ANSWER_SECONDS
        )
        position = self._positions.get(partition, kept)
        if position > end:
            raise SourceError(
                f"{self.name}/{partition} is in up to offset {position:,}, but Kafka at {self._servers} has it only up "
                f"to {end:,}: it is another topic of the same name. Give it another name."
            )
        if position < kept:
            logger.warning("%s/%s: Kafka lost %s-%s before they were in", self.name, partition, position, kept - 1)
        return self._kafka.TopicPartition(self.name, partition, max(position, kept))


def produce(connection: Mapping[str, str], topic: str, seconds: Iterable[list[bytes]]) -> int:
    """Puts messages into a topic, those of one second at a time; gives how many. Raises SourceError."""
    servers, failed = connection["bootstrap.servers"], []

    def note(error: confluent_kafka.KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    with telling(servers):
        producer = client().Producer(
            {**QUIET, **connection, "linger.ms": 20, "message.timeout.ms": ANSWER_SECONDS * 1000}
        )
        producer.list_topics(timeout=ANSWER_SECONDS)
        began = time.monotonic()
        for second, messages in enumerate(seconds):
            # Each second's messages are spread over it, tenth by tenth.
            for number, message in enumerate(messages):
                if number * TICKS // len(messages) != (number - 1) * TICKS // len(messages):
                    due = began + second + number / len(messages)
                    time.sleep(max(0, due - time.monotonic()))
                    producer.poll(0)
                _put(producer, topic, message, note)
            count += len(messages)
        unsent = producer.flush(ANSWER_SECONDS)
    if failed or unsent:
        reason = failed[0].str() if failed else "they were not taken in time"
        raise SourceError(f"Kafka at {servers} did not take {len(failed) + unsent:,} messages: {reason}.")
    return count


def _put(producer: confluent_kafka.Producer, topic: str, message: bytes, note: Callable[..., None]) -> None:
    while True:
        try:
            return producer.produce(topic, message, on_delivery=note)
        except BufferError:
            # As many are on their way as may be.
            producer.poll(1)
