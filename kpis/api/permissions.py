"""Who may read what."""

from __future__ import annotations

from django.conf import settings
from rest_framework.permissions import BasePermission

from kpis.catalog.kpis import KPI, KPIS

VIEW_PERSONAL = "kpis.view_personal"


def may_view_personal(user) -> bool:
    """Whether a user may see what is about single subscribers."""
    return user.has_perm(VIEW_PERSONAL)


def hidden_kpis(user) -> list[int]:
    """The ids of the KPIs that a user may not see."""
    if may_view_personal(user):
        return []
    return [kpi.id for kpi in KPIS.values() if kpi.personal]


class MayReadAggregates(BasePermission):
    """Anyone where API_PUBLIC is on, else those who have logged in."""

    message = "This API is open only to those who have logged in."

    def has_permission(self, request, view) -> bool:
        return settings.API_PUBLIC or request.user.is_authenticated


class MayReadPersonal(BasePermission):
    """Those who have the permission to see figures about single subscribers."""

    message = f"These figures are about single subscribers: they need the permission {VIEW_PERSONAL}."

    def has_permission(self, request, view) -> bool:
        return may_view_personal(request.user)


def permissions_for(kpi: KPI) -> list[type[BasePermission]]:
    """What a reader of a KPI's rows must fulfil."""
    return [MayReadAggregates, MayReadPersonal] if kpi.personal else [MayReadAggregates]
