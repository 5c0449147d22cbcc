"""The bar chart of an interval's first groups, with the rest of the total."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kpis.console import figures, moments
from kpis.console.charts.chart import Chart, hatched, name_of
from kpis.console.groups import dimension_words
from kpis.console.interval_groups import IntervalGroups
from kpis.console.navigation import title_of
from kpis.console.theme import Theme
from kpis.models import IntervalSummary

if TYPE_CHECKING:
    import altair as alt
else:
    from kpis.console.charts import lazy as alt

_BAR = 27


def top_chart(groups: IntervalGroups, theme: Theme) -> Chart:
    """Return the chart of an interval's first groups; hatched unless the interval is final."""
    kpi, summary = groups.kpi, groups.summary
    final = summary.state == IntervalSummary.State.FINAL
    colour = theme.accent if final else hatched(theme.accent, theme.wash)
    bars = [
        bar
        | {
            "order": number,
            "figure": figures.exact(bar["value"], kpi.unit),
            "text": figures.short(bar["value"], kpi.unit),
            "part": figures.percent(bar["share"]),
        }
        for number, bar in enumerate(groups.bars)
    ]
    labels = f"{json.dumps([bar['label'] for bar in bars])}[datum.value]"
    axis = {"title": None, "labelLimit": 150, "labelColor": theme.ink, "labelExpr": labels}
    base = alt.Chart(alt.NamedData("bars")).encode(
        y=alt.Y("order:O", sort=None, axis=axis),
        x=alt.X("value:Q", axis=None, scale={"zero": True, "nice": False, "padding": 0}),
    )
    tooltip = [alt.Tooltip("label:N", title=dimension_words(kpi)), alt.Tooltip("figure:N", title="figure")]
    if kpi.measure.adds_up:
        tooltip.append(alt.Tooltip("part:N", title="of the total"))
    drawing = alt.layer(
        base.mark_bar(height=17).encode(
            color=alt.condition("datum.other", alt.value(theme.rest), alt.value(colour)), tooltip=tooltip
        ),
        base.mark_text(align="left", dx=6, fontSize=12, color=theme.ink).encode(text="text:N"),
    )
    start, end = summary.interval_start_timestamp, summary.interval_end_timestamp
    when = moments.span(start, end)
    first = ", ".join(f"{bar['label']} {bar['text']}" for bar in bars[:3])
    return Chart(
        drawing=drawing,
        data={"bars": bars},
        title=f"{title_of(kpi)} by {dimension_words(kpi)}",
        subtitle=[f"{when} ({moments.zone_name()})", _total(groups)],
        description=f"{kpi.description}, {when} ({moments.zone_name()}). {_total(groups)}. First: {first}.",
        name=name_of(kpi.name, "top", moments.for_file(start), moments.for_file(end), moments.zone_name()),
        theme=theme,
        height=top_height(groups),
    )


def top_height(groups: IntervalGroups) -> int:
    """Return the height of the chart, in CSS pixels."""
    return _BAR * max(1, len(groups.bars))


def _total(groups: IntervalGroups) -> str:
    what = groups.kpi.measure.total_words.capitalize()
    text = (
        f"{what} {figures.short(groups.total, groups.kpi.unit)} of {figures.counted(groups.summary.groups, 'groups')}"
    )
    if groups.summary.state != IntervalSummary.State.FINAL:
        text += f"; {groups.summary.state}"
    return text
