"""A topic's messages by Spark's Structured Streaming, micro-batch by micro-batch, into the same ledger as a consumer's.

Executors read Kafka and make each partition's messages ready; the driver commits them, batch by batch, under the lock
that lets one process work at a time. What counts is the ledger: a stream starts from where that is, and of a
micro-batch that Spark brings again only what is not in is taken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import close_old_connections

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH
from kpis.cluster import Part, SparkCluster
from kpis.consumer import POLL_SECONDS, Consumer
from kpis.engine.spark import MicroBatches, Source
from kpis.sources.kafka import java_options, starts_of
from kpis.sources.messages import Messages
from kpis.store import AlreadyRunning, DatabaseLedger, SeveralFailed, exclusive, recorded_run
from network_analysis.logs import RUN

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)


class SparkTopic:
    """A topic whose messages Spark reads: what ``sources.kafka.Topic`` tells of one, and the micro-batch in hand."""

    def __init__(self, feed: Feed, name: str, stream: MicroBatches):
        self.feed, self.name = feed, name
        self._stream = stream
        self._quiet_since = time.monotonic()
        self.frame: DataFrame | None = None

    def poll(self, seconds: float) -> None:
        """Waits for a micro-batch, or while there is one, for at most so long."""
        if self.frame is not None:
            time.sleep(seconds)
            return
        self.frame = self._stream.poll(seconds)

    def settle(self) -> None:
        """Notes that the micro-batch in hand is in."""
        self.frame = None
        self._quiet_since = time.monotonic()
        self._stream.settle()

    def due(self) -> bool:
        return self.frame is not None

    def is_caught_up(self) -> bool:
        return self.frame is None and self._stream.is_waiting()

    def is_idle(self, seconds: float) -> bool:
        return time.monotonic() - self._quiet_since >= seconds and self.is_caught_up()

    def lag(self) -> int | None:
        return self._stream.lag()


@contextmanager
def spark_topic(
    engine: pipeline.Engine, feed: Feed, name: str, connection: Mapping[str, str], most_messages: int, seconds: float
) -> Iterator[SparkTopic]:
    """A topic from where the ledger is; raises SourceError and SparkError."""
    cluster = engine.cluster
    assert isinstance(cluster, SparkCluster)  # noqa: S101  what the command makes
    starts = starts_of(connection, name, DatabaseLedger().next_offsets(feed, name))
    stream = cluster.stream(engine, java_options(connection), Source(name, starts, most_messages, seconds))
    with closing(stream):
        yield SparkTopic(feed, name, stream)


class SparkConsumer(Consumer):
    """Takes a topic in as ``Consumer`` does, a micro-batch at a time."""

    _stream: SparkTopic

    def _take_in(self, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        while not is_stopped():
            close_old_connections()
            try:
                with exclusive(), recorded_run(self._command, self._report, self._run) as self._run:
                    RUN.set(self._run.pk)
                    ledger = DatabaseLedger(self._run)
                    yield from self._reported(self._events(ledger))
                    self._stream.settle()
                    self._announcer.announce()
                    self._close_at = 0
                return
            except AlreadyRunning:
                logger.debug("lock busy", extra={"command": self._command})
                self._stream.poll(POLL_SECONDS)
                self._presence.tell(self._stream.lag())

    def _events(self, ledger: DatabaseLedger) -> Iterator[pipeline.Event]:
        """Takes in what the ledger lacks of the micro-batch in hand.

        A partition's messages that fail as a whole are taken in halves: one that cannot be counted is to stand alone.
        """
        # Up to where to take a partition next, after which what is before the one below is left of it.
        until: list[tuple[int, int]] = []
        while True:
            positions = ledger.next_offsets(self._stream.feed, self._stream.name)
            ranges = {one: (positions.get(one, 0), end) for one, end in until[-1:]}
            part = Part(ledger.kept_from(self._stream.feed) or EPOCH, positions, ranges)
            options = replace(self._options, clocks=ledger.clocks())
            in_hand: list[Messages] = []
            with closing(self._made_ready(part, in_hand, options)) as ready:
                try:
                    yield from pipeline.run_ready(ready, ledger, self._engine, options)
                except SeveralFailed:
                    (messages,) = in_hand
                    if not until:
                        until.append((int(messages.partition), int(messages.next_offset)))
                    until.append((int(messages.partition), messages.middle))
                    continue
            if not until:
                return
            until.pop()

    def _made_ready(self, part: Part, in_hand: list[Messages], options: pipeline.Options) -> Iterator[pipeline.Ready]:
        """The batches of the micro-batch, the one that is being taken in ``in_hand``."""
        cluster, frame = self._engine.cluster, self._stream.frame
        assert isinstance(cluster, SparkCluster)  # noqa: S101  what the command makes
        assert frame is not None  # noqa: S101  what is due
        feed, name = self._stream.feed, self._stream.name
        for one in cluster.messages_made_ready(frame, feed, name, part, self._engine, options):
            in_hand[:] = [one.entry.file]
            yield one
