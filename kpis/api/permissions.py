"""Who may read the API, as permission classes."""

from __future__ import annotations

from django.conf import settings
from rest_framework.permissions import BasePermission

from kpis.catalog.kpis import KPI
from kpis.query.access import VIEW_PERSONAL, may_view_personal


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
