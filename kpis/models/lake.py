"""The ledger of the lake: its files, what it lost, what is to be compacted, and which database it belongs to."""

from __future__ import annotations

from django.db import models

from kpis.catalog.feeds import LONGEST_FEED_NAME
from kpis.models.fields import ExactCharField
from kpis.models.ledger import Batch, feed_choices


class DueCompaction(models.Model):
    """A closed hour whose partials in the lake are to be compacted into one file a KPI."""

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the hour's")

    class Meta:
        ordering = ["interval_start_timestamp", "feed"]
        constraints = [models.UniqueConstraint(fields=["feed", "interval_start_timestamp"], name="due_compaction_once")]

    def __str__(self) -> str:
        return f"{self.feed}: hour from {self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"


class LakeFile(models.Model):
    """A file of the lake that results are computed from.

    The row is written and deleted in the transaction that commits or replaces the file's content.
    """

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    folder = ExactCharField(max_length=128, help_text="relative to the lake's root")
    name = ExactCharField(max_length=128)
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the hour's")
    key = models.CharField(
        max_length=32, blank=True, help_text="the key of the batch whose rows it has; empty: of several batches"
    )
    digest = models.CharField(max_length=64, blank=True, help_text="BLAKE3 of its content, in hex; empty: not known")
    size = models.BigIntegerField(help_text="bytes")
    etag = models.CharField(max_length=255, blank=True, help_text="the ETag of an object")

    class Meta:
        ordering = ["folder", "name"]
        constraints = [models.UniqueConstraint(fields=["folder", "name"], name="lake_file_once")]
        indexes = [
            models.Index(fields=["key"], name="lake_file_key"),
            models.Index(fields=["feed", "interval_start_timestamp"], name="lake_file_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


class LostFile(models.Model):
    """A batch's file of one hour that the lake has lost for good, as ``repair_lake`` found.

    The row is deleted when the batch is replaced, or when the file can be rebuilt.
    """

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="lost_files")
    folder = ExactCharField(max_length=128, help_text="relative to the lake's root")
    kpi = models.PositiveSmallIntegerField(help_text="the KPI whose partial was in the file; 0: rejects or records")
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the hour's")
    reason = models.TextField()
    noted_at = models.DateTimeField(help_text="UTC")

    class Meta:
        ordering = ["folder", "batch"]
        constraints = [models.UniqueConstraint(fields=["folder", "batch"], name="lost_file_once")]
        indexes = [models.Index(fields=["interval_start_timestamp"], name="lost_file_hour")]

    def __str__(self) -> str:
        return f"{self.folder} of {self.batch}"


class LakeBinding(models.Model):
    """The pair of this database and its lake, in one row; the lake's ``lake.json`` has the same ids."""

    database_id = models.UUIDField(help_text="this database's own id")
    lake_id = models.UUIDField(null=True, help_text="the lake's id; empty until the first run")
    days_zone = models.CharField(
        max_length=64, blank=True, default="", help_text="the time zone of the stored days, weeks and months"
    )
    days_zone_changed = models.BooleanField(
        default=False, help_text="whether a run had another time zone since, so that they must be computed again"
    )

    def __str__(self) -> str:
        return f"lake {self.lake_id} of database {self.database_id}"
