"""The ledger: the batches with their outcomes, the runs that ingested them, watermarks and positions."""

from __future__ import annotations

import re

from django.db import models
from django.db.models import F, Q

from kpis.catalog.feeds import LONGEST_FEED_NAME
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.registry import FEEDS
from kpis.models.fields import ExactCharField

# Kinesis's own limit.
LONGEST_SEQUENCE_NUMBER = 129


def feed_choices() -> list[tuple[str, str]]:
    """Return the choices of a column of feeds."""
    return [(feed.name, feed.name) for feed in FEEDS.values()]


def interval_choices() -> list[tuple[int, str]]:
    """Return the choices of a column of interval lengths."""
    return [(length.code, length.name) for length in LENGTHS.values()]


class Run(models.Model):
    """One run of the pipeline: its times, its outcome, and its traceback if it failed."""

    class Outcome(models.TextChoices):
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        INCOMPLETE = "incomplete", "a file failed"
        BROKEN = "broken", "failed"

    # The commands of runs that ingest nothing, but remove what is old, begin with this.
    PRUNE = "prune "

    started_at = models.DateTimeField(help_text="UTC")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="UTC; empty while the run is running")
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.RUNNING)
    command = models.TextField(help_text="the command line that started the run")
    host = models.CharField(max_length=255)
    process = models.PositiveIntegerField(help_text="process id on the host")
    batches = models.PositiveIntegerField(default=0, help_text="batches ingested")
    failed_batches = models.PositiveIntegerField(default=0, help_text="batches that failed")
    duplicate_batches = models.PositiveIntegerField(
        default=0, help_text="files with the content of a batch that was ingested under another name"
    )
    records = models.BigIntegerField(default=0, help_text="rows that passed their feed's checks")
    rejects = models.BigIntegerField(default=0, help_text="rows that failed their feed's checks")
    intervals = models.PositiveIntegerField(default=0, help_text="intervals computed from batches")
    rollups = models.PositiveIntegerField(default=0, help_text="longer intervals computed from partials")
    traceback = models.TextField(blank=True)
    notes = models.TextField(blank=True, default="", help_text="notes for operators, one per line")

    class Meta:
        ordering = ["-id"]
        permissions = [("start_run", "Can start a run, and have failed files tried again")]
        indexes = [
            models.Index(fields=["started_at"], name="run_started_at"),
            models.Index(fields=["outcome"], name="run_outcome"),
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.started_at:%Y-%m-%d %H:%M:%S}Z"


class KPISet(models.Model):
    """A set of KPIs: those whose partials the lake has of a batch. Batches refer to it, as few sets differ.

    Rows are only added, never changed.
    """

    # MySQL has no unique constraint over text of any length.
    digest = models.CharField(max_length=64, unique=True, help_text="BLAKE3 of the column kpis, in hex")
    kpis = models.TextField(help_text="ids of the KPIs, ascending, separated by commas")

    class Meta:
        verbose_name = "KPI set"
        ordering = ["id"]

    def __str__(self) -> str:
        return self.kpis


