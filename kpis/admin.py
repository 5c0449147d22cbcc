"""The admin: every table can be browsed and searched; subscribers can be edited, what the pipeline writes only read."""

from __future__ import annotations

from datetime import UTC

from axes.admin import AccessAttemptAdmin, AccessFailureLogAdmin, AccessLogAdmin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from kpis.api.permissions import hidden_kpis, may_view_personal
from kpis.api.serializers import value_columns
from kpis.catalog.columns import UUID, BadValue, ColumnType, Integer, Text
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.kpis import KPI, KPIS
from kpis.console.addresses import explain
from kpis.ingest.runs import mark_for_retry, may_start_runs, start_run
from kpis.models import (
    Batch,
    BatchInterval,
    DueCompaction,
    DueRollup,
    IntervalSummary,
    KPIResult,
    LakeBinding,
    LakeFile,
    LiveCount,
    LiveFeed,
    LostFile,
    QuotaChange,
    Region,
    Reject,
    ResultPruning,
    Run,
    StreamConsumer,
    StreamOffset,
    StreamShard,
    Subscriber,
    Watermark,
)
from kpis.models.results import result_model
from kpis.reference.subscribers import put_subscribers, remove_subscribers

admin.site.site_header = admin.site.site_title = "Network Analysis"
admin.site.index_title = "Tables"


class ReadOnly:
    """No adding, changing or deleting, whatever a user's permissions."""

    def has_add_permission(self, request, obj=None) -> bool:
        return False

    def has_change_permission(self, request, obj=None) -> bool:
        return False

    def has_delete_permission(self, request, obj=None) -> bool:
        return False


class InUTC:
    """Shows a table's moments, and the days to choose from, in UTC as in the API."""

    show_full_result_count = False

    def changelist_view(self, request, extra_context=None):
        """The list of rows."""
        return self._in_utc(super().changelist_view, request, extra_context)

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        """The page of one row."""
        return self._in_utc(super().changeform_view, request, object_id, form_url, extra_context)

    def _in_utc(self, view, *args):
        # Days in another zone would need the zones' tables, which MySQL and MariaDB come without.
        with timezone.override(UTC):
            response = view(*args)
            return response.render() if isinstance(response, TemplateResponse) else response


class TableAdmin(InUTC, ReadOnly, admin.ModelAdmin):
    """A table that the pipeline writes."""

    actions = None


class Personal:
    """Lets only those in who may see what is about single subscribers, and have the table's own permissions."""

    def has_view_permission(self, request, obj=None) -> bool:
        return may_view_personal(request.user) and super().has_view_permission(request, obj)

    def has_add_permission(self, request, obj=None) -> bool:
        return may_view_personal(request.user) and super().has_add_permission(request)

    def has_change_permission(self, request, obj=None) -> bool:
        return may_view_personal(request.user) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None) -> bool:
        return may_view_personal(request.user) and super().has_delete_permission(request, obj)


class RejectText:
    """Shows a reject's text only to those who may see what is about single subscribers."""

    def get_fields(self, request, obj=None) -> list[str]:
        fields = super().get_fields(request, obj)
        return fields if may_view_personal(request.user) else [name for name in fields if name != "text"]


class RejectInline(RejectText, ReadOnly, admin.TabularInline):
    """A batch's first rejects on the batch's page."""

    model = Reject
    fields = ("line", "sequence_number", "column", "reason", "text")
    verbose_name_plural = "first rejects"


def _run_link(run_id: int) -> str:
    return format_html('<a href="{}">run {}</a>', reverse("admin:kpis_run_change", args=[run_id]), run_id)


