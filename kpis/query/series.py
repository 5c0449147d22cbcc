"""A KPI's groups over time, and their anomalies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet

from kpis.catalog.intervals import EPOCH, LAST_DAY, Length
from kpis.catalog.kpis import KPI
from kpis.models import KPIResult
from kpis.query.anomalies import anomalies
from kpis.query.columns import INTERVAL_COLUMNS
from kpis.query.rows import stream

# The most rows that one page reads, besides the first window, so that it is fast however rare anomalies are.
ROWS_A_PAGE = 200_000

Span = tuple[datetime | None, datetime | None]


class Anomaly(NamedTuple):
    """An anomaly: its key (start, interval, rank), and the values that are shown of it and of the verdict on it."""

    key: tuple
    row: tuple


@dataclass(frozen=True)
class Series:
    """The rows of some of a KPI's groups, all of one interval length, and the parameters of the detection.

    ``names`` are annotations of the rows, which an anomaly has behind its dimensions.
    """

    kpi: KPI
    rows: QuerySet[KPIResult]
    length: Length
    window: int
    threshold: float
    names: tuple[str, ...] = ()

    def anomalies(self, span: Span) -> Iterator[Anomaly]:
        """Yield the anomalies in the span, by start and rank, in one query.

        The rows of the windows before the span are read as well.
        """
        first, last = _bounded(span)
        reach = max(EPOCH, self.length.shifted(self.length.floor(first), -self.window))
        rows = self.rows.filter(interval_start_timestamp__gte=reach, interval_start_timestamp__lte=last)
        shown = ("id", *INTERVAL_COLUMNS, *self.kpi.dimensions, *self.names)
        columns = rows.order_by("interval_start_timestamp", "interval", "rank").values_list(
            *shown, self.kpi.value, "rank"
        )
        end = 4 + len(self.kpi.dimensions)
        read = ((self._group(row[4:end]), row[1], row[-2], row) for row in stream(columns))
        for row, verdict in anomalies(read, self.length, self.window, self.threshold):
            if row[1] >= first:
                judged = (verdict.mean, verdict.deviation, verdict.z, verdict.intervals)
                yield Anomaly((row[1], row[3], row[-1]), (*row[:-1], *judged))

    def page(self, span: Span, behind: list | None) -> tuple[Iterator[Anomaly], list | None]:
        """Return a page of anomalies, and the key where the next page starts.

        ``behind`` is the key (start, interval, rank) of the last row before the page. Reads ROWS_A_PAGE rows, rounded
        up to whole intervals; the page may have few anomalies, or none.
        """
        first, last = _bounded(span)
        after = (first, 0)
        if behind:
            after = (behind[0], behind[2])
            first = max(first, behind[0])
        examined = self.rows.filter(interval_start_timestamp__gte=first, interval_start_timestamp__lte=last)
        starts = examined.order_by("interval_start_timestamp", "interval", "rank")
        beyond = starts.values_list("interval_start_timestamp", flat=True)[ROWS_A_PAGE : ROWS_A_PAGE + 1].first()
        following = None
        if beyond and starts.filter(interval_start_timestamp__gt=beyond).exists():
            last = beyond
            following = [beyond + timedelta(microseconds=1), self.length.code, 0]
        found = self.anomalies((first, last))
        return (one for one in found if (one.key[0], one.key[2]) > after), following

    def _group(self, values: tuple) -> tuple:
        dimensions = zip(self.kpi.by, values, strict=True)
        return tuple(dimension.key(value) for dimension, value in dimensions)


def _bounded(span: Span) -> tuple[datetime, datetime]:
    first, last = span
    return first or EPOCH, last or LAST_DAY
