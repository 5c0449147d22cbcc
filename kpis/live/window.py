"""The window of live counts: the last quarter of an hour, and its changes since the last frame."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from kpis.catalog.intervals import EPOCH
from kpis.catalog.live import (
    MINUTE,
    MOST_GROUPS,
    OTHERS,
    SCORED,
    SCORED_FEED,
    SCORED_MINUTES,
    SECOND,
    SHOWN_SECONDS,
    live_dimensions,
    live_feeds,
)
from kpis.live.presence import PRESENT
from kpis.models import LiveCount, LiveFeed, StreamConsumer

RATE_SECONDS = 10
LEAST_MINUTES = 5
# A feed without a batch for this long has a rate of 0.
STALLED = PRESENT

# The counts of one second or minute: records by dimension and group.
Groups = dict[str, dict[str, int]]


@dataclass
class _Feed:
    """A feed's seconds and minutes by their starts in Unix time, as read up to a revision."""

    revision: int = 0
    committed_at: datetime = EPOCH
    delay: float | None = None
    counts: dict[int, dict[int, Groups]] = field(default_factory=lambda: {SECOND: {}, MINUTE: {}})

    def total(self, second: int) -> int:
        """Return the number of records in a second."""
        for groups in self.counts[SECOND].get(second, {}).values():
            return sum(groups.values())
        return 0


class Window:
    """The live counts as they were last read from the database."""

    def __init__(self) -> None:
        # The feed of each dimension, by their names.
        self._feed_of = {one.name: feed.name for feed in live_feeds() for one in live_dimensions(feed)}
        self._feeds = {feed.name: _Feed() for feed in live_feeds()}
        self._names: dict[str, set[str]] = defaultdict(set)
        self._consumers: dict[str, dict[str, Any]] = {}
        self._now = EPOCH
        self._newest: int | None = None
        self._scores: list[dict[str, Any]] = []
        # Dimension, group and second of each count that has changed since the last frame.
        self._changed: set[tuple[str, str, int]] = set()
        self._sent: tuple[Any, ...] = ()
        self._sent_scores: list[dict[str, Any]] = []

    def read(self) -> bool:
        """Read what is new in the database; return True if a batch arrived."""
        self._now = timezone.now()
        changed = False
        for live in LiveFeed.objects.filter(feed__in=self._feeds):
            feed = self._feeds[live.feed]
            if live.revision < feed.revision:
                # Another database than before, such as a restored one.
                feed = self._feeds[live.feed] = _Feed()
            if live.revision > feed.revision:
                self._read_feed(live, feed)
                changed = True
        self._consumers = _consumers(self._now)
        newest = self._newest_of(*self._feeds.values())
        if changed or newest != self._newest:
            self._newest = newest
            self._forget()
            self._scores = self._scored()
        return changed

    def window(self) -> dict[str, Any]:
        """Return the whole window, for a page that opens."""
        return {
            "type": "window",
            "newest": self._newest,
            "seconds": SHOWN_SECONDS,
            "feeds": self._facts(),
            "counts": {dimension: self._series(feed, dimension) for dimension, feed in self._feed_of.items()},
            "scores": self._scores,
        }

    def frame(self, even_so: bool = False) -> dict[str, Any] | None:
        """Return the changes since the last frame; if there are none, None, or an empty frame if ``even_so``."""
        state, counts = (self._newest, self._facts()), self._changes()
        if state == self._sent and not counts and self._scores == self._sent_scores and not even_so:
            return None
        frame: dict[str, Any] = {"type": "frame", "newest": state[0], "feeds": state[1], "counts": counts}
        if self._scores != self._sent_scores:
            frame["scores"] = self._scores
        self._sent, self._sent_scores = state, self._scores
        return frame

    def _read_feed(self, live: LiveFeed, feed: _Feed) -> None:
        rows = LiveCount.objects.filter(feed=live.feed, revision__gt=feed.revision).order_by("start_timestamp")
        for length, start, revision, groups in rows.values_list("length", "start_timestamp", "revision", "groups"):
            # A batch committed after the feed's row was read has all of its counts in the next reading too.
            live.revision = max(live.revision, revision)
            self._take(feed, length, int(start.timestamp()), groups)
        feed.revision, feed.committed_at, feed.delay = live.revision, live.committed_at, live.delay

    def _take(self, feed: _Feed, length: int, start: int, groups: Groups) -> None:
        known = feed.counts[length].get(start, {})
        # Those that a former catalog counted are left out.
        known_to_page = groups.keys() & self._feed_of.keys()
        found = {dimension: self._named(dimension, groups[dimension]) for dimension in sorted(known_to_page)}
        feed.counts[length][start] = found
        if length == SECOND:
            for dimension, counts in found.items():
                before = known.get(dimension, {})
                for name, count in counts.items():
                    if before.get(name) != count:
                        self._changed.add((dimension, name, start))

    def _named(self, dimension: str, counts: dict[str, int]) -> dict[str, int]:
        """Sum counts by the groups that are shown by name, at most MOST_GROUPS per dimension; all others are OTHERS."""
        names, found = self._names[dimension], dict[str, int]()
        for name, count in counts.items():
            if name not in names and len(names) < MOST_GROUPS:
                names.add(name)
            key = name if name in names else OTHERS
            found[key] = found.get(key, 0) + count
        return found

    def _forget(self) -> None:
        if self._newest is None:
            return
        for feed in self._feeds.values():
            for length, kept in ((SECOND, SHOWN_SECONDS), (MINUTE, (SCORED_MINUTES + 2) * 60)):
                for start in [start for start in feed.counts[length] if start <= self._newest - kept]:
                    del feed.counts[length][start]

    def _facts(self) -> dict[str, dict[str, Any]]:
        """Return each feed's properties besides its counts."""
        return {
            name: {
                "rate": self._rate(feed),
                "delay": None if feed.delay is None else round(feed.delay, 2),
                "lag": None,
                "consumers": 0,
                **self._consumers.get(name, {}),
            }
            for name, feed in self._feeds.items()
        }

    def _newest_of(self, *feeds: _Feed) -> int | None:
        """Return the newest second with records that is not in the future."""
        now = int(self._now.timestamp())
        return max((second for feed in feeds for second in feed.counts[SECOND] if second <= now), default=None)

    def _rate(self, feed: _Feed) -> float:
        """Return the records per second over the last whole seconds of the feed's own time; 0 if it has stalled."""
        newest = self._newest_of(feed)
        if newest is None or self._now - feed.committed_at > STALLED:
            return 0
        return sum(feed.total(newest - back) for back in range(1, RATE_SECONDS + 1)) / RATE_SECONDS

    def _series(self, feed: str, dimension: str) -> dict[str, list[int | None]]:
        if self._newest is None:
            return {}
        seconds = [
            self._feeds[feed].counts[SECOND].get(second)
            for second in range(self._newest - SHOWN_SECONDS + 1, self._newest + 1)
        ]
        names = sorted({name for groups in seconds if groups for name in groups.get(dimension, ())})
        return {
            name: [None if groups is None else groups.get(dimension, {}).get(name, 0) for groups in seconds]
            for name in names
        }

    def _changes(self) -> dict[str, dict[str, list[list[int]]]]:
        """Return the counts that changed since the last call: by dimension and group, second and count."""
        found: dict[str, dict[str, list[list[int]]]] = {}
        newest, changed = self._newest or 0, self._changed
        # Counts of seconds ahead of the clock wait for their second.
        self._changed = {change for change in changed if change[2] > newest}
        for dimension, name, second in sorted(changed - self._changed):
            groups = self._feeds[self._feed_of[dimension]].counts[SECOND].get(second)
            if groups is not None:
                found.setdefault(dimension, {}).setdefault(name, []).append([second, groups[dimension][name]])
        return found

    def _scored(self) -> list[dict[str, Any]]:
        feed = self._feeds[SCORED_FEED]
        newest = self._newest_of(feed)
        if newest is None:
            return []
        last = newest // 60 * 60 - 60
        minutes = {start: groups.get(SCORED, {}) for start, groups in feed.counts[MINUTE].items()}
        before = [minutes[start] for start in range(last - SCORED_MINUTES * 60, last, 60) if start in minutes]
        return list(_scores(minutes.get(last), before))