def _batch_link(batch: Batch) -> str:
    return format_html('<a href="{}">{}</a>', reverse("admin:kpis_batch_change", args=[batch.pk]), batch.name)


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
        "taken_in_at",
        "taken_in_by",
    )
    list_filter = ("feed", "status", "retry")
    search_fields = ("name", "reason")
    search_help_text = "part of a name or of a reason"
    date_hierarchy = "taken_in_at"
    inlines = (RejectInline,)
    list_select_related = ("duplicate_of",)
    actions = ("retry",)

    @admin.action(description="Try failed files again with the next run", permissions=["start"])
    def retry(self, request, queryset) -> None:
        """Marks the chosen batches that failed."""
        marked = mark_for_retry(queryset)
        told = f"{marked:,} failed file{'' if marked == 1 else 's'} will be tried again by the next run."
        self.message_user(request, told, messages.SUCCESS if marked else messages.WARNING)

    def has_start_permission(self, request) -> bool:
        return may_start_runs(request.user)

    @admin.display(description="run", ordering="run")
    def taken_in_by(self, batch: Batch) -> str:
        return _run_link(batch.run_id)


@admin.register(Run)
class RunAdmin(TableAdmin):
    """The runs, each with what it took in and, where it broke off, its traceback."""

    list_display = (
        "started_at",
        "ended_at",
        "outcome",
        "taken_in",
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
        ("taken_in", "failed_batches", "duplicate_batches"),
        ("records", "rejects"),
        ("intervals", "rollups"),
        "notes",
        "readable_traceback",
    )

    def get_urls(self) -> list:
        start = path("start/", self.admin_site.admin_view(self.start_view), name="kpis_run_start")
        return [start, *super().get_urls()]

    def changelist_view(self, request, extra_context=None):
        """The list of runs, with a button that starts one for those who may."""
        may_start = {"may_start": may_start_runs(request.user)}
        return super().changelist_view(request, (extra_context or {}) | may_start)

    def start_view(self, request: HttpRequest) -> HttpResponse:
        """Starts a run and goes back to the list, where it shows once it has begun."""
        if not may_start_runs(request.user):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        working = Run.objects.filter(outcome=Run.Outcome.RUNNING).first()
        process = start_run()
        if process is None:
            self.message_user(request, "The run that was started here before has not ended yet.", messages.WARNING)
        elif working:
            told = f"Run {working.pk} is under way. If it still works, the one that was started now leaves all to it."
            self.message_user(request, told, messages.WARNING)
        else:
            self.message_user(request, "A run was started; it is listed here once it has begun.", messages.SUCCESS)
        return redirect("admin:kpis_run_changelist")

    @admin.display(description="batches", ordering="batches")
    def taken_in(self, run: Run) -> str:
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
        return _batch_link(row.batch)


@admin.register(Reject)
class RejectAdmin(RejectText, ByBatchAdmin):
    """The first rejects of every batch."""

    list_display = ("line", "of_batch", "column", "reason")
    list_filter = ("batch__feed", "column")
    date_hierarchy = "batch__taken_in_at"
    fields = ("batch", "line", "sequence_number", "column", "reason", "text")

    def get_search_fields(self, request) -> tuple[str, ...]:
        fields = ("batch__name", "column", "reason")
        return (*fields, "text") if may_view_personal(request.user) else fields

    def lookup_allowed(self, lookup, value, request) -> bool:
        # A filter on the text in an address would tell what is in it.
        if lookup.split("__")[0] == "text" and not may_view_personal(request.user):
            return False
        return super().lookup_allowed(lookup, value, request)


@admin.register(BatchInterval)
class BatchIntervalAdmin(ByBatchAdmin):
    """Which batches have records in which interval."""

    list_display = ("interval_start_timestamp", "of_batch", "records")
    list_filter = ("batch__feed", "batch__status")
    search_fields = ("batch__name",)
    search_help_text = "part of a batch's name"
    date_hierarchy = "interval_start_timestamp"


@admin.register(Watermark)
class WatermarkAdmin(TableAdmin):
    """The newest interval end of each feed, and up to when its intervals have closed."""

    list_display = ("feed", "interval_end_timestamp", "closed_until", "ahead_until")
    list_filter = ("feed",)
    search_fields = ("feed",)


@admin.register(StreamOffset)
class StreamOffsetAdmin(TableAdmin):
    """Up to where each partition of a stream is in."""

    list_display = ("topic", "partition", "feed", "next_offset", "generation")
    list_filter = ("feed",)
    search_fields = ("topic",)


