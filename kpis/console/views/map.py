"""The map: calls by region, and the signal by place, interval by interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME
from kpis.catalog.builtin.coverage import COVERAGE_GRID_SIGNAL
from kpis.catalog.intervals import to_text
from kpis.catalog.kpis import KPI
from kpis.console.addresses import explain, given
from kpis.console.charts.chart import Chart
from kpis.console.charts.maps import grid_map, region_map, signal_class
from kpis.console.grid import Cell, Grid, box_of, grid
from kpis.console.regions import Place, largest, places
from kpis.console.selection import SPANS, BadSelection, Selection, selection
from kpis.console.steps import Steps, steps
from kpis.console.theme import Theme
from kpis.console.views.page import BadRequest, ChartView, Page
from kpis.models import IntervalSummary, Region
from kpis.models.result_models import group_of

LAYERS = {"calls": COUNTY_CALL_VOLUME, "signal": COVERAGE_GRID_SIGNAL}
_TITLES = {"calls": "Calls by region", "signal": "Signal by place"}
# The table beside the map has so many rows; the KPI's own page has all.
MOST_ROWS = 300


@dataclass(frozen=True)
class _Shown:
    """The content of an address: a layer, an interval of the slider, and the region to zoom to ("" for all)."""

    layer: str
    selection: Selection
    steps: Steps
    region: str

    @property
    def kpi(self) -> KPI:
        return LAYERS[self.layer]

    def query(self, **changes: int | str | None) -> str:
        """Return the query string with some parameters changed; None leaves a parameter out."""
        parameters: dict[str, int | str | None] = {
            "layer": self.layer,
            "interval": self.selection.length.code,
            "from": to_text(self.selection.start),
            "to": to_text(self.selection.end),
            "at": to_text(self.steps.at),
            "region": self.region or None,
        }
        return urlencode({name: value for name, value in (parameters | changes).items() if value is not None})


def _layer(query: QueryDict) -> str:
    layer = query.get("layer", "calls")
    if layer not in LAYERS:
        raise BadRequest(f"layer must be one of {', '.join(LAYERS)}, not {layer!r}.")
    return layer


def _shown(query: QueryDict) -> _Shown | None:
    """Return the content that the query asks for; None if the layer has no records yet."""
    layer = _layer(query)
    # The layers show all groups.
    wanted = given(query, ("interval", "from", "to", "at"))
    try:
        chosen = selection(LAYERS[layer], wanted)
        region = query.get("region", "") if layer == "signal" else ""
        return _Shown(layer, chosen, steps(chosen, query), region) if chosen else None
    except BadSelection as error:
        raise BadRequest(str(error)) from None


def _kept_to(shown: _Shown) -> list[Region]:
    """Return the regions that are shown."""
    regions = Region.objects.all()
    if not shown.region:
        return list(regions)
    found = list(regions.filter(code=shown.region))
    if not found:
        raise BadRequest(f"region must be the code of one on the map, not {shown.region!r}.")
    return found


class MapPage(Page):
    """The map with its slider, and its values as a table."""

    title = "Map"
    template_name = "console/map.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        layer = _layer(self.request.GET)
        shown = _shown(self.request.GET)
        address = reverse("map")
        context = super().get_context_data(shown=shown, layer=layer, kpi=LAYERS[layer], **kwargs) | {
            "layers": [(title, f"{address}?layer={name}", name == layer) for name, title in _TITLES.items()],
            "heading": _TITLES[layer],
        }
        if shown is None:
            return context
        chosen, window = shown.selection, shown.steps.window
        span = chosen.end - chosen.start
        summary = IntervalSummary.objects.filter(
            kpi=shown.kpi.id, interval=window.length.code, interval_start_timestamp=shown.steps.at
        ).first()
        one = Selection(shown.kpi, window.length, chosen.start, chosen.end, None, shown.steps.at)
        return (
            context
            | {
                "summary": summary,
                "end": window.length.end(shown.steps.at),
                "chart": f"{reverse('map-chart', args=[layer, 'json'])}?{shown.query(layer=None)}",
                "spans": [
                    (name, f"{address}?{shown.query(**{'from': to_text(chosen.end - one), 'at': None})}", one == span)
                    for name, one in SPANS.items()
                ],
                "earlier": f"{address}?{_shifted(shown, -1)}",
                "later": f"{address}?{_shifted(shown, 1)}",
                "all_rows": one.address(),
                "explain_total": explain(shown.kpi, window.length, shown.steps.at),
            }
            | (self._calls(shown, one) if layer == "calls" else self._signal(shown, one))
        )

    def _calls(self, shown: _Shown, one: Selection) -> dict:
        found = places(shown.kpi, one.length, shown.steps.at, Region.objects.defer("geometry"))
        off_the_map = [place for place in found if not place.code]
        return {
            "rows": [_place_row(one, shown.steps.at, place) for place in found[:MOST_ROWS]],
            "more": max(0, len(found) - MOST_ROWS),
            "lacking": sum(1 for place in found if place.value is None),
            "off_the_map": len(off_the_map),
            "off_the_map_value": sum(place.value or 0 for place in off_the_map),
        }

    def _signal(self, shown: _Shown, one: Selection) -> dict:
        kept = _kept_to(shown)
        found = _grid(shown, kept)
        return {
            "grid": found,
            "regions": Region.objects.values_list("code", "name"),
            "region_name": kept[0].name if shown.region else "",
            "rows": [_cell_row(one, shown.steps.at, cell) for cell in found.cells[:MOST_ROWS]],
            "more": max(0, len(found.cells) - MOST_ROWS),
        }


def _grid(shown: _Shown, kept: list[Region]) -> Grid:
    return grid(shown.kpi, shown.steps.window.length, shown.steps.at, box_of(kept))


def _shifted(shown: _Shown, times: int) -> str:
    moved = shown.selection.shifted(times)
    return shown.query(**{"from": to_text(moved.start), "to": to_text(moved.end), "at": None})


def _place_row(one: Selection, at: datetime, place: Place) -> dict:
    """Return a row of the table, with links to the value's explanation and series."""
    (dimension,) = one.kpi.dimensions
    groups = [{dimension: group} for group in place.groups]
    return {
        "place": place,
        "address": one.with_(group=groups[0]).address() if groups else "",
        "explained": [(explain(one.kpi, one.length, at, group), group[dimension]) for group in groups],
    }


def _cell_row(one: Selection, at: datetime, cell: Cell) -> dict:
    (dimension,) = one.kpi.dimensions
    group = group_of(cell.row)
    value = getattr(cell.row, one.kpi.value)
    return {
        "name": str(group[dimension]).replace(",", ", "),
        "row": cell.row,
        "value": value,
        "class": "" if value is None else signal_class(value),
        "address": one.with_(group=group).address(),
        "explain": explain(one.kpi, one.length, at, group),
    }


class MapChart(ChartView):
    """The chart of a layer."""

    def chart(self, theme: Theme) -> Chart:
        layer = self.kwargs["layer"]
        if layer not in LAYERS:
            raise Http404
        query = self.request.GET.copy()
        query["layer"] = layer
        shown = _shown(query)
        if shown is None:
            raise Http404
        window, at = shown.steps.window, shown.steps.at
        kept = _kept_to(shown)
        if layer == "signal":
            return grid_map(window.length, at, _grid(shown, kept), kept, theme)
        found = places(shown.kpi, window.length, at, kept)
        return region_map(shown.kpi, window.length, at, found, kept, largest(shown.kpi, window), theme)
