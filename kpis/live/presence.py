"""The presence of consumers: each reports now and then that it is at work, and its lag."""

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

REPORT_SECONDS = 1.0
# A consumer that has not reported for PRESENT is not counted, and after FORGOTTEN its row is deleted.
PRESENT = timedelta(seconds=15)
FORGOTTEN = timedelta(hours=1)


class Presence:
    """This process as a consumer of a topic."""

    def __init__(self, feed: str, topic: str):
        self._values = {"feed": feed, "topic": topic}
        self._key = {"host": socket.gethostname(), "process": os.getpid()}
        self._due = 0.0

    def report(self, lag: int | None) -> None:
        """Report, at most once in REPORT_SECONDS, how many messages of its partitions are not ingested, if known."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + REPORT_SECONDS
        now = timezone.now()
        values = {**self._values, "lag": lag, "reported_at": now}
        with _indifferent():
            self._put(values, now)

    def end(self) -> None:
        """Report that it has ended."""
        with _indifferent():
            StreamConsumer.objects.filter(**self._key).delete()

    def _put(self, values: dict[str, Any], now: datetime) -> None:
        if not StreamConsumer.objects.filter(**self._key).update(**values):
            StreamConsumer.objects.create(**self._key, **values)
            StreamConsumer.objects.filter(reported_at__lt=now - FORGOTTEN).delete()


@contextmanager
def _indifferent() -> Iterator[None]:
    """Ignore errors of the database: the next batch finds out if it can be used."""
    try:
        yield
    except DatabaseError:
        connection.close()
