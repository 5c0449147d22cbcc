"""The subscribers who used more than their quota: by how much, and how often."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, QuerySet, Sum

from kpis.catalog.intervals import ONE_HOUR
from kpis.models import UserQuotaExceeded

_START = "interval_start_timestamp"


def exceedings(start: datetime, end: datetime) -> QuerySet[Any]:
    """Return the hours of the span in which a quota was exceeded: the KPI's rows, each with its ``excess`` (bytes)."""
    # Made from the catalog, the model has columns that its type does not declare.
    rows: QuerySet[Any] = UserQuotaExceeded.objects.filter(
        **{"interval": ONE_HOUR.code, f"{_START}__gte": start, f"{_START}__lt": end}
    )
    return rows.annotate(excess=F("usage") - F("quota"))


def by_subscriber(start: datetime, end: datetime) -> QuerySet:
    """Return these hours by email: the number of ``hours``, their excess in ``total``, the ``worst``, the ``last``."""
    rows = exceedings(start, end).order_by().values("email")
    return rows.annotate(hours=Count("id"), total=Sum("excess"), worst=Max("excess"), last=Max(_START))


def by_hour(start: datetime, end: datetime) -> dict[datetime, tuple[int, int]]:
    """Return by hour the number of subscribers over their quota, and the bytes beyond all their quotas."""
    rows = exceedings(start, end).order_by().values(_START).annotate(number=Count("id"), total=Sum("excess"))
    return {start: (number, int(total)) for start, number, total in rows.values_list(_START, "number", "total")}
