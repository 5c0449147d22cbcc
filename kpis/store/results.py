"""The result rows of intervals and their summaries: replaced as a whole, or marked as incomplete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import groupby
from typing import Any

from django.db.models import F, QuerySet

from kpis import clock
from kpis.catalog.feeds import Feed
from kpis.catalog.folding import fold
from kpis.catalog.intervals import ONE_HOUR, Interval, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import kpis_of
from kpis.engine.results import TOTALS_COLUMNS, Results
from kpis.engine.table import rows
from kpis.models import IntervalSummary, LostFile
from kpis.models.result_models import result_model
from kpis.store.bulk import chunks, insert_columns, insert_rows, upsert
from kpis.store.due import mark_due
from kpis.store.intervals import count_records
from kpis.store.locks import check_lock

STARTS_A_QUERY = 500
# The rows of an interval are inserted by themselves if there are so many an interval.
LONG_LIST = 100
BOUNDS = ("interval_start_timestamp", "interval_end_timestamp")
SUMMARY_KEY = ["interval_start_timestamp", "interval", "kpi"]
# The columns of a summary that has no former revision.
NEW_SUMMARY = [
    "kpi",
    "interval_start_timestamp",
    "interval_end_timestamp",
    "interval",
    "total",
    "mean",
    "groups",
    "records",
    "batches",
    "first_computed_at",
    "revision",
    "state",
    "reason",
    "updated_at",
]
SUMMARY_CHANGES = [
    "total",
    "mean",
    "first_computed_at",
    "groups",
    "records",
    "batches",
    "revision",
    "state",
    "reason",
    "updated_at",
    "previous_total",
    "previous_mean",
    "previous_updated_at",
]


def replace_results(
    feed: Feed,
    length: Length,
    results: Iterable[Results],
    closed_until: datetime | None,
    moments: Mapping[datetime, datetime] | None = None,
) -> None:
    """Replace the rows of the results' intervals, with a summary for each interval that has rows.

    Intervals that end by ``closed_until`` (UTC) are final. ``moments`` are by start those of the references that the
    results were computed with. A result with a reason could not be computed: its intervals are marked as incomplete.
    """
    check_lock()
    for starts, same_starts in groupby(results, lambda result: result.starts):
        computed = []
        for result in same_starts:
            if result.reason:
                _mark_incomplete(feed, result)
            else:
                _replace_rows(result)
                computed.append(result)
        _summarize(feed, length, starts, computed, closed_until, moments or {})


def revise_results(
    feed: Feed,
    length: Length,
    results: Iterable[Results],
    closed_until: datetime | None,
    reasons: Mapping[datetime, str],
) -> set[datetime]:
    """Replace the rows of those intervals whose results differ from the stored ones; return their starts (UTC).

    Their summaries become the next revision of themselves, with the reason that ``reasons`` has for the start. An
    interval that was not computed before, or could not be now, stays as it is.
    """
    check_lock()
    changed: set[datetime] = set()
    for result in results:
        starts = set() if result.reason else _differing(length, result)
        if not starts:
            continue
        part = result.of(starts)
        _replace_rows(part)
        _summarize(feed, length, part.starts, [part], closed_until, {}, reasons)
        changed |= starts
    return changed


def _differing(length: Length, result: Results) -> set[datetime]:
    """Return the starts (UTC) of the computed intervals whose rows or totals differ from the stored ones."""
    names = ("rank", *result.kpi.columns)
    found: dict[datetime, list[tuple]] = {}
    for start, *row in rows({name: result.rows[name] for name in ("interval_start", *names)}):
        found.setdefault(start.replace(tzinfo=UTC), []).append(tuple(row))
    totals = {
        start.replace(tzinfo=UTC): (total, groups)
        for start, total, groups in rows({name: result.totals[name] for name in TOTALS_COLUMNS})
    }
    model, differing = result_model(result.kpi), set()
    former = _former_summaries(length, result.starts, [result])
    for some in chunks(sorted(result.starts), STARTS_A_QUERY):
        stored: dict[datetime, list[tuple]] = {}
        there = model.objects.filter(interval=length.code, interval_start_timestamp__in=some)
        ordered = there.order_by("interval_start_timestamp", "rank")
        for start, *row in ordered.values_list("interval_start_timestamp", *names):
            stored.setdefault(start, []).append(tuple(row))
        for start in some:
            summary = former.get((result.kpi.id, start))
            if summary is None or summary.state == IntervalSummary.State.INCOMPLETE:
                continue
            was = stored.get(start, []), (summary.value, summary.groups)
            if (found.get(start, []), totals.get(start, was[1])) != was:
                differing.add(start)
    return differing


def _replace_rows(result: Results) -> None:
    model = result_model(result.kpi)
    for some in chunks(sorted(result.starts), STARTS_A_QUERY):
        model.objects.filter(interval=result.length.code, interval_start_timestamp__in=some).delete()
    code = {"interval": result.length.code}
    for own, of_each, place in _spans(result):
        # Python's values take several times the memory of the arrays'.
        columns = {name: result.rows[name][place].tolist() for name in ("rank", *result.kpi.columns)}
        for dimension in result.kpi.folded:
            columns[dimension.folded_column] = [fold(name) for name in columns[dimension.name]]
        insert_columns(model, {**of_each, **columns}, {**code, **own})


def _spans(result: Results) -> Iterator[tuple[dict[str, datetime], dict[str, list[datetime]], slice]]:
    """Yield what to insert at once: the bounds (UTC) that all rows share, or those of each row, and the slice of rows.

    One of the two is empty: long intervals are inserted one by one, short ones together.
    """
    import numpy as np

    starts = result.rows["interval_start"]

    @cache
    def bounds(start: datetime) -> tuple[datetime, datetime]:
        interval = Interval(result.length, start.replace(tzinfo=UTC))
        return interval.start, interval.end

    if not len(starts) or len(starts) < LONG_LIST * len(result.starts):
        found = list(map(bounds, starts.tolist()))
        yield {}, {name: [both[place] for both in found] for place, name in enumerate(BOUNDS)}, slice(None)
        return
    ends = [*(np.flatnonzero(starts[1:] != starts[:-1]) + 1).tolist(), len(starts)]
    for first, end in zip([0, *ends], ends, strict=False):
        yield dict(zip(BOUNDS, bounds(starts[first].item()), strict=True)), {}, slice(first, end)


def _summarize(
    feed: Feed,
    length: Length,
    starts: Collection[datetime],
    results: list[Results],
    closed_until: datetime | None,
    moments: Mapping[datetime, datetime],
    reasons: Mapping[datetime, str] | None = None,
) -> None:
    """Write the summaries of intervals, and delete those of intervals that have no rows any more.

    An interval whose records a KPI's filter leaves out has the total of none, which is 0 of sums and counts. Revised
    ones have the reason that ``reasons`` has for their start.
    """
    now = clock.now()
    counts = count_records(feed, length, starts)
    former = _former_summaries(length, starts, results)
    new: list[tuple[Any, ...]] = []
    revised = []
    for result in results:
        kpi, is_fraction = result.kpi.id, result.kpi.measure.is_fraction
        found = list(rows({name: result.totals[name] for name in TOTALS_COLUMNS}))
        for moment, total, groups in [*found, *_filtered_out(result, starts, found, counts)]:
            start = moment.replace(tzinfo=UTC)
            interval = Interval(length, start)
            closed = interval.is_closed(closed_until)
            state = IntervalSummary.State.FINAL if closed else IntervalSummary.State.PROVISIONAL
            summary = former.pop((kpi, start), None)
            if summary is None:
                # Thousands in a file whose rows lie in as many intervals: a row takes a tenth of an object's time.
                of_all = (None, total) if is_fraction else (total, None)
                first = moments.get(start) or now
                rest = (groups, *counts[start], first, 1, str(state), "", now)
                new.append((kpi, start, interval.end, length.code, *of_all, *rest))
                continue
            _revise(summary)
            summary.first_computed_at = moments.get(start) or summary.first_computed_at or now
            setattr(summary, result.kpi.total_column, total)
            summary.groups = groups
            summary.records, summary.batches = counts[start]
            summary.state = state
            summary.reason = (reasons or {}).get(start, "")
            summary.updated_at = now
            revised.append(summary)
    insert_rows(IntervalSummary, NEW_SUMMARY, new)
    upsert(revised, unique=SUMMARY_KEY, changes=SUMMARY_CHANGES)
    IntervalSummary.objects.filter(pk__in=[summary.pk for summary in former.values()]).delete()


def _filtered_out(
    result: Results,
    starts: Collection[datetime],
    found: list[tuple[Any, ...]],
    counts: Mapping[datetime, tuple[int, int]],
) -> list[tuple[datetime, float | None, int]]:
    """Return the totals of intervals with records that the KPI's filter leaves out; ``found`` are those of others."""
    if result.kpi.source.filter is None:
        return []
    counted = {moment for moment, *_ in found}
    total = result.kpi.measure.total_of_none
    empty = [start.replace(tzinfo=None) for start in sorted(starts) if counts[start][0]]
    return [(moment, total, 0) for moment in empty if moment not in counted]


