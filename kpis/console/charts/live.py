"""The live charts: drawn without data, which the page's script adds as it arrives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kpis.console import moments
from kpis.console.charts.axis import value_axis
from kpis.console.charts.chart import Chart, hatched, name_of
from kpis.console.charts.maps import feature
from kpis.console.theme import Theme
from kpis.models import Region

if TYPE_CHECKING:
    import altair as alt
else:
    from kpis.console.charts import lazy as alt

# The seconds that a region's value on the map sums.
MAP_SECONDS = 60
# The most groups with a colour of their own; the rest share one.
GROUPS = 6

_MAP_HEIGHT = 600
_AREAS_HEIGHT = 230
_SIGN = 14
# The width that the values beside the areas take, so that the plot does not move when they grow.
_AXIS_WIDTH = 38


def live_map(regions: Iterable[Region], theme: Theme) -> Chart:
    """Return the map of regions, each in the colour of its value on a logarithmic scale up to the signal ``most``.

    The data ``values`` has each known region: ``code``, ``value`` (None without records), ``figure`` and ``normal`` for
    the tooltip, and ``sign``: an arrow for an anomalous region, else "". The region whose code is in the signal
    ``pointed`` is outlined.
    """
    shapes = [
        feature(region.geometry)
        | {"code": region.code, "name": region.name, "centre": _centre(region.geometry["coordinates"])}
        for region in regions
    ]
    known = alt.LookupData(data=alt.NamedData("values"), key="code", fields=["value", "figure", "normal", "sign"])
    base = alt.Chart(alt.NamedData("regions"))
    filled = base.transform_lookup("code", known)
    outliers = filled.transform_filter("datum.sign")
    scale = alt.Scale(type="log", domain=[1, {"expr": "most"}], range=[theme.wash, theme.accent], clamp=True)
    legend = alt.Legend(
        title="calls (logarithmic)", orient="bottom", gradientLength=220, tickCount=4, format="~s", titleLimit=220
    )
    tooltip = [
        alt.Tooltip("name:N", title="region"),
        alt.Tooltip("figure:N", title="last 60 s"),
        alt.Tooltip("normal:N", title="last whole minute"),
    ]
    pointed, most = alt.param(name="pointed", value=""), alt.param(name="most", value=10)
    sign = {"longitude": "longitude:Q", "latitude": "latitude:Q", "text": "sign:N"}
    centred = outliers.transform_calculate(longitude="datum.centre[0]", latitude="datum.centre[1]")
    layers = [
        # All regions, so that the map does not move when data arrives.
        base.mark_geoshape(fill=hatched(theme.surface, theme.line), stroke=theme.rest, strokeWidth=0.6),
        filled.transform_filter("isNumber(datum.value)")
        .mark_geoshape(stroke=theme.surface, strokeWidth=0.6)
        .encode(color=alt.Color("value:Q", scale=scale, legend=legend)),
        outliers.mark_geoshape(fillOpacity=0, stroke=theme.bad, strokeWidth=1.75, strokeJoin="round"),
        base.transform_filter("datum.code === pointed").mark_geoshape(
            fillOpacity=0, stroke=theme.ink, strokeWidth=2.5, strokeJoin="round"
        ),
        centred.mark_text(fontSize=_SIGN, stroke=theme.surface, strokeWidth=4, strokeJoin="round").encode(**sign),
        centred.mark_text(fontSize=_SIGN, color=theme.bad).encode(**sign),
        # On top, so that the pointer hits it.
        filled.mark_geoshape(fillOpacity=0).encode(tooltip=tooltip),
    ]
    return Chart(
        drawing=alt.layer(*layers).add_params(pointed, most).project(type="mercator"),
        data={"regions": shapes, "values": []},
        title="Calls by region",
        subtitle=[],
        description="Map of the calls and texts of the last minute by region; the table below it has the figures.",
        name=name_of("live-map"),
        theme=theme,
        height=_MAP_HEIGHT,
    )


def live_areas(title: str, theme: Theme) -> Chart:
    """Return a chart of groups stacked second by second, over the signal ``span`` (Unix seconds), up to ``most``.

    The data ``points`` has ``at``, ``group`` (its number, from 0), ``low``, ``high`` and ``run``: another number after
    each gap, over which no area reaches. The data ``cuts`` has the spans without a connection (``start``, ``end``). The
    signal ``marks`` has the times that the axis labels, ``labels`` their texts: Vega supports no zone but the
    browser's.
    """
    span = {"domain": [{"expr": "span[0]"}, {"expr": "span[1]"}], "zero": False, "nice": False}
    axis = {
        "values": {"expr": "marks"},
        "labelExpr": "labels[indexof(marks, datum.value)]",
        "title": f"Time ({moments.zone_name()})",
    }
    x: dict[str, Any] = {"scale": span, "axis": axis}
    colours = [*theme.categories[:GROUPS], theme.rest]
    as_it_is = alt.DataFormat(parse=None)
    areas = (
        alt.Chart(alt.NamedData("points", format=as_it_is))
        # No value is missing, which "filter" checks in new rows only, and Vega-Lite's default in all rows each time.
        .mark_area(opacity=0.95, clip=True, invalid="filter")
        .encode(
            x=alt.X("at:Q", **x),
            y=alt.Y(
                "low:Q",
                axis=value_axis("", False, "records per second") | {"minExtent": _AXIS_WIDTH, "tickCount": 4},
                scale={"domain": [0, {"expr": "most"}], "nice": False},
            ),
            y2=alt.Y2("high"),
            detail="run:O",
            color=alt.Color("group:O", scale={"domain": [*range(GROUPS + 1)], "range": colours}, legend=None),
        )
    )
    cuts = (
        alt.Chart(alt.NamedData("cuts", format=as_it_is))
        .mark_rect(color=theme.warn_wash, stroke=theme.warn, strokeDash=[3, 3], strokeWidth=0.75, clip=True)
        .encode(x=alt.X("start:Q", **x), x2=alt.X2("end"))
    )
    # With one label, which reserves the space for those that come.
    signals = {"span": [0, 1], "most": 1, "marks": [0], "labels": ["00:00"]}
    parameters = [alt.param(name=name, value=value) for name, value in signals.items()]
    return Chart(
        drawing=alt.layer(cuts, areas).add_params(*parameters),
        data={"points": [], "cuts": []},
        title=title,
        subtitle=[],
        description=f"{title}, stacked, second by second over the last 15 minutes; the table has the newest figures.",
        name=name_of("live", title),
        theme=theme,
        height=_AREAS_HEIGHT,
    )


def _centre(polygons: list) -> list[float]:
    """Return the centroid of a MultiPolygon's largest outer ring, in degrees: the place of a region's sign."""
    sums = [_moments_of(rings[0]) for rings in polygons]
    area, x, y = max(sums, key=lambda one: abs(one[0]))
    return [x / (3 * area), y / (3 * area)]


def _moments_of(ring: list) -> tuple[float, float, float]:
    """Return twice a closed ring's area, and six times its first moments (by the shoelace formula)."""
    area = x = y = 0.0
    for (x0, y0), (x1, y1) in pairwise(ring):
        cross = x0 * y1 - x1 * y0
        area, x, y = area + cross, x + (x0 + x1) * cross, y + (y0 + y1) * cross
    return area, x, y
