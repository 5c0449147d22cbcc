"""The live page: the streams' counts, second by second. The data comes over a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.feeds import Feed
from kpis.console.charts.chart import Chart
from kpis.console.charts.live import GROUPS, MAP_SECONDS, live_areas, live_map
from kpis.console.theme import Theme
from kpis.console.views.page import ChartView, Page
from kpis.models import Region
from kpis.query.anomalies import DEFAULT_THRESHOLD

# The address of the data.
SOCKET = "/ws/live/"
MAP = "map"


@dataclass(frozen=True)
class Areas:
    """A chart of a feed's stacked groups."""

    feed: Feed
    dimension: str
    title: str


AREAS = {areas.dimension: areas for areas in (Areas(CDR, "operator", "Operators"), Areas(ANTENNA, "app", "Apps"))}


class LivePage(Page):
    """The page; its script adds the data as it arrives."""

    title = "Live"
    template_name = "console/live.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        regions = list(Region.objects.defer("geometry"))
        return super().get_context_data(
            socket=SOCKET,
            threshold=DEFAULT_THRESHOLD,
            groups=GROUPS,
            map_seconds=MAP_SECONDS,
            areas=AREAS.values(),
            regions=regions,
            spellings={spelling: region.code for region in regions for spelling in (region.name, *region.spellings)},
            **kwargs,
        )


class LiveChart(ChartView):
    """One of the page's charts, without data."""

    def chart(self, theme: Theme) -> Chart:
        name = self.kwargs["name"]
        if name == MAP:
            return live_map(Region.objects.all(), theme)
        if name not in AREAS:
            raise Http404
        return live_areas(AREAS[name].title, theme)
