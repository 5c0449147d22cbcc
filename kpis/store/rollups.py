"""The part of the ledger with rollups and compactions that are due."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import LENGTHS, ONE_HOUR, Interval, Length
from kpis.catalog.kpis import Reference
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import FEEDS, KPIS
from kpis.engine.results import Results
from kpis.engine.table import Columns
from kpis.models import DueCompaction, DueRollup, IntervalSummary, Watermark
from kpis.models import DueReference as DueReferenceRow
from kpis.models import Reference as StoredReference
from kpis.reference.subscribers import subscribers_at
from kpis.stages.ledger import DueReference
from kpis.store.bulk import chunks
from kpis.store.days import restart, zone_problem
from kpis.store.results import STARTS_A_QUERY, replace_results, revise_results, summaries_of
from kpis.store.watermarks import closed_until

# The tables that partials are joined with, each a function of the moment at which it is wanted.
REFERENCES = {"subscribers": subscribers_at}


class RollupLedger:
    """The part of the ledger that says what is to be rolled up and compacted."""

    def due_rollups(self, with_open: bool) -> list[tuple[Feed, Interval]]:
        due = []
        closed = dict(Watermark.objects.values_list("feed", "closed_until"))
        for rollup in DueRollup.objects.all():
            feed = FEEDS.get(rollup.feed)
            if feed is None:
                # Rows of feeds that the catalog has no more stay as they are.
                continue
            interval = Interval(LENGTHS[rollup.interval], rollup.interval_start_timestamp)
            # A feed's shortest interval is due only where it could not be computed with its batch.
            if (
                interval.length == feed.interval
                or interval.is_closed(closed.get(feed.name))
                or (rollup.changed and (with_open or _has_summaries(feed, interval)))
            ):
                due.append((feed, interval))
        return due

    def days_problem(self) -> str:
        return zone_problem()

    def restart_days(self) -> None:
        restart()

    def reference_moments(self, feed: Feed, length: Length, starts: Collection[datetime]) -> dict[datetime, datetime]:
        moments = dict.fromkeys(starts, clock.now())
        for some in chunks(sorted(starts), STARTS_A_QUERY):
            computed = summaries_of(feed, length).filter(
                Q(total__isnull=False) | Q(mean__isnull=False),
                state__in=[IntervalSummary.State.FINAL, IntervalSummary.State.INCOMPLETE],
                interval_start_timestamp__in=some,
            )
            columns = "interval_start_timestamp", "first_computed_at"
            moments |= dict(computed.order_by("-first_computed_at").values_list(*columns))
        return moments

    def reference(self, reference: Reference, moment: datetime) -> Columns:
        return REFERENCES[reference.table](moment)

    def reference_state(self, reference: ReferenceTable) -> object:
        return StoredReference.objects.filter(name=reference.name).values_list("pk", "loaded_at").first()

    def versions(self, reference: ReferenceTable, keys: Collection[str] | None) -> Iterator[Columns]:
        from kpis.store.versions import versions_of

        return versions_of(reference, keys)

    def due_references(self) -> list[DueReference]:
        if not any(kpi.attributes for kpi in KPIS.values()):
            return []
        return [
            DueReference(
                FEEDS[one.feed],
                Interval(LENGTHS[one.interval], one.interval_start_timestamp),
                one.reference,
                one.reason,
            )
            for one in DueReferenceRow.objects.all()
            if one.feed in FEEDS
        ]

    @transaction.atomic
    def commit_references(self, due: Sequence[DueReference], results: list[Results]) -> set[datetime]:
        feed, length = due[0].feed, due[0].interval.length
        reasons = {one.interval.start: one.reason for one in due}
        changed = revise_results(feed, length, results, closed_until(feed), reasons)
        again = {start for result in results if result.reason and result.again for start in result.starts}
        rows = DueReferenceRow.objects.filter(feed=feed.name, interval=length.code, reference=due[0].reference)
        for some in chunks(sorted(reasons.keys() - again), STARTS_A_QUERY):
            rows.filter(interval_start_timestamp__in=some).delete()
        return changed

    @transaction.atomic
    def commit_rollup(
        self,
        feed: Feed,
        length: Length,
        starts: Collection[datetime],
        results: list[Results],
        moments: Mapping[datetime, datetime],
    ) -> None:
        until = closed_until(feed)
        replace_results(feed, length, results, until, moments)
        computed = set(starts) - {
            start for result in results if result.reason and result.again for start in result.starts
        }
        for some in chunks(sorted(computed), STARTS_A_QUERY):
            due = DueRollup.objects.filter(feed=feed.name, interval=length.code, interval_start_timestamp__in=some)
            closed = [start for start in some if length == feed.interval or length.at(start).is_closed(until)]
            if length == ONE_HOUR:
                DueCompaction.objects.bulk_create(
                    [DueCompaction(feed=feed.name, interval_start_timestamp=start) for start in closed],
                    ignore_conflicts=True,
                )
            due.filter(interval_start_timestamp__in=closed).delete()
            due.update(changed=False)

    def due_compactions(self) -> list[tuple[Feed, Interval]]:
        return [
            (FEEDS[due.feed], Interval(ONE_HOUR, due.interval_start_timestamp))
            for due in DueCompaction.objects.all()
            if due.feed in FEEDS
        ]

    def compacted(self, feed: Feed, hour: Interval) -> None:
        DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp=hour.start).delete()


def _has_summaries(feed: Feed, interval: Interval) -> bool:
    return summaries_of(feed, interval.length).filter(interval_start_timestamp=interval.start).exists()
