"""The rules for names, unknown numbers, duplicates, unfinished and changed files hold on Spark as on this machine."""

from __future__ import annotations

import os

import pytest

from kpis import pipeline
from kpis.models import Batch, Reject, ServiceTrafficVolume
from tests.spark.test_spark import ingest
from tests.twin import Flow, Log, file_text
from tests.unit.catalog import test_folding as folding
from tests.unit.catalog import test_unknown_numbers as unknown_numbers
from tests.unit.catalog.test_unknown_numbers import HEADER, log
from tests.unit.formats import test_json_numbers as json_numbers
from tests.unit.pipeline import test_changed as changed
from tests.unit.pipeline.test_duplicates import FLOWS, OTHERS, assert_counts, ledger, put, put_logs
from tests.unit.pipeline.test_unfinished import NAME, TEXT

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z


@pytest.mark.parametrize("merge_bytes", [2**60, 0], ids=["merged here", "merged on spark"])
def test_two_spellings_are_one_group(spark, settings, data_dir, merge_bytes):
    (data_dir / "coverage_data.2023-11-15.1.csv").write_text(folding.TWO_SPELLINGS)
    (data_dir / "coverage_data.2023-11-16.1.csv").write_text(f"{HEADER}\n{log('00:00:00')}\n")
    ingest(settings, spark, merge_bytes)
    assert folding.signals() == [("ΕΛΛΆΣ", 21.0, 2, 1)]


def test_unknown_numbers_are_empty(spark, settings, data_dir):
    later = log("23:00:00", signal="-85") + "\n" + log("23:05:00") + "\n"
    (data_dir / "coverage_data.2023-11-14.1.csv").write_text(unknown_numbers.UNKNOWN_LAST + later)
    (data_dir / "coverage_data.2023-11-15.1.csv").write_text(f"{HEADER}\n{log('00:00:00')}\n")
    ingest(settings, spark)
    assert unknown_numbers.figures()[0] == unknown_numbers.FIGURES[0]
    assert list(Reject.objects.values_list("column", "reason")) == [
        ("signal", "is not between -5 and 97 (ASU, not dBm)")
    ]


def test_keys_that_come_twice_and_numbers_of_no_json_are_rejects(spark, settings, data_dir):
    (data_dir / "antenna_data.twice.jsonl").write_text(json_numbers.CONTENT)
    ingest(settings, spark)
    json_numbers.check()


def test_files_are_duplicates_whose_names_tell_days_that_no_row_needs(data_dir, settings, spark):
    text = file_text([Log(START, "O2", "5", 0, "", "")])
    put_logs(data_dir, text, "2021-07-18.1", "2021-07-19.1")
    put_logs(data_dir, text.replace("date,", "", 1).replace("2021-07-18,", ""), "2021-07-19.2", "2021-07-20.2")
    ingest(settings, spark)
    assert sorted(Batch.objects.values_list("status", flat=True)) == ["duplicate", "in", "in", "in"]


def test_duplicates_and_renamed_files_are_found(data_dir, settings, spark):
    put(data_dir, a=FLOWS, b=FLOWS)
    ingest(settings, spark)
    assert sorted(ledger().values()) == ["duplicate a", "in"]
    os.rename(data_dir / "ipflow_data.a.csv", data_dir / "ipflow_data.c.csv")
    events = ingest(settings, spark)
    assert [(type(event), event.of, event.renamed) for event in events] == [
        (pipeline.Duplicate, "ipflow_data.a.csv", True)
    ]
    put(data_dir, c=OTHERS)
    ingest(settings, spark)
    assert ledger() == {"a": "renamed b", "b": "in", "c": "in"}
    assert_counts(FLOWS, OTHERS)
    assert not list(settings.LAKE_DIR.glob("staging/*"))


def test_an_upload_is_read_when_it_has_its_name(data_dir, settings, spark):
    begun = data_dir / f"{NAME}.inprogress"
    begun.write_text(TEXT)
    assert not ingest(settings, spark)
    begun.rename(data_dir / NAME)
    ingest(settings, spark)
    assert ServiceTrafficVolume.objects.get(interval=1).total_bytes == 30


@pytest.mark.parametrize("change", [changed.in_place, changed.by_a_move])
def test_a_byte_that_changes_with_size_and_time_kept_counts(change, data_dir, settings, spark):
    path = data_dir / changed.NAME
    path.write_text(file_text([Flow(START, 1, 10, 20, service=1, cell=7)]))
    ingest(settings)
    assert changed.total() == 30
    change(path, changed.CHANGED)
    ingest(settings, spark)
    assert changed.total() == 80
