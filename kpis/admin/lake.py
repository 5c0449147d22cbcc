"""The admin of the lake's files, of lost files, of hours that are due for compaction, and of what was applied."""

from __future__ import annotations

from django.contrib import admin

from kpis.admin.base import TableAdmin, batch_link
from kpis.models import AppliedEntry, DueCompaction, KPISet, LakeBinding, LakeFile, LostFile


@admin.register(LakeFile)
class LakeFileAdmin(TableAdmin):
    """The files of the lake that count, with the size and digest that verify them."""

    list_display = ("folder", "name", "feed", "interval_start_timestamp", "size")
    list_filter = ("feed",)
    search_fields = ("folder", "name", "key", "digest")
    date_hierarchy = "interval_start_timestamp"


@admin.register(LostFile)
class LostFileAdmin(TableAdmin):
    """Files of the lake that are lost for good, so that intervals are incomplete."""

    list_display = ("folder", "_batch", "interval_start_timestamp", "reason", "noted_at")
    list_select_related = ("batch",)
    search_fields = ("folder", "batch__name", "reason")
    date_hierarchy = "interval_start_timestamp"

    @admin.display(description="batch", ordering="batch__name")
    def _batch(self, lost: LostFile) -> str:
        return batch_link(lost.batch)


@admin.register(KPISet)
class KPISetAdmin(TableAdmin):
    """The sets of KPIs of which the lake has a batch's partials."""

    list_display = ("id", "kpis")
    search_fields = ("kpis",)


@admin.register(AppliedEntry)
class AppliedEntryAdmin(TableAdmin):
    """The feeds and KPIs of catalog files that were applied."""

    list_display = ("kind", "key", "name", "is_removed", "applied_at")
    list_filter = ("kind", "is_removed")
    search_fields = ("key", "name")


@admin.register(LakeBinding)
class LakeBindingAdmin(TableAdmin):
    """The lake that belongs to this database."""

    list_display = ("database_id", "lake_id")
    search_fields = ("database_id", "lake_id")


@admin.register(DueCompaction)
class DueCompactionAdmin(TableAdmin):
    """The closed hours whose partials are due for compaction."""

    list_display = ("interval_start_timestamp", "feed")
    list_filter = ("feed",)
    search_fields = ("feed",)
    date_hierarchy = "interval_start_timestamp"
