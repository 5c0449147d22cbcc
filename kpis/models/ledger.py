"""The ledger: which batches are in, what became of each, and the runs that took them in."""

from __future__ import annotations

import re

from django.db import models
from django.db.models import F, Q

from kpis.catalog.intervals import LENGTHS
from kpis.catalog.registry import FEEDS
from kpis.models.fields import ExactCharField

# Kinesis's own limit.
LONGEST_SEQUENCE_NUMBER = 129


def feed_choices() -> list[tuple[str, str]]:
    return [(feed.name, feed.name) for feed in FEEDS.values()]


def interval_choices() -> list[tuple[int, str]]:
    return [(length.code, length.name) for length in LENGTHS.values()]


class Run(models.Model):
    """One run of the pipeline: when, with what outcome, and the traceback where it broke off."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "under way"
        SUCCEEDED = "succeeded", "all went in"
        INCOMPLETE = "incomplete", "a file failed"
        BROKEN = "broken", "broke off"

    # How the command begins of what ingests nothing, but only removes what is old.
    PRUNE = "prune "

    started_at = models.DateTimeField(help_text="UTC")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty while the run is under way")
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.RUNNING)
    command = models.TextField(help_text="the command line that started it")
    host = models.CharField(max_length=255)
    process = models.PositiveIntegerField(help_text="process id on the host")
    batches = models.PositiveIntegerField(default=0, help_text="files taken in")
    failed_batches = models.PositiveIntegerField(default=0, help_text="files that failed")
    duplicate_batches = models.PositiveIntegerField(
        default=0, help_text="files with the content of a batch that is in under another name"
    )
    records = models.BigIntegerField(default=0, help_text="rows that passed their feed's checks")
    rejects = models.BigIntegerField(default=0, help_text="rows that did not")
    intervals = models.PositiveIntegerField(default=0, help_text="intervals written from batches")
    rollups = models.PositiveIntegerField(default=0, help_text="longer intervals written from partials")
    traceback = models.TextField(blank=True)
    notes = models.TextField(blank=True, default="", help_text="what a person should know of it, a line each")

    class Meta:
        ordering = ["-id"]
        permissions = [("start_run", "Can start a run, and have failed files tried again")]
        indexes = [
            models.Index(fields=["started_at"], name="run_started_at"),
            models.Index(fields=["outcome"], name="run_outcome"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.started_at:%Y-%m-%d %H:%M:%S}Z"


class Batch(models.Model):
    """What is ingested once, as one: the file of this name in its newest content, or messages of a stream.

    The same content under several names counts once, by the batch of one of them. The others are its duplicates, which
    count nothing: ``duplicate`` while the file has the content, ``renamed`` once it was gone when the content turned up
    under another name.
    """

    class Status(models.TextChoices):
        IN = "in", "taken in"
        FAILED = "failed", "failed"
        DUPLICATE = "duplicate", "duplicate"
        RENAMED = "renamed", "renamed"

    feed = models.CharField(max_length=16, choices=feed_choices)
    name = ExactCharField(
        max_length=700, help_text="the file's name without its folder, or stream/partition/first-last"
    )
    status = models.CharField(max_length=16, choices=Status)
    duplicate_of = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="duplicates",
        help_text="the batch by which the content of a duplicate or renamed file counts",
    )
    reason = models.TextField(blank=True, help_text="why it failed")
    retry = models.BooleanField(default=False, help_text="whether the next run tries again by itself")
    read_again_at = models.DateTimeField(
        null=True, blank=True, help_text="UTC; from then on rows count that were too far ahead of the clock"
    )
    key = models.CharField(max_length=32, blank=True, help_text="names the batch's files in the lake")
    digest = models.CharField(max_length=64, blank=True, help_text="BLAKE3 of the unpacked content, in hex")
    reading = models.CharField(max_length=64, blank=True, help_text="how it was read, where not by default")
    kpis = models.CharField(max_length=64, blank=True, help_text="ids of the KPIs whose partials the lake has")
    size = models.BigIntegerField(help_text="bytes")
    modified_ns = models.BigIntegerField(help_text="the file's time of change, ns since 1970-01-01T00:00Z")
    etag = models.CharField(max_length=255, blank=True, default="", help_text="an object's, which tells its content")
    mark = models.CharField(
        max_length=300,
        blank=True,
        default="",
        help_text="changes with the content: mtime, ctime and inode of a file, etag and time of change of an object",
    )
    lines = models.BigIntegerField(default=0, help_text="rows read, without the header and blank lines")
    records = models.BigIntegerField(default=0, help_text="rows that passed the feed's checks")
    rejects = models.BigIntegerField(default=0, help_text="rows that did not")
    revision = models.PositiveIntegerField(default=1, help_text="1, and one more each time new content replaced it")
    taken_in_at = models.DateTimeField(help_text="UTC")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="taken_in")

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "name"], name="batch_once"),
            models.CheckConstraint(
                condition=Q(lines=F("records") + F("rejects")) | Q(status="failed"), name="batch_lines_add_up"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["duplicate", "renamed"], duplicate_of__isnull=False)
                | Q(status__in=["in", "failed"], duplicate_of__isnull=True),
                name="batch_duplicate_of",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-taken_in_at"], name="batch_status"),
            models.Index(fields=["key"], name="batch_key"),
            models.Index(fields=["digest"], name="batch_digest"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """What it is, for people: the file's name, or which messages of a topic, or records of a stream."""
        found = self._range()
        if not found:
            return self.name
        if found[2].isdigit():
            return f"{found[1]}, partition {found[2]}, offsets {found[3]}"
        return f"{found[1]}, {found[2]}, sequence numbers {found[3]}"

    @property
    def row_word(self) -> str:
        """What a reject's number is: that of a line, a message's offset, or a record's place in its batch."""
        found = self._range()
        return "line" if not found else "offset" if found[2].isdigit() else "record"

    def _range(self) -> re.Match[str] | None:
        # No file's name has a slash.
        return re.fullmatch(r"(.+)/([^/]+)/([0-9]+(?::[0-9]+)?-[0-9]+(?::[0-9]+)?)", self.name)


