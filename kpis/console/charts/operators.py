"""Charts of operators over time: their stacked sums, their shares of the whole, and their averages as lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from kpis.catalog.folding import fold
from kpis.catalog.intervals import to_milliseconds
from kpis.catalog.kpis import KPI
from kpis.console import figures, moments
from kpis.console.charts.axis import time_axis, time_scale, value_axis
from kpis.console.charts.chart import Chart, name_of
from kpis.console.navigation import title_of
from kpis.console.operators import LINES, totals
from kpis.console.theme import Theme
from kpis.console.window import Window

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd
else:
    from kpis.console.charts import lazy as alt

OTHER = "Other"

_HEIGHT = 260
# With at most so many points each has a dot.
_MOST_DOTS = 60


def stacked_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """Return the chart of operators' stacked sums, from a frame of ``operators.by_operator``.

    ``colours`` has each operator's by its name in lower case.
    """
    axis = value_axis(kpi.unit, False, f"{kpi.unit} per {window.step_name}")
    drawing = _Drawing(kpi, window, frame, colours, theme, title_of(kpi), "stacked")
    return drawing.areas(drawing.values, {"axis": axis, "scale": {"zero": True, "nice": True}})


def share_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """Return the chart of operators' shares of each step's total."""
    axis = {"title": "share of all", "format": ".0%"}
    drawing = _Drawing(kpi, window, frame, colours, theme, f"{title_of(kpi)}: shares", "shares")
    return drawing.areas(drawing.shares, {"axis": axis, "scale": {"domain": [0, 1]}})


def average_chart(kpi: KPI, window: Window, frame: pd.DataFrame, colours: dict[str, str], theme: Theme) -> Chart:
    """Return the chart of operators' averages, with their samples."""
    return _Drawing(kpi, window, frame, colours, theme, title_of(kpi), "average").lines()


