"""Streams: how far each is read, who reads it, and the live counts."""

from __future__ import annotations

from django.contrib import admin

from kpis.admin.base import TableAdmin
from kpis.models import LiveCount, LiveFeed, StreamConsumer, StreamOffset, StreamShard


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
