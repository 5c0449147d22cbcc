"""The page of data quality: ingested and failed batches, values that changed, and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.intervals import LENGTHS, to_text
from kpis.catalog.registry import KPIS
from kpis.console.addresses import explain, given
from kpis.console.figures import Change
from kpis.console.moments import BadMoment, parse
from kpis.console.quality import MOST_BATCHES_WITH_REJECTS, Period, coverages, newest_intake, reasons, unusual
from kpis.console.table import BadTable, Column, Table
from kpis.console.today import intakes
from kpis.console.views.page import BadRequest, Page
from kpis.models import Batch, IntervalSummary
from kpis.query.access import hidden_kpis, may_view_personal

SPANS = {"1 hour": timedelta(hours=1), "1 day": timedelta(days=1), "7 days": timedelta(days=7)}
_DAY = SPANS["1 day"]

# The batches that can be listed.
SHOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("All", {}),
    "failed": ("Failed", {"status": Batch.Status.FAILED}),
    "duplicates": ("Duplicates", {"duplicate_of__isnull": False}),
    "rejects": ("With rejects", {"rejects__gt": 0}),
    "replaced": ("Replaced", {"revision__gt": 1}),
}
_BATCH_COLUMNS = (
    Column("name", "File"),
    Column("feed", "Feed"),
    Column("status", "State"),
    Column("records", "Records", number=True),
    Column("rejects", "Rejects", number=True),
    Column("revision", "Revision", number=True),
    Column("ingested_at", "Ingested"),
)
_REVISED_COLUMNS = (
    Column("kpi", "KPI"),
    Column("interval_start_timestamp", "Interval"),
    Column("revision", "Revision", number=True),
    Column("updated_at", "Now", number=True),
)


class Quality(Page):
    """The batches of a time span, and their effect on the results."""

    title = "Data quality"
    template_name = "console/quality.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        query = self.request.GET
        context = super().get_context_data(cleared=may_view_personal(self.request.user), **kwargs)
        newest = newest_intake()
        if newest is None:
            return context
        period = _period(query, newest)
        show = query.get("show", "all")
        if show not in SHOWS:
            raise BadRequest(f"show must be one of {', '.join(SHOWS)}, not {show!r}.")
        state = {"from": to_text(period.start), "to": to_text(period.end), "show": show}
        tables = given(query, ("batches_sort", "batches_page", "revised_sort", "revised_page"))
        try:
            listed = period.batches.filter(**SHOWS[show][1]).select_related("duplicate_of")
            batches = Table("batches", _BATCH_COLUMNS, listed, ("-pk",), "-ingested_at", query, state | tables)
            there = period.revised(hidden_kpis(self.request.user))
            revised = Table("revised", _REVISED_COLUMNS, there, ("-pk",), "-updated_at", query, state | tables)
        except BadTable as error:
            raise BadRequest(str(error)) from None
        by = period.end - period.start
        return context | {
            "period": period,
            "intakes": intakes(period.batches),
            "shows": [(label, _address(state | {"show": name}), name == show) for name, (label, _) in SHOWS.items()],
            "batches": batches,
            "batch_rows": batches.rows,
            "revised": revised,
            "revised_rows": [_revised_row(summary) for summary in revised.rows],
            "reasons": reasons(period),
            "most_with_rejects": MOST_BATCHES_WITH_REJECTS,
            "unusual": unusual(period),
            "coverages": coverages(),
            "spans": [
                (name, _address(state | {"from": to_text(period.end - span)}), by == span)
                for name, span in SPANS.items()
            ],
            "earlier": _address(state | {"from": to_text(period.start - by), "to": to_text(period.start)}),
            "later": _address(state | {"from": to_text(period.end), "to": to_text(period.end + by)}),
        }


def _period(query: QueryDict, newest: datetime) -> Period:
    """Return the span that the query asks for; by default the day up to the newest batch."""
    try:
        start, end = (parse(text) if (text := query.get(name)) else None for name in ("from", "to"))
    except BadMoment as error:
        raise BadRequest(str(error)) from None
    if end is None:
        # The first whole minute after it.
        end = newest.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = max(end, start + _DAY) if start else end
    start = start or end - _DAY
    if start >= end:
        raise BadRequest("The time span ends before it starts.")
    if end - start > SPANS["7 days"]:
        raise BadRequest("The time span is longer than 7 days: choose a part of it.")
    return Period(start, end)


def _address(parameters: Mapping[str, str]) -> str:
    return f"{reverse('quality')}?{urlencode(parameters)}"


def _revised_row(summary: IntervalSummary) -> dict:
    """Return a row of the table: the interval's present and former value, with a link to its explanation."""
    kpi, length = KPIS[summary.kpi], LENGTHS[summary.interval]
    return {
        "summary": summary,
        "kpi": kpi,
        "length": length,
        "now": summary.value,
        "before": summary.previous_value,
        "change": Change(summary.value, summary.previous_value),
        "explain": explain(kpi, length, summary.interval_start_timestamp),
    }
