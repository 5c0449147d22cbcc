"""Fills the columns of 0018 for the rows there are: a statement for each operator, which may be carried out again."""

from django.db import migrations
from django.db.models import Min

from kpis.catalog.folding import fold

MODELS = ["OperatorCallVolume", "OperatorGPSPrecision", "OperatorSignal"]


def fold_names(apps, schema_editor):
    for model in MODELS:
        rows = apps.get_model("kpis", model).objects.using(schema_editor.connection.alias)
        # The names one after the other, each by one look into the index.
        name = rows.aggregate(name=Min("operator"))["name"]
        while name is not None:
            rows.filter(operator=name).update(operator_folded=fold(name))
            name = rows.filter(operator__gt=name).aggregate(name=Min("operator"))["name"]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("kpis", "0018_folded_names")]

    operations = [migrations.RunPython(fold_names, migrations.RunPython.noop)]
