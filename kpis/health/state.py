"""Whether the parts that a run and the API need work, and how old the newest data are."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from kpis.catalog.registry import FEEDS
from kpis.lake import LakeError
from kpis.models import Watermark
from kpis.storage import Address, BucketAddress, bucket_at
from kpis.store.binding import check_ids, lake_storage


@dataclass(frozen=True)
class State:
    """``ages`` has the seconds since the end of each feed's newest interval, see ``interval_ages``; None where the
    database is silent."""

    database: bool
    lake: bool
    ages: dict[str, float | None] | None

    @property
    def fresh(self) -> bool:
        """Whether every feed's newest interval is at most HEALTH_MAX_AGE seconds old, and any has come in at all."""
        if settings.HEALTH_MAX_AGE is None:
            return True
        if not self.ages:
            return False
        return all(age is not None and age <= settings.HEALTH_MAX_AGE for age in self.ages.values())

    @property
    def ok(self) -> bool:
        return self.database and self.lake and self.fresh


def current() -> State:
    """The state at this moment; asks the database three short questions and writes nothing."""
    try:
        ages = interval_ages(timezone.now())
    except DatabaseError:
        # The next request gets a connection of its own.
        connection.close()
        ages = None
    # Whose lake it is only the database can tell.
    lake = can_be_written(settings.LAKE_DIR) and (ages is None or _is_ours())
    return State(database=ages is not None, lake=lake, ages=ages)


def _is_ours() -> bool:
    """True unless the lake belongs to another database, or this database to another lake, as where none is mounted."""
    try:
        check_ids(lake_storage())
    except LakeError:
        return False
    except DatabaseError:
        # That is told by itself.
        connection.close()
    return True


def interval_ages(now: datetime) -> dict[str, float | None]:
    """The seconds since the end of the newest interval of every feed that has taken anything in.

    0 while that is under way; None where it has not begun, or all there is lies ahead: then a clock is wrong, and
    nobody knows.
    """
    return {mark.feed: _age(mark, now) for mark in Watermark.objects.order_by("feed")}


def _age(mark: Watermark, now: datetime) -> float | None:
    end = mark.interval_end_timestamp
    if end is None or end - FEEDS[mark.feed].interval.delta > now:
        return None
    return max(0.0, (now - end).total_seconds())


def can_be_written(place: Address) -> bool:
    """Whether this process may write in the folder, or make it, and its disk has room; whether a bucket answers."""
    if isinstance(place, BucketAddress):
        try:
            next(bucket_at(place).pages(), None)
        except OSError:
            return False
        return True
    folder = place
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free > 0
    except OSError:
        return False