def _mark_incomplete(feed: Feed, result: Results) -> None:
    """Mark intervals whose results could not be computed as incomplete; their rows stay.

    Those that can be computed once the lake is repaired become due.
    """
    now = clock.now()
    counts = count_records(feed, result.length, result.starts)
    former = _former_summaries(result.length, result.starts, [result])
    changed = []
    for start in result.starts:
        interval = Interval(result.length, start)
        summary = former.get((result.kpi.id, start))
        reason = result.reason
        if summary is None:
            if not result.again:
                lost = _lost_file(result.kpi, interval)
                if lost is None:
                    continue
                reason = f"Cannot be computed: {lost.reason}."
            summary = _new_summary(result.kpi, interval)
            summary.groups, summary.first_computed_at = 0, now
            summary.records, summary.batches = counts[start]
        elif summary.state == IntervalSummary.State.INCOMPLETE and (
            summary.reason == result.reason or not result.again
        ):
            # The existing reason says how the files were lost for good.
            continue
        else:
            _revise(summary)
        summary.state, summary.reason, summary.updated_at = IntervalSummary.State.INCOMPLETE, reason, now
        changed.append(summary)
    upsert(changed, unique=SUMMARY_KEY, changes=SUMMARY_CHANGES)
    if result.again:
        mark_due(feed, result.length, result.starts)


