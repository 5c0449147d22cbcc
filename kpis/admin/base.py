"""Base classes of the admin's pages: read-only tables, times in UTC, personal data, links between tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from kpis.catalog.intervals import LENGTHS
from kpis.catalog.kpis import KPI
from kpis.console.addresses import explain
from kpis.models import Batch, IntervalSummary, KPIResult
from kpis.query.access import may_view_personal


class ReadOnly(BaseModelAdmin):
    """A table that no user, not even a superuser, may add to, change or delete from."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class InUTC(admin.ModelAdmin):
    """The base of admins that show times, and the dates of date filters, in UTC as in the API."""

    show_full_result_count = False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Return the list of rows, in UTC."""
        return self._in_utc(super().changelist_view, request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Return the page of one row, in UTC."""
        return self._in_utc(super().changeform_view, request, object_id, form_url, extra_context)

    def _in_utc(self, view: Callable[..., HttpResponse], *args: Any) -> HttpResponse:
        # Another zone needs the database's time zone tables, which MySQL and MariaDB do not have by default.
        with timezone.override(UTC):
            response = view(*args)
            return response.render() if isinstance(response, TemplateResponse) else response


class TableAdmin(ReadOnly, InUTC):
    """The admin of a table that the pipeline writes."""

    actions: Sequence[str] | None = None


class Personal(BaseModelAdmin):
    """A table of personal data, for users with ``kpis.view_personal`` and the table's own permissions."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_view_personal(request.user) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_view_personal(request.user) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_view_personal(request.user) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_view_personal(request.user) and super().has_delete_permission(request, obj)


def run_link(run_id: int) -> str:
    return format_html('<a href="{}">run {}</a>', reverse("admin:kpis_run_change", args=[run_id]), run_id)


def batch_link(batch: Batch) -> str:
    return format_html('<a href="{}">{}</a>', reverse("admin:kpis_batch_change", args=[batch.pk]), batch.name)


def explain_link(kpi: KPI, row: KPIResult | IntervalSummary, group: dict | None = None) -> str:
    address = explain(kpi, LENGTHS[row.interval], row.interval_start_timestamp, group)
    return format_html('<a href="{}">Explain</a>', address)