class BatchInterval(models.Model):
    """That a batch holds records of one of its feed's intervals, and how many."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="intervals")
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the interval is the feed's shortest")
    records = models.BigIntegerField()

    class Meta:
        ordering = ["interval_start_timestamp", "batch"]
        constraints = [
            models.UniqueConstraint(fields=["interval_start_timestamp", "batch"], name="batch_interval_once"),
            models.CheckConstraint(condition=Q(records__gt=0), name="batch_interval_has_records"),
        ]

    def __str__(self) -> str:
        return f"{self.batch} at {self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"


class Reject(models.Model):
    """One row of a batch that is no record; the database keeps a batch's first ones, the lake all of them."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="first_rejects")
    line = models.BigIntegerField(
        help_text="line number in the file, from 1; a message's offset; of a shard the record's place in its batch"
    )
    column = models.CharField(max_length=64, blank=True, help_text="empty when it is the row as a whole")
    reason = models.CharField(max_length=200)
    text = models.TextField(help_text="the row as it stands in the file; may name a subscriber")
    sequence_number = models.CharField(
        max_length=LONGEST_SEQUENCE_NUMBER, blank=True, default="", help_text="of a record of a Kinesis stream"
    )

    class Meta:
        ordering = ["batch", "line"]
        constraints = [models.UniqueConstraint(fields=["batch", "line"], name="reject_once")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.column} {self.reason}".replace(":  ", ": ")


class Watermark(models.Model):
    """The newest interval end that a feed has ever ingested, and up to when its intervals closed.

    What lies ahead of the clocks counts for neither. So neither goes back, unless a clock was ahead that it was set by:
    what is then ahead of every clock is taken back.
    """

    feed = models.CharField(max_length=16, choices=feed_choices, unique=True)
    interval_end_timestamp = models.DateTimeField(
        null=True, help_text="UTC; the newest; empty while all there is lies ahead of the clock"
    )
    closed_until = models.DateTimeField(null=True, help_text="UTC; intervals that end by then are final")
    ahead_until = models.DateTimeField(
        null=True, blank=True, help_text="UTC; the newest interval end that lay ahead of the clock when it came"
    )
    kept_from = models.DateTimeField(null=True, blank=True, help_text="UTC; the lake was pruned of all before")

    def __str__(self) -> str:
        newest = self.interval_end_timestamp
        return f"{self.feed} up to {newest:%Y-%m-%d %H:%M}Z" if newest else f"{self.feed}, all ahead of the clock"


