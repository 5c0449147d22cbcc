"""The chart of a KPI over time: a line with its gaps, the normal range, outliers, and open intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kpis.catalog.intervals import to_milliseconds
from kpis.catalog.kpis import KPI
from kpis.console import figures, moments
from kpis.console.charts.axis import time_axis, time_scale, value_axis
from kpis.console.charts.chart import Chart, hatched, name_of
from kpis.console.groups import Group, label, labels
from kpis.console.navigation import title_of
from kpis.console.theme import Theme
from kpis.console.window import Window
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd
else:
    from kpis.console.charts import lazy as alt

# With at most so many points each has a dot.
_MOST_DOTS = 60


def series_chart(kpi: KPI, window: Window, frame: pd.DataFrame, theme: Theme, group: Group | None = None) -> Chart:
    """Return the chart of a frame of ``series.series``, with the columns of ``series.normal`` if there are any."""
    last = window.length.shifted(window.end, -1)
    title = f"{title_of(kpi)}: {labels(kpi, [(group, last)])[0] if group else 'all groups'}"
    points = _points(kpi, frame)
    known = [point for point in points if point["value"] is not None]
    data = {
        "points": points,
        "gaps": _runs(points, "gap"),
        "provisional": _runs(points, "provisional"),
        "dots": [point for point in known if point["dot"]],
        "outliers": [point for point in known if point["outlier"]],
    }
    x: dict[str, Any] = {"scale": time_scale(window.start, window.end), "axis": time_axis(window.start, window.end)}
    y: dict[str, Any] = {
        "axis": value_axis(kpi.unit, kpi.measure.is_fraction, f"{kpi.value.replace('_', ' ')} ({kpi.unit})"),
        "scale": {"zero": kpi.measure.adds_up, "nice": True},
    }
    of = {name: alt.Chart(alt.NamedData(name)) for name in data}
    span = {"x": alt.X("start:Q", **x), "x2": alt.X2("end")}
    value = {"x": alt.X("middle:Q", **x), "y": alt.Y("value:Q", **y)}
    band = {"x": alt.X("middle:Q", **x), "y": alt.Y("low:Q", **y), "y2": alt.Y2("high")}

    layers = []
    # A layer without data would have no domain, which Vega warns about.
    if data["gaps"]:
        layers.append(of["gaps"].mark_rect(color=theme.raised).encode(**span))
    if data["provisional"]:
        layers.append(of["provisional"].mark_rect(color=hatched(theme.surface, theme.line)).encode(**span))
    if any(point["low"] is not None for point in known):
        layers.append(of["points"].mark_area(color=theme.accent, opacity=0.13).encode(**band))
    if known:
        layers.append(of["points"].mark_line(color=theme.accent).encode(**value))
    if data["dots"]:
        dot = of["dots"].mark_point(color=theme.accent, fill=theme.surface, size=28, strokeWidth=1.5, opacity=1)
        layers.append(dot.encode(**value))
    if data["outliers"]:
        diamond = of["outliers"].mark_point(
            shape="diamond", filled=True, size=130, color=theme.bad, stroke=theme.surface, opacity=1
        )
        layers.append(diamond.encode(**value))
    layers.append(_columns(of["points"], span, theme, "z" in frame))
    return Chart(
        drawing=alt.layer(*layers),
        data={name: rows for name, rows in data.items() if rows},
        title=title,
        subtitle=_subtitle(window, "z" in frame),
        description=_description(kpi, window, frame, title),
        name=_name(kpi, window, group),
        theme=theme,
        height=300,
    )


def _points(kpi: KPI, frame: pd.DataFrame) -> list[dict]:
    """Return the frame's rows for Vega: Unix ms, plain numbers, and the texts of the tooltips."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    there = [row["value"] is not None for row in rows]
    few = sum(there) <= _MOST_DOTS
    points = []
    for number, row in enumerate(rows):
        alone = not any(there[max(0, number - 1) : number]) and not any(there[number + 1 : number + 2])
        value = row["value"]
        start, end = row["start"].to_pydatetime(), row["end"].to_pydatetime()
        first, last = to_milliseconds(start), to_milliseconds(end)
        points.append(
            {
                "start": first,
                "end": last,
                "middle": (first + last) // 2,
                "value": value,
                "gap": value is None,
                "provisional": row["provisional"],
                "dot": value is not None and (few or alone),
                "when": moments.span(start, end),
                "figure": "no records" if value is None else figures.exact(value, kpi.unit),
                **_normal(kpi, row),
            }
        )
    return points


