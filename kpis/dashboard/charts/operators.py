"""Operators over time: their sums stacked, their shares of the whole, and their averages as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpis.catalog.intervals import to_milliseconds
from kpis.catalog.kpis import KPI
from kpis.dashboard import figures, moments
from kpis.dashboard.charts.axis import time_axis, time_scale, value_axis
from kpis.dashboard.charts.chart import Chart, name_of
from kpis.dashboard.navigation import title_of
from kpis.dashboard.operators import LINES, totals
from kpis.dashboard.theme import Theme
from kpis.dashboard.window import Window

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

_HEIGHT = 260


def stacked_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """The operators' sums on top of each other."""
    return _areas(kpi, window, frame, colours, theme, shares=False)


def share_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """The operators' shares of each step's whole."""
    return _areas(kpi, window, frame, colours, theme, shares=True)


def average_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """The operators' averages, each with the samples behind it."""
    import altair as alt

    shown = frame[frame["operator"].isin(_shown(frame))]
    points = [
        {"middle": _middle(row), "operator": row.operator, "value": None if row.value != row.value else row.value}
        for row in shown.itertuples()
    ]

    def told(row) -> str:
        if row.value != row.value:
            return "no samples"
        return f"{figures.short(row.value, kpi.unit)} ({row.weight:,.0f} samples)"

    x, colour = _x(window), _colour(shown, colours)
    axis = value_axis(kpi.unit, True, f"{kpi.value.replace('_', ' ')} ({kpi.unit})")
    lines = alt.Chart(alt.InlineData(points)).encode(
        x=alt.X("middle:Q", **x), y=alt.Y("value:Q", axis=axis, scale={"zero": False, "nice": True}), color=colour
    )
    layers = [lines.mark_line()]
    if window.points <= 60:
        layers.append(lines.mark_point(filled=True, size=22, opacity=1))
    title = title_of(kpi)
    return _chart(kpi, window, frame, theme, title, "average", [*layers, _columns(shown, x, theme, told)])


def _areas(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict, theme: Theme, shares: bool) -> Chart:
    import altair as alt

    whole = frame.groupby("start")["value"].transform("sum")
    frame = frame.assign(share=frame["value"].fillna(0.0) / whole)
    column = "share" if shares else "value"
    shown = frame[frame["operator"].isin(_shown(frame))]
    filled = shown[column].fillna(0.0)
    high = filled.groupby(shown["start"]).cumsum()
    points = [
        {
            "middle": _middle(row),
            "operator": row.operator,
            "low": None if row.gap else low,
            "high": None if row.gap else up,
        }
        for row, low, up in zip(shown.itertuples(), high - filled, high, strict=True)
    ]

    def told(row) -> str:
        if row.gap:
            return "no records"
        value = 0.0 if row.value != row.value else row.value
        return f"{figures.exact(int(value), kpi.unit)} ({figures.percent(row.share)})"

    x = _x(window)
    axis = (
        {"title": "share of all", "format": ".0%"}
        if shares
        else value_axis(kpi.unit, False, f"{kpi.unit} per {window.step_name}")
    )
    y = {"axis": axis, "scale": {"domain": [0, 1]} if shares else {"zero": True, "nice": True}}
    areas = (
        alt.Chart(alt.InlineData(points))
        .mark_area(opacity=0.9, stroke=theme.surface, strokeWidth=0.75)
        .encode(x=alt.X("middle:Q", **x), y=alt.Y("low:Q", **y), y2=alt.Y2("high"), color=_colour(shown, colours))
    )
    title = f"{title_of(kpi)}: shares" if shares else title_of(kpi)
    return _chart(
        kpi, window, frame, theme, title, "shares" if shares else "stacked", [areas, _columns(shown, x, theme, told)]
    )


def _shown(frame: pd.DataFrame) -> list[str]:
    """The heaviest operators; of more there would be no telling apart."""
    return list(frame["operator"].unique()[:LINES])


def _middle(row) -> int:
    return (to_milliseconds(row.start.to_pydatetime()) + to_milliseconds(row.end.to_pydatetime())) // 2


def _x(window: Window) -> dict:
    return {"scale": time_scale(window.start, window.end), "axis": time_axis(window.start, window.end)}


def _colour(frame: pd.DataFrame, colours: dict[str, str]) -> alt.Color:
    import altair as alt

    names = list(frame["operator"].unique())
    return alt.Color(
        "operator:N", sort=None, scale={"domain": names, "range": [colours[name.lower()] for name in names]}
    )


def _columns(frame: pd.DataFrame, x: dict, theme: Theme, told) -> alt.Chart:
    """What is pointed at: a column for each step, whose tooltip has a line for each operator."""
    import altair as alt

    names = list(frame["operator"].unique())
    fields = {name: f"operator{number}" for number, name in enumerate(names)}
    columns: dict[int, dict] = {}
    for row in frame.itertuples():
        start, end = (to_milliseconds(moment.to_pydatetime()) for moment in (row.start, row.end))
        column = columns.setdefault(start, {"start": start, "end": end, "when": moments.span(row.start, row.end)})
        column[fields[row.operator]] = told(row)
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout")
    tooltip = [alt.Tooltip("when:N", title="interval")]
    tooltip += [alt.Tooltip(f"{field}:N", title=name) for name, field in fields.items()]
    return (
        alt.Chart(alt.InlineData(list(columns.values())))
        .mark_rect(color=theme.ink)
        .encode(
            x=alt.X("start:Q", **x),
            x2=alt.X2("end"),
            tooltip=tooltip,
            opacity=alt.condition(hover, alt.value(0.07), alt.value(0), empty=False),
        )
        .add_params(hover)
    )


def _chart(kpi: KPI, window: Window, frame: pd.DataFrame, theme: Theme, title: str, kind: str, layers: list) -> Chart:
    import altair as alt

    when = moments.span(window.start, window.end)
    lines = [f"{when} ({moments.zone_name()}), per {window.step_name}"]
    hidden = frame["operator"].nunique() - len(_shown(frame))
    if hidden > 0:
        lines.append(f"The {LINES} largest operators; {hidden} more are in the table.")
    of_all = totals(kpi, frame)
    told = "; ".join(f"{name} {figures.short(_number(kpi, row.value), kpi.unit)}" for name, row in of_all.iterrows())
    return Chart(
        drawing=alt.layer(*layers),
        title=title,
        subtitle=lines,
        description=f"{title}, {when} ({moments.zone_name()}). Over all of it: {told}.",
        name=name_of(kpi.name, kind, moments.for_file(window.start), moments.for_file(window.end), moments.zone_name()),
        theme=theme,
        height=_HEIGHT,
    )


def _number(kpi: KPI, value: float) -> float:
    return float(value) if kpi.measure.is_mean else int(value)
