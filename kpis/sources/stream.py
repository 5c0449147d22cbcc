"""A stream as a source of batches, each of one partition: messages are read ahead of the ledger, within limits."""

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
from kpis.sources.messages import Messages
from kpis.sources.positions import Origin, Partition, Recreated
from kpis.sources.spool import Spool

MESSAGES_AT_ONCE = 10_000
LARGEST_MESSAGE_BYTES = 2**20

AnySpool = TypeVar("AnySpool", bound=Spool)


@dataclass(frozen=True)
class Limits:
    """The limits at which a batch is full: messages or bytes (``size``) of all partitions together, or seconds."""

    messages: int
    size: int
    seconds: float


@dataclass
class _Pending(Generic[AnySpool]):
    """A partition's messages that were read and are in no batch yet."""

    spool: AnySpool
    # When the first of them was read.
    since: float


class Stream(ABC, Generic[AnySpool]):
    """A stream of a feed's messages. Those that were read and are not ingested are in the folder, within the limits.

    The ledger has the position of each partition; ``_positions`` are those that it last returned.
    """

    def __init__(self, feed: Feed, name: str, limits: Limits, folder: Path):
        self.feed, self.name = feed, name
        self._limits, self._folder = limits, folder
        self._pending: dict[Any, _Pending[AnySpool]] = {}
        # The batches that are to be ingested next, or the parts into which they were split, a partition's in order.
        self._in_hand: list[Messages] = []
        self._positions: Mapping[Any, Any] = {}
        # The origin of each partition's messages that are being read.
        self._origins: dict[Any, Origin] = {}
        # Recreated topics that are to be reported, and those that were.
        self._recreated: list[Recreated] = []
        self._known_recreated: set[Recreated] = set()
        # True if this process was assigned partitions since it was last asked.
        self._is_reassigned = False
        # True if all must be read again from the ledger's positions.
        self._is_stale = False
        # True if as much is waiting to be read as is read at once.
        self._are_more_waiting = False
        self._largest = 0
        # When everything that had arrived was read, and when something last arrived.
        self._empty_at = self._quiet_since = time.monotonic()
        self._numbers = count()

    @abstractmethod
    def poll(self, seconds: float) -> None:
        """Read for up to ``seconds``, or until a batch is due; wait while as much is pending as the limits allow.

        Raises SourceError.
        """

    @abstractmethod
    def lag(self) -> int | None:
        """Return how many messages of this process's partitions are not ingested, as far as known; None if unknown."""

    @abstractmethod
    def is_caught_up(self) -> bool:
        """Return True if this process has partitions and all their messages are ingested."""

    @abstractmethod
    def is_idle(self, seconds: float) -> bool:
        """Return True if all messages of this process's partitions are ingested and none arrived for ``seconds``."""

    @abstractmethod
    def _is_same(self) -> bool:
        """Return True if everything pending was read from the topic or stream that has the name now.

        Asked after the reading, so that later changes do not matter. If False, all is read again. Raises SourceError.
        """

    @abstractmethod
    def _ask_ledger(self) -> Mapping[Any, Any]:
        """Return the ledger's position of each partition."""

    @abstractmethod
    def _new_spool(self, partition: Partition, path: Path) -> AnySpool:
        """Return a new spool for a partition's messages."""

    def due(self) -> bool:
        """Return True if a batch is due: there is no room for more, or a partition's messages are old enough.

        While more messages are waiting to be read, only room counts: a reader that is behind catches up in large
        batches.
        """
        if self._in_hand:
            return True
        is_by_age = not self._are_more_waiting and not self._due_in()
        return (is_by_age or (bool(self._pending) and not self._room())) and self._is_same()

    def recreated(self) -> list[Recreated]:
        """Return the topics and streams that were found to be recreated since the last call."""
        news, self._recreated = self._recreated, []
        return news

    def reassigned(self) -> bool:
        """Return True if this process was assigned partitions since the last call: another one may have had them."""
        is_reassigned, self._is_reassigned = self._is_reassigned, False
        return is_reassigned

    def batches(self) -> list[Messages]:
        """Return the batches to ingest next, one a partition, each of all that is pending of it.

        The partitions come together, as their messages mostly lie in the same intervals, which are then computed and
        written once. Each batch must be acknowledged or cut. Of one that was cut only the next part is among them.
        """
        if not self._in_hand:
            for partition in sorted(self._pending, key=lambda partition: self._pending[partition].since):
                spool = self._pending.pop(partition).spool
                origin = self._origins.get(partition, Origin())
                self._in_hand.append(spool.messages(self.name, partition, self._positions.get(partition), origin))
        firsts: dict[Any, Messages] = {}
        for messages in self._in_hand:
            firsts.setdefault(messages.partition, messages)
        return list(firsts.values())

    def acknowledge(self, messages: Messages) -> None:
        """Mark one of the ``batches`` as ingested, and remove its file."""
        self._in_hand.remove(messages)
        messages.path.unlink()
        self._positions = {**self._positions, messages.partition: messages.new_position}

    def cut(self, messages: Messages) -> None:
        """Replace one of the ``batches`` by its halves, as it cannot be ingested as a whole."""
        place = self._in_hand.index(messages)
        self._in_hand[place : place + 1] = messages.halves()

    def follows_on(self, messages: Messages) -> bool:
        """Return True if the batch starts at the committed position; else all is read again from there."""
        is_in_hand = messages in self._in_hand
        if is_in_hand and self._ask_ledger().get(messages.partition) == messages.position:
            return True
        self._is_stale = True
        return False

    def _note_recreated(self, reason: str) -> None:
        """Report, once, that the topic or stream is another one of its name."""
        news = Recreated(self.name, reason)
        if news not in self._known_recreated:
            self._known_recreated.add(news)
            self._recreated.append(news)

    def _spool(self, partition: Partition) -> AnySpool:
        """Return the spool of a partition's messages."""
        if partition not in self._pending:
            path = self._folder / f"messages-{next(self._numbers)}-of-{partition}-"
            self._pending[partition] = _Pending(self._new_spool(partition, path), self._empty_at)
        return self._pending[partition].spool

    def _due_in(self) -> float:
        """Return the seconds until a batch is due by its age; infinite if nothing is pending."""
        oldest = min((pending.since for pending in self._pending.values()), default=math.inf)
        return max(0.0, oldest + self._limits.seconds - time.monotonic())

    def _room(self) -> int:
        """Return how many more messages may be pending."""
        waiting: list[Messages | Spool] = [*self._in_hand, *(pending.spool for pending in self._pending.values())]
        messages = self._limits.messages - sum(one.count for one in waiting)
        size = self._limits.size - sum(one.size for one in waiting)
        room = min(messages, size // (self._largest or LARGEST_MESSAGE_BYTES), MESSAGES_AT_ONCE)
        # A message larger than the limit of a batch is a batch by itself.
        return max(0 if waiting else 1, room)

    def _forget(self) -> None:
        """Drop what is pending."""
        for pending in self._pending.values():
            pending.spool.discard()
        for messages in self._in_hand:
            messages.path.unlink(missing_ok=True)
        self._pending.clear()
        self._in_hand.clear()
        self._empty_at = self._quiet_since = time.monotonic()
