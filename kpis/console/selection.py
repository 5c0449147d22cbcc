"""The selection that a KPI's page shows; all of it is in the address, so an address always shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.intervals import Length, to_text
from kpis.catalog.kpis import KPI
from kpis.console.groups import BadGroup, Group, group_from, labels
from kpis.console.interval_groups import newest
from kpis.console.moments import BadMoment, parse
from kpis.console.series import adds_up
from kpis.console.window import Window, window
from kpis.models import IntervalSummary, ResultPruning
from kpis.query.intervals import default_length

# How much of the past is shown by default.
_SPAN = timedelta(days=1)
# Or how many of the last days, weeks or months.
_CALENDAR_INTERVALS = 30

# The spans that the page offers.
SPANS = {
    "1 hour": timedelta(hours=1),
    "6 hours": timedelta(hours=6),
    "1 day": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}


class BadSelection(ValueError):
    """An address that asks for what cannot exist; the message is for the person who wrote it."""


@dataclass(frozen=True)
class Selection:
    """The span ``[start, end)`` of a KPI in intervals of ``length``, of one ``group`` or of all.

    ``at`` is the start of the interval whose groups are listed: None if there are no records in the span.
    """

    kpi: KPI
    length: Length
    start: datetime
    end: datetime
    group: Group | None
    at: datetime | None

    @property
    def window(self) -> Window:
        """The window that a chart shows of it."""
        return window(self.kpi, self.start, self.end, self.length, adds_up(self.kpi, self.group))

    @property
    def newest_start(self) -> datetime:
        """The start of the listed interval, or of the last one of the span: groups have the names of that time."""
        return self.at or self.length.shifted(self.end, -1)

    @property
    def group_words(self) -> str:
        """The group in words, with the names that references have for it."""
        return labels(self.kpi, [(self.group, self.newest_start)])[0] if self.group else "All groups"

    @property
    def group_fields(self) -> list[tuple[str, int | str]]:
        """The group's dimensions with their values, for a form's fields."""
        return list((self.group or {}).items())

    def parameters(self) -> dict[str, int | str]:
        """Return the parameters of its addresses."""
        found: dict[str, int | str] = {
            "interval": self.length.code,
            "from": to_text(self.start),
            "to": to_text(self.end),
        }
        return found | dict(self.group or {}) | ({"at": to_text(self.at)} if self.at else {})

    @property
    def query(self) -> str:
        """Its parameters as a query string."""
        return urlencode(self.parameters())

    def address(self, name: str = "kpi", **kwargs: int | str) -> str:
        """Return its address: the KPI's page, or another page of the KPI."""
        return f"{reverse(name, kwargs={'kpi_id': self.kpi.id, **kwargs})}?{self.query}"

    def with_(self, **changes: Any) -> Selection:
        """Return a selection with these changes."""
        return replace(self, **changes)

    def shifted(self, times: int) -> Selection:
        """Return a selection of the same length, so many lengths later or earlier."""
        by = times * (self.end - self.start)
        return replace(self, start=self.start + by, end=self.end + by, at=None)

    @property
    def pruned_before(self) -> datetime | None:
        """The time (UTC) up to which results in the span were pruned; None if none were."""
        before = ResultPruning.of(self.length.code)
        return before if before is not None and self.start < before else None

    def api_address(self) -> str:
        """Return the address in the API with the same rows."""
        wanted: dict[str, int | str] = {
            "interval": self.length.code,
            "interval_start_timestamp__gte": to_text(self.start),
            "interval_end_timestamp__lte": to_text(self.end),
        }
        return f"{reverse(f'kpi-{self.kpi.id}-list')}?{urlencode(wanted | dict(self.group or {}))}"


def selection(kpi: KPI, parameters: Mapping[str, str]) -> Selection | None:
    """Return the selection of the parameters; None if the KPI has no records yet. Raises BadSelection.

    Defaults: five minutes, the newest day with records, all groups, the newest interval.
    """
    length = _length(kpi, parameters.get("interval", ""))
    try:
        group = group_from(kpi, parameters)
        start, end, at = (_moment(parameters.get(name, "")) for name in ("from", "to", "at"))
    except (BadGroup, BadMoment) as error:
        raise BadSelection(str(error)) from None
    last = newest(kpi, length)
    if last is None:
        return None
    if end is None:
        end = last.interval_end_timestamp
        if start is not None:
            end = max(end, length.end(length.floor(start)))
    if start is None:
        first = IntervalSummary.objects.filter(kpi=kpi.id, interval=length.code).order_by("interval_start_timestamp")
        until = length.ceiling(end)
        newest_start = length.shifted(until, -1)
        reach = length.shifted(until, -_CALENDAR_INTERVALS) if length.is_calendar else end - _SPAN
        start = max(reach, min((first.first() or last).interval_start_timestamp, newest_start))
    start, end = length.floor(start), length.ceiling(end)
    if start >= end:
        raise BadSelection("The time span ends before it starts.")
    if at is None:
        within = newest(kpi, length, before=end)
        at = within.interval_start_timestamp if within and within.interval_start_timestamp >= start else None
    return Selection(kpi, length, start, end, group, length.floor(at) if at else None)


def _length(kpi: KPI, text: str) -> Length:
    if not text:
        return default_length(kpi)
    offered = {str(length.code): length for length in kpi.lengths}
    if text not in offered:
        names = ", ".join(f"{code} ({length})" for code, length in offered.items())
        raise BadSelection(f"interval must be one of {names}, not {text!r}.")
    return offered[text]


def _moment(text: str) -> datetime | None:
    return parse(text) if text else None
