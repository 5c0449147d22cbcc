"""Finds the series of an operator, however it is spelled, in the order of lists."""

from django.db import migrations, models

TABLES = ["operatorcallvolume", "operatorgpsprecision", "operatorsignal"]


def index(table: str) -> models.Index:
    fields = ["operator_folded", "interval_start_timestamp", "interval", "rank"]
    return models.Index(fields=fields, name=f"{table}_folded")


class Migration(migrations.Migration):
    dependencies = [("kpis", "0019_fold_the_names_there_are")]

    operations = [migrations.AddIndex(table, index(table)) for table in TABLES]
