"""The live page: the streams' counts, second by second. The data comes over a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.feeds import Feed
from kpis.catalog.live import live_dimensions, live_feeds
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


_BUILT_IN = (Areas(CDR, "operator", "Operators"), Areas(ANTENNA, "app", "Apps"))


def all_areas() -> dict[str, Areas]:
    """Return the charts by their dimensions: one of each feed that has live counts."""
    declared = [
        Areas(feed, one.name, f"{feed.title}: {one.column.replace('_', ' ')}")
        for feed in live_feeds()
        if feed not in {areas.feed for areas in _BUILT_IN}
        for one in live_dimensions(feed)
    ]
    return {areas.dimension: areas for areas in (*_BUILT_IN, *declared)}


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
            areas=all_areas().values(),
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
        areas = all_areas().get(name)
        if areas is None:
            raise Http404
        return live_areas(areas.title, theme)
