"""The lake's files, those that it lost, and what waits to be compacted."""

from __future__ import annotations

from django.contrib import admin

from kpis.admin.base import TableAdmin, batch_link
from kpis.models import DueCompaction, LakeBinding, LakeFile, LostFile


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
        return batch_link(lost.batch)


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
