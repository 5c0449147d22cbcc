"""A stream as a source of batches, each of one of its partitions: what is read and not in yet, within limits."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from kpis.catalog.feeds import Feed
from kpis.sources.messages import Messages, Origin, Partition
from kpis.sources.spool import Spool

MESSAGES_AT_ONCE = 10_000
LARGEST_MESSAGE_BYTES = 2**20

AnySpool = TypeVar("AnySpool", bound=Spool)


@dataclass(frozen=True)
class Limits:
    """When a batch is full: so many messages or bytes (``size``), of all partitions together, or so many seconds."""

    messages: int
    size: int
    seconds: float


@dataclass(frozen=True)
class Recreated:
    """A topic or stream was deleted and created again under its name, and is read from its beginning.

    ``what`` names it and ``reason`` says by what it shows, and how its batches are named from here on.
    """

    what: str
    reason: str


@dataclass
class _Pending(Generic[AnySpool]):
    """A partition's messages that are read and in no batch yet."""

    spool: AnySpool
    # None of them came before.
    since: float


class Stream(ABC, Generic[AnySpool]):
    """A stream of a feed's messages. What of it is read and not in lies in the folder, below the limits.

    Up to where each partition is in is the ledger's to say, and in ``_positions`` as it was last asked.
    """

    def __init__(self, feed: Feed, name: str, limits: Limits, folder: Path):
        self.feed, self.name = feed, name
        self._limits, self._folder = limits, folder
        self._pending: dict[Any, _Pending[AnySpool]] = {}
        # Whose batches come now, one after the other.
        self._turn: set[Any] = set()
        # The batch that is to be ingested next, or the parts that it had to be cut into.
        self._in_hand: list[Messages] = []
        self._positions: Mapping[Any, Any] = {}
        # What each partition's messages that are being read come from.
        self._origins: dict[Any, Origin] = {}
        # What is to be said, and what was said before.
        self._recreated: list[Recreated] = []
        self._known_recreated: set[Recreated] = set()
        # True if all is to be read again from where the ledger is.
        self._is_stale = False
        # Whether there is as much to read as is read at once.
        self._are_more_waiting = False
        self._largest = 0
        # When all that had come by then was read, and when something came.
        self._empty_at = self._quiet_since = time.monotonic()
        self._numbers = count()

    @abstractmethod
    def poll(self, seconds: float) -> None:
        """Reads on for at most so long, or until a batch is due; waits where as much is pending as may be.

        Raises SourceError.
        """

    @abstractmethod
    def lag(self) -> int | None:
        """How many messages of this process's partitions are not in, as far as it has heard; None: unknown."""

    @abstractmethod
    def is_caught_up(self) -> bool:
        """Whether this process has partitions, and all there is in them is in."""

    @abstractmethod
    def is_idle(self, seconds: float) -> bool:
        """Whether all there is in this process's partitions, if any, is in, and nothing came for so long."""

    @abstractmethod
    def _is_same(self) -> bool:
        """True if all that is pending was read from the topic or stream that still has the name.

        Asked after it was read, so that it holds whatever comes later. Else all is read again. Raises SourceError.
        """

    @abstractmethod
    def _ask_ledger(self) -> Mapping[Any, Any]:
        """Up to where the ledger has each partition now."""

    @abstractmethod
    def _new_spool(self, partition: Partition, path: Path) -> AnySpool:
        """What a partition's messages are put into next."""

    def due(self) -> bool:
        """Whether there is a batch by now: there is no room for more, or a partition's messages are old enough.

        As long as more are waiting to be read, only room counts: who is behind catches up in large batches. With one
        partition's messages those of all others come, so that they are on a page together.
        """
        if self._in_hand:
            return True
        if not self._turn and not self._are_more_waiting and not self._due_in():
            self._turn = set(self._pending)
        is_due = bool(self._turn) or (bool(self._pending) and not self._room())
        return is_due and self._is_same()

    def recreated(self) -> list[Recreated]:
        """What has shown since this was asked last: topics and streams that were recreated."""
        news, self._recreated = self._recreated, []
        return news

    def batch(self) -> Messages:
        """Return the batch to ingest next: all of the partition that is due. The one before must be acknowledged."""
        if not self._in_hand:
            partition = self._next()
            self._turn.discard(partition)
            spool = self._pending.pop(partition).spool
            origin = self._origins.get(partition, Origin())
            self._in_hand.append(spool.messages(self.name, partition, self._positions.get(partition), origin))
        return self._in_hand[-1]

    def acknowledge(self, messages: Messages) -> None:
        """Record that the batch in hand was ingested, and remove its file."""
        self._in_hand.remove(messages)
        messages.path.unlink()
        self._positions = {**self._positions, messages.partition: messages.new_position}

    def cut(self, messages: Messages) -> None:
        """Puts the halves of the batch in hand in its place, as not all of it can go in as one."""
        self._in_hand.remove(messages)
        first, second = messages.halves()
        self._in_hand += [second, first]

    def follows_on(self, messages: Messages) -> bool:
        """True if the batch starts at the committed position; else all is read again from there."""
        is_in_hand = messages in self._in_hand
        if is_in_hand and self._ask_ledger().get(messages.partition) == messages.position:
            return True
        self._is_stale = True
        return False

    def _note_recreated(self, reason: str) -> None:
        """Has it said, once, that the topic or stream is another one of its name."""
        news = Recreated(self.name, reason)
        if news not in self._known_recreated:
            self._known_recreated.add(news)
            self._recreated.append(news)

    def _spool(self, partition: Partition) -> AnySpool:
        """What a partition's messages go into."""
        if partition not in self._pending:
            path = self._folder / f"messages-{next(self._numbers)}-of-{partition}-"
            self._pending[partition] = _Pending(self._new_spool(partition, path), self._empty_at)
        return self._pending[partition].spool

    def _next(self) -> Partition:
        """The partition to ingest next: the oldest of those whose turn it is, else the largest."""
        if self._turn:
            return min(self._turn, key=lambda partition: self._pending[partition].since)
        return max(self._pending, key=lambda partition: self._pending[partition].spool.count)

    def _due_in(self) -> float:
        """How many seconds until a batch is due by its age; where nothing is pending, none ever is."""
        if self._turn:
            return 0.0
        oldest = min((pending.since for pending in self._pending.values()), default=math.inf)
        return max(0.0, oldest + self._limits.seconds - time.monotonic())

    def _room(self) -> int:
        """How many more messages may be pending."""
        waiting: list[Messages | Spool] = [*self._in_hand, *(pending.spool for pending in self._pending.values())]
        messages = self._limits.messages - sum(one.count for one in waiting)
        size = self._limits.size - sum(one.size for one in waiting)
        room = min(messages, size // (self._largest or LARGEST_MESSAGE_BYTES), MESSAGES_AT_ONCE)
        # A message that is larger than a batch may be is one by itself.
        return max(0 if waiting else 1, room)

    def _forget(self) -> None:
        """Forgets what is pending."""
        for pending in self._pending.values():
            pending.spool.discard()
        for messages in self._in_hand:
            messages.path.unlink(missing_ok=True)
        self._pending.clear()
        self._turn.clear()
        self._in_hand.clear()
        self._empty_at = self._quiet_since = time.monotonic()
