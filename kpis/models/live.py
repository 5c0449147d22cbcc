"""The live page's data: counts of the last seconds and minutes, and the consumers of streams."""

from __future__ import annotations

from django.db import models

from kpis.catalog.feeds import LONGEST_FEED_NAME
from kpis.catalog.live import MINUTE, SECOND
from kpis.models.fields import ExactCharField
from kpis.models.ledger import feed_choices


class LiveFeed(models.Model):
    """The newest batch of a feed's stream that has live counts. Counts that changed with it have its revision."""

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices, unique=True)
    revision = models.BigIntegerField(help_text="raised by 1 with each batch")
    committed_at = models.DateTimeField(help_text="UTC")
    delay = models.FloatField(help_text="seconds from a record's own time to the commit: the median of the batch")

    class Meta:
        ordering = ["feed"]

    def __str__(self) -> str:
        return f"{self.feed} at {self.committed_at:%Y-%m-%d %H:%M:%S}Z"


class LiveCount(models.Model):
    """The number of records of a stream in one second, or one minute, of the records' own time."""

    class Length(models.IntegerChoices):
        SECOND = SECOND, "1 second"
        MINUTE = MINUTE, "1 minute"

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    length = models.PositiveSmallIntegerField(choices=Length, help_text="seconds")
    start_timestamp = models.DateTimeField(help_text="UTC")
    groups = models.JSONField(help_text="number of records by dimension and group")
    revision = models.BigIntegerField(help_text="the feed's revision at the last change")

    class Meta:
        ordering = ["-start_timestamp", "feed", "length"]
        constraints = [models.UniqueConstraint(fields=["feed", "length", "start_timestamp"], name="live_count_once")]
        indexes = [models.Index(fields=["feed", "revision"], name="live_count_revision")]

    def __str__(self) -> str:
        return f"{self.feed}: {self.get_length_display()} from {self.start_timestamp:%Y-%m-%d %H:%M:%S}Z"


class StreamConsumer(models.Model):
    """A process that ingests a stream, and its lag when it last reported."""

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    topic = ExactCharField(max_length=249)
    host = models.CharField(max_length=255)
    process = models.PositiveIntegerField(help_text="process id on the host")
    lag = models.BigIntegerField(
        null=True, help_text="messages of its partitions that are not ingested; empty: unknown"
    )
    reported_at = models.DateTimeField(help_text="UTC")

    class Meta:
        ordering = ["feed", "topic", "host", "process"]
        constraints = [models.UniqueConstraint(fields=["host", "process"], name="stream_consumer_once")]

    def __str__(self) -> str:
        return f"{self.topic} by process {self.process} on {self.host}"
