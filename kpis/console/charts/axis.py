"""Axes: time in ``TIME_ZONE``, whatever the browser's zone, and values in short units."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from kpis.catalog.intervals import to_milliseconds
from kpis.console import moments

_HOUR, _DAY = 60, 1440
_MONTH = 30 * _DAY
# The possible distances of a time axis's labels, in minutes; months follow the calendar.
_STEPS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720),
    *(days * _DAY for days in (1, 2, 7, 14)),
    *(months * _MONTH for months in (1, 3, 6, 12, 24, 60, 120, 600, 1200, 6000, 12000)),
)
_MOST_LABELS = 9


def ticks(start: datetime, end: datetime) -> list[tuple[datetime, list[str]]]:
    """Return round times of the zone's clocks from start to end, nine at most, each with its label's lines.

    The second line has the day, or the year if labels are days, and is shown where it changes.
    """
    span = (end - start) / timedelta(minutes=1)
    step = next((step for step in _STEPS if span / step < _MOST_LABELS), _STEPS[-1])
    moments_ = sorted(_round_moments(start, end, step))
    labels = []
    for before, moment in zip([None, *moments_], moments_, strict=False):
        here = moments.local(moment)
        first, second = moments.time_of_day(moment), moments.day(here)
        if step >= _DAY:
            first, second = second, f"{here.year}"
        former = moments.local(before) if before else None
        changed = former is None or (former.year != here.year if step >= _DAY else former.date() != here.date())
        labels.append([first, second] if changed else [first])
    return list(zip(moments_, labels, strict=True))


def time_axis(start: datetime, end: datetime) -> dict:
    """Return a Vega-Lite axis for Unix time in milliseconds, labelled in the zone and titled with its name.

    Vega supports only the browser's zone and UTC, so the labels are computed here. To Vega the times are plain
    quantities, as its interpreter takes a temporal axis's milliseconds for a year.
    """
    marks = ticks(start, end)
    values = [to_milliseconds(moment) for moment, _ in marks]
    labels = json.dumps([label for _, label in marks])
    return {
        "values": values,
        # With more values than this Vega leaves some out.
        "tickCount": 2 * _MOST_LABELS,
        "labelExpr": f"{labels}[indexof({json.dumps(values)}, datum.value)]",
        "labelOverlap": "greedy",
        "title": f"Time ({moments.zone_name()})",
    }


def time_scale(start: datetime, end: datetime) -> dict:
    """Return the scale for ``time_axis``."""
    return {"domain": [to_milliseconds(start), to_milliseconds(end)], "zero": False, "nice": False}


def value_axis(unit: str, is_fraction: bool, title: str) -> dict:
    """Return an axis of values: ``20 GB``, ``113k``, or plain decimals for fractions."""
    if is_fraction:
        return {"title": title, "format": ",~g"}
    label = "replace(datum.label, regexp('([kMGTPE]?)$'), ' $1') + 'B'" if unit == "bytes" else "datum.label"
    return {"title": title, "format": "~s", "labelExpr": f"datum.value === 0 ? '0' : {label}"}


def _round_moments(start: datetime, end: datetime, step: int) -> Iterator[datetime]:
    for day in _days(moments.local(start).date(), moments.local(end).date(), step):
        for minute in range(0, _DAY, min(step, _DAY)):
            here = datetime.combine(day, time(minute // 60, minute % 60), moments.zone())
            found = [here.astimezone(UTC)]
            if step <= _HOUR and moments.comes_twice(here):
                found.append(here.replace(fold=1).astimezone(UTC))
            for moment in found:
                # Where the clocks are set forward, some local times do not exist.
                if start <= moment <= end and moments.local(moment).replace(tzinfo=None) == here.replace(tzinfo=None):
                    yield moment


def _days(first: date, last: date, step: int) -> Iterator[date]:
    """Yield the days from first to last on which labels can be."""
    if step >= _MONTH:
        for month in range(12 * first.year, 12 * (last.year + 1), step // _MONTH):
            day = date(month // 12, month % 12 + 1, 1)
            if first <= day <= last:
                yield day
        return
    every = max(1, step // _DAY)
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        if ordinal % every == 0:
            yield date.fromordinal(ordinal)
