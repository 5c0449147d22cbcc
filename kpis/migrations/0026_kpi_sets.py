"""Sets of KPIs of any size in the ledger, and names of feeds of up to 40 characters."""

import django.db.models.deletion
from blake3 import blake3
from django.db import migrations, models

import kpis.models.ledger

# The length of the column that the sets are copied back to.
LONGEST = 64


def feed(**options):
    """Return a column of feeds' names."""
    return models.CharField(choices=kpis.models.ledger.feed_choices, max_length=40, **options)


def copy_sets(apps, schema_editor):
    """Have each batch refer to the set that its column has as text.

    If a killed run of this migration did so before, the column may be gone.
    """
    connection = schema_editor.connection
    batches, sets = (apps.get_model("kpis", name).objects.using(connection.alias) for name in ("Batch", "KPISet"))
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, batches.model._meta.db_table)
    if "kpis" not in {column.name for column in columns}:
        return
    left = batches.filter(kpi_set=None).exclude(kpis="").order_by()
    for text in list(left.values_list("kpis", flat=True).distinct()):
        digest = blake3(text.encode()).hexdigest()
        left.filter(kpis=text).update(kpi_set=sets.get_or_create(digest=digest, defaults={"kpis": text})[0])


def copy_back(apps, schema_editor):
    """Copy the sets into the batches, but those that are too long: the next run reads such a batch's file again."""
    alias = schema_editor.connection.alias
    batches, sets = (apps.get_model("kpis", name).objects.using(alias) for name in ("Batch", "KPISet"))
    for one in sets.order_by("id"):
        if len(one.kpis) <= LONGEST:
            batches.filter(kpi_set=one).update(kpis=one.kpis)


class Migration(migrations.Migration):
    dependencies = [("kpis", "0025_stream_positions_and_words")]

    operations = [
        migrations.CreateModel(
            name="KPISet",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.CharField(help_text="BLAKE3 of the column kpis, in hex", max_length=64, unique=True)),
                ("kpis", models.TextField(help_text="ids of the KPIs, ascending, separated by commas")),
            ],
            options={"verbose_name": "KPI set", "ordering": ["id"]},
        ),
        migrations.AddField(
            model_name="batch",
            name="kpi_set",
            field=models.ForeignKey(
                blank=True,
                help_text="the KPIs whose partials are in the lake; empty: none",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="kpis.kpiset",
            ),
        ),
        migrations.RunPython(copy_sets, copy_back),
        migrations.RemoveField(model_name="batch", name="kpis"),
        migrations.AlterField(model_name="batch", name="feed", field=feed()),
        migrations.AlterField(model_name="duecompaction", name="feed", field=feed()),
        migrations.AlterField(model_name="duerollup", name="feed", field=feed()),
        migrations.AlterField(model_name="lakefile", name="feed", field=feed()),
        migrations.AlterField(model_name="livecount", name="feed", field=feed()),
        migrations.AlterField(model_name="livefeed", name="feed", field=feed(unique=True)),
        migrations.AlterField(model_name="streamconsumer", name="feed", field=feed()),
        migrations.AlterField(model_name="streamposition", name="feed", field=feed()),
        migrations.AlterField(model_name="watermark", name="feed", field=feed(unique=True)),
    ]
