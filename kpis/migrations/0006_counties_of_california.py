"""A map to begin with: the counties of California, where the samples are."""

from dataclasses import asdict

from django.db import migrations

from kpis.reference.regions import CALIFORNIA, read_shapes


def load(apps, schema_editor):
    regions = apps.get_model("kpis", "Region").objects.using(schema_editor.connection.alias)
    if not regions.exists():
        regions.bulk_create(regions.model(**asdict(shape)) for shape in read_shapes(CALIFORNIA))


class Migration(migrations.Migration):
    dependencies = [("kpis", "0005_region")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop)]