@dataclass(frozen=True)
class _Drawing:
    """The base of the three charts; tables have a row for each step and a column for each operator."""

    kpi: KPI
    window: Window
    frame: pd.DataFrame
    colours: dict[str, str]
    theme: Theme
    title: str
    kind: str

    @cached_property
    def names(self) -> list[str]:
        """The heaviest operators, as many as can be distinguished."""
        return list(self.frame["operator"].unique()[:LINES])

    @cached_property
    def hidden(self) -> int:
        return self.frame["operator"].nunique() - len(self.names)

    @cached_property
    def values(self) -> pd.DataFrame:
        """The sums, 0 if an operator has none, with a column for the rest; NaN if no operator has records."""
        table = self._table("value")
        sums = table[self.names].fillna(0.0)
        if self.hidden > 0:
            sums[OTHER] = table.drop(columns=self.names).sum(axis=1)
        return sums.where(table.notna().any(axis=1))

    @cached_property
    def shares(self) -> pd.DataFrame:
        """The values as shares of each step's total, from 0 to 1."""
        return self.values.div(self.values.sum(axis=1), axis=0)

    def areas(self, table: pd.DataFrame, y: dict) -> Chart:
        """Return the chart of the table's columns as stacked areas."""
        high = table.cumsum(axis=1)
        low = high - table
        points = [
            {"middle": middle, "operator": name, "low": _plain(bottom), "high": _plain(top)}
            for name in table
            for (_, middle, _), bottom, top in zip(self._steps, low[name], high[name], strict=True)
        ]
        areas = (
            alt.Chart(alt.NamedData("points"))
            .mark_area(opacity=0.9, stroke=self.theme.surface, strokeWidth=0.75)
            .encode(
                x=alt.X("middle:Q", **self._x),
                y=alt.Y("low:Q", **y),
                y2=alt.Y2("high"),
                color=self._colour(list(table)),
            )
        )
        texts = {
            name: [
                "no records" if value != value else f"{figures.exact(int(value), self.kpi.unit)} ({share})"
                for value, share in zip(self.values[name], map(figures.percent, self.shares[name]), strict=True)
            ]
            for name in table
        }
        return self._chart([areas], points, texts)

    def lines(self) -> Chart:
        """Return the chart of the averages as lines."""
        values, samples = self._table("value")[self.names], self._table("weight")[self.names]
        points = [
            {"middle": middle, "operator": name, "value": _plain(value)}
            for name in values
            for (_, middle, _), value in zip(self._steps, values[name], strict=True)
        ]
        axis = value_axis(self.kpi.unit, True, f"{self.kpi.value.replace('_', ' ')} ({self.kpi.unit})")
        base = alt.Chart(alt.NamedData("points")).encode(
            x=alt.X("middle:Q", **self._x),
            y=alt.Y("value:Q", axis=axis, scale={"zero": False, "nice": True}),
            color=self._colour(self.names),
        )
        layers = [base.mark_line()]
        if self.window.points <= _MOST_DOTS:
            layers.append(base.mark_point(filled=True, size=22, opacity=1))
        texts = {
            name: [
                "no samples" if value != value else f"{figures.short(value, self.kpi.unit)} ({number:,.0f} samples)"
                for value, number in zip(values[name], samples[name], strict=True)
            ]
            for name in values
        }
        return self._chart(layers, points, texts)

    def _table(self, column: str) -> pd.DataFrame:
        table = self.frame.pivot(index="start", columns="operator", values=column)
        return table[list(self.frame["operator"].unique())]

    @cached_property
    def _steps(self) -> list[tuple[int, int, int]]:
        """Each step's start, middle and end in Unix ms."""
        bounds = list(map(to_milliseconds, self.window.bounds))
        return [(start, (start + end) // 2, end) for start, end in pairwise(bounds)]

    @cached_property
    def _x(self) -> dict:
        start, end = self.window.start, self.window.end
        return {"scale": time_scale(start, end), "axis": time_axis(start, end)}

    def _colour(self, names: list[str]) -> alt.Color:
        colours = [self.colours.get(fold(name), self.theme.rest) for name in names]
        return alt.Color("operator:N", sort=None, scale={"domain": names, "range": colours})

    def _chart(self, layers: list, points: list[dict], texts: dict[str, list[str]]) -> Chart:
        """Return the chart of the layers, with a column for each step whose tooltip has a line for each operator."""
        steps = []
        for number, (start, _, end) in enumerate(self._steps):
            cells = {f"operator{column}": texts[name][number] for column, name in enumerate(texts)}
            first, until = self.window.bounds[number : number + 2]
            steps.append({"start": start, "end": end, "when": moments.span(first, until), **cells})
        hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout")
        tooltip = [alt.Tooltip("when:N", title="interval")]
        tooltip += [alt.Tooltip(f"operator{column}:N", title=name) for column, name in enumerate(texts)]
        columns = (
            alt.Chart(alt.NamedData("steps"))
            .mark_rect(color=self.theme.ink)
            .encode(
                x=alt.X("start:Q", **self._x),
                x2=alt.X2("end"),
                tooltip=tooltip,
                opacity=alt.condition(hover, alt.value(0.07), alt.value(0), empty=False),
            )
            .add_params(hover)
        )
        when = moments.span(self.window.start, self.window.end)
        span = moments.for_file(self.window.start), moments.for_file(self.window.end), moments.zone_name()
        lines = [f"{when} ({moments.zone_name()}), per {self.window.step_name}"]
        if self.hidden > 0:
            lines.append(f"The {LINES} largest operators; {self.hidden} more are in the table.")
        whole = "; ".join(
            f"{row.Index} {figures.short(row.value if self.kpi.measure.weight else int(row.value), self.kpi.unit)}"
            for row in totals(self.kpi, self.frame).itertuples()
        )
        return Chart(
            drawing=alt.layer(*layers, columns),
            data={"points": points, "steps": steps},
            title=self.title,
            subtitle=lines,
            description=f"{self.title}, {when} ({moments.zone_name()}). Over all of it: {whole}.",
            name=name_of(self.kpi.name, self.kind, *span),
            theme=self.theme,
            height=_HEIGHT,
        )


def _plain(value: float) -> float | None:
    return None if value != value else float(value)