@admin.register(StreamShard)
class StreamShardAdmin(TableAdmin):
    """Up to where each shard of a Kinesis stream is in."""

    list_display = ("stream", "shard", "feed", "sequence_number", "is_ended", "generation")
    list_filter = ("feed", "is_ended")
    search_fields = ("stream", "shard")


@admin.register(StreamConsumer)
class StreamConsumerAdmin(TableAdmin):
    """Who takes the streams in."""

    list_display = ("topic", "feed", "host", "process", "lag", "told_at")
    list_filter = ("feed",)
    search_fields = ("topic", "host")


@admin.register(LiveFeed)
class LiveFeedAdmin(TableAdmin):
    """When the newest batch of each stream came in, and how late its records were."""

    list_display = ("feed", "committed_at", "delay", "revision")
    list_filter = ("feed",)
    search_fields = ("feed",)


@admin.register(LiveCount)
class LiveCountAdmin(TableAdmin):
    """What the live page shows: the records of the last seconds and minutes."""

    list_display = ("start_timestamp", "length", "feed", "groups")
    list_filter = ("feed", "length")
    search_fields = ("feed",)
    date_hierarchy = "start_timestamp"


@admin.register(DueRollup)
class DueRollupAdmin(TableAdmin):
    """The longer intervals that wait to be figured."""

    list_display = ("interval_start_timestamp", "feed", "interval")
    list_filter = ("feed", "interval")
    search_fields = ("feed",)
    date_hierarchy = "interval_start_timestamp"


@admin.register(ResultPruning)
class ResultPruningAdmin(TableAdmin):
    """Up to when results were pruned, by interval length."""

    list_display = ("interval", "before")
    search_fields = ("interval",)


@admin.register(LakeFile)
class LakeFileAdmin(TableAdmin):
    """The files of the lake that count, with what each is verified by."""

    list_display = ("folder", "name", "feed", "interval_start_timestamp", "size")
    list_filter = ("feed",)
    search_fields = ("folder", "name", "key", "digest")
    date_hierarchy = "interval_start_timestamp"


@admin.register(LostFile)
class LostFileAdmin(TableAdmin):
    """What the lake has lost for good, so that intervals are incomplete."""

    list_display = ("folder", "_batch", "interval_start_timestamp", "reason", "noted_at")
    list_select_related = ("batch",)
    search_fields = ("folder", "batch__name", "reason")
    date_hierarchy = "interval_start_timestamp"

    @admin.display(description="batch", ordering="batch__name")
    def _batch(self, lost: LostFile) -> str:
        return _batch_link(lost.batch)


@admin.register(LakeBinding)
class LakeBindingAdmin(TableAdmin):
    """Which lake this database belongs to."""

    list_display = ("database_id", "lake_id")
    search_fields = ("database_id", "lake_id")


@admin.register(DueCompaction)
class DueCompactionAdmin(TableAdmin):
    """The closed hours whose partials wait to be put together."""

    list_display = ("interval_start_timestamp", "feed")
    list_filter = ("feed",)
    search_fields = ("feed",)
    date_hierarchy = "interval_start_timestamp"


@admin.register(IntervalSummary)
class IntervalSummaryAdmin(TableAdmin):
    """The totals of every KPI's intervals."""

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
        return _explained(KPIS[summary.kpi], summary)

    def get_queryset(self, request):
        """The summaries without those of KPIs that the user may not see."""
        hidden = hidden_kpis(request.user)
        queryset = super().get_queryset(request)
        return queryset.exclude(kpi__in=hidden) if hidden else queryset


