"""All tables, as the migrations 0001 to 0025 together leave them. A new database is made by this migration alone.

Those that it replaces bring a database of release 0.1.0, or of any commit since, up to date. They can be deleted, with
``replaces``, in the first release that no longer promises to upgrade from 0.1.0: see CONTRIBUTING.md.
"""

from dataclasses import asdict

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

import kpis.models.fields
import kpis.models.ledger
import kpis.models.results
from kpis.reference.regions import CALIFORNIA, read_shapes


def load_counties(apps, schema_editor):
    """A map to begin with: the counties of California, where the samples are."""
    regions = apps.get_model("kpis", "Region").objects.using(schema_editor.connection.alias)
    if not regions.exists():
        regions.bulk_create(regions.model(**asdict(shape)) for shape in read_shapes(CALIFORNIA))


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("kpis", "0001_initial"),
        ("kpis", "0002_index_lists_in_their_order"),
        ("kpis", "0003_index_the_outcome_of_runs"),
        ("kpis", "0004_coverage_grid_signal"),
        ("kpis", "0005_region"),
        ("kpis", "0006_counties_of_california"),
        ("kpis", "0007_may_start_runs"),
        ("kpis", "0008_stream_offset"),
        ("kpis", "0009_live_counts"),
        ("kpis", "0010_watermark_closed_until"),
        ("kpis", "0011_batch_etag"),
        ("kpis", "0012_stream_shard"),
        ("kpis", "0013_clocks"),
        ("kpis", "0014_incomplete_intervals"),
        ("kpis", "0015_batch_read_again_at"),
        ("kpis", "0016_result_pruning"),
        ("kpis", "0017_lake_files"),
        ("kpis", "0018_folded_names"),
        ("kpis", "0019_fold_the_names_there_are"),
        ("kpis", "0020_index_folded_names"),
        ("kpis", "0021_stream_generations"),
        ("kpis", "0022_lost_file"),
        ("kpis", "0023_duplicates"),
        ("kpis", "0024_batch_mark"),
        ("kpis", "0025_stream_positions_and_words"),
    ]

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="LakeBinding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("database_id", models.UUIDField(help_text="this database's own id")),
                ("lake_id", models.UUIDField(help_text="the lake's id; empty until the first run", null=True)),
            ],
        ),
        migrations.CreateModel(
            name="LiveFeed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16, unique=True)),
                ("revision", models.BigIntegerField(help_text="raised by 1 with each batch")),
                ("committed_at", models.DateTimeField(help_text="UTC")),
                (
                    "delay",
                    models.FloatField(
                        help_text="seconds from a record's own time to the commit: the median of the batch"
                    ),
                ),
            ],
            options={
                "ordering": ["feed"],
            },
        ),
        migrations.CreateModel(
            name="ResultPruning",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(choices=kpis.models.ledger.interval_choices, unique=True),
                ),
                ("before", models.DateTimeField(help_text="UTC; intervals that ended by then were removed")),
            ],
            options={
                "ordering": ["interval"],
            },
        ),
        migrations.CreateModel(
            name="Watermark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16, unique=True)),
                (
                    "newest_interval_end",
                    models.DateTimeField(
                        help_text="UTC; the end of the newest interval that has records; empty while all are ahead of the clock",
                        null=True,
                    ),
                ),
                (
                    "closed_until",
                    models.DateTimeField(
                        help_text="UTC; the watermark: intervals that end by then are final", null=True
                    ),
                ),
                (
                    "ahead_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="UTC; the newest interval end that was ahead of the clock when it was ingested",
                        null=True,
                    ),
                ),
                (
                    "kept_from",
                    models.DateTimeField(
                        blank=True, help_text="UTC; everything before was pruned from the lake", null=True
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="AntennaTrafficVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("antenna_id", kpis.models.fields.ExactCharField(help_text="UUID", max_length=36)),
                ("total_bytes", models.BigIntegerField(help_text="bytes")),
            ],
            options={
                "verbose_name_plural": "antenna traffic volumes",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="antennatrafficvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="antennatrafficvolume_start_lt_end",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rank__gte", 1)), name="antennatrafficvolume_rank_gte_1"
                    ),
                    models.UniqueConstraint(
                        fields=("antenna_id", "interval_start_timestamp", "interval"),
                        name="antennatrafficvolume_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("total_bytes__gte", 0)), name="antennatrafficvolume_total_bytes_gte_0"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AppTrafficVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("app", kpis.models.fields.ExactCharField(max_length=100)),
                ("total_bytes", models.BigIntegerField(help_text="bytes")),
            ],
            options={
                "verbose_name_plural": "app traffic volumes",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="apptrafficvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="apptrafficvolume_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="apptrafficvolume_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("app", "interval_start_timestamp", "interval"), name="apptrafficvolume_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("total_bytes__gte", 0)), name="apptrafficvolume_total_bytes_gte_0"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CellUniqueUsers",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("cell_id", models.BigIntegerField()),
                ("number_of_unique_users", models.BigIntegerField(help_text="distinct msisdn")),
            ],
            options={
                "verbose_name_plural": "cell unique users",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="celluniqueusers_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="celluniqueusers_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="celluniqueusers_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("cell_id", "interval_start_timestamp", "interval"), name="celluniqueusers_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_unique_users__gte", 1)),
                        name="celluniqueusers_number_of_unique_users_gte_1",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CountyCallVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("county", kpis.models.fields.ExactCharField(max_length=100)),
                ("number_of_calls", models.BigIntegerField(help_text="calls and texts")),
            ],
            options={
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="countycallvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="countycallvolume_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="countycallvolume_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("county", "interval_start_timestamp", "interval"), name="countycallvolume_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_calls__gte", 1)), name="countycallvolume_number_of_calls_gte_1"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CoverageGridSignal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                (
                    "grid_cell",
                    kpis.models.fields.ExactCharField(
                        blank=True,
                        help_text="south-west corner of 0.05 degrees, latitude,longitude; empty for no place",
                        max_length=20,
                    ),
                ),
                (
                    "average_signal",
                    models.FloatField(help_text="ASU, over the samples; empty where there are none", null=True),
                ),
                ("number_of_samples", models.BigIntegerField(help_text="reports with a signal")),
                (
                    "number_of_empty_values",
                    models.BigIntegerField(help_text="reports without one, left out of the average"),
                ),
            ],
            options={
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="coveragegridsignal_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="coveragegridsignal_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="coveragegridsignal_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("grid_cell", "interval_start_timestamp", "interval"),
                        name="coveragegridsignal_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_samples__gte", 0)),
                        name="coveragegridsignal_number_of_samples_gte_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_empty_values__gte", 0)),
                        name="coveragegridsignal_number_of_empty_values_gte_0",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DueCompaction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC; the hour's")),
            ],
            options={
                "ordering": ["interval_start_timestamp", "feed"],
                "constraints": [
                    models.UniqueConstraint(fields=("feed", "interval_start_timestamp"), name="due_compaction_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="DueRollup",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("interval", models.PositiveSmallIntegerField(choices=kpis.models.ledger.interval_choices)),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC")),
                (
                    "changed",
                    models.BooleanField(default=True, help_text="whether partials changed since it was last computed"),
                ),
            ],
            options={
                "ordering": ["interval_start_timestamp", "feed", "interval"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("feed", "interval", "interval_start_timestamp"), name="due_rollup_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IntervalSummary",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kpi", models.PositiveSmallIntegerField(choices=kpis.models.results.kpi_choices)),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                ("interval", models.PositiveSmallIntegerField(choices=kpis.models.ledger.interval_choices)),
                (
                    "total",
                    models.BigIntegerField(
                        blank=True,
                        help_text="over all groups; for unique users, distinct users over all cells",
                        null=True,
                    ),
                ),
                (
                    "mean",
                    models.FloatField(blank=True, help_text="instead of the total, if the KPI is a mean", null=True),
                ),
                ("groups", models.BigIntegerField(help_text="number of groups; a top list keeps the first of them")),
                ("records", models.BigIntegerField(help_text="records in the interval")),
                ("batches", models.PositiveIntegerField(help_text="batches that have records in the interval")),
                (
                    "first_computed_at",
                    models.DateTimeField(
                        help_text="UTC; references, such as quotas, are those that were in force then"
                    ),
                ),
                (
                    "revision",
                    models.PositiveIntegerField(default=1, help_text="1, plus 1 for each time that it was recomputed"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("provisional", "the interval is still open"),
                            ("final", "the interval has closed"),
                            ("incomplete", "records are missing from the figures, as the reason says"),
                        ],
                        max_length=12,
                    ),
                ),
                ("reason", models.TextField(blank=True, default="", help_text="why it was revised, if not by a batch")),
                ("updated_at", models.DateTimeField(help_text="UTC; when this revision was computed")),
                (
                    "previous_total",
                    models.BigIntegerField(blank=True, help_text="the total of the revision before", null=True),
                ),
                (
                    "previous_mean",
                    models.FloatField(blank=True, help_text="the mean of the revision before", null=True),
                ),
                (
                    "previous_updated_at",
                    models.DateTimeField(blank=True, help_text="UTC; when the revision before was computed", null=True),
                ),
            ],
            options={
                "verbose_name_plural": "interval summaries",
                "ordering": ["interval_start_timestamp", "interval", "kpi"],
                "indexes": [
                    models.Index(fields=["kpi", "interval_start_timestamp", "interval"], name="interval_summary_by_kpi")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "kpi"), name="interval_summary_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="interval_summary_start_lt_end",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LakeFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("folder", kpis.models.fields.ExactCharField(help_text="relative to the lake's root", max_length=128)),
                ("name", kpis.models.fields.ExactCharField(max_length=128)),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC; the hour's")),
                (
                    "key",
                    models.CharField(
                        blank=True,
                        help_text="the key of the batch whose rows it has; empty: of several batches",
                        max_length=32,
                    ),
                ),
                (
                    "digest",
                    models.CharField(
                        blank=True, help_text="BLAKE3 of its content, in hex; empty: not known", max_length=64
                    ),
                ),
                ("size", models.BigIntegerField(help_text="bytes")),
                ("etag", models.CharField(blank=True, help_text="the ETag of an object", max_length=255)),
            ],
            options={
                "ordering": ["folder", "name"],
                "indexes": [
                    models.Index(fields=["key"], name="lake_file_key"),
                    models.Index(fields=["feed", "interval_start_timestamp"], name="lake_file_hour"),
                ],
                "constraints": [models.UniqueConstraint(fields=("folder", "name"), name="lake_file_once")],
            },
        ),
        migrations.CreateModel(
            name="LiveCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                (
                    "length",
                    models.PositiveSmallIntegerField(choices=[(1, "1 second"), (60, "1 minute")], help_text="seconds"),
                ),
                ("start_timestamp", models.DateTimeField(help_text="UTC")),
                ("groups", models.JSONField(help_text="number of records by dimension and group")),
                ("revision", models.BigIntegerField(help_text="the feed's revision at the last change")),
            ],
            options={
                "ordering": ["-start_timestamp", "feed", "length"],
                "indexes": [models.Index(fields=["feed", "revision"], name="live_count_revision")],
                "constraints": [
                    models.UniqueConstraint(fields=("feed", "length", "start_timestamp"), name="live_count_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="OperatorCallVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("operator", kpis.models.fields.ExactCharField(max_length=100)),
                ("call_type", kpis.models.fields.ExactCharField(help_text="CALL or TEXT", max_length=4)),
                ("number_of_calls", models.BigIntegerField()),
                ("market_share", models.FloatField(help_text="of all calls and texts of the interval, 0 to 1")),
                (
                    "operator_folded",
                    kpis.models.fields.FoldedCharField(
                        default="",
                        editable=False,
                        help_text="operator without letter case, by which it is found",
                        max_length=300,
                        of="operator",
                    ),
                ),
            ],
            options={
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["operator_folded", "interval_start_timestamp", "interval", "rank"],
                        name="operatorcallvolume_folded",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="operatorcallvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="operatorcallvolume_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="operatorcallvolume_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("operator", "call_type", "interval_start_timestamp", "interval"),
                        name="operatorcallvolume_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_calls__gte", 1)), name="operatorcallvolume_number_of_calls_gte_1"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("market_share__gt", 0), ("market_share__lte", 1)),
                        name="operatorcallvolume_share_gt_0_lte_1",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OperatorGPSPrecision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("operator", kpis.models.fields.ExactCharField(blank=True, max_length=100)),
                (
                    "average_precision",
                    models.FloatField(help_text="metres, over the samples; empty where there are none", null=True),
                ),
                ("number_of_samples", models.BigIntegerField(help_text="reports with a precision")),
                (
                    "number_of_empty_values",
                    models.BigIntegerField(help_text="reports without one, left out of the average"),
                ),
                (
                    "operator_folded",
                    kpis.models.fields.FoldedCharField(
                        default="",
                        editable=False,
                        help_text="operator without letter case, by which it is found",
                        max_length=300,
                        of="operator",
                    ),
                ),
            ],
            options={
                "verbose_name": "operator GPS precision",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["operator_folded", "interval_start_timestamp", "interval", "rank"],
                        name="operatorgpsprecision_folded",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="operatorgpsprecision_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="operatorgpsprecision_start_lt_end",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rank__gte", 1)), name="operatorgpsprecision_rank_gte_1"
                    ),
                    models.UniqueConstraint(
                        fields=("operator", "interval_start_timestamp", "interval"),
                        name="operatorgpsprecision_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_samples__gte", 0)),
                        name="operatorgpsprecision_number_of_samples_gte_0",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_empty_values__gte", 0)),
                        name="operatorgpsprecision_number_of_empty_values_gte_0",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="OperatorSignal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("operator", kpis.models.fields.ExactCharField(blank=True, max_length=100)),
                (
                    "average_signal",
                    models.FloatField(help_text="ASU, over the samples; empty where there are none", null=True),
                ),
                ("number_of_samples", models.BigIntegerField(help_text="reports with a signal")),
                (
                    "number_of_empty_values",
                    models.BigIntegerField(help_text="reports without one, left out of the average"),
                ),
                (
                    "operator_folded",
                    kpis.models.fields.FoldedCharField(
                        default="",
                        editable=False,
                        help_text="operator without letter case, by which it is found",
                        max_length=300,
                        of="operator",
                    ),
                ),
            ],
            options={
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["operator_folded", "interval_start_timestamp", "interval", "rank"],
                        name="operatorsignal_folded",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="operatorsignal_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="operatorsignal_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="operatorsignal_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("operator", "interval_start_timestamp", "interval"), name="operatorsignal_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_samples__gte", 0)), name="operatorsignal_number_of_samples_gte_0"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_empty_values__gte", 0)),
                        name="operatorsignal_number_of_empty_values_gte_0",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PostalCodeStatus",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("postal_code", kpis.models.fields.ExactCharField(blank=True, max_length=20)),
                (
                    "status",
                    models.IntegerField(help_text="0 in service, 1 out of service, 2 emergency only, 3 radio off"),
                ),
                ("number_of_reports", models.BigIntegerField()),
            ],
            options={
                "verbose_name_plural": "postal code status",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="postalcodestatus_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="postalcodestatus_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="postalcodestatus_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("postal_code", "status", "interval_start_timestamp", "interval"),
                        name="postalcodestatus_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("number_of_reports__gte", 1)),
                        name="postalcodestatus_number_of_reports_gte_1",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Region",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "code",
                    kpis.models.fields.ExactCharField(
                        help_text="the authority's code, such as a FIPS code", max_length=64, unique=True
                    ),
                ),
                ("name", kpis.models.fields.ExactCharField(max_length=100, unique=True)),
                (
                    "spellings",
                    models.JSONField(blank=True, default=list, help_text="other names that records have for it"),
                ),
                ("geometry", models.JSONField(help_text="GeoJSON MultiPolygon, degrees (WGS 84)")),
                ("west", models.FloatField(help_text="degrees")),
                ("south", models.FloatField(help_text="degrees")),
                ("east", models.FloatField(help_text="degrees")),
                ("north", models.FloatField(help_text="degrees")),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("west__gte", -180), ("west__lte", models.F("east"))),
                        name="region_west_lte_east",
                    ),
                    models.CheckConstraint(condition=models.Q(("east__lte", 180)), name="region_east_lte_180"),
                    models.CheckConstraint(
                        condition=models.Q(("south__gte", -90), ("south__lte", models.F("north"))),
                        name="region_south_lte_north",
                    ),
                    models.CheckConstraint(condition=models.Q(("north__lte", 90)), name="region_north_lte_90"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(help_text="UTC")),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="UTC; empty while the run is running", null=True),
                ),
                (
                    "outcome",
                    models.CharField(
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
                ("command", models.TextField(help_text="the command line that started the run")),
                ("host", models.CharField(max_length=255)),
                ("process", models.PositiveIntegerField(help_text="process id on the host")),
                ("batches", models.PositiveIntegerField(default=0, help_text="batches ingested")),
                ("failed_batches", models.PositiveIntegerField(default=0, help_text="batches that failed")),
                (
                    "duplicate_batches",
                    models.PositiveIntegerField(
                        default=0, help_text="files with the content of a batch that was ingested under another name"
                    ),
                ),
                ("records", models.BigIntegerField(default=0, help_text="rows that passed their feed's checks")),
                ("rejects", models.BigIntegerField(default=0, help_text="rows that failed their feed's checks")),
                ("intervals", models.PositiveIntegerField(default=0, help_text="intervals computed from batches")),
                (
                    "rollups",
                    models.PositiveIntegerField(default=0, help_text="longer intervals computed from partials"),
                ),
                ("traceback", models.TextField(blank=True)),
                ("notes", models.TextField(blank=True, default="", help_text="notes for operators, one per line")),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("start_run", "Can start a run, and have failed files tried again")],
                "indexes": [
                    models.Index(fields=["started_at"], name="run_started_at"),
                    models.Index(fields=["outcome"], name="run_outcome"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                (
                    "name",
                    kpis.models.fields.ExactCharField(
                        help_text="the file's name without its folder, or stream/partition/first-last", max_length=700
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("in", "ingested"),
                            ("failed", "failed"),
                            ("duplicate", "duplicate"),
                            ("renamed", "renamed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("reason", models.TextField(blank=True, help_text="why the batch failed")),
                ("retry", models.BooleanField(default=False, help_text="whether the next run retries it")),
                (
                    "read_again_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="UTC; from then on the file is read again, because rows of it were too far ahead of the clock",
                        null=True,
                    ),
                ),
                (
                    "key",
                    models.CharField(blank=True, help_text="the name of the batch's files in the lake", max_length=32),
                ),
                (
                    "digest",
                    models.CharField(blank=True, help_text="BLAKE3 of the unpacked content, in hex", max_length=64),
                ),
                (
                    "reading",
                    models.CharField(
                        blank=True, help_text="the options by which it was read; empty: the defaults", max_length=64
                    ),
                ),
                (
                    "kpis",
                    models.CharField(
                        blank=True,
                        help_text="ids of the KPIs whose partials are in the lake, separated by commas",
                        max_length=64,
                    ),
                ),
                ("size", models.BigIntegerField(help_text="bytes")),
                (
                    "modified_ns",
                    models.BigIntegerField(help_text="the file's modification time, ns since 1970-01-01T00:00Z"),
                ),
                ("etag", models.CharField(blank=True, default="", help_text="the ETag of an object", max_length=255)),
                (
                    "mark",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="changes with the content: mtime, ctime and inode of a file, ETag and modification time of an object",
                        max_length=300,
                    ),
                ),
                ("lines", models.BigIntegerField(default=0, help_text="rows read, without the header and blank lines")),
                ("records", models.BigIntegerField(default=0, help_text="rows that passed the feed's checks")),
                ("rejects", models.BigIntegerField(default=0, help_text="rows that failed the feed's checks")),
                (
                    "revision",
                    models.PositiveIntegerField(
                        default=1, help_text="1, plus 1 for each time that new content replaced the old"
                    ),
                ),
                ("ingested_at", models.DateTimeField(help_text="UTC")),
                (
                    "duplicate_of",
                    models.ForeignKey(
                        blank=True,
                        help_text="the batch for which the content of a duplicate or renamed file is counted",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="duplicates",
                        to="kpis.batch",
                    ),
                ),
                ("run", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="kpis.run")),
            ],
            options={
                "verbose_name_plural": "batches",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["status", "-ingested_at"], name="batch_status"),
                    models.Index(fields=["key"], name="batch_key"),
                    models.Index(fields=["digest"], name="batch_digest"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("feed", "name"), name="batch_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "lines",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("records"), "+", models.F("rejects")
                                ),
                            ),
                            ("status", "failed"),
                            _connector="OR",
                        ),
                        name="batch_lines_add_up",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("duplicate_of__isnull", False), ("status__in", ["duplicate", "renamed"])),
                            models.Q(("duplicate_of__isnull", True), ("status__in", ["in", "failed"])),
                            _connector="OR",
                        ),
                        name="batch_duplicate_of",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ServiceTrafficVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("service_id", models.IntegerField()),
                ("total_bytes", models.BigIntegerField(help_text="bytes, uplink + downlink")),
            ],
            options={
                "verbose_name_plural": "service traffic volumes",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="servicetrafficvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="servicetrafficvolume_start_lt_end",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rank__gte", 1)), name="servicetrafficvolume_rank_gte_1"
                    ),
                    models.UniqueConstraint(
                        fields=("service_id", "interval_start_timestamp", "interval"),
                        name="servicetrafficvolume_group_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("total_bytes__gte", 0)), name="servicetrafficvolume_total_bytes_gte_0"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StreamConsumer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("topic", kpis.models.fields.ExactCharField(max_length=249)),
                ("host", models.CharField(max_length=255)),
                ("process", models.PositiveIntegerField(help_text="process id on the host")),
                (
                    "lag",
                    models.BigIntegerField(
                        help_text="messages of its partitions that are not ingested; empty: unknown", null=True
                    ),
                ),
                ("reported_at", models.DateTimeField(help_text="UTC")),
            ],
            options={
                "ordering": ["feed", "topic", "host", "process"],
                "constraints": [models.UniqueConstraint(fields=("host", "process"), name="stream_consumer_once")],
            },
        ),
        migrations.CreateModel(
            name="StreamPosition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("feed", models.CharField(choices=kpis.models.ledger.feed_choices, max_length=16)),
                ("source", models.CharField(help_text="kafka or kinesis", max_length=16)),
                ("stream", kpis.models.fields.ExactCharField(help_text="the topic's or stream's name", max_length=249)),
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
                        help_text="the next message's offset, or the last ingested record's sequence number; empty: none is",
                        max_length=129,
                    ),
                ),
                (
                    "stream_id",
                    kpis.models.fields.ExactCharField(
                        blank=True,
                        default="",
                        help_text="Kafka's id of the topic, or when the Kinesis stream was created (UTC); empty where not known",
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
                        help_text="own time (Unix ms) and digest of a partition's last ingested message; empty where not known",
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
        migrations.CreateModel(
            name="Subscriber",
            fields=[
                (
                    "id",
                    kpis.models.fields.ExactCharField(
                        help_text="UUID of the device, as in the antenna's messages",
                        max_length=36,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("email", kpis.models.fields.ExactCharField(db_index=True, max_length=254)),
                ("quota", models.BigIntegerField(help_text="bytes an hour")),
            ],
            options={
                "ordering": ["id"],
                "permissions": [("view_personal", "Can view what is about single subscribers")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("quota__gte", 0)), name="subscriber_quota_gte_0")
                ],
            },
        ),
        migrations.CreateModel(
            name="QuotaChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", kpis.models.fields.ExactCharField(max_length=254)),
                (
                    "quota",
                    models.BigIntegerField(help_text="bytes an hour; empty: the subscriber was deleted", null=True),
                ),
                ("since", models.DateTimeField(help_text="UTC")),
                (
                    "subscriber",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="quota_changes",
                        to="kpis.subscriber",
                    ),
                ),
            ],
            options={
                "ordering": ["since", "id"],
                "indexes": [models.Index(fields=["since"], name="quota_change_since")],
            },
        ),
        migrations.CreateModel(
            name="UserQuotaExceeded",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("email", kpis.models.fields.ExactCharField(max_length=254)),
                ("usage", models.BigIntegerField(help_text="bytes in the hour, over all devices of the email")),
                ("quota", models.BigIntegerField(help_text="bytes an hour: the largest of the devices'")),
            ],
            options={
                "verbose_name_plural": "users over their quota",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="userquotaexceeded_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="userquotaexceeded_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="userquotaexceeded_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("email", "interval_start_timestamp", "interval"), name="userquotaexceeded_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("usage__gt", models.F("quota"))), name="userquotaexceeded_usage_gt_quota"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UserTrafficVolume",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC, included")),
                ("interval_end_timestamp", models.DateTimeField(help_text="UTC, not included")),
                (
                    "interval",
                    models.PositiveSmallIntegerField(
                        choices=kpis.models.ledger.interval_choices,
                        help_text="1: 5 minutes; 2: 1 hour; 3: 1 minute; 4: 1 day",
                    ),
                ),
                (
                    "rank",
                    models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending"),
                ),
                ("user_id", kpis.models.fields.ExactCharField(help_text="UUID of the device", max_length=36)),
                ("total_bytes", models.BigIntegerField(help_text="bytes")),
            ],
            options={
                "verbose_name_plural": "user traffic volumes",
                "ordering": ["interval_start_timestamp", "interval", "rank"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("interval_start_timestamp", "interval", "rank"), name="usertrafficvolume_rank_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("interval_start_timestamp__lt", models.F("interval_end_timestamp"))),
                        name="usertrafficvolume_start_lt_end",
                    ),
                    models.CheckConstraint(condition=models.Q(("rank__gte", 1)), name="usertrafficvolume_rank_gte_1"),
                    models.UniqueConstraint(
                        fields=("user_id", "interval_start_timestamp", "interval"), name="usertrafficvolume_group_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("total_bytes__gte", 0)), name="usertrafficvolume_total_bytes_gte_0"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BatchInterval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "interval_start_timestamp",
                    models.DateTimeField(help_text="UTC; the start of one of the feed's shortest intervals"),
                ),
                ("records", models.BigIntegerField()),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="intervals", to="kpis.batch"
                    ),
                ),
            ],
            options={
                "ordering": ["interval_start_timestamp", "batch"],
                "constraints": [
                    models.UniqueConstraint(fields=("interval_start_timestamp", "batch"), name="batch_interval_once"),
                    models.CheckConstraint(condition=models.Q(("records__gt", 0)), name="batch_interval_has_records"),
                ],
            },
        ),
        migrations.CreateModel(
            name="LostFile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("folder", kpis.models.fields.ExactCharField(help_text="relative to the lake's root", max_length=128)),
                (
                    "kpi",
                    models.PositiveSmallIntegerField(
                        help_text="the KPI whose partial was in the file; 0: rejects or records"
                    ),
                ),
                ("interval_start_timestamp", models.DateTimeField(help_text="UTC; the hour's")),
                ("reason", models.TextField()),
                ("noted_at", models.DateTimeField(help_text="UTC")),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lost_files", to="kpis.batch"
                    ),
                ),
            ],
            options={
                "ordering": ["folder", "batch"],
                "indexes": [models.Index(fields=["interval_start_timestamp"], name="lost_file_hour")],
                "constraints": [models.UniqueConstraint(fields=("folder", "batch"), name="lost_file_once")],
            },
        ),
        migrations.CreateModel(
            name="Reject",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "line",
                    models.BigIntegerField(
                        help_text="line number in the file, from 1; a message's offset; for a shard, the record's position in its batch"
                    ),
                ),
                (
                    "column",
                    models.CharField(blank=True, help_text="empty if the row as a whole is wrong", max_length=64),
                ),
                ("reason", models.CharField(max_length=200)),
                ("text", models.TextField(help_text="the row as it is in the file; may name a subscriber")),
                (
                    "sequence_number",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="the sequence number of a record of a Kinesis stream",
                        max_length=129,
                    ),
                ),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="first_rejects", to="kpis.batch"
                    ),
                ),
            ],
            options={
                "ordering": ["batch", "line"],
                "constraints": [models.UniqueConstraint(fields=("batch", "line"), name="reject_once")],
            },
        ),
        migrations.RunPython(load_counties, migrations.RunPython.noop),
    ]
