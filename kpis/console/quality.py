"""The quality of the data: rejects, late and replaced files, changed values, and gaps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Max, Min, Q, QuerySet, Window
from django.db.models.functions import Lag

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import FEEDS, KPIS, kpis_of
from kpis.console.series import Step
from kpis.models import Batch, BatchInterval, IntervalSummary, Reject, Watermark

# The most entries that a page reads: the newest of each.
MOST_BATCHES_WITH_REJECTS = 200
MOST_REASONS = 20
MOST_HOURS = 50
MOST_UNUSUAL = 30
MOST_GAPS = 20

_START = "interval_start_timestamp"


@dataclass(frozen=True)
class Period:
    """A period ``[start, end)`` in which batches were ingested and intervals computed."""

    start: datetime
    end: datetime

    @property
    def batches(self) -> QuerySet[Batch]:
        """The batches that were ingested, or failed, in the period."""
        # Naming the statuses lets the database use the index.
        return Batch.objects.filter(
            status__in=Batch.Status.values, ingested_at__gte=self.start, ingested_at__lt=self.end
        )

    def revised(self, hidden_kpis: Iterable[int] = ()) -> QuerySet[IntervalSummary]:
        """Return the intervals that were recomputed in the period, or could not be, without the hidden KPIs'."""
        changed = Q(revision__gt=1) | Q(state=IntervalSummary.State.INCOMPLETE)
        there = IntervalSummary.objects.filter(changed, updated_at__gte=self.start, updated_at__lt=self.end)
        return there.filter(kpi__in=KPIS.keys() - set(hidden_kpis))


@dataclass(frozen=True)
class Reason:
    """The rows that were rejected for one reason: their number, their batches, and the first and last of them."""

    feed: str
    column: str
    reason: str
    number: int
    batches: int
    examples: list[Reject]


def reasons(period: Period) -> list[Reason]:
    """Return the reasons of rejects, most frequent first, from the first rejects of the newest batches with any."""
    newest = period.batches.filter(rejects__gt=0).order_by("-ingested_at")
    batches = list(newest.values_list("pk", flat=True)[:MOST_BATCHES_WITH_REJECTS])
    groups = Reject.objects.filter(batch__in=batches).order_by().values("batch__feed", "column", "reason")
    counted = groups.annotate(
        number=Count("id"), batches=Count("batch", distinct=True), first=Min("id"), last=Max("id")
    ).order_by("-number", "batch__feed", "column", "reason")[:MOST_REASONS]
    found = list(counted)
    examples = Reject.objects.select_related("batch").in_bulk(
        {key for group in found for key in (group["first"], group["last"])}
    )
    return [
        Reason(
            group["batch__feed"],
            group["column"],
            group["reason"],
            group["number"],
            group["batches"],
            [examples[key] for key in dict.fromkeys((group["first"], group["last"])) if key in examples],
        )
        for group in found
    ]


@dataclass(frozen=True)
class Unusual:
    """A batch that arrived after an hour of it had been computed (``late_for``: the hours' starts), or was replaced."""

    batch: Batch
    late_for: list[datetime]


def unusual(period: Period) -> list[Unusual]:
    """Return the batches of the period that were late or replaced, the newest first."""
    late = _late(period)
    replaced = period.batches.filter(revision__gt=1).order_by("-ingested_at")[:MOST_UNUSUAL]
    batches = {batch.pk: batch for batch in [*replaced, *Batch.objects.filter(pk__in=late)]}
    found = [Unusual(batch, late.get(key, [])) for key, batch in batches.items()]
    return sorted(found, key=lambda one: (one.batch.ingested_at, one.batch.pk), reverse=True)[:MOST_UNUSUAL]


def _late(period: Period) -> dict[int, list[datetime]]:
    """Return the hours for which batches of the period were late, by the batch's key.

    An hour that a late batch changed was recomputed; only the newest recomputed hours are read.
    """
    hours = period.revised().filter(interval=ONE_HOUR.code, state=IntervalSummary.State.FINAL)
    computed: dict[tuple[str, datetime], datetime] = {}
    for kpi, start, first in hours.order_by("-updated_at").values_list("kpi", _START, "first_computed_at"):
        computed[KPIS[kpi].feed.name, start] = first
        if len(computed) == MOST_HOURS:
            break
    if not computed:
        return {}
    wanted = Q()
    for (feed, start), first in computed.items():
        wanted |= Q(
            **{f"{_START}__gte": start, f"{_START}__lt": start + ONE_HOUR.delta},
            batch__feed=feed,
            batch__ingested_at__gt=first,
        )
    held = BatchInterval.objects.filter(wanted, batch__ingested_at__gte=period.start, batch__ingested_at__lt=period.end)
    late: dict[int, list[datetime]] = {}
    for batch, start in held.order_by(_START).values_list("batch", _START):
        hours_ = late.setdefault(batch, [])
        if ONE_HOUR.floor(start) not in hours_:
            hours_.append(ONE_HOUR.floor(start))
    return late


@dataclass(frozen=True)
class Gap:
    """Intervals of a feed, from start to end, without any record."""

    start: datetime
    end: datetime
    intervals: int


@dataclass(frozen=True)
class Coverage:
    """The share of a feed's time with records, from its first interval to its watermark, and the newest ``gaps``."""

    feed: Feed
    start: datetime
    end: datetime
    there: int
    gaps: list[Gap]

    @property
    def expected(self) -> int:
        """The number of intervals in all."""
        return (self.end - self.start) // self.feed.interval.delta

    @property
    def missing(self) -> int:
        """The number of intervals without records."""
        return self.expected - self.there


def coverages() -> list[Coverage]:
    """Return the coverage of every feed with records, and with a KPI of its own interval length."""
    ends = dict(Watermark.objects.values_list("feed", "newest_interval_end"))
    return [
        _coverage(feed, end)
        for name, feed in FEEDS.items()
        if (end := ends.get(name)) is not None and kpis_of(feed, feed.interval)
    ]


def _coverage(feed: Feed, watermark: datetime) -> Coverage:
    kpi = kpis_of(feed, feed.interval)[0]
    rows = IntervalSummary.objects.filter(kpi=kpi.id, interval=feed.interval.code)
    first = rows.order_by(_START).values_list(_START, flat=True).first() or watermark
    found = Coverage(feed, first, watermark, rows.count(), [])
    return Coverage(feed, first, watermark, found.there, _gaps(feed, rows, watermark)) if found.missing else found


def _gaps(feed: Feed, rows: QuerySet[IntervalSummary], watermark: datetime) -> list[Gap]:
    delta = feed.interval.delta
    steps = rows.order_by().annotate(step=Step(_START, delta), before=Window(Lag("step"), order_by=F(_START).asc()))
    after = steps.annotate(apart=F("step") - F("before")).filter(apart__gt=1).order_by(f"-{_START}")
    gaps = [
        Gap(start - (apart - 1) * delta, start, apart - 1)
        for start, apart in after.values_list(_START, "apart")[:MOST_GAPS]
    ]
    # Records that a replaced file removed leave a gap up to the watermark, which never goes back.
    last = rows.order_by(f"-{_START}").values_list(_START, flat=True).first()
    if last and last + delta < watermark:
        gaps.insert(0, Gap(last + delta, watermark, (watermark - last) // delta - 1))
    return gaps[:MOST_GAPS]


def newest_intake() -> datetime | None:
    """Return when the newest batch was ingested, or failed; None before the first."""
    return Batch.objects.aggregate(newest=Max("ingested_at"))["newest"]