class CatalogField(forms.CharField):
    """A field of a subscriber, judged as in the files that ``load_subscribers`` takes."""

    def __init__(self, *, kind: ColumnType, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def clean(self, value):
        text = super().clean(value)
        try:
            return self.kind.parse(text)
        except BadValue as error:
            raise ValidationError(f"This {error}.") from None


class SubscriberForm(forms.ModelForm):
    """A subscriber as people edit it."""

    id = CatalogField(kind=UUID(), label="Device", help_text="UUID, as in the antenna's messages")
    name = CatalogField(kind=Text(longest=200))
    email = forms.EmailField(max_length=254)
    quota = CatalogField(kind=Integer(), help_text="bytes an hour; for the hours that are figured from now on")

    class Meta:
        model = Subscriber
        fields = ("id", "name", "email", "quota")


class QuotaChangeInline(Personal, ReadOnly, admin.TabularInline):
    """A subscriber's quotas on the subscriber's page."""

    model = QuotaChange
    fields = ("since", "email", "quota")
    ordering = ("-since",)


@admin.register(Subscriber)
class SubscriberAdmin(InUTC, Personal, admin.ModelAdmin):
    """The subscribers, each with the quotas that were in force."""

    form = SubscriberForm
    list_display = ("id", "name", "email", "quota")
    search_fields = ("id__exact", "name", "email")
    search_help_text = "a device's UUID, or part of a name or of an e-mail address"
    inlines = (QuotaChangeInline,)

    def get_readonly_fields(self, request, obj=None) -> tuple[str, ...]:
        # Another device is another subscriber.
        return ("id",) if obj else ()

    def save_model(self, request, obj, form, change) -> None:
        put_subscribers([obj])

    def delete_model(self, request, obj) -> None:
        remove_subscribers([obj.pk])

    def delete_queryset(self, request, queryset) -> None:
        remove_subscribers(queryset.values_list("pk", flat=True))


@admin.register(QuotaChange)
class QuotaChangeAdmin(Personal, TableAdmin):
    """The quotas of subscribers, each from a moment on."""

    list_display = ("since", "subscriber_id", "email", "quota")
    search_fields = ("subscriber__id__exact", "email")
    search_help_text = "a device's UUID, or part of an e-mail address"
    date_hierarchy = "since"


@admin.register(Region)
class RegionAdmin(TableAdmin):
    """The map's regions, as ``load_regions`` put them there."""

    list_display = ("code", "name", "spellings")
    search_fields = ("code__exact", "name")
    search_help_text = "a code, or part of a name"
    fields = ("code", "name", "spellings", ("west", "east"), ("south", "north"))


def _explained(kpi: KPI, row: KPIResult | IntervalSummary, group: dict | None = None) -> str:
    address = explain(kpi, LENGTHS[row.interval], row.interval_start_timestamp, group)
    return format_html('<a href="{}">Explain</a>', address)


class ResultAdmin(TableAdmin):
    """The rows of one KPI."""

    @admin.display(description="where from")
    def explained(self, row: KPIResult) -> str:
        kpi = row.kpi()
        return _explained(kpi, row, {name: getattr(row, name) for name in kpi.dimensions})

    list_filter = ("interval",)
    date_hierarchy = "interval_start_timestamp"
    ordering = ("-interval_start_timestamp", "interval", "rank")


class PersonalResultAdmin(Personal, ResultAdmin):
    """The rows of one KPI about single subscribers."""


def result_admin(kpi: KPI) -> type[ResultAdmin]:
    """The admin of a KPI's table."""
    interval = ("interval_start_timestamp", "interval_end_timestamp", "interval", "rank")
    return type(
        f"{kpi.name}Admin",
        (PersonalResultAdmin if kpi.personal else ResultAdmin,),
        {
            "__doc__": kpi.description,
            "list_display": (*interval, *kpi.dimensions, *value_columns(kpi, result_model(kpi)), "explained"),
            "search_fields": tuple(
                f"{one.folded_column}__folded" if one.folded else f"{one.name}__exact" for one in kpi.by
            ),
            "search_help_text": " or ".join(kpi.dimensions),
        },
    )


for _kpi in KPIS.values():
    admin.site.register(result_model(_kpi), result_admin(_kpi))

# The days of failed logins too are chosen in UTC.
for _model, _admin in (
    (AccessAttempt, AccessAttemptAdmin),
    (AccessLog, AccessLogAdmin),
    (AccessFailureLog, AccessFailureLogAdmin),
):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
        admin.site.register(_model, type(_admin.__name__, (InUTC, _admin), {"__doc__": _admin.__doc__}))
