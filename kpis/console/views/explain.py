"""The page "Explain this number": from any value on any page to its batches and its SQL."""

from __future__ import annotations

import shlex
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.intervals import to_text
from kpis.console.explanation import MOST_BATCHES, BadFigure, Figure, figure_from, kpi_of
from kpis.console.selection import Selection
from kpis.console.views.page import BadRequest, Page


class Explain(Page):
    """The origin of a value."""

    title = "Explain this number"
    template_name = "console/explain.html"

    def is_personal(self) -> bool:
        kpi = kpi_of(self.request.GET)
        return kpi is not None and kpi.personal

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if not self.request.GET:
            return context
        try:
            figure = figure_from(self.request.GET.dict())
        except BadFigure as error:
            raise BadRequest(str(error)) from None
        kpi, interval = figure.kpi, figure.interval
        shown = Selection(kpi, interval.length, interval.start, interval.end, figure.group, interval.start)
        sql = figure.sql
        return context | {
            "figure": figure,
            "kpi": kpi,
            "listed": sum(part.records for part in figure.parts),
            "most_batches": MOST_BATCHES,
            "sql": sql,
            "command": f".venv/bin/python manage.py query_lake {shlex.quote(sql)}",
            "over_time": shown.with_(start=interval.length.shifted(interval.start, -12)).address(),
            "api_address": shown.api_address(),
            "batches_address": _batches_address(figure),
        }


def _batches_address(figure: Figure) -> str:
    """Return the address in the API that lists the batches."""
    wanted = {
        "feed": figure.kpi.feed.name,
        "interval_start_timestamp__gte": to_text(figure.interval.start),
        "interval_start_timestamp__lt": to_text(figure.interval.end),
    }
    return f"{reverse('batch-list')}?{urlencode(wanted)}"
