"""A KPI's values of one interval by the regions of the map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max

from kpis.catalog.folding import fold
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.console.window import Window
from kpis.models import Region
from kpis.models.result_models import result_model


@dataclass
class Place:
    """A region, or a group of the KPI that is not a region's name (``code`` is then empty).

    ``value`` sums the ``groups`` with any of the region's spellings; None if there are no records.
    """

    name: str
    code: str
    value: int | None = None
    groups: list[str] = field(default_factory=list)


def places(kpi: KPI, length: Length, start: datetime, regions: Iterable[Region]) -> list[Place]:
    """Return the KPI's interval by region: the largest value first, those without records last, by name among equals.

    The KPI has one dimension, whose values add up.
    """
    (dimension,) = kpi.dimensions
    found: list[Place] = []
    place: Place | None
    by_spelling: dict[str, Place] = {}
    for region in regions:
        place = Place(region.name, region.code)
        found.append(place)
        by_spelling |= {fold(spelling): place for spelling in (region.name, *region.spellings)}
    rows = result_model(kpi).objects.filter(interval=length.code, interval_start_timestamp=start).order_by("rank")
    for group, value in rows.values_list(dimension, kpi.value):
        place = by_spelling.get(fold(group))
        if place is None:
            place = Place(group, "")
            found.append(place)
        place.value = (place.value or 0) + value
        place.groups.append(group)
    return sorted(found, key=lambda place: (place.value is None, -(place.value or 0), place.name))


def largest(kpi: KPI, window: Window) -> int:
    """Return the largest value of any group in the window, at least 1: the end of the colour scale."""
    first = result_model(kpi).objects.filter(
        interval=window.length.code,
        interval_start_timestamp__gte=window.start,
        interval_start_timestamp__lt=window.end,
        rank=1,
    )
    return max(1, first.aggregate(largest=Max(kpi.value))["largest"] or 1)
