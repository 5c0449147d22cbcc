"""A KPI over time: its totals or one group's values, as a frame with each step of the window once.

The columns of a frame, one row per step:

- ``start``, ``end``: of the step (UTC);
- ``value``: NaN or NA if there is none (Int64, for fractions float64);
- ``intervals``: the number of intervals with a value;
- ``provisional``: True if one of them is still open, or incomplete.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, F, Func, IntegerField, QuerySet, Sum
from django.db.models.sql.compiler import SQLCompiler

from kpis.catalog.intervals import EPOCH, FixedLength, Length
from kpis.catalog.kpis import KPI
from kpis.console.groups import Group, conditions
from kpis.console.window import Window
from kpis.models import IntervalSummary
from kpis.models.result_models import result_model
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW, anomalies

if TYPE_CHECKING:
    import pandas as pd

_START = "interval_start_timestamp"

_MOST_NAMED = 2000

_SQL = tuple[str, tuple[Any, ...]]


class Step(Func):
    """The number of the step, since 1970, that contains a time; computed by the database."""

    output_field = IntegerField()

    def __init__(self, moment: str, width: timedelta) -> None:
        self.seconds = int(width.total_seconds())
        super().__init__(F(moment))

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> _SQL:
        return self._divided("CAST(strftime('%%s', {}) AS INTEGER) / {}", compiler)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> _SQL:
        return self._divided("FLOOR(EXTRACT(EPOCH FROM {}) / {})::bigint", compiler)

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> _SQL:
        return self._divided("TIMESTAMPDIFF(SECOND, '1970-01-01', {}) DIV {}", compiler)

    def _divided(self, template: str, compiler: SQLCompiler) -> _SQL:
        moment, parameters = compiler.compile(self.source_expressions[0])
        return template.format(moment, self.seconds), parameters


def step_of_window(window: Window) -> tuple[F | Step, Callable[[Any], datetime]]:
    """Return the expression for the step that an interval is in, and what gives the step's start (UTC) of its value."""
    if window.summed == 1 or not isinstance(window.length, FixedLength):
        return F(_START), lambda start: start
    width = window.length.delta * window.summed
    return Step(_START, width), lambda step: EPOCH + int(step) * width


def adds_up(kpi: KPI, group: Group | None) -> bool:
    """Return True if values of several intervals may be summed.

    A group of a top list is missing from the intervals in which it is not among the first.
    """
    return kpi.measure.adds_up and (group is None or not kpi.top)


def series(kpi: KPI, window: Window, group: Group | None = None) -> pd.DataFrame:
    """Return the series of a group, or of the true totals, in the window."""
    import pandas as pd

    rows = _rows(kpi, window.length, group).filter(**between(window.start, window.end))
    if window.summed == 1:
        found = [(start, value, 1) for start, value in rows.values_list(_START, _value(kpi, group))]
    else:
        step_of, start_of = step_of_window(window)
        steps = rows.order_by().values(step=step_of).order_by("step")
        summed = steps.values_list("step", Sum(_value(kpi, group)), Count("id"))
        found = [(start_of(step), int(value), number) for step, value, number in summed if value is not None]
    provisional = set(_provisional(kpi, window))
    kind = "float64" if kpi.measure.is_fraction else "Int64"
    starts, ends = (pd.DatetimeIndex(bounds, tz="UTC").as_unit("us") for bounds in (window.starts, window.ends))
    frame = pd.DataFrame(found, columns=["start", "value", "intervals"]).set_index("start")
    frame.index = pd.DatetimeIndex(frame.index, tz="UTC").as_unit("us")
    frame["value"] = frame["value"].astype(kind)
    frame = frame.reindex(starts)
    frame["intervals"] = frame["intervals"].fillna(0).astype("int64")
    frame["provisional"] = [start in provisional for start in starts]
    frame.insert(0, "end", ends)
    return frame.rename_axis("start").reset_index()


def series_with_normal(kpi: KPI, window: Window, group: Group | None = None) -> pd.DataFrame:
    """Return the series with the columns of ``normal``, if its rows are single intervals."""
    frame = series(kpi, window, group)
    return frame if window.summed > 1 else frame.join(normal(kpi, window, frame, group))


def normal(kpi: KPI, window: Window, frame: pd.DataFrame, group: Group | None = None) -> pd.DataFrame:
    """Return the normal range of each row of a series of single intervals, from the intervals before it.

    Columns: ``mean``, ``deviation`` and ``z`` (NaN if too few are before it, ``z`` also if it is infinite), and
    ``outlier``. They are those of ``/api/KPIs/<id>/anomalies/`` with its defaults, computed for totals as well.
    """
    import pandas as pd

    reach = window.length.shifted(window.start, -DEFAULT_WINDOW)
    earlier = _rows(kpi, window.length, group).filter(**between(reach, window.start))
    known = frame.dropna(subset=["value"])
    starts = [start.to_pydatetime() for start in known["start"]]
    values = [*earlier.values_list(_START, _value(kpi, group)), *zip(starts, known["value"].tolist(), strict=True)]
    rows = [(None, start, value, start) for start, value in values]
    # With a threshold of 0 there is a verdict on every value.
    verdicts = dict(anomalies(rows, window.length, DEFAULT_WINDOW, threshold=0))
    columns = [
        (verdict.mean, verdict.deviation, verdict.z, verdict.z is None or abs(verdict.z) >= DEFAULT_THRESHOLD)
        if (verdict := verdicts.get(start))
        else (None, None, None, False)
        for start in map(pd.Timestamp.to_pydatetime, frame["start"])
    ]
    found = pd.DataFrame(columns, columns=["mean", "deviation", "z", "outlier"], index=frame.index)
    return found.astype({"mean": "float64", "deviation": "float64", "z": "float64", "outlier": "bool"})


def _rows(kpi: KPI, length: Length, group: Group | None) -> QuerySet:
    if group is None:
        return IntervalSummary.objects.filter(kpi=kpi.id, interval=length.code).order_by(_START)
    model = result_model(kpi)
    return model.objects.filter(interval=length.code, **conditions(kpi, group)).order_by(_START)


def _value(kpi: KPI, group: Group | None) -> str:
    return kpi.total_column if group is None else kpi.value


def between(start: datetime, end: datetime) -> dict[str, datetime]:
    """Return a filter for the intervals that start in ``[start, end)``."""
    return {f"{_START}__gte": start, f"{_START}__lt": end}


def all_groups_between(kpi: KPI, length: Length, start: datetime, end: datetime) -> dict[str, object]:
    """Return a filter for the rows of all groups in the intervals of a length that start in ``[start, end)``.

    Longer intervals are named one by one if they are few: in a range of the index the rows of all shorter ones would be
    read as well.
    """
    condition: dict[str, object] = {"interval": length.code}
    if length != min(kpi.lengths, key=lambda one: one.usual_minutes):
        starts = list(islice(length.starts(start, end), _MOST_NAMED + 1))
        if len(starts) <= _MOST_NAMED:
            return condition | {f"{_START}__in": starts}
    return condition | between(length.floor(start), end)


def _provisional(kpi: KPI, window: Window) -> set[datetime]:
    """Return the starts of the steps in which an interval is still open, or incomplete."""
    open_ones = _rows(kpi, window.length, None).filter(
        state__in=[IntervalSummary.State.PROVISIONAL, IntervalSummary.State.INCOMPLETE],
        **between(window.start, window.end),
    )
    starts = open_ones.values_list(_START, flat=True)
    return {window.starts[window.step_at(start)] for start in starts}
