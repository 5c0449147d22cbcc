"""The chart of subscribers over their quota, hour by hour."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from kpis.catalog.builtin.antenna import USER_QUOTA_EXCEEDED
from kpis.catalog.intervals import ONE_HOUR, to_milliseconds
from kpis.console import figures, moments
from kpis.console.charts.axis import time_axis, time_scale
from kpis.console.charts.chart import Chart, name_of
from kpis.console.theme import Theme

if TYPE_CHECKING:
    import altair as alt
else:
    from kpis.console.charts import lazy as alt

_TITLE = "Subscribers over their quota"


def quota_chart(start: datetime, end: datetime, hours: dict[datetime, tuple[int, int]], theme: Theme) -> Chart:
    """Return a chart with a bar for each hour in which a quota was exceeded; ``hours`` is from ``quotas.by_hour``."""
    bars: list[dict[str, Any]] = [
        {
            "start": to_milliseconds(hour),
            "end": to_milliseconds(hour + ONE_HOUR.delta),
            "value": number,
            "when": moments.span(hour, hour + ONE_HOUR.delta),
            "figure": f"{number:,}",
            "excess": figures.short(excess, "bytes"),
        }
        for hour, (number, excess) in sorted(hours.items())
    ]
    x: dict[str, Any] = {"scale": time_scale(start, end), "axis": time_axis(start, end)}
    axis = {"title": "subscribers", "format": "d", "tickMinStep": 1}
    drawing = (
        alt.Chart(alt.NamedData("bars"))
        .mark_rect(color=theme.accent, stroke=theme.surface, strokeWidth=1)
        .encode(
            x=alt.X("start:Q", **x),
            x2=alt.X2("end"),
            y=alt.Y("value:Q", axis=axis, scale={"zero": True, "nice": True}),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("when:N", title="hour"),
                alt.Tooltip("figure:N", title="over their quota"),
                alt.Tooltip("excess:N", title="beyond their quotas"),
            ],
        )
    )
    when = f"{moments.span(start, end)} ({moments.zone_name()})"
    most = max(bars, key=lambda bar: bar["value"], default=None)
    most_text = f"Most in one hour: {most['figure']}, {most['when']}." if most else "None."
    return Chart(
        drawing=drawing,
        data={"bars": bars},
        title=_TITLE,
        subtitle=[f"{when}, per hour"],
        description=f"{_TITLE}, {when}. {most_text}",
        name=name_of(USER_QUOTA_EXCEEDED.name, moments.for_file(start), moments.for_file(end), moments.zone_name()),
        theme=theme,
        height=220,
    )
