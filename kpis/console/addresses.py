"""The addresses that several pages link to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.intervals import Length, to_text
from kpis.catalog.kpis import KPI


def given(query: QueryDict, names: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a query with these names, each with its last value."""
    return {name: value for name in names if (value := query.get(name)) is not None}


def explain(kpi: KPI, length: Length, start: datetime, group: Mapping[str, int | str] | None = None) -> str:
    """Return the address that explains a KPI's value: of a group, or the total if none is given."""
    figure: dict[str, int | str] = {"kpi": kpi.id, "interval": length.code, "start": to_text(start)}
    return f"{reverse('explain')}?{urlencode(figure | dict(group or {}))}"
