"""One table of the positions in streams instead of one for Kafka's topics and one for Kinesis's streams.

And plain names of columns and help texts.
"""

import django.db.models.deletion
from django.db import migrations, models

import kpis.models.fields
import kpis.models.ledger


def of_topic(row):
    return {
        "source": "kafka",
        "stream": row.topic,
        "partition": str(row.partition),
        "position": str(row.next_offset),
        "stream_id": row.topic_id,
        "last_message": row.last_message,
    }


def of_shard(row):
    return {
        "source": "kinesis",
        "stream": row.stream,
        "partition": row.shard,
        "position": row.sequence_number,
        "stream_id": row.stream_created,
        "beginning": row.beginning,
        "is_ended": row.is_ended,
    }


def copy_positions(apps, schema_editor):
    """Copy the rows of both tables. If a killed run of this migration did so before, one of them may be gone."""
    connection = schema_editor.connection
    positions = apps.get_model("kpis", "StreamPosition").objects.using(connection.alias)
    tables = connection.introspection.table_names()
    for name, values in (("StreamOffset", of_topic), ("StreamShard", of_shard)):
        model = apps.get_model("kpis", name)
        if model._meta.db_table in tables:
            rows = (
                positions.model(feed=row.feed, generation=row.generation, **values(row))
                for row in model.objects.using(connection.alias).order_by("id")
            )
            positions.bulk_create(rows, ignore_conflicts=True)


def copy_back(apps, schema_editor):
    """Copy the positions into the tables of topics and of shards, so that consumers go on from them."""
    alias = schema_editor.connection.alias
    offsets, shards = (apps.get_model("kpis", name).objects.using(alias) for name in ("StreamOffset", "StreamShard"))
    for row in apps.get_model("kpis", "StreamPosition").objects.using(alias).order_by("id"):
        common = {"feed": row.feed, "generation": row.generation}
        if row.source == "kafka":
            values = {"next_offset": int(row.position), "topic_id": row.stream_id, "last_message": row.last_message}
            key = {"topic": row.stream, "partition": int(row.partition)}
            offsets.update_or_create(feed=row.feed, **key, defaults=common | values)
        else:
            values = {"sequence_number": row.position, "stream_created": row.stream_id, "beginning": row.beginning}
            key = {"stream": row.stream, "shard": row.partition}
            shards.update_or_create(feed=row.feed, **key, defaults=common | values | {"is_ended": row.is_ended})


def move_permissions(apps, schema_editor):
    """Give the permissions on the table of Kafka's offsets to the new table; those on shards are not carried over."""
    types = apps.get_model("contenttypes", "ContentType").objects.using(schema_editor.connection.alias)
    permissions = apps.get_model("auth", "Permission").objects.using(schema_editor.connection.alias)
    if types.filter(app_label="kpis", model="streamposition").exists():
        # Moved before, or made by a migration that was taken back since.
        return
    for action in ("add", "change", "delete", "view"):
        of_topics = permissions.filter(content_type__app_label="kpis", codename=f"{action}_streamoffset")
        of_topics.update(codename=f"{action}_streamposition", name=f"Can {action} stream position")
    types.filter(app_label="kpis", model="streamoffset").update(model="streamposition")


