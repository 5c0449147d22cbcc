"""The operators over time: their sums, and their averages with the samples.

A frame has one row for each step of the window and each operator, also for operators without records:

- ``start``, ``end``: of the step (UTC);
- ``operator``: its name, in one spelling;
- ``value``: the sum or the average (NaN if there is none);
- ``weight``: the weight of averages over several steps: the samples, for sums the sum itself;
- ``gap``: True if no operator has records in the step.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import F, FloatField, Sum

from kpis.catalog.folding import fold
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console.groups import NO_TEXT
from kpis.console.series import all_groups_between, step_of_window
from kpis.console.window import MOST_POINTS, Window, window
from kpis.models.result_models import result_model
from kpis.query.intervals import default_length
from kpis.store.applied import unapplied_reason

if TYPE_CHECKING:
    import pandas as pd

DIMENSION = "operator"
# The most operators in a chart: their lines share the points of a screen.
LINES = 6
# The most intervals that are summed; fewer than for totals, as each has a row for every operator.
MOST_INTERVALS = 5000


def operator_kpis() -> list[KPI]:
    """Return the KPIs by operator that can be computed over any time: sums first, then averages."""
    there = [kpi for kpi in KPIS.values() if DIMENSION in kpi.dimensions and not kpi.personal and not kpi.top]
    there = [kpi for kpi in there if not unapplied_reason(kpi)]
    sums = [kpi for kpi in there if kpi.measure.adds_up]
    return sums + [kpi for kpi in there if kpi.measure.weight]


def operator_window(kpi: KPI, start: datetime, end: datetime, asked: Length) -> Window:
    """Return the window of a chart of several lines; its steps may sum intervals, also of means, by their samples."""
    length = asked if asked in kpi.lengths else default_length(kpi)
    most = MOST_POINTS // LINES
    return window(kpi, start, end, length, adds_up=True, most=most, most_intervals=MOST_INTERVALS)


def by_operator(kpi: KPI, window: Window) -> pd.DataFrame:
    """Return the frame of a KPI in a window: operators by weight, the heaviest first, and steps in order."""
    import pandas as pd

    rows = result_model(kpi).objects.filter(**all_groups_between(kpi, window.length, window.start, window.end))
    step_of, start_of = step_of_window(window)
    steps = rows.order_by().values(DIMENSION, step=step_of)
    if kpi.measure.weight:
        samples = F(kpi.measure.weight)
        summed = steps.annotate(figure=Sum(F(kpi.value) * samples, output_field=FloatField()), weight=Sum(samples))
    else:
        summed = steps.annotate(figure=Sum(kpi.value), weight=Sum(kpi.value))
    found = [
        (start_of(step), operator, float(figure or 0), float(weight or 0))
        for operator, step, figure, weight in summed.values_list(DIMENSION, "step", "figure", "weight")
    ]
    frame = pd.DataFrame(found, columns=["start", "spelling", "sum", "weight"])
    frame["operator"] = _named(frame)
    sums = frame.groupby(["start", "operator"], as_index=False)[["sum", "weight"]].sum()
    order = sums.groupby("operator")["weight"].sum().sort_values(ascending=False, kind="stable").index
    starts = pd.DatetimeIndex(window.starts, tz="UTC").as_unit("us")
    sums["start"] = pd.DatetimeIndex(sums["start"], tz="UTC").as_unit("us")
    whole = pd.MultiIndex.from_product([order, starts], names=["operator", "start"])
    frame = sums.set_index(["operator", "start"]).reindex(whole).reset_index()
    frame["gap"] = ~frame["start"].isin(sums["start"])
    frame["weight"] = frame["weight"].fillna(0.0)
    frame["value"] = frame["sum"] / frame["weight"] if kpi.measure.weight else frame["sum"]
    frame["end"] = frame["start"].map(dict(zip(starts, pd.DatetimeIndex(window.ends, tz="UTC"), strict=True)))
    frame["end"] = frame["end"].astype(frame["start"].dtype)
    return frame[["start", "end", "operator", "value", "weight", "gap"]]


def operator_names(start: datetime, end: datetime) -> list[str]:
    """Return the folded names of all operators in the span; their order decides their colours in every chart."""
    names: dict[str, None] = {}
    for kpi in operator_kpis():
        # The longest intervals have the fewest rows; if none has closed yet, shorter ones are read.
        for length in sorted(kpi.lengths, key=lambda length: -length.usual_minutes):
            rows = result_model(kpi).objects.filter(**all_groups_between(kpi, length, start, end))
            weight = kpi.measure.weight or kpi.value
            found = rows.order_by().values_list(DIMENSION).annotate(weight=Sum(weight)).order_by("-weight", DIMENSION)
            names |= dict.fromkeys(fold(name or NO_TEXT) for name, _ in found)
            if found:
                break
    return list(names)


def totals(kpi: KPI, frame: pd.DataFrame) -> pd.DataFrame:
    """Return each operator's ``value`` and ``weight`` over the window, and for sums the ``share`` of all (0 to 1)."""
    frame = frame.assign(product=frame["value"] * frame["weight"])
    sums = frame.groupby("operator", sort=False).agg(
        value=("value", "sum"), product=("product", "sum"), weight=("weight", "sum")
    )
    if kpi.measure.weight:
        sums["value"] = sums["product"] / sums["weight"]
    else:
        sums["share"] = sums["value"] / sums["value"].sum()
    return sums.drop(columns="product")


def _named(frame: pd.DataFrame) -> pd.Series:
    """Return one name per operator: the spelling with the most weight, the first in order among equals."""
    folded = frame["spelling"].map(fold)
    weights = frame.assign(folded=folded).groupby(["folded", "spelling"], as_index=False)["weight"].sum()
    weights = weights.sort_values(["weight", "spelling"], ascending=[False, True], kind="stable")
    names = weights.drop_duplicates("folded").set_index("folded")["spelling"].replace("", NO_TEXT)
    return folded.map(names)
