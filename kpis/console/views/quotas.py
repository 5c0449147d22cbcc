"""The page of quotas: who exceeds theirs, by how much and how often. Personal, as its KPI is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.builtin.antenna import USER_QUOTA_EXCEEDED
from kpis.catalog.intervals import ONE_HOUR, to_text
from kpis.console.addresses import explain, given
from kpis.console.charts.chart import Chart
from kpis.console.charts.quotas import quota_chart
from kpis.console.quotas import by_hour, by_subscriber, exceedings
from kpis.console.selection import SPANS, BadSelection, Selection, selection
from kpis.console.table import BadTable, Column, Table
from kpis.console.theme import Theme
from kpis.console.views.page import BadRequest, ChartView, Page
from kpis.models import KPIResult
from kpis.models.result_models import group_of

_SUBSCRIBER_COLUMNS = (
    Column("email", "Subscriber"),
    Column("hours", "Hours over", number=True),
    Column("total", "Over by, in all", number=True),
    Column("worst", "In the worst hour", number=True),
    Column("last", "Last hour"),
)
_EXCEEDING_COLUMNS = (
    Column("interval_start_timestamp", "Hour"),
    Column("email", "Subscriber"),
    Column("usage", "Usage", number=True),
    Column("quota", "Quota", number=True),
    Column("excess", "Over by", number=True),
)


def _selection(query: QueryDict) -> Selection | None:
    try:
        return selection(USER_QUOTA_EXCEEDED, given(query, ("from", "to")))
    except BadSelection as error:
        raise BadRequest(str(error)) from None


class QuotasPage(Page):
    """The subscribers who exceeded their quota in a time span."""

    title = "Quotas"
    template_name = "console/quotas.html"
    personal = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        query = self.request.GET
        chosen = _selection(query)
        context = super().get_context_data(selection=chosen, **kwargs)
        if chosen is None:
            return context
        email = query.get("email", "")
        state = {"from": to_text(chosen.start), "to": to_text(chosen.end)} | ({"email": email} if email else {})
        tables = given(query, ("subscribers_sort", "subscribers_page", "hours_sort", "hours_page"))
        rows = exceedings(chosen.start, chosen.end)
        listed = rows.filter(email=email) if email else rows
        try:
            subscribers = Table(
                "subscribers",
                _SUBSCRIBER_COLUMNS,
                by_subscriber(chosen.start, chosen.end),
                ("email",),
                "-total",
                query,
                state | tables,
            )
            hours = Table(
                "hours", _EXCEEDING_COLUMNS, listed, ("rank",), "-interval_start_timestamp", query, state | tables
            )
        except BadTable as error:
            raise BadRequest(str(error)) from None
        by = chosen.end - chosen.start
        return context | {
            "email": email,
            "everybody": _address(state | {"email": ""}),
            "subscribers": subscribers,
            "subscriber_rows": [(row, _address(state | {"email": row["email"]})) for row in subscribers.rows],
            "hours": hours,
            "hour_rows": [(row, _explained(row)) for row in hours.rows],
            "number": rows.count(),
            "chart": f"{reverse('quota-chart', args=['json'])}?{urlencode(state)}",
            "spans": [
                (name, _address(state | {"from": to_text(chosen.end - span)}), by == span)
                for name, span in SPANS.items()
            ],
            "earlier": _address(state | {"from": to_text(chosen.start - by), "to": to_text(chosen.start)}),
            "later": _address(state | {"from": to_text(chosen.end), "to": to_text(chosen.end + by)}),
        }


class QuotaChart(ChartView):
    """The chart of subscribers over their quota, hour by hour."""

    personal = True

    def chart(self, theme: Theme) -> Chart:
        chosen = _selection(self.request.GET)
        if chosen is None:
            raise Http404
        return quota_chart(chosen.start, chosen.end, by_hour(chosen.start, chosen.end), theme)


def _address(parameters: Mapping[str, str]) -> str:
    filled = {name: value for name, value in parameters.items() if value}
    return f"{reverse('quotas')}?{urlencode(filled)}"


def _explained(row: KPIResult) -> str:
    return explain(USER_QUOTA_EXCEEDED, ONE_HOUR, row.interval_start_timestamp, group_of(row))
