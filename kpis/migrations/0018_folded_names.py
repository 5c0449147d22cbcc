"""The columns by which results of folded dimensions are found."""

from django.db import migrations

from kpis.models.fields import FoldedCharField

TABLES = ["operatorcallvolume", "operatorgpsprecision", "operatorsignal"]


def folded_column() -> FoldedCharField:
    return FoldedCharField(
        default="",
        editable=False,
        help_text="operator without letter case, by which it is found",
        max_length=300,
        of="operator",
    )


class Migration(migrations.Migration):
    dependencies = [("kpis", "0017_lake_files")]

    operations = [migrations.AddField(table, "operator_folded", folded_column()) for table in TABLES]
