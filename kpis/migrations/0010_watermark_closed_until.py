from django.db import migrations, models
from django.db.models import F


def close(apps, schema_editor):
    """Until now an interval closed when the newest interval end reached its end."""
    marks = apps.get_model("kpis", "Watermark").objects.using(schema_editor.connection.alias)
    marks.update(closed_until=F("interval_end_timestamp"))


class Migration(migrations.Migration):
    dependencies = [("kpis", "0009_live_counts")]

    operations = [
        migrations.AlterField(
            model_name="watermark",
            name="interval_end_timestamp",
            field=models.DateTimeField(help_text="UTC; the newest"),
        ),
        migrations.AddField(
            model_name="watermark",
            name="closed_until",
            field=models.DateTimeField(help_text="UTC; intervals that end by then are final", null=True),
        ),
        migrations.RunPython(close, migrations.RunPython.noop),
    ]
