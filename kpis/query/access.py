"""Access rules of the API, the console and the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpis.catalog.file.definitions import Kind
from kpis.catalog.registry import KPIS
from kpis.models import AppliedEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

VIEW_PERSONAL = "kpis.view_personal"


def may_view_personal(user: User | AnonymousUser) -> bool:
    """Return True if a user may see personal data of subscribers."""
    return user.has_perm(VIEW_PERSONAL)


def hidden_kpis(user: User | AnonymousUser) -> list[int]:
    """Return the ids of the KPIs that a user may not see, and of those that the catalog has no more."""
    personal = [] if may_view_personal(user) else [kpi.id for kpi in KPIS.values() if kpi.personal]
    return [*personal, *_removed_kpis()]


def _removed_kpis() -> list[int]:
    """Return the ids of the KPIs whose rows are kept, but that the catalog has no more, or that no catalog is for."""
    applied = AppliedEntry.objects.filter(kind=Kind.KPI).order_by().values_list("key", flat=True)
    return [kpi_id for kpi_id in map(int, applied) if kpi_id not in KPIS]
