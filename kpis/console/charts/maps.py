"""Maps: regions in the colours of their values, and the bins of a grid over the regions' outlines."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.console import figures, moments
from kpis.console.charts.chart import Chart, hatched, name_of
from kpis.console.grid import Bin, Grid
from kpis.console.navigation import title_of
from kpis.console.regions import Place
from kpis.console.theme import Theme
from kpis.models import Region

if TYPE_CHECKING:
    import altair as alt
else:
    from kpis.console.charts import lazy as alt

_HEIGHT = 560

# The names of signal strengths by the least average (ASU of GSM): Android's SignalStrength, GSM_SIGNAL_STRENGTH_*.
SIGNAL_CLASSES = {"poor": 0, "moderate": 5, "good": 8, "great": 12}


def region_map(
    kpi: KPI, length: Length, start: datetime, places: list[Place], regions: Iterable[Region], most: int, theme: Theme
) -> Chart:
    """Return a map of regions in the colour of their value, on a logarithmic scale up to ``most``; hatched if None."""
    values = {place.code: place.value for place in places if place.code}
    features = [
        feature(region.geometry)
        | {
            "code": region.code,
            "name": region.name,
            "value": values[region.code],
            "figure": "no data" if values[region.code] is None else figures.exact(values[region.code], kpi.unit),
        }
        for region in regions
    ]
    tooltip = [alt.Tooltip("name:N", title="region"), alt.Tooltip("figure:N", title=kpi.value.replace("_", " "))]
    shapes = alt.Chart(alt.NamedData("regions")).encode(tooltip=tooltip)
    scale = alt.Scale(type="log", domain=[1, max(most, 10)], range=[theme.wash, theme.accent], clamp=True)
    legend = alt.Legend(
        title=f"{kpi.unit} (logarithmic)", orient="bottom", gradientLength=220, tickCount=4, format="~s"
    )
    pointed = alt.param(name="pointed", value="")
    layers = [
        shapes.transform_filter("datum.value === null").mark_geoshape(
            fill=hatched(theme.surface, theme.line), stroke=theme.rest, strokeWidth=0.6
        ),
        shapes.transform_filter("datum.value !== null")
        .mark_geoshape(stroke=theme.surface, strokeWidth=0.6)
        .encode(color=alt.Color("value:Q", scale=scale, legend=legend)),
        shapes.transform_filter("datum.code === pointed").mark_geoshape(
            fillOpacity=0, stroke=theme.ink, strokeWidth=2.5, strokeJoin="round"
        ),
    ]
    known = [place for place in places if place.code and place.value is not None]
    lacking = sum(1 for value in values.values() if value is None)
    top_places = "; ".join(f"{place.name} {figures.short(place.value, kpi.unit)}" for place in known[:5])
    return Chart(
        drawing=alt.layer(*layers).add_params(pointed).project(type="mercator"),
        data={"regions": features},
        title=title_of(kpi),
        subtitle=[_when(length, start), *([f"Hatched: {lacking:,} regions without records."] if lacking else [])],
        description=f"{title_of(kpi)} by region, {_when(length, start)}. "
        + (f"Most: {top_places}." if known else "No records.")
        + (f" {lacking:,} regions without records." if lacking else ""),
        name=_name(kpi, length, start),
        theme=theme,
        height=_HEIGHT,
    )


def grid_map(length: Length, start: datetime, grid: Grid, regions: Iterable[Region], theme: Theme) -> Chart:
    """Return a map of bins in the colour of their average signal's class, over the outlines of the regions."""
    kpi, bins = grid.kpi, grid.bins
    squares = [
        feature(_square(one))
        | {
            "class": signal_class(one.value),
            "where": f"{_degrees(one.box.south, 'N', 'S')}, {_degrees(one.box.west, 'E', 'W')}",
            "figure": figures.short(one.value, kpi.unit),
            "samples": f"{one.samples:,} in {one.cells:,} cell{'' if one.cells == 1 else 's'}",
        }
        for one in bins
    ]
    outlines = [feature(region.geometry) for region in regions]
    colours = [theme.bad, theme.warn, theme.categories[4], theme.accent]
    scale = alt.Scale(domain=list(SIGNAL_CLASSES), range=colours)
    legend = alt.Legend(orient="bottom", columns=2, symbolType="square", labelExpr=_class_labels(kpi.unit))
    tooltip = [
        alt.Tooltip("where:N", title="south-west corner"),
        alt.Tooltip("figure:N", title=kpi.value.replace("_", " ")),
        alt.Tooltip("class:N", title="signal"),
        alt.Tooltip("samples:N", title="samples"),
    ]
    layers = [
        alt.Chart(alt.NamedData("regions")).mark_geoshape(fill=theme.raised, stroke=theme.line, strokeWidth=0.8),
        alt.Chart(alt.NamedData("bins"))
        .mark_geoshape(stroke=theme.surface, strokeWidth=0.5, opacity=0.92)
        .encode(color=alt.Color("class:N", scale=scale, legend=legend, sort=None), tooltip=tooltip),
    ]
    counts = {name: sum(signal_class(one.value) == name for one in bins) for name in SIGNAL_CLASSES}
    counted = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
    size = f"squares of {grid.size:g} degrees"
    return Chart(
        drawing=alt.layer(*layers).project(type="mercator"),
        data={"regions": outlines, "bins": squares},
        title=title_of(kpi),
        subtitle=[f"{_when(length, start)}, {size}"],
        description=f"{title_of(kpi)}, {_when(length, start)}, {size}: {counted or 'no samples'}.",
        name=_name(kpi, length, start),
        theme=theme,
        height=_HEIGHT,
    )


def signal_class(value: float) -> str:
    """Return the class of an average signal."""
    return [name for name, least in SIGNAL_CLASSES.items() if value >= least or least == 0][-1]


def _class_labels(unit: str) -> str:
    """Return the legend's labels: each class with its range of averages, as a Vega expression."""
    names, edges = list(SIGNAL_CLASSES), [*SIGNAL_CLASSES.values()][1:]
    spans = [f"below {edges[0]}", *(f"{low} to {high}" for low, high in pairwise(edges))]
    labels = {
        name: f"{name}: {span}" for name, span in zip(names, [*spans, f"{edges[-1]} {unit} and more"], strict=True)
    }
    return f"{labels}[datum.label]"


def feature(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a geometry for Vega, which draws it on a sphere: an outer ring runs clockwise, unlike in RFC 7946."""
    polygons = [[ring[::-1] for ring in rings] for rings in geometry["coordinates"]]
    return {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": polygons}}


def _square(one: Bin) -> dict[str, Any]:
    box = one.box
    corners = [(box.west, box.south), (box.east, box.south), (box.east, box.north), (box.west, box.north)]
    return {"type": "MultiPolygon", "coordinates": [[[[*corner] for corner in [*corners, corners[0]]]]]}


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):.2f}\N{DEGREE SIGN} {positive if value >= 0 else negative}"


def _when(length: Length, start: datetime) -> str:
    return f"{moments.span(start, length.end(start))} ({moments.zone_name()})"


def _name(kpi: KPI, length: Length, start: datetime) -> str:
    return name_of(kpi.name, moments.for_file(start), moments.for_file(length.end(start)), moments.zone_name())
