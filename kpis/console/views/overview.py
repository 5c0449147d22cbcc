"""The overview: the newest values, anomalies, and the day's runs."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from kpis.console.access import Guarded
from kpis.console.newest import NewestTotal, feed_news
from kpis.console.selection import Selection
from kpis.console.standouts import SHOWN, standouts
from kpis.console.today import today
from kpis.console.views.page import Page
from kpis.query.access import hidden_kpis


class Overview(Page):
    """The page with the newest of everything."""

    title = "Overview"
    template_name = "console/overview.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        now = timezone.now()
        news = feed_news(now, hidden_kpis(self.request.user))
        tops = [(total, _interval(total)) for one in news for total in one.totals if total.kpi.top]
        return super().get_context_data(news=news, tops=tops, today=today(now), **kwargs)


def _interval(total: NewestTotal) -> Selection:
    """Return the selection of the newest interval only."""
    return Selection(total.kpi, total.length, total.start, total.length.end(total.start), None, total.start)


class StandoutList(Guarded):
    """The anomalies of the newest hour, as a part of the page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        found = standouts(hidden_kpis(request.user))
        return render(request, "console/standouts.html", {"standouts": found[:SHOWN], "number": len(found)})
