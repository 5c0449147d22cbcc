"""The consumer of a topic that Spark's Structured Streaming reads, micro-batch by micro-batch, into the same ledger.

Executors read Kafka and prepare each partition's messages; the driver commits them, batch by batch, under the lock.
Positions are the ledger's: the stream starts from them, and of a micro-batch that Spark delivers again only what is not
ingested yet is committed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from django.db import close_old_connections

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.registry import whole_from
from kpis.ingest.consumer import POLL_SECONDS, BaseConsumer
from kpis.sources.directory import SourceError
from kpis.sources.kafka import METADATA_SECONDS, java_options, note_recreated, starts_of
from kpis.sources.kafka_client import Start, TopicIdentity, client, translate_errors
from kpis.sources.messages import KAFKA, Messages
from kpis.sources.positions import Origin, Position, Recreated, by_number
from kpis.stages.prepared import Prepared
from kpis.store.errors import AlreadyRunning, SeveralFailed
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import ledger_lock
from network_analysis.logs import RUN
from network_analysis_spark.engine import MicroBatches, Source
from network_analysis_spark.run import Part, SparkCluster

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicStart:
    """The topic to read, and the start of each of its partitions."""

    topic_id: str
    partitions: Mapping[int, Start]

    @property
    def newest(self) -> Origin:
        """The origin of messages of partitions that are added to the topic."""
        generations = (start.origin.generation for start in self.partitions.values())
        return Origin(self.topic_id, max(generations, default=1))

    def origin(self, partition: int) -> Origin:
        """Return the origin of a partition's messages."""
        return self.partitions[partition].origin if partition in self.partitions else self.newest


class SparkTopic:
    """A topic whose messages Spark reads: the counterpart of ``sources.kafka.Topic``, with its current micro-batch."""

    def __init__(
        self, feed: Feed, name: str, stream: MicroBatches, servers: str, identity: TopicIdentity, start: TopicStart
    ):
        self.feed, self.name, self.start = feed, name, start
        self._stream, self._servers, self._identity = stream, servers, identity
        self._quiet_since = time.monotonic()
        self._check_at = time.monotonic() + METADATA_SECONDS
        self._recreated: list[Recreated] = []
        note_recreated(start.partitions.values(), name, self._note_recreated)
        self.frame: DataFrame | None = None
        self._is_waiting = False

    def _note_recreated(self, reason: str) -> None:
        self._recreated.append(Recreated(self.name, reason))

    def recreated(self) -> list[Recreated]:
        """Return the topics that were found to be recreated since the last call."""
        news, self._recreated = self._recreated, []
        return news

    def poll(self, seconds: float) -> None:
        """Wait up to ``seconds`` for a micro-batch, or while one is being ingested. Raises SourceError."""
        if self.frame is not None:
            time.sleep(seconds)
            return
        if time.monotonic() >= self._check_at:
            # Spark decides how long to wait for brokers that do not answer.
            with suppress(client().KafkaException):
                self._check(_positions(DatabaseLedger(), self.feed, self.name))
        self.frame = self._stream.poll(seconds)
        self._is_waiting = self.frame is None and self._stream.is_waiting()

    def check(self, positions: Mapping[int, Position]) -> None:
        """Check that everything read so far is of the same topic.

        Raises SourceError if it was recreated meanwhile, or the brokers do not answer.
        """
        with translate_errors(self._servers):
            self._check(positions)

    def _check(self, positions: Mapping[int, Position]) -> None:
        self._check_at = time.monotonic() + METADATA_SECONDS
        topic_id = self.start.topic_id and self._identity.topic_id()
        if topic_id:
            is_same = topic_id == self.start.topic_id
        else:
            # A broker that has just started may give no ids.
            known = {one: at for one, at in positions.items() if at.last_message and at.next_in(self.start.origin(one))}
            is_same = all(
                self._identity.mark_at(one, at.next_offset - 1) in (at.last_message, None) for one, at in known.items()
            )
        if not is_same:
            raise SourceError(f"The topic {self.name} was recreated while it was read.")

    def reassigned(self) -> bool:
        """Return False: Spark reads all partitions, and no other process has any."""
        return False

    def acknowledge(self) -> None:
        """Mark the current micro-batch as ingested."""
        self.frame = None
        self._quiet_since = time.monotonic()
        self._stream.acknowledge()

    def due(self) -> bool:
        return self.frame is not None

    def is_caught_up(self) -> bool:
        return self._is_waiting

    def is_idle(self, seconds: float) -> bool:
        return time.monotonic() - self._quiet_since >= seconds and self._is_waiting

    def lag(self) -> int | None:
        return self._stream.lag()


