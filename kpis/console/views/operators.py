"""The page of operators: their volumes, their shares, and the quality of their signal and positions."""

from __future__ import annotations

from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse

from kpis.catalog.folding import fold
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console.addresses import given
from kpis.console.charts.chart import Chart
from kpis.console.charts.operators import average_chart, share_chart, stacked_chart
from kpis.console.navigation import title_of
from kpis.console.operators import by_operator, operator_kpis, operator_names, operator_window, totals
from kpis.console.selection import SPANS, BadSelection, Selection, selection
from kpis.console.theme import Theme
from kpis.console.views.page import BadRequest, ChartView, Page

_CHARTS = {"stacked": stacked_chart, "shares": share_chart, "average": average_chart}


def _selection(query: QueryDict) -> Selection | None:
    """Return the span that the query asks for, by the first KPI with records; None if none has any."""
    # Only the span and the length matter here.
    wanted = given(query, ("from", "to", "interval"))
    try:
        return next((found for kpi in operator_kpis() if (found := selection(kpi, wanted))), None)
    except BadSelection as error:
        raise BadRequest(str(error)) from None


class OperatorsPage(Page):
    """The page with all operators."""

    title = "Operators"
    template_name = "console/operators.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chosen = _selection(self.request.GET)
        context = super().get_context_data(selection=chosen, **kwargs)
        if chosen is None:
            return context
        panels = [_Panel(kpi, chosen) for kpi in operator_kpis()]
        by = chosen.end - chosen.start
        address = reverse("operators")
        return context | {
            "panels": panels,
            "rows": _rows(panels),
            "spans": [
                (name, f"{address}?{chosen.with_(start=chosen.end - span, at=None).query}", by == span)
                for name, span in SPANS.items()
            ],
            "earlier": f"{address}?{chosen.shifted(-1).query}",
            "later": f"{address}?{chosen.shifted(1).query}",
        }


class _Panel:
    """One KPI's charts on the page, and its operators over the whole span."""

    def __init__(self, kpi: KPI, chosen: Selection):
        self.kpi, self.selection = kpi, chosen
        self.window = operator_window(kpi, chosen.start, chosen.end, chosen.length)
        frame = by_operator(kpi, self.window)
        self.totals = {row.Index: row for row in totals(kpi, frame).itertuples()}

    @property
    def charts(self) -> list[tuple[str, str]]:
        """The charts' titles and addresses; empty if there are no records."""
        if not self.totals:
            return []
        kinds = ["average"] if self.kpi.measure.weight else ["stacked", "shares"]
        titles = {"shares": f"{title_of(self.kpi)}: shares"}
        return [
            (
                titles.get(kind, title_of(self.kpi)),
                f"{reverse('operator-chart', args=[self.kpi.id, kind, 'json'])}?{self.selection.query}",
            )
            for kind in kinds
        ]


def _rows(panels: list[_Panel]) -> list[tuple[str, list]]:
    """Return a row of the table for each operator: its value of each KPI, None if it has none."""
    names: dict[str, str] = {}
    for panel in panels:
        for name in panel.totals:
            names.setdefault(fold(name), name)
    rows = []
    for folded, name in names.items():
        cells = [
            (panel.kpi, next((total for key, total in panel.totals.items() if fold(key) == folded), None))
            for panel in panels
        ]
        rows.append((name, cells))
    return rows


class OperatorChart(ChartView):
    """One chart of a KPI of the operators: ``stacked``, ``shares``, or ``average``."""

    def chart(self, theme: Theme) -> Chart:
        kpi = KPIS.get(self.kwargs["kpi_id"])
        kinds = ("average",) if kpi and kpi.measure.weight else ("stacked", "shares")
        if kpi not in operator_kpis() or self.kwargs["kind"] not in kinds:
            raise Http404
        chosen = _selection(self.request.GET)
        if chosen is None:
            raise Http404
        window = operator_window(kpi, chosen.start, chosen.end, chosen.length)
        frame = by_operator(kpi, window)
        if frame.empty:
            raise Http404
        names = operator_names(chosen.start, chosen.end)
        # Operators beyond the categories share one colour.
        colours = dict.fromkeys(names, theme.rest) | dict(zip(names, theme.categories, strict=False))
        return _CHARTS[self.kwargs["kind"]](kpi, window, frame, colours, theme)
