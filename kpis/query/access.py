"""Access rules of the API, the console and the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kpis.catalog.registry import KPIS

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

VIEW_PERSONAL = "kpis.view_personal"


def may_view_personal(user: User | AnonymousUser) -> bool:
    """Return True if a user may see personal data of subscribers."""
    return user.has_perm(VIEW_PERSONAL)


def hidden_kpis(user: User | AnonymousUser) -> list[int]:
    """Return the ids of the KPIs that a user may not see."""
    if may_view_personal(user):
        return []
    return [kpi.id for kpi in KPIS.values() if kpi.personal]
