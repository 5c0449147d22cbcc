"""References of catalog files, and their versions."""

import django.db.models.deletion
from django.db import migrations, models

import kpis.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("kpis", "0027_applied_entries"),
    ]

    operations = [
        migrations.CreateModel(
            name="Reference",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    kpis.models.fields.ExactCharField(
                        help_text="the name in the catalog file", max_length=40, unique=True
                    ),
                ),
                ("file", models.CharField(help_text="the name of the file that was loaded last", max_length=255)),
                ("loaded_at", models.DateTimeField(help_text="UTC")),
                ("is_personal", models.BooleanField(default=False, help_text="whether a column identifies a person")),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ReferenceVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", kpis.models.fields.ExactCharField(help_text="the value of records, as a text", max_length=255)),
                ("valid_from", models.DateTimeField(help_text="UTC, included; 1970-01-01: from the beginning")),
                ("valid_to", models.DateTimeField(help_text="UTC, not included; empty: without an end", null=True)),
                (
                    "name",
                    kpis.models.fields.ExactCharField(
                        blank=True, help_text="shown beside the key; empty: it has none", max_length=200
                    ),
                ),
                ("latitude", models.FloatField(help_text="degrees (WGS 84)", null=True)),
                ("longitude", models.FloatField(help_text="degrees (WGS 84)", null=True)),
                ("attributes", models.JSONField(default=dict, help_text="the other columns, by their names")),
                (
                    "reference",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="kpis.reference",
                    ),
                ),
            ],
            options={
                "ordering": ["reference", "key", "valid_from"],
                "indexes": [models.Index(fields=["reference", "name"], name="reference_version_name")],
                "constraints": [
                    models.UniqueConstraint(fields=("reference", "key", "valid_from"), name="reference_version_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("valid_to__isnull", True), ("valid_from__lt", models.F("valid_to")), _connector="OR"
                        ),
                        name="reference_version_from_lt_to",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("latitude__isnull", True), ("longitude__isnull", True)),
                            models.Q(
                                ("latitude__isnull", False),
                                ("latitude__range", (-90, 90)),
                                ("longitude__isnull", False),
                                ("longitude__range", (-180, 180)),
                            ),
                            _connector="OR",
                        ),
                        name="reference_version_place",
                    ),
                ],
            },
        ),
    ]
