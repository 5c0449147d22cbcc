"""The admin of results: the rows of each KPI, their summaries, and rollups that are due."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from kpis.admin.base import Personal, TableAdmin, explain_link
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.models import DueReference, DueRollup, IntervalSummary, KPIResult, ResultPruning
from kpis.models.result_models import group_of, result_model
from kpis.query.access import hidden_kpis
from kpis.store.applied import unapplied_reason


@admin.register(DueRollup)
class DueRollupAdmin(TableAdmin):
    """The longer intervals that are due to be computed."""

    list_display = ("interval_start_timestamp", "feed", "interval")
    list_filter = ("feed", "interval")
    search_fields = ("feed",)
    date_hierarchy = "interval_start_timestamp"


@admin.register(DueReference)
class DueReferenceAdmin(TableAdmin):
    """The computed intervals that are due again, as a reference changed."""

    list_display = ("interval_start_timestamp", "feed", "interval", "reference", "reason")
    list_filter = ("feed", "interval", "reference")
    search_fields = ("feed", "reference")
    date_hierarchy = "interval_start_timestamp"


@admin.register(ResultPruning)
class ResultPruningAdmin(TableAdmin):
    """The time up to which results were pruned, by interval length."""

    list_display = ("interval", "before")
    search_fields = ("interval",)


@admin.register(IntervalSummary)
class IntervalSummaryAdmin(TableAdmin):
    """The summary of each KPI's intervals: total, groups, state."""

    list_display = (
        "interval_start_timestamp",
        "interval",
        "kpi",
        "total",
        "mean",
        "groups",
        "records",
        "batches",
        "revision",
        "state",
        "updated_at",
        "explained",
    )
    list_filter = ("kpi", "interval", "state")
    search_fields = ("kpi__exact", "state")
    search_help_text = "a KPI's id, or a state"
    date_hierarchy = "interval_start_timestamp"
    ordering = ("-interval_start_timestamp", "interval", "kpi")

    @admin.display(description="where from")
    def explained(self, summary: IntervalSummary) -> str:
        return explain_link(KPIS[summary.kpi], summary) if summary.kpi in KPIS else ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[IntervalSummary]:
        """Return the summaries of the KPIs that the user may see."""
        hidden = hidden_kpis(request.user)
        queryset = super().get_queryset(request)
        return queryset.exclude(kpi__in=hidden) if hidden else queryset


class ResultAdmin(TableAdmin):
    """The rows of one KPI."""

    @admin.display(description="where from")
    def explained(self, row: KPIResult) -> str:
        return explain_link(row.kpi, row, group_of(row))

    list_filter = ("interval",)
    date_hierarchy = "interval_start_timestamp"
    ordering = ("-interval_start_timestamp", "interval", "rank")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return True for a user with the table's permission, once the KPI is applied."""
        return super().has_view_permission(request, obj) and not unapplied_reason(self.model.kpi)


class PersonalResultAdmin(Personal, ResultAdmin):
    """The rows of a KPI with personal data."""


def result_admin(kpi: KPI) -> type[ResultAdmin]:
    """Return the admin class of a KPI's table."""
    interval = ("interval_start_timestamp", "interval_end_timestamp", "interval", "rank")
    return type(
        f"{kpi.name}Admin",
        (PersonalResultAdmin if kpi.personal else ResultAdmin,),
        {
            "__doc__": kpi.description,
            "list_display": (*interval, *kpi.columns, "explained"),
            "search_fields": tuple(
                f"{one.folded_column}__folded" if one.folded else f"{one.name}__exact" for one in kpi.by
            ),
            "search_help_text": " or ".join(kpi.dimensions),
        },
    )


for _kpi in KPIS.values():
    admin.site.register(result_model(_kpi), result_admin(_kpi))