class Migration(migrations.Migration):
    dependencies = [
        ("kpis", "0024_batch_mark"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name="StreamPosition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("source", models.CharField(help_text="kafka or kinesis", max_length=16)),
                (
                    "stream",
                    kpis.models.fields.ExactCharField(help_text="the topic's or stream's name", max_length=249),
                ),
                (
                    "partition",
                    kpis.models.fields.ExactCharField(
                        help_text="the partition's number, or the shard's id", max_length=128
                    ),
                ),
                (
                    "position",
                    models.CharField(
                        blank=True,
                        help_text="the next message's offset, or the last ingested record's sequence number; "
                        "empty: none is",
                        max_length=129,
                    ),
                ),
                (
                    "stream_id",
                    kpis.models.fields.ExactCharField(
                        blank=True,
                        default="",
                        help_text="Kafka's id of the topic, or when the Kinesis stream was created (UTC); "
                        "empty where not known",
                        max_length=64,
                    ),
                ),
                (
                    "generation",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="1, and one more each time the topic or stream was recreated under its name",
                    ),
                ),
                (
                    "last_message",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="own time (Unix ms) and digest of a partition's last ingested message; "
                        "empty where not known",
                        max_length=64,
                    ),
                ),
                (
                    "beginning",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="the sequence number at which a shard began, unlike any other of its name",
                        max_length=129,
                    ),
                ),
                (
                    "is_ended",
                    models.BooleanField(
                        default=False,
                        help_text="whether a shard is ingested to its end, so that its child shards are read",
                    ),
                ),
            ],
            options={
                "ordering": ["feed", "source", "stream", "partition"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("feed", "source", "stream", "partition"), name="stream_position_once"
                    )
                ],
            },
        ),
        migrations.RunPython(copy_positions, copy_back),
        migrations.RunPython(move_permissions, migrations.RunPython.noop),
        migrations.DeleteModel(name="StreamOffset"),
        migrations.DeleteModel(name="StreamShard"),
        # The database renames the index's column with the table's.
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveIndex("batch", "batch_status")]),
        migrations.RenameField("batch", "taken_in_at", "ingested_at"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AddIndex("batch", models.Index(fields=["status", "-ingested_at"], name="batch_status"))
            ]
        ),
        migrations.RenameField("intervalsummary", "first_figured_at", "first_computed_at"),
        migrations.RenameField("streamconsumer", "told_at", "reported_at"),
        migrations.RenameField("watermark", "interval_end_timestamp", "newest_interval_end"),
        migrations.AlterField(
            model_name="watermark",
            name="newest_interval_end",
            field=models.DateTimeField(
                help_text="UTC; the end of the newest interval that has records; empty while all are ahead of the clock",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="duplicate_of",
            field=models.ForeignKey(
                blank=True,
                help_text="the batch for which the content of a duplicate or renamed file is counted",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="duplicates",
                to="kpis.batch",
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="etag",
            field=models.CharField(blank=True, default="", help_text="the ETag of an object", max_length=255),
        ),
        migrations.AlterField(
            model_name="batch",
            name="key",
            field=models.CharField(blank=True, help_text="the name of the batch's files in the lake", max_length=32),
        ),
        migrations.AlterField(
            model_name="batch",
            name="kpis",
            field=models.CharField(
                blank=True,
                help_text="ids of the KPIs whose partials are in the lake, separated by commas",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="mark",
            field=models.CharField(
                blank=True,
                default="",
                help_text="changes with the content: mtime, ctime and inode of a file, ETag and modification time of an object",
                max_length=300,
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="modified_ns",
            field=models.BigIntegerField(help_text="the file's modification time, ns since 1970-01-01T00:00Z"),
        ),
        migrations.AlterField(
            model_name="batch",
            name="read_again_at",
            field=models.DateTimeField(
                blank=True,
                help_text="UTC; from then on the file is read again, because rows of it were too far ahead of the clock",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="reading",
            field=models.CharField(
                blank=True, help_text="the options by which it was read; empty: the defaults", max_length=64
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="reason",
            field=models.TextField(blank=True, help_text="why the batch failed"),
        ),
        migrations.AlterField(
            model_name="batch",
            name="rejects",
            field=models.BigIntegerField(default=0, help_text="rows that failed the feed's checks"),
        ),
        migrations.AlterField(
            model_name="batch",
            name="retry",
            field=models.BooleanField(default=False, help_text="whether the next run retries it"),
        ),
        migrations.AlterField(
            model_name="batch",
            name="revision",
            field=models.PositiveIntegerField(
                default=1, help_text="1, plus 1 for each time that new content replaced the old"
            ),
        ),
        migrations.AlterField(
            model_name="batch",
            name="run",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="kpis.run"),
        ),
        migrations.AlterField(
            model_name="batch",
            name="status",
            field=models.CharField(
                choices=[("in", "ingested"), ("failed", "failed"), ("duplicate", "duplicate"), ("renamed", "renamed")],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="batchinterval",
            name="interval_start_timestamp",
            field=models.DateTimeField(help_text="UTC; the start of one of the feed's shortest intervals"),
        ),
        migrations.AlterField(
            model_name="duerollup",
            name="changed",
            field=models.BooleanField(default=True, help_text="whether partials changed since it was last computed"),
        ),
        migrations.AlterField(
            model_name="lakebinding",
            name="lake_id",
            field=models.UUIDField(help_text="the lake's id; empty until the first run", null=True),
        ),
        migrations.AlterField(
            model_name="lakefile",
            name="etag",
            field=models.CharField(blank=True, help_text="the ETag of an object", max_length=255),
        ),
        migrations.AlterField(
            model_name="lakefile",
            name="key",
            field=models.CharField(
                blank=True, help_text="the key of the batch whose rows it has; empty: of several batches", max_length=32
            ),
        ),
        migrations.AlterField(
            model_name="livecount",
            name="groups",
            field=models.JSONField(help_text="number of records by dimension and group"),
        ),
        migrations.AlterField(
            model_name="livecount",
            name="revision",
            field=models.BigIntegerField(help_text="the feed's revision at the last change"),
        ),
        migrations.AlterField(
            model_name="livefeed",
            name="delay",
            field=models.FloatField(
                help_text="seconds from a record's own time to the commit: the median of the batch"
            ),
        ),
        migrations.AlterField(
            model_name="livefeed",
            name="revision",
            field=models.BigIntegerField(help_text="raised by 1 with each batch"),
        ),
        migrations.AlterField(
            model_name="lostfile",
            name="kpi",
            field=models.PositiveSmallIntegerField(
                help_text="the KPI whose partial was in the file; 0: rejects or records"
            ),
        ),
        migrations.AlterField(
            model_name="quotachange",
            name="quota",
            field=models.BigIntegerField(help_text="bytes an hour; empty: the subscriber was deleted", null=True),
        ),
        migrations.AlterField(
            model_name="region",
            name="code",
            field=kpis.models.fields.ExactCharField(
                help_text="the authority's code, such as a FIPS code", max_length=64, unique=True
            ),
        ),
        migrations.AlterField(
            model_name="region",
            name="spellings",
            field=models.JSONField(blank=True, default=list, help_text="other names that records have for it"),
        ),
        migrations.AlterField(
            model_name="reject",
            name="column",
            field=models.CharField(blank=True, help_text="empty if the row as a whole is wrong", max_length=64),
        ),
        migrations.AlterField(
            model_name="reject",
            name="line",
            field=models.BigIntegerField(
                help_text="line number in the file, from 1; a message's offset; for a shard, the record's position in its batch"
            ),
        ),
        migrations.AlterField(
            model_name="reject",
            name="sequence_number",
            field=models.CharField(
                blank=True, default="", help_text="the sequence number of a record of a Kinesis stream", max_length=129
            ),
        ),
        migrations.AlterField(
            model_name="reject",
            name="text",
            field=models.TextField(help_text="the row as it is in the file; may name a subscriber"),
        ),
        migrations.AlterField(
            model_name="run",
            name="batches",
            field=models.PositiveIntegerField(default=0, help_text="batches ingested"),
        ),
        migrations.AlterField(
            model_name="run",
            name="command",
            field=models.TextField(help_text="the command line that started the run"),
        ),
        migrations.AlterField(
            model_name="run",
            name="duplicate_batches",
            field=models.PositiveIntegerField(
                default=0, help_text="files with the content of a batch that was ingested under another name"
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="ended_at",
            field=models.DateTimeField(blank=True, help_text="UTC; empty while the run is running", null=True),
        ),
        migrations.AlterField(
            model_name="run",
            name="failed_batches",
            field=models.PositiveIntegerField(default=0, help_text="batches that failed"),
        ),
        migrations.AlterField(
            model_name="run",
            name="intervals",
            field=models.PositiveIntegerField(default=0, help_text="intervals computed from batches"),
        ),
        migrations.AlterField(
            model_name="run",
            name="notes",
            field=models.TextField(blank=True, default="", help_text="notes for operators, one per line"),
        ),
        migrations.AlterField(
            model_name="run",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("running", "running"),
                    ("succeeded", "succeeded"),
                    ("incomplete", "a file failed"),
                    ("broken", "failed"),
                ],
                default="running",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="rejects",
            field=models.BigIntegerField(default=0, help_text="rows that failed their feed's checks"),
        ),
        migrations.AlterField(
            model_name="run",
            name="rollups",
            field=models.PositiveIntegerField(default=0, help_text="longer intervals computed from partials"),
        ),
        migrations.AlterField(
            model_name="streamconsumer",
            name="lag",
            field=models.BigIntegerField(
                help_text="messages of its partitions that are not ingested; empty: unknown", null=True
            ),
        ),
        migrations.AlterField(
            model_name="watermark",
            name="ahead_until",
            field=models.DateTimeField(
                blank=True,
                help_text="UTC; the newest interval end that was ahead of the clock when it was ingested",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="watermark",
            name="closed_until",
            field=models.DateTimeField(help_text="UTC; the watermark: intervals that end by then are final", null=True),
        ),
        migrations.AlterField(
            model_name="watermark",
            name="kept_from",
            field=models.DateTimeField(
                blank=True, help_text="UTC; everything before was pruned from the lake", null=True
            ),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="first_computed_at",
            field=models.DateTimeField(help_text="UTC; references, such as quotas, are those that were in force then"),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="groups",
            field=models.BigIntegerField(help_text="number of groups; a top list keeps the first of them"),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="mean",
            field=models.FloatField(blank=True, help_text="instead of the total, if the KPI is a mean", null=True),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="previous_updated_at",
            field=models.DateTimeField(blank=True, help_text="UTC; when the revision before was computed", null=True),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="reason",
            field=models.TextField(blank=True, default="", help_text="why it was revised, if not by a batch"),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="revision",
            field=models.PositiveIntegerField(default=1, help_text="1, plus 1 for each time that it was recomputed"),
        ),
        migrations.AlterField(
            model_name="intervalsummary",
            name="updated_at",
            field=models.DateTimeField(help_text="UTC; when this revision was computed"),
        ),
    ]
