"""The admin of streams: the offsets, the consumers and the live counts."""

from __future__ import annotations

from django.contrib import admin

from kpis.admin.base import TableAdmin
from kpis.models import LiveCount, LiveFeed, StreamConsumer, StreamPosition


@admin.register(StreamPosition)
class StreamPositionAdmin(TableAdmin):
    """How far each partition of a topic, and each shard of a Kinesis stream, is ingested."""

    list_display = ("stream", "partition", "feed", "source", "position", "is_ended", "generation")
    list_filter = ("feed", "source", "is_ended")
    search_fields = ("stream", "partition")


@admin.register(StreamConsumer)
class StreamConsumerAdmin(TableAdmin):
    """The consumers of the streams, with their lag."""

    list_display = ("topic", "feed", "host", "process", "lag", "reported_at")
    list_filter = ("feed",)
    search_fields = ("topic", "host")


@admin.register(LiveFeed)
class LiveFeedAdmin(TableAdmin):
    """The time at which each stream's newest batch was ingested, and its delay."""

    list_display = ("feed", "committed_at", "delay", "revision")
    list_filter = ("feed",)
    search_fields = ("feed",)


@admin.register(LiveCount)
class LiveCountAdmin(TableAdmin):
    """The counts of the live page, by second and minute."""

    list_display = ("start_timestamp", "length", "feed", "groups")
    list_filter = ("feed", "length")
    search_fields = ("feed",)
    date_hierarchy = "start_timestamp"
