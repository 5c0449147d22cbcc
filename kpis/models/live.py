"""What the live page shows: counts of the last seconds and minutes, and who takes the streams in."""

from __future__ import annotations

from django.db import models

from kpis.catalog.live import MINUTE, SECOND
from kpis.models.fields import ExactCharField
from kpis.models.ledger import feed_choices


class LiveFeed(models.Model):
    """The newest batch of a stream that has live counts; what changed with it carries its revision."""

    feed = models.CharField(max_length=16, choices=feed_choices, unique=True)
    revision = models.BigIntegerField(help_text="one more with each batch")
    committed_at = models.DateTimeField(help_text="UTC")
    delay = models.FloatField(help_text="seconds from a record's own time to the commit, the median of the batch's")

    class Meta:
        ordering = ["feed"]

    def __str__(self) -> str:
        return f"{self.feed} at {self.committed_at:%Y-%m-%d %H:%M:%S}Z"


class LiveCount(models.Model):
    """How many records of a stream one second, or one minute, of their own time has."""

    class Length(models.IntegerChoices):
        SECOND = SECOND, "1 second"
        MINUTE = MINUTE, "1 minute"

    feed = models.CharField(max_length=16, choices=feed_choices)
    length = models.PositiveSmallIntegerField(choices=Length, help_text="seconds")
    start_timestamp = models.DateTimeField(help_text="UTC")
    groups = models.JSONField(help_text="records by dimension and group")
    revision = models.BigIntegerField(help_text="the feed's when it changed last")

    class Meta:
        ordering = ["-start_timestamp", "feed", "length"]
        constraints = [models.UniqueConstraint(fields=["feed", "length", "start_timestamp"], name="live_count_once")]
        indexes = [models.Index(fields=["feed", "revision"], name="live_count_revision")]

    def __str__(self) -> str:
        return f"{self.feed}: {self.get_length_display()} from {self.start_timestamp:%Y-%m-%d %H:%M:%S}Z"


class StreamConsumer(models.Model):
    """A process that takes a stream in, as it told last."""

    feed = models.CharField(max_length=16, choices=feed_choices)
    topic = ExactCharField(max_length=249)
    host = models.CharField(max_length=255)
    process = models.PositiveIntegerField(help_text="process id on the host")
    lag = models.BigIntegerField(null=True, help_text="messages of its partitions that are not in; empty: unknown")
    told_at = models.DateTimeField(help_text="UTC")

    class Meta:
        ordering = ["feed", "topic", "host", "process"]
        constraints = [models.UniqueConstraint(fields=["host", "process"], name="stream_consumer_once")]

    def __str__(self) -> str:
        return f"{self.topic} by process {self.process} on {self.host}"
