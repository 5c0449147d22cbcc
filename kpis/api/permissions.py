"""The API's permission classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission

if TYPE_CHECKING:
    # The views import this module, by the settings.
    from rest_framework.request import Request
    from rest_framework.views import APIView

from kpis.catalog.kpis import KPI
from kpis.catalog.registry import DECLARED_KPIS
from kpis.query.access import VIEW_PERSONAL, may_view_personal
from kpis.store.applied import unapplied_reason


class MayReadAggregates(BasePermission):
    """Everyone while API_PUBLIC is on, else users who have logged in."""

    message = "This API is open only to those who have logged in."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return settings.API_PUBLIC or request.user.is_authenticated


class MayReadPersonal(BasePermission):
    """Users with the permission ``kpis.view_personal``."""

    message = f"These figures are about single subscribers: they need the permission {VIEW_PERSONAL}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return may_view_personal(request.user)


class NotApplied(APIException):
    """The catalog's entry of a KPI is not applied."""

    status_code = 503


class IsApplied(BasePermission):
    """Everyone, once the KPI is applied; until then there are no results to read. Raises NotApplied."""

    kpi: KPI

    def has_permission(self, request: Request, view: APIView) -> bool:
        if reason := unapplied_reason(self.kpi):
            raise NotApplied(reason)
        return True


def permissions_for(kpi: KPI) -> list[type[BasePermission]]:
    """Return the permission classes of a KPI's rows."""
    applied = [type("IsApplied", (IsApplied,), {"kpi": kpi})] if kpi.id in DECLARED_KPIS else []
    return [MayReadAggregates, *([MayReadPersonal] if kpi.personal else []), *applied]
