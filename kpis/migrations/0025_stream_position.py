"""One table of the positions in streams instead of one for Kafka's topics and one for Kinesis's streams."""

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
    """Copies the rows of both tables. Where this was done before, by a migration that was killed, one may be gone."""
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


def move_permissions(apps, schema_editor):
    """Lets those view the table who could view the one of Kafka's topics."""
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
                        help_text="Kafka's id of the topic, or when Kinesis made the stream (UTC); "
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
                        help_text="the sequence number at which a shard began, which tells it from another of its name",
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
        migrations.RunPython(copy_positions, migrations.RunPython.noop),
        migrations.RunPython(move_permissions, migrations.RunPython.noop),
        migrations.DeleteModel(name="StreamOffset"),
        migrations.DeleteModel(name="StreamShard"),
    ]
