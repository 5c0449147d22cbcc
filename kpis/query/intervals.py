"""The intervals of a query: the default length, and the starts that satisfy conditions on timestamps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, EPOCH, FIVE_MINUTES, Length
from kpis.catalog.kpis import KPI
from kpis.query.fields import FIRST_YEAR

MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
_LATEST = END_OF_TIME_MILLISECONDS * 1000 - 1

# The lookups that each timestamp of an interval has as a filter.
INTERVAL_TIMESTAMPS = {
    "interval_start_timestamp": ("exact", "gte", "gt", "lte", "lt"),
    "interval_end_timestamp": ("exact", "gte", "gt", "lte", "lt"),
}


def default_length(kpi: KPI) -> Length:
    """Return the default interval length: five minutes, or else the KPI's first."""
    return FIVE_MINUTES if FIVE_MINUTES in kpi.lengths else kpi.lengths[0]


def starts_between(
    lookups: Mapping[str, Any], lengths: Collection[Length]
) -> tuple[datetime | None, datetime | None] | None:
    """Return the range in which the starts of intervals of these lengths lie that satisfy the lookups.

    Only lookups by timestamp count. One None is no bound; None for both means that no interval satisfies them.
    """
    # In microseconds, which can exceed the last year.
    firsts, lasts = [_EARLIEST], [_LATEST]
    for column, names in INTERVAL_TIMESTAMPS.items():
        for lookup in names:
            moment = lookups.get(f"{column}__{lookup}")
            if moment is None:
                continue
            is_end = column == "interval_end_timestamp"
            start = (moment - EPOCH) // MICROSECOND
            if lookup in ("exact", "gte", "gt"):
                after = lookup == "gt"
                ends = [_first_to_end(length, moment, after) for length in lengths] if is_end else [start + after]
                firsts.append(min(ends))
            if lookup in ("exact", "lte", "lt"):
                before = lookup == "lt"
                ends = [_last_to_end(length, moment, before) for length in lengths] if is_end else [start - before]
                lasts.append(max(ends))
    first, last = max(firsts), min(lasts)
    if first > last:
        return None
    return (
        EPOCH + first * MICROSECOND if first > _EARLIEST else None,
        EPOCH + last * MICROSECOND if last < _LATEST else None,
    )


def _first_to_end(length: Length, moment: datetime, after: bool) -> int:
    """Return the start (us since 1970) of the first interval of a length that ends at a moment or ``after`` it."""
    return (length.floor(moment if after else moment - MICROSECOND) - EPOCH) // MICROSECOND


def _last_to_end(length: Length, moment: datetime, before: bool) -> int:
    """Return a time (us since 1970) by which all intervals of a length start that end by a moment or ``before`` it."""
    return (length.floor(moment - MICROSECOND if before else moment) - EPOCH) // MICROSECOND - 1
