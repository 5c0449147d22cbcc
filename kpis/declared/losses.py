"""What a change of the catalog loses: batches that cannot be read again, and intervals that the lake was pruned of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from kpis.catalog.file.definitions import Kind
from kpis.catalog.intervals import ONE_HOUR, to_text
from kpis.catalog.kpis import KPI
from kpis.models import Batch, BatchInterval, IntervalSummary, KPISet, LakeFile, Watermark
from kpis.store.applied import Change, What
from kpis.store.bulk import chunks
from kpis.store.kpi_sets import kpi_ids, sets_with

BATCHES_A_QUERY = 500

# Returns the feed and the name of each file that can be read.
NamesInPlace = Callable[[], Collection[tuple[str, str]]]


@dataclass(frozen=True)
class Loss:
    """The batches (ids) of a change that cannot be read again, and the ``starts`` of the intervals with their records.

    ``pruned`` is the moment (UTC) before which the lake was pruned of results that the change removes; None: of none.
    """

    change: Change
    batches: frozenset[int] = frozenset()
    starts: frozenset[datetime] = frozenset()
    pruned: datetime | None = None

    def __str__(self) -> str:
        parts = []
        if self.batches:
            count, intervals = len(self.batches), len(self.starts)
            parts.append(
                f"{count:,} {'batch' if count == 1 else 'batches'} cannot be read again, with records in "
                f"{intervals:,} {'interval' if intervals == 1 else 'intervals'} from {to_text(min(self.starts))} "
                f"to {to_text(max(self.starts))}"
            )
        if self.pruned:
            parts.append(f"results before {to_text(self.pruned)} cannot be computed again, as the lake was pruned")
        return f"{self.change.entry.title}: {'; '.join(parts)}"


def losses(changes: Iterable[Change], names_in_place: NamesInPlace) -> list[Loss]:
    """Return what is lost by changes that need records again, without those that lose nothing."""
    found = (_loss(change, names_in_place) for change in changes if change.what in (What.NEW, What.CHANGED))
    return [loss for loss in found if loss.batches or loss.pruned]


def _loss(change: Change, names_in_place: NamesInPlace) -> Loss:
    if change.what is What.CHANGED and change.former is None:
        # A former apply_catalog has removed it all.
        return Loss(change)
    feed = change.entry.key if change.kind is Kind.FEED else (change.former or change.entry).feed
    batches = Batch.objects.filter(feed=feed, status=Batch.Status.IN, records__gt=0)
    if change.kind is Kind.FEED:
        summaries = IntervalSummary.objects.filter(kpi__in=_kpis_of(feed))
        lost = gone_batches(batches, feed, names_in_place)
    else:
        kpi_id = int(change.key)
        summaries = IntervalSummary.objects.filter(kpi=kpi_id)
        # If the feed has another name now, its files are in place under that.
        names = {feed, change.entry.feed}
        lost = gone_batches(batches.filter(kpi_set__in=sets_with(frozenset({kpi_id}))), feed, names_in_place, names)
        lost -= archived_batches(lost, feed)
    kept_from = Watermark.objects.filter(feed=feed).values_list("kept_from", flat=True).first()
    is_pruned = kept_from is not None and summaries.filter(interval_start_timestamp__lt=kept_from).exists()
    return Loss(change, frozenset(lost), frozenset(starts_of(lost)), kept_from if is_pruned else None)


def starts_of(batches: Collection[int]) -> set[datetime]:
    """Return the starts (UTC) of the intervals in which batches (ids) have records."""
    starts: set[datetime] = set()
    for some in chunks(sorted(batches), BATCHES_A_QUERY):
        of_some = BatchInterval.objects.filter(batch__in=some).order_by()
        starts |= set(of_some.values_list("interval_start_timestamp", flat=True))
    return starts


def _kpis_of(feed: str) -> set[int]:
    """Return the ids of the KPIs that a feed's batches have partials of."""
    texts = KPISet.objects.filter(batch__feed=feed).values_list("kpis", flat=True).distinct()
    return set().union(*(kpi_ids(text) for text in texts))


def without_kpi(batches: QuerySet[Batch], kpi: KPI) -> QuerySet[Batch]:
    """Filter batches by those of which the lake has no partials of a KPI."""
    return batches.filter(Q(kpi_set=None) | ~Q(kpi_set__in=sets_with(frozenset({kpi.source.id}))))


def gone_batches(
    batches: Iterable[Batch], feed: str, names_in_place: NamesInPlace, feeds_in_place: Collection[str] = ()
) -> set[int]:
    """Return the ids of those batches whose content no file in place has, by its name or a duplicate's.

    ``feeds_in_place`` are the feeds whose files count; by default the batches' own.
    """
    of_batch: dict[int, set[str]] = defaultdict(set)
    for batch in batches:
        of_batch[batch.pk].add(batch.name)
    if not of_batch:
        return set()
    duplicates = Batch.objects.filter(feed=feed, status=Batch.Status.DUPLICATE)
    for pk, name in duplicates.order_by().values_list("duplicate_of", "name"):
        if pk in of_batch:
            of_batch[pk].add(name)
    in_place = feeds_in_place or {feed}
    there = {name for one, name in names_in_place() if one in in_place}
    return {pk for pk, names in of_batch.items() if not names & there}


def archived_batches(batches: Collection[int], feed: str) -> set[int]:
    """Return those batches (ids) of whose records the lake has all hours."""
    found = set()
    for some in chunks(sorted(batches), BATCHES_A_QUERY):
        keys = dict(Batch.objects.filter(pk__in=some).values_list("pk", "key"))
        needed: dict[int, set[datetime]] = defaultdict(set)
        starts = BatchInterval.objects.filter(batch__in=some).order_by()
        for pk, start in starts.values_list("batch", "interval_start_timestamp"):
            needed[pk].add(ONE_HOUR.floor(start))
        files = LakeFile.objects.filter(folder__startswith=f"records/{feed}/", key__in=keys.values()).order_by()
        there: dict[str, set[datetime]] = defaultdict(set)
        for key, hour in files.values_list("key", "interval_start_timestamp"):
            there[key].add(hour)
        found |= {pk for pk, hours in needed.items() if hours <= there[keys[pk]]}
    return found
