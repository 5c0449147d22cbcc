"""Who takes the streams in: each consumer tells now and then that it is there, and how much it has before it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from kpis.models import StreamConsumer

TELL_SECONDS = 1.0
# One that has not told for so long is not counted, and after FORGOTTEN its row goes.
PRESENT = timedelta(seconds=15)
FORGOTTEN = timedelta(hours=1)


class Presence:
    """This process as a consumer of a topic."""

    def __init__(self, feed: str, topic: str):
        self._values = {"feed": feed, "topic": topic}
        self._key = {"host": socket.gethostname(), "process": os.getpid()}
        self._due = 0.0

    def tell(self, lag: int | None) -> None:
        """Tells, at most once in TELL_SECONDS, how many messages of its partitions are not in (None: unknown)."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + TELL_SECONDS
        now = timezone.now()
        values = {**self._values, "lag": lag, "told_at": now}
        with _indifferent():
            self._put(values, now)

    def end(self) -> None:
        """Tells that it is there no more."""
        with _indifferent():
            StreamConsumer.objects.filter(**self._key).delete()

    def _put(self, values: dict[str, Any], now: datetime) -> None:
        if not StreamConsumer.objects.filter(**self._key).update(**values):
            StreamConsumer.objects.create(**self._key, **values)
            StreamConsumer.objects.filter(told_at__lt=now - FORGOTTEN).delete()


@contextmanager
def _indifferent() -> Iterator[None]:
    """Whether the database can be used is for the next batch to find out."""
    try:
        yield
    except DatabaseError:
        connection.close()