class StreamPosition(models.Model):
    """How far a partition of a Kafka topic, or a shard of a Kinesis stream, is ingested.

    Written in the transaction that commits a batch, if the batch begins at the position that is here. Positions are
    text: sequence numbers have more digits than a database's integers.
    """

    feed = models.CharField(max_length=16, choices=feed_choices)
    source = models.CharField(max_length=16, help_text="kafka or kinesis")
    stream = ExactCharField(max_length=249, help_text="the topic's or stream's name")
    partition = ExactCharField(max_length=128, help_text="the partition's number, or the shard's id")
    position = models.CharField(
        max_length=LONGEST_SEQUENCE_NUMBER,
        blank=True,
        help_text="the next message's offset, or the last ingested record's sequence number; empty: none is",
    )
    stream_id = ExactCharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Kafka's id of the topic, or when Kinesis made the stream (UTC); empty where not known",
    )
    generation = models.PositiveIntegerField(
        default=1, help_text="1, and one more each time the topic or stream was recreated under its name"
    )
    last_message = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="own time (Unix ms) and digest of a partition's last ingested message; empty where not known",
    )
    beginning = models.CharField(
        max_length=LONGEST_SEQUENCE_NUMBER,
        blank=True,
        default="",
        help_text="the sequence number at which a shard began, which tells it from another of its name",
    )
    is_ended = models.BooleanField(
        default=False, help_text="whether a shard is ingested to its end, so that its child shards are read"
    )

    class Meta:
        ordering = ["feed", "source", "stream", "partition"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "source", "stream", "partition"], name="stream_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.stream}/{self.partition} up to {self.position or 'its beginning'}"


class DueRollup(models.Model):
    """A longer interval whose partials have changed since it was last computed, or any that could not be computed.

    Written with the batch that changed them, removed with the rollup that took them up; so a run that breaks
    off in between leaves the rollup due. It waits until the interval has closed; one that is computed before, as
    provisional, stays due.
    """

    feed = models.CharField(max_length=16, choices=feed_choices)
    interval = models.PositiveSmallIntegerField(choices=interval_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC")
    changed = models.BooleanField(default=True, help_text="whether partials changed since it was last figured, if ever")

    class Meta:
        ordering = ["interval_start_timestamp", "feed", "interval"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "interval", "interval_start_timestamp"], name="due_rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.feed}: {self.get_interval_display()} from {self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"


class DueCompaction(models.Model):
    """A closed hour whose partials in the lake are to be put into one file a KPI."""

    feed = models.CharField(max_length=16, choices=feed_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the hour's")

    class Meta:
        ordering = ["interval_start_timestamp", "feed"]
        constraints = [models.UniqueConstraint(fields=["feed", "interval_start_timestamp"], name="due_compaction_once")]

    def __str__(self) -> str:
        return f"{self.feed}: hour from {self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"


class LakeFile(models.Model):
    """A file of the lake that counts: written and removed in one transaction with what it holds or held."""

    feed = models.CharField(max_length=16, choices=feed_choices)
    folder = ExactCharField(max_length=128, help_text="relative to the lake's root")
    name = ExactCharField(max_length=128)
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the hour's")
    key = models.CharField(max_length=32, blank=True, help_text="of the batch whose rows it has; empty: of several")
    digest = models.CharField(max_length=64, blank=True, help_text="BLAKE3 of its content, in hex; empty: not known")
    size = models.BigIntegerField(help_text="bytes")
    etag = models.CharField(max_length=255, blank=True, help_text="an object's, which tells its content")

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
    """What the lake had of a batch in one hour and has lost for good, as ``repair_lake`` found.

    It goes when the batch is replaced, or when the file can be made again after all.
    """

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="lost_files")
    folder = ExactCharField(max_length=128, help_text="relative to the lake's root")
    kpi = models.PositiveSmallIntegerField(help_text="whose partial it was; 0: rejects or records")
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
    """The one row that says which lake this database belongs to; the lake's ``lake.json`` has the same ids."""

    database_id = models.UUIDField(help_text="this database's own id")
    lake_id = models.UUIDField(null=True, help_text="the lake's; empty until the first run")

    def __str__(self) -> str:
        return f"lake {self.lake_id} of database {self.database_id}"
