"""The newest values: each feed's newest interval, and each KPI's total there compared with those before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, kpis_of
from kpis.console import sparkline
from kpis.console.figures import Change, earlier
from kpis.console.interval_groups import newest
from kpis.models import IntervalSummary, Watermark
from kpis.query.intervals import default_length

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class NewestTotal:
    """A KPI's total in its newest interval, and in the day before it: ``values`` by the intervals' starts."""

    kpi: KPI
    length: Length
    summary: IntervalSummary
    values: dict[datetime, float]

    @property
    def start(self) -> datetime:
        return self.summary.interval_start_timestamp

    @property
    def value(self) -> float | None:
        return self.values.get(self.start)

    @property
    def changes(self) -> dict[str, Change]:
        """The changes from the intervals before that it is compared with, by words for these."""
        before = earlier(self.length, self.start)
        return {words: Change(self.value, self.values.get(start)) for words, start in before.items()}

    @property
    def line(self) -> str:
        """The day up to the interval, as far as there are values, as an SVG path."""
        first = min(self.values)
        until = self.length.end(self.start)
        return sparkline.path([self.values.get(start) for start in self.length.starts(first, until)])


@dataclass(frozen=True)
class FeedNews:
    """A feed's newest interval ``[start, end)``, the seconds since its end, and its KPIs' newest totals."""

    feed: Feed
    start: datetime
    end: datetime
    age: float
    totals: list[NewestTotal]


def feed_news(now: datetime, hidden: Iterable[int]) -> list[FeedNews]:
    """Return the news of every feed with records, without the hidden KPIs."""
    ends = dict(Watermark.objects.values_list("feed", "newest_interval_end"))
    return [
        FeedNews(
            feed,
            start=end - feed.interval.delta,
            end=end,
            age=max(0.0, (now - end).total_seconds()),
            totals=[
                total for kpi in kpis_of(feed) if kpi.id not in set(hidden) and (total := newest_total(kpi)) is not None
            ],
        )
        for feed in FEEDS.values()
        if (end := ends.get(feed.name)) is not None
    ]


def newest_total(kpi: KPI) -> NewestTotal | None:
    """Return the KPI's newest total and those of the day before; None if it has no records yet."""
    length = default_length(kpi)
    summary = newest(kpi, length)
    if summary is None:
        return None
    start = summary.interval_start_timestamp
    rows = IntervalSummary.objects.filter(
        kpi=kpi.id,
        interval=length.code,
        interval_start_timestamp__gte=min(start - _DAY, *earlier(length, start).values()),
        interval_start_timestamp__lte=start,
    )
    return NewestTotal(kpi, length, summary, dict(rows.values_list("interval_start_timestamp", kpi.total_column)))