class Batch(models.Model):
    """A unit of ingestion: the newest content of the file of a name, or a range of a stream's messages.

    Content that several files have is counted once, for the batch of one of them. The others are its duplicates, and
    none of their records count. A duplicate's status is ``duplicate`` while its file has the content, and ``renamed``
    if its file was gone when the content was found under another name.
    """

    class Status(models.TextChoices):
        IN = "in", "ingested"
        FAILED = "failed", "failed"
        DUPLICATE = "duplicate", "duplicate"
        RENAMED = "renamed", "renamed"

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
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
        help_text="the batch for which the content of a duplicate or renamed file is counted",
    )
    reason = models.TextField(blank=True, help_text="why the batch failed")
    retry = models.BooleanField(default=False, help_text="whether the next run retries it")
    read_again_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="UTC; from then on the file is read again, because rows of it were too far ahead of the clock",
    )
    key = models.CharField(max_length=32, blank=True, help_text="the name of the batch's files in the lake")
    digest = models.CharField(max_length=64, blank=True, help_text="BLAKE3 of the unpacked content, in hex")
    reading = models.CharField(
        max_length=64, blank=True, help_text="the options by which it was read; empty: the defaults"
    )
    kpi_set = models.ForeignKey(
        KPISet,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        help_text="the KPIs whose partials are in the lake; empty: none",
    )
    size = models.BigIntegerField(help_text="bytes")
    modified_ns = models.BigIntegerField(help_text="the file's modification time, ns since 1970-01-01T00:00Z")
    etag = models.CharField(max_length=255, blank=True, default="", help_text="the ETag of an object")
    mark = models.CharField(
        max_length=300,
        blank=True,
        default="",
        help_text="changes with the content: mtime, ctime and inode of a file, ETag and modification time of an object",
    )
    lines = models.BigIntegerField(default=0, help_text="rows read, without the header and blank lines")
    records = models.BigIntegerField(default=0, help_text="rows that passed the feed's checks")
    rejects = models.BigIntegerField(default=0, help_text="rows that failed the feed's checks")
    revision = models.PositiveIntegerField(
        default=1, help_text="1, plus 1 for each time that new content replaced the old"
    )
    ingested_at = models.DateTimeField(help_text="UTC")
    run = models.ForeignKey(Run, on_delete=models.PROTECT)

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
            models.Index(fields=["status", "-ingested_at"], name="batch_status"),
            models.Index(fields=["key"], name="batch_key"),
            models.Index(fields=["digest"], name="batch_digest"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The batch as pages show it: the file's name, or the range of a topic's messages or of a stream's records."""
        found = self._range()
        if not found:
            return self.name
        if found[2].isdigit():
            return f"{found[1]}, partition {found[2]}, offsets {found[3]}"
        return f"{found[1]}, {found[2]}, sequence numbers {found[3]}"

    @property
    def row_word(self) -> str:
        """The unit that a reject's number counts: ``line``, ``offset`` of a message, or ``record`` of the batch."""
        found = self._range()
        return "line" if not found else "offset" if found[2].isdigit() else "record"

    def _range(self) -> re.Match[str] | None:
        # A file's name has no slash.
        return re.fullmatch(r"(.+)/([^/]+)/([0-9]+(?::[0-9]+)?-[0-9]+(?::[0-9]+)?)", self.name)


class BatchInterval(models.Model):
    """The number of records that a batch has in one of its feed's intervals."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="intervals")
    interval_start_timestamp = models.DateTimeField(help_text="UTC; the start of one of the feed's shortest intervals")
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
    """A row that failed its feed's checks. The database keeps a batch's first rejects, the lake all of them."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="first_rejects")
    line = models.BigIntegerField(
        help_text="line number in the file, from 1; a message's offset; for a shard, the record's position in its batch"
    )
    column = models.CharField(max_length=64, blank=True, help_text="empty if the row as a whole is wrong")
    reason = models.CharField(max_length=200)
    text = models.TextField(help_text="the row as it is in the file; may name a subscriber")
    sequence_number = models.CharField(
        max_length=LONGEST_SEQUENCE_NUMBER,
        blank=True,
        default="",
        help_text="the sequence number of a record of a Kinesis stream",
    )

    class Meta:
        ordering = ["batch", "line"]
        constraints = [models.UniqueConstraint(fields=["batch", "line"], name="reject_once")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.column} {self.reason}".replace(":  ", ": ")


class Watermark(models.Model):
    """A feed's watermark: the time up to which its intervals are closed, and the newest interval end it has ingested.

    Records ahead of the clocks raise neither. Neither is lowered, unless the clock by which it was set was ahead: then
    it is lowered to the latest clock.
    """

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices, unique=True)
    newest_interval_end = models.DateTimeField(
        null=True,
        help_text="UTC; the end of the newest interval that has records; empty while all are ahead of the clock",
    )
    closed_until = models.DateTimeField(null=True, help_text="UTC; the watermark: intervals that end by then are final")
    ahead_until = models.DateTimeField(
        null=True, blank=True, help_text="UTC; the newest interval end that was ahead of the clock when it was ingested"
    )
    kept_from = models.DateTimeField(null=True, blank=True, help_text="UTC; everything before was pruned from the lake")

    def __str__(self) -> str:
        newest = self.newest_interval_end
        return f"{self.feed} up to {newest:%Y-%m-%d %H:%M}Z" if newest else f"{self.feed}, all ahead of the clock"


class StreamPosition(models.Model):
    """How far a partition of a Kafka topic, or a shard of a Kinesis stream, is ingested.

    Written in the transaction that commits a batch, if the batch begins at the position that is here. Positions are
    text: sequence numbers have more digits than a database's integers.
    """

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
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
        help_text="Kafka's id of the topic, or when the Kinesis stream was created (UTC); empty where not known",
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
        help_text="the sequence number at which a shard began, unlike any other of its name",
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
    """A longer interval whose partials changed since it was last computed, or an interval that could not be computed.

    Written with the batch that changed the partials, and deleted with the rollup that includes them, so that a run
    that is killed in between leaves the rollup due. The rollup is computed once the interval has closed. One that is
    computed earlier, as provisional, stays due.
    """

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    interval = models.PositiveSmallIntegerField(choices=interval_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC")
    changed = models.BooleanField(default=True, help_text="whether partials changed since it was last computed")

    class Meta:
        ordering = ["interval_start_timestamp", "feed", "interval"]
        constraints = [
            models.UniqueConstraint(fields=["feed", "interval", "interval_start_timestamp"], name="due_rollup_once")
        ]

    def __str__(self) -> str:
        return f"{self.feed}: {self.get_interval_display()} from {self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"


class DueReference(models.Model):
    """A computed interval whose KPIs by attributes of a reference have to be computed again, as the reference changed.

    Written with the load that changed the reference, and deleted with the results of the versions that hold now.
    """

    feed = models.CharField(max_length=LONGEST_FEED_NAME, choices=feed_choices)
    interval = models.PositiveSmallIntegerField(choices=interval_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC")
    reference = ExactCharField(max_length=40, help_text="the name in the catalog file")
    reason = models.TextField(help_text="what changed the reference")

    class Meta:
        ordering = ["interval_start_timestamp", "feed", "interval", "reference"]
        constraints = [
            models.UniqueConstraint(
                fields=["feed", "interval", "interval_start_timestamp", "reference"], name="due_reference_once"
            )
        ]

    def __str__(self) -> str:
        start = f"{self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"
        return f"{self.feed}: {self.get_interval_display()} from {start}, {self.reference}"