def _new_summary(kpi: KPI, interval: Interval) -> IntervalSummary:
    return IntervalSummary(
        kpi=kpi.id,
        interval=interval.length.code,
        interval_start_timestamp=interval.start,
        interval_end_timestamp=interval.end,
    )


def _revise(summary: IntervalSummary) -> None:
    """Make a stored summary the next revision of itself, to be saved by ``upsert``."""
    summary.pk = None
    summary.revision += 1
    summary.previous_total, summary.previous_mean = summary.total, summary.mean
    summary.previous_updated_at = summary.updated_at


def revise_all(summaries: QuerySet[IntervalSummary], state: str, reason: str, now: datetime) -> None:
    """Make stored summaries the next revision of themselves, in another state, for a reason, at a time (UTC)."""
    # MySQL assigns from left to right.
    summaries.update(
        previous_total=F("total"),
        previous_mean=F("mean"),
        previous_updated_at=F("updated_at"),
        revision=F("revision") + 1,
        state=state,
        reason=reason,
        updated_at=now,
    )


def _lost_file(kpi: KPI, interval: Interval) -> LostFile | None:
    """Return a file of a KPI in an interval that the lake has lost for good; None for none."""
    return LostFile.objects.filter(
        kpi=kpi.source.id,
        interval_start_timestamp__gte=ONE_HOUR.floor(interval.start),
        interval_start_timestamp__lt=interval.end,
    ).first()


def _former_summaries(
    length: Length, starts: Collection[datetime], results: list[Results]
) -> dict[tuple[int, datetime], IntervalSummary]:
    """Return the stored summaries of the results' intervals, by KPI and start (UTC)."""
    kpis = [result.kpi.id for result in results]
    return {
        (summary.kpi, summary.interval_start_timestamp): summary
        for some in chunks(sorted(starts), STARTS_A_QUERY)
        for summary in IntervalSummary.objects.filter(
            kpi__in=kpis, interval=length.code, interval_start_timestamp__in=some
        )
    }


def summaries_of(feed: Feed, length: Length) -> QuerySet[IntervalSummary]:
    """Return the summaries of a feed's intervals of a length."""
    return IntervalSummary.objects.filter(kpi__in=[kpi.id for kpi in kpis_of(feed, length)], interval=length.code)
