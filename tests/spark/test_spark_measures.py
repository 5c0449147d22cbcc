"""Measures of catalog files that Spark merges equal their twins in plain Python."""

from __future__ import annotations

import pytest

from kpis.catalog import registry
from kpis.models.result_models import result_model
from kpis.stages import merge
from tests.spark.test_spark import ingest
from tests.unit.pipeline.test_days import AUTUMN, at
from tests.unit.pipeline.test_measures import IDS, START, catalog, measures, put_histories, stored, wanted
from tests.visits import KPIS, VISITS, visits, write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

# Those whose partials are combined in different ways.
MERGED = (
    "a count where",
    "a minimum",
    "a maximum of decimals",
    "a ratio of formulas",
    "a standard deviation",
    "a last decimal",
    "percentiles",
)

INTERVAL = ("interval_start_timestamp", "interval_end_timestamp")


def test_measures_that_spark_merges_equal_their_twins(data_dir, settings, spark, monkeypatch):
    monkeypatch.setitem(registry.FEED_FILES, "probe_*.csv", "probe")
    # Executors read the catalog's text.
    monkeypatch.setattr(registry, "SOURCES", list(catalog().sources))
    with measures(settings, [number for number, name in IDS.items() if name in MERGED]) as kpis:
        records = put_histories(data_dir, lambda: ingest(settings))
        rows, _ = wanted(records)
        rows = {key: found for key, found in rows.items() if key[0] in kpis and key[2].hour == START.hour}
        for kpi in kpis.values():
            result_model(kpi).objects.all().delete()
        # By executors that read no file of the feed before.
        ingest(settings, spark, merge_bytes=-1, rebuild=(START, START.replace(hour=23)))
        assert {key: found for key, found in stored(kpis)[0].items() if key[2].hour == START.hour} == rows
        assert len({number for number, *_ in rows}) == len(MERGED)


def test_days_that_spark_merges_are_those_of_the_zone(data_dir, settings, spark, monkeypatch):
    settings.TIME_ZONE = "Europe/Berlin"
    monkeypatch.setitem(registry.FEED_FILES, "visit_*.csv", "visit")
    monkeypatch.setattr(registry, "SOURCES", list(VISITS.sources))

    def rows() -> list[tuple]:
        return [
            row
            for kpi in KPIS.values()
            for row in result_model(kpi).objects.values_list("interval", *INTERVAL, "rank", *kpi.columns)
        ]

    with visits(settings):
        write(data_dir, "1", AUTUMN)
        ingest(settings)
        before = rows()
        for kpi in KPIS.values():
            result_model(kpi).objects.all().delete()
        # As if they were too large to be merged here with others of their hours.
        monkeypatch.setattr(merge, "GROUP_BYTES", -1)
        ingest(settings, spark, merge_bytes=-1, rebuild=(at("2025-10-25T00:00"), at("2025-10-28T00:00")))
        assert rows() == before
    assert (4, at("2025-10-25T22:00"), at("2025-10-26T23:00"), 1, 1, 2) in before
