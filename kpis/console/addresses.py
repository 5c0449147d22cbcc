"""Addresses that several pages link to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.urls import reverse
from django.utils.http import urlencode

from kpis.catalog.intervals import Length, to_text
from kpis.catalog.kpis import KPI


def explain(kpi: KPI, length: Length, start: datetime, group: Mapping[str, object] | None = None) -> str:
    """Where a figure of a KPI is explained: of a group, or the total where none is given."""
    figure = {"kpi": kpi.id, "interval": length.code, "start": to_text(start)}
    return f"{reverse('explain')}?{urlencode(figure | dict(group or {}))}"