def _normal(kpi: KPI, row: dict) -> dict:
    if row.get("mean") is None:
        return {"low": None, "high": None, "outlier": False, "normal": "not known: too few intervals before"}
    reach = DEFAULT_THRESHOLD * row["deviation"]
    low, high = row["mean"] - reach, row["mean"] + reach
    if kpi.measure.adds_up:
        low = max(0.0, low)
    ends = (low, high) if kpi.measure.is_fraction else (round(low), round(high))
    normal = " to ".join(figures.short(end, kpi.unit) for end in ends)
    if row["outlier"]:
        normal += "; an outlier" if row["z"] is None else f"; an outlier, z = {row['z']:.1f}"
    return {"low": low, "high": high, "outlier": row["outlier"], "normal": normal}


def _runs(points: list[dict], flag: str) -> list[dict]:
    """Return the spans in which neighbouring points have the flag."""
    runs: list[dict] = []
    for point in points:
        if not point[flag]:
            continue
        if runs and runs[-1]["end"] == point["start"]:
            runs[-1]["end"] = point["end"]
        else:
            runs.append({"start": point["start"], "end": point["end"]})
    return runs


def _columns(base: alt.Chart, span: dict, theme: Theme, with_normal: bool) -> alt.Chart:
    """Return the layer for the pointer: a column for each step, with the tooltip and the brush that zooms."""
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout")
    brush = alt.selection_interval(
        name="brush", encodings=["x"], mark=alt.BrushConfig(fill=theme.accent, fillOpacity=0.15, stroke=theme.accent)
    )
    tooltip = [alt.Tooltip("when:N", title="interval"), alt.Tooltip("figure:N", title="figure")]
    if with_normal:
        tooltip.append(alt.Tooltip("normal:N", title="normal"))
    return (
        base.mark_rect(color=theme.ink)
        .encode(**span, tooltip=tooltip, opacity=alt.condition(hover, alt.value(0.07), alt.value(0), empty=False))
        .add_params(hover, brush)
    )


def _subtitle(window: Window, with_normal: bool) -> list[str]:
    lines = [f"{moments.span(window.start, window.end)} ({moments.zone_name()}), per {window.step_name}"]
    if window.note:
        lines.append(window.note)
    if with_normal:
        lines.append(
            f"Band: what is normal, {DEFAULT_THRESHOLD:g} standard deviations round the mean of the "
            f"{DEFAULT_WINDOW} intervals before. Diamonds: outliers. Hatched: provisional or incomplete. "
            "Shaded: no records."
        )
    return lines


def _description(kpi: KPI, window: Window, frame: pd.DataFrame, title: str) -> str:
    known = frame.dropna(subset=["value"])
    text = f"{title}, {moments.span(window.start, window.end)} ({moments.zone_name()}). "
    if known.empty:
        return text + "No records."
    gaps = len(frame) - len(known)
    values = known["value"].astype("float64")
    ends = [
        f"{word} {figures.short(_plain(known.loc[row, 'value']), kpi.unit)} at {moments.clock(known.loc[row, 'start'])}"
        for word, row in (("highest", values.idxmax()), ("lowest", values.idxmin()))
    ]
    text += f"{figures.counted(len(known), 'points')} per {window.step_name}; {', '.join(ends)}."
    if gaps:
        text += f" {gaps:,} without records."
    if "outlier" in frame:
        text += f" {figures.counted(int(frame['outlier'].sum()), 'outliers')}."
    return text


def _plain(value: Any) -> float:
    return value.item() if hasattr(value, "item") else value


def _name(kpi: KPI, window: Window, group: Group | None) -> str:
    parts = [kpi.name, *([label(kpi, group)] if group else [])]
    parts += [moments.for_file(window.start), moments.for_file(window.end), moments.zone_name()]
    return name_of(*parts)
