"""A KPI's groups over time, and where their values stand out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from kpis.anomalies import anomalies
from kpis.api.streams import stream
from kpis.catalog.intervals import EPOCH, Length
from kpis.catalog.kpis import KPI
from kpis.models import KPIResult

# What one page looks at, at most, besides the first window: so a page is soon there, however rare anomalies are.
ROWS_A_PAGE = 200_000

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Series:
    """The rows of some of a KPI's groups, all of one interval length, and how their anomalies are found."""

    kpi: KPI
    rows: QuerySet[KPIResult]
    length: Length
    window: int
    threshold: float

    def anomalies(self, span: Span) -> Iterator[KPIResult]:
        """The anomalies that start from the span's first moment to its last, by start and rank, in one query.

        Each row has its ``verdict``. The rows of the windows before the span are read as well.
        """
        first, last = span
        reach = max(EPOCH, first - self.window * self.length.delta)
        rows = self.rows.filter(interval_start_timestamp__gte=reach, interval_start_timestamp__lte=last)
        read = (
            (self._group(row), row.interval_start_timestamp, getattr(row, self.kpi.value), row)
            for row in stream(rows.order_by("interval_start_timestamp", "interval", "rank"))
        )
        for row, verdict in anomalies(read, self.length.delta, self.window, self.threshold):
            if row.interval_start_timestamp >= first:
                row.verdict = verdict
                yield row

    def page(self, span: Span, behind: list | None) -> tuple[Iterator[KPIResult], list | None]:
        """The anomalies from a page's start on, and where the next page starts if none of them is too many.

        ``behind`` is the key (start, interval, rank) that they come after. Looks at ROWS_A_PAGE rows, rounded up to
        whole intervals.
        """
        first, last = span
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
        return (row for row in found if (row.interval_start_timestamp, row.rank) > after), following

    def _group(self, row: KPIResult) -> tuple:
        values = ((dimension, getattr(row, dimension.name)) for dimension in self.kpi.by)
        return tuple(value.lower() if dimension.folded else value for dimension, value in values)
