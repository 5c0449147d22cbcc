"""The state of the parts that a run and the API need, and the age of the newest data."""

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
    """The state of the installation.

    ``ages`` has the seconds since the end of each feed's newest interval, see ``interval_ages``; None if the database
    does not answer.
    """

    database: bool
    lake: bool
    ages: dict[str, float | None] | None

    @property
    def fresh(self) -> bool:
        """True if something was ingested and every feed's newest interval ended at most HEALTH_MAX_AGE seconds ago."""
        if settings.HEALTH_MAX_AGE is None:
            return True
        if not self.ages:
            return False
        return all(age is not None and age <= settings.HEALTH_MAX_AGE for age in self.ages.values())

    @property
    def ok(self) -> bool:
        return self.database and self.lake and self.fresh


def current() -> State:
    """Return the present state. Runs three short queries and writes nothing."""
    try:
        ages = interval_ages(timezone.now())
    except DatabaseError:
        # The next request opens a new connection.
        connection.close()
        ages = None
    # Only the database knows whose lake it is.
    lake = can_be_written(settings.LAKE_DIR) and (ages is None or _is_ours())
    return State(database=ages is not None, lake=lake, ages=ages)


def _is_ours() -> bool:
    """Return True unless lake and database belong to others, as when the lake's disk is not mounted."""
    try:
        check_ids(lake_storage())
    except LakeError:
        return False
    except DatabaseError:
        # ``database`` reports that.
        connection.close()
    return True


def interval_ages(now: datetime) -> dict[str, float | None]:
    """Return the seconds since the end of the newest interval of every feed that has ingested anything.

    0 during that interval. None if it has not begun, or if all intervals are in the future: then a clock is wrong and
    the age is unknown.
    """
    return {mark.feed: _age(mark, now) for mark in Watermark.objects.filter(feed__in=FEEDS).order_by("feed")}


def _age(mark: Watermark, now: datetime) -> float | None:
    end = mark.newest_interval_end
    if end is None or end - FEEDS[mark.feed].interval.delta > now:
        return None
    return max(0.0, (now - end).total_seconds())


def can_be_written(place: Address) -> bool:
    """Return True if this process can write to or create the folder and has disk space, or if the bucket answers."""
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
