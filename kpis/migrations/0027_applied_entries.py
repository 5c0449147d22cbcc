"""What catalog files were applied."""

from django.db import migrations, models

import kpis.models.fields


class Migration(migrations.Migration):
    dependencies = [("kpis", "0026_kpi_sets")]

    operations = [
        migrations.CreateModel(
            name="AppliedEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(help_text="feed, kpi or former", max_length=8)),
                ("key", kpis.models.fields.ExactCharField(help_text="a feed's name, or a KPI's id", max_length=64)),
                ("name", kpis.models.fields.ExactCharField(help_text="the name in the catalog file", max_length=64)),
                (
                    "definition",
                    models.TextField(blank=True, help_text="JSON; empty: it is being applied, and has no rows"),
                ),
                (
                    "is_removed",
                    models.BooleanField(default=False, help_text="whether the catalog lacks it, and its rows are kept"),
                ),
                ("applied_at", models.DateTimeField(help_text="UTC")),
            ],
            options={
                "verbose_name_plural": "applied entries",
                "ordering": ["kind", "key"],
                "constraints": [models.UniqueConstraint(fields=("kind", "key"), name="applied_entry_once")],
            },
        ),
    ]
