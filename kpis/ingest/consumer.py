"""The consumer of a stream: ingests its messages batch by batch, each batch like a file.

The batches that are due together, one a partition, are committed together: their results and the partitions' new
offsets in one transaction. In between the consumer releases the lock, so that other consumers and runs over files can
work.
"""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Generic, Protocol, TypeVar

from django.db import close_old_connections

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.registry import whole_from
from kpis.live.announcements import Announcer
from kpis.live.presence import Presence
from kpis.models import Run
from kpis.sources.messages import Messages
from kpis.sources.positions import Recreated
from kpis.sources.stream import Stream
from kpis.stages.group import Group, prepare_all
from kpis.store.errors import AlreadyRunning, SeveralFailed
from kpis.store.ledger import DatabaseLedger
from kpis.store.locks import ledger_lock
from kpis.store.runs import recorded_run
from network_analysis.logs import RUN

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
# The interval in seconds at which a quiet stream closes intervals.
CLOSE_SECONDS = 60


class Readable(Protocol):
    """The methods of a stream that every consumer uses."""

    @property
    def feed(self) -> Feed: ...
    @property
    def name(self) -> str: ...

    def poll(self, seconds: float) -> None: ...
    def recreated(self) -> list[Recreated]: ...
    def reassigned(self) -> bool: ...
    def due(self) -> bool: ...
    # Both answer from the last poll, so that an idle consumer always closes by the clock before it ends.
    def is_caught_up(self) -> bool: ...
    def is_idle(self, seconds: float) -> bool: ...
    def lag(self) -> int | None: ...


AnyReadable = TypeVar("AnyReadable", bound=Readable)


class BaseConsumer(ABC, Generic[AnyReadable]):
    """The base of consumers. All batches of a process are recorded as one run, which ends with the newest batch."""

    def __init__(
        self,
        stream: AnyReadable,
        engine: pipeline.Engine,
        options: pipeline.Options,
        command: str,
        report: pipeline.Report,
    ) -> None:
        self._stream, self._engine, self._options = stream, engine, options
        self._command, self._report = command, report
        self._run: Run | None = None
        self._notes: list[str] = []
        self._presence = Presence(stream.feed.name, stream.name)
        self._announcer = Announcer()
        # The time of the next closing by the clock (monotonic): at first as soon as all is ingested, as a consumer that
        # was killed may have left intervals open.
        self._close_at: float = 0

    def work(self, until_idle: float | None, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        """Yield events while batches are ingested, until stopped or idle for ``until_idle`` seconds."""
        try:
            yield from self._work(until_idle, is_stopped)
        finally:
            self._presence.end()

    def _work(self, until_idle: float | None, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        while not is_stopped():
            self._stream.poll(POLL_SECONDS)
            self._presence.report(self._stream.lag())
            yield from self._noted(self._stream.recreated())
            if self._stream.reassigned():
                # The consumer that had the partitions may have been killed before it closed their intervals.
                self._close_at = 0
            if self._stream.due():
                yield from self._ingest(is_stopped)
            elif self._stream.is_caught_up() and time.monotonic() >= self._close_at:
                yield from self._close()
            elif until_idle is not None and self._stream.is_idle(until_idle):
                return

    @abstractmethod
    def _ingest(self, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        """Ingest what is due, once the lock is free."""

    @contextmanager
    def _recorded(self) -> Iterator[Run]:
        with recorded_run(self._command, self._report, self._run) as run:
            run.notes = "\n".join(self._notes)
            yield run

    def _noted(self, events: Iterable[pipeline.Recreated]) -> Iterator[pipeline.Event]:
        """Yield the events, which are written to the run's notes with its next batch."""
        for event in events:
            self._notes.append(f"{event.what} was recreated: {event.reason}")
            yield event

    def _close(self) -> Iterator[pipeline.Event]:
        close_old_connections()
        try:
            with ledger_lock(), self._recorded() as self._run:
                ledger = DatabaseLedger(self._run)
                reopened = ledger.adjust_watermarks(ledger.clocks(), self._options.allowed_lateness)
                self._close_by_clock(ledger)
                events = pipeline.roll_up(ledger, self._engine, self._options)
                yield from self._reported(chain(reopened, events))
        except AlreadyRunning:
            logger.debug("lock busy", extra={"command": self._command})

    def _close_by_clock(self, ledger: DatabaseLedger) -> None:
        """Close past intervals by the clock: once caught up, nothing older than the allowed lateness can arrive."""
        are_all_closed = ledger.close_by_clock(self._stream.feed, self._options.allowed_lateness)
        self._close_at = math.inf if are_all_closed else time.monotonic() + CLOSE_SECONDS

    def _reported(self, events: Iterable[pipeline.Event]) -> Iterator[pipeline.Event]:
        for event in events:
            self._report.add(event)
            yield event


class Consumer(BaseConsumer[Stream]):
    """The consumer of a stream, whose partitions several processes may share."""

    def _ingest(self, is_stopped: Callable[[], bool]) -> Iterator[pipeline.Event]:
        """Yield the events of the batches that are due, prepared without the lock and committed together under it."""
        batches = self._stream.batches()
        close_old_connections()
        # Records too late for their intervals to be recomputed are rejected one by one, and do not fail the batch.
        earliest = whole_from(self._stream.feed, DatabaseLedger().kept_from(self._stream.feed))
        options = replace(self._options, clocks=DatabaseLedger().clocks())
        with prepare_all(batches, self._engine, options, earliest=earliest) as group:
            while not is_stopped():
                close_old_connections()
                try:
                    with ledger_lock():
                        if all(self._stream.follows_on(messages) for messages in batches):
                            yield from self._run_with(group, batches)
                        return
                except AlreadyRunning:
                    # Meanwhile messages are read ahead, within the limits.
                    logger.debug("lock busy", extra={"command": self._command})
                    self._stream.poll(POLL_SECONDS)
                    self._presence.report(self._stream.lag())

    def _run_with(self, group: Group, batches: list[Messages]) -> Iterator[pipeline.Event]:
        with self._recorded() as self._run:
            RUN.set(self._run.pk)
            ledger = DatabaseLedger(self._run)
            events = pipeline.run_group(group, ledger, self._engine, self._options)
            by_name = {messages.name: messages for messages in batches}
            # The batches' own events come first, then those of the rollups that are due.
            of_batches = []
            try:
                for event in islice(events, len(batches)):
                    of_batches.append(event)
                    self._stream.acknowledge(by_name[pipeline.batch_of(event)])
            except SeveralFailed as error:
                # If the database or the lake refuses a message, the batch is split until that message fails alone.
                self._stream.cut(by_name[error.batch.name])
            if not of_batches:
                return
            self._announcer.announce()
            # If no later messages arrive, the intervals must be closed by the clock.
            self._close_at = 0
            if self._stream.is_caught_up():
                self._close_by_clock(ledger)
            yield from self._reported(chain(of_batches, events))
