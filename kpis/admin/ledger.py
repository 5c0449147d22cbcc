"""The admin of runs, batches and their rejects."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import BaseModelAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html

from kpis.admin.base import ReadOnly, TableAdmin, batch_link, run_link
from kpis.ingest.runs import mark_for_retry, may_start_runs, start_run
from kpis.models import Batch, BatchInterval, Reject, Run, Watermark
from kpis.query.access import may_view_personal


class RejectText(BaseModelAdmin):
    """Admin of rejects whose text only users with ``kpis.view_personal`` see."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any] | tuple[Any, ...]:
        fields = super().get_fields(request, obj)
        return fields if may_view_personal(request.user) else [name for name in fields if name != "text"]


class RejectInline(RejectText, ReadOnly, admin.TabularInline):
    """A batch's first rejects, on the batch's page."""

    model = Reject
    fields = ("line", "sequence_number", "column", "reason", "text")
    verbose_name_plural = "first rejects"


@admin.register(Batch)
class BatchAdmin(TableAdmin):
    """The ledger of batches."""

    list_display = (
        "name",
        "feed",
        "status",
        "duplicate_of",
        "reason",
        "lines",
        "records",
        "rejects",
        "revision",
        "ingested_at",
        "ingested_by",
    )
    list_filter = ("feed", "status", "retry")
    search_fields = ("name", "reason")
    search_help_text = "part of a name or of a reason"
    date_hierarchy = "ingested_at"
    inlines = (RejectInline,)
    list_select_related = ("duplicate_of",)
    actions = ("retry",)

    @admin.action(description="Try failed files again with the next run", permissions=["start"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        """Mark the selected failed batches to be tried again."""
        marked = mark_for_retry(queryset)
        text = f"{marked:,} failed file{'' if marked == 1 else 's'} will be tried again by the next run."
        self.message_user(request, text, messages.SUCCESS if marked else messages.WARNING)

    def has_start_permission(self, request: HttpRequest) -> bool:
        return may_start_runs(request.user)

    @admin.display(description="run", ordering="run")
    def ingested_by(self, batch: Batch) -> str:
        return run_link(batch.run_id)


@admin.register(Run)
class RunAdmin(TableAdmin):
    """The runs, each with what it ingested and, if it failed, its traceback."""

    list_display = (
        "started_at",
        "ended_at",
        "outcome",
        "ingested",
        "failed_batches",
        "records",
        "rejects",
        "intervals",
        "rollups",
        "host",
    )
    list_filter = ("outcome",)
    search_fields = ("command", "host", "traceback")
    search_help_text = "part of a command line, a host's name or a traceback"
    date_hierarchy = "started_at"
    fields = (
        ("started_at", "ended_at", "outcome"),
        ("command", "host", "process"),
        ("ingested", "failed_batches", "duplicate_batches"),
        ("records", "rejects"),
        ("intervals", "rollups"),
        "notes",
        "readable_traceback",
    )

    def get_urls(self) -> list:
        start = path("start/", self.admin_site.admin_view(self.start_view), name="kpis_run_start")
        return [start, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Return the list of runs, with a button that starts one for users who may."""
        may_start = {"may_start": may_start_runs(request.user)}
        return super().changelist_view(request, (extra_context or {}) | may_start)

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Start a run and redirect to the list, which shows it once it has begun."""
        if not may_start_runs(request.user):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        working = Run.objects.filter(outcome=Run.Outcome.RUNNING).first()
        process = start_run()
        if process is None:
            self.message_user(request, "The run that was started here before has not ended yet.", messages.WARNING)
        elif working:
            text = f"Run {working.pk} is under way. If it is still at work, the new run does nothing."
            self.message_user(request, text, messages.WARNING)
        else:
            self.message_user(request, "A run was started; it is listed here once it has begun.", messages.SUCCESS)
        return redirect("admin:kpis_run_changelist")

    @admin.display(description="batches", ordering="batches")
    def ingested(self, run: Run) -> str:
        address = reverse("admin:kpis_batch_changelist", query={"run__id__exact": run.pk})
        return format_html('<a href="{}">{}</a>', address, run.batches)

    @admin.display(description="traceback")
    def readable_traceback(self, run: Run) -> str:
        return format_html("<pre>{}</pre>", run.traceback) if run.traceback else "-"


class ByBatchAdmin(TableAdmin):
    """A table whose rows belong to batches."""

    list_select_related = ("batch",)

    @admin.display(description="batch", ordering="batch")
    def of_batch(self, row: Reject | BatchInterval) -> str:
        return batch_link(row.batch)


@admin.register(Reject)
class RejectAdmin(RejectText, ByBatchAdmin):
    """The first rejects of every batch."""

    list_display = ("line", "of_batch", "column", "reason")
    list_filter = ("batch__feed", "column")
    date_hierarchy = "batch__ingested_at"
    fields = ("batch", "line", "sequence_number", "column", "reason", "text")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        fields = ("batch__name", "column", "reason")
        return (*fields, "text") if may_view_personal(request.user) else fields

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # A filter on the text in an address would reveal whether a text exists.
        if lookup.split("__")[0] == "text" and not may_view_personal(request.user):
            return False
        return super().lookup_allowed(lookup, value, request)


@admin.register(BatchInterval)
class BatchIntervalAdmin(ByBatchAdmin):
    """The number of records that each batch has in each interval."""

    list_display = ("interval_start_timestamp", "of_batch", "records")
    list_filter = ("batch__feed", "batch__status")
    search_fields = ("batch__name",)
    search_help_text = "part of a batch's name"
    date_hierarchy = "interval_start_timestamp"


@admin.register(Watermark)
class WatermarkAdmin(TableAdmin):
    """The newest interval end of each feed, and its watermark."""

    list_display = ("feed", "newest_interval_end", "closed_until", "ahead_until")
    list_filter = ("feed",)
    search_fields = ("feed",)