def _scores(last: dict[str, int] | None, before: list[dict[str, int]]) -> Iterable[dict[str, Any]]:
    """Return each group's deviation in the last minute from its minutes before, in sample standard deviations."""
    if last is None or len(before) < LEAST_MINUTES:
        return []
    names = {*last, *(name for minute in before for name in minute)} - {OTHERS}
    scores = [_score(name, last.get(name, 0), [minute.get(name, 0) for minute in before]) for name in names]
    return sorted(scores, key=lambda one: (-abs(one["score"] or 0), one["county"]))


def _score(name: str, count: int, before: list[int]) -> dict[str, Any]:
    number, total = len(before), sum(before)
    # In whole numbers, so that equal counts have a deviation of exactly 0.
    spread = number * sum(one * one for one in before) - total * total
    mean, deviation = total / number, math.sqrt(spread / (number * (number - 1)))
    return {
        "county": name,
        "score": round((count - mean) / deviation, 2) if spread else None,
        "count": count,
        "mean": round(mean, 2),
        "deviation": round(deviation, 2),
        "minutes": number,
    }


def _consumers(now: datetime) -> dict[str, dict[str, Any]]:
    """Return by feed how many consumers there are, and their total lag."""
    present = StreamConsumer.objects.filter(reported_at__gt=now - PRESENT).order_by()
    found: dict[str, list[int | None]] = defaultdict(list)
    for feed, lag in present.values_list("feed", "lag"):
        found[feed].append(lag)
    return {
        feed: {"consumers": len(lags), "lag": None if None in lags else sum(lag for lag in lags if lag is not None)}
        for feed, lags in found.items()
    }