def _positions(ledger: DatabaseLedger, feed: Feed, topic: str) -> dict[int, Position]:
    """Return the ledger's position in each of a topic's partitions."""
    return by_number(ledger.positions(feed, KAFKA, topic))


@contextmanager
def spark_topic(
    engine: pipeline.Engine, feed: Feed, name: str, connection: Mapping[str, str], most_messages: int, seconds: float
) -> Iterator[SparkTopic]:
    """Open a topic at the ledger's positions; raises SourceError and SparkError."""
    cluster = engine.cluster
    assert isinstance(cluster, SparkCluster)  # noqa: S101  what the command makes
    start = TopicStart(*starts_of(connection, name, _positions(DatabaseLedger(), feed, name)))
    offsets = {partition: one.offset for partition, one in start.partitions.items()}
    with closing(TopicIdentity(connection, name)) as identity:
        source = Source(name, offsets, most_messages, seconds)
        with closing(cluster.stream(engine, java_options(connection), source)) as stream:
            yield SparkTopic(feed, name, stream, connection["bootstrap.servers"], identity, start)


class SparkConsumer(BaseConsumer[SparkTopic]):
    """The consumer of a topic, like ``Consumer``, a micro-batch at a time."""

    def _ingest(self, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        while not is_stopped():
            close_old_connections()
            try:
                with ledger_lock(), self._recorded() as self._run:
                    RUN.set(self._run.pk)
                    ledger = DatabaseLedger(self._run)
                    yield from self._reported(self._events(ledger))
                    self._stream.acknowledge()
                    self._announcer.announce()
                    self._close_at = 0
                return
            except AlreadyRunning:
                logger.debug("lock busy", extra={"command": self._command})
                self._stream.poll(POLL_SECONDS)
                self._presence.report(self._stream.lag())

    def _events(self, ledger: DatabaseLedger) -> Iterator[pipeline.Event]:
        """Yield the events of ingesting the messages of the current micro-batch that the ledger does not have.

        A partition's messages that fail as a whole are split into halves until the one that fails is alone.
        """
        cluster, frame = self._engine.cluster, self._stream.frame
        assert isinstance(cluster, SparkCluster)  # noqa: S101  what the command makes
        assert frame is not None  # noqa: S101  what is due
        feed, name = self._stream.feed, self._stream.name
        # The ends of the parts of a partition that are to be ingested next; the part before the last of them remains.
        until: list[tuple[int, int]] = []
        while True:
            positions = _positions(ledger, self._stream.feed, self._stream.name)
            start = self._stream.start
            origins = {one: found.origin for one, found in start.partitions.items()}
            earliest = whole_from(self._stream.feed, ledger.kept_from(self._stream.feed))
            part = Part(earliest, positions, start.newest, origins)
            part = replace(part, ranges={one: (part.is_in_up_to(one), end) for one, end in until[-1:]})
            options = replace(self._options, clocks=ledger.clocks())
            with cluster.prepare_messages(frame, feed, name, part, self._engine, options) as prepared:
                try:
                    checked = self._checked(prepared, part.positions)
                    yield from pipeline.run_prepared(checked, ledger, self._engine, options)
                except SeveralFailed as error:
                    # What was read of a topic.
                    messages = cast(Messages, error.batch)
                    if not until:
                        until.append((int(messages.partition), int(messages.next_offset)))
                    until.append((int(messages.partition), messages.middle))
                    continue
            if not until:
                return
            until.pop()

    def _checked(self, prepared: Iterator[Prepared], positions: Mapping[int, Position]) -> Iterator[Prepared]:
        """Yield the prepared batches once it is checked that all of them were read from one topic."""
        for number, one in enumerate(prepared):
            if not number:
                # By now the executors have read all of them.
                self._stream.check(positions)
            yield one
