"""The lake is compacted and pruned, and no result changes."""

from __future__ import annotations

import io

import duckdb
import pytest
from django.core.management import CommandError, call_command

from kpis.models import Batch, DueCompaction, ServiceTrafficVolume, Watermark
from tests.twin import Flow, Message, expected, file_text, moment, stored, uuid

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z


def update(**options) -> str:
    out = io.StringIO()
    call_command("update_network_stats", stdout=out, stderr=out, **options)
    return out.getvalue()


def prune(age: str, **options) -> str:
    out = io.StringIO()
    call_command("prune_lake", f"--older-than={age}", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def files(data_dir):
    """Two hours and one interval more, so that the two hours are closed, one file each 5 minutes."""
    files = {}
    for i in range(25):
        start = START + i * 300
        files[f"ipflow_data.{i:02}.csv"] = [Flow(start, 1 + i % 3, i, 7, i % 4, 5), Flow(start, 9, 1, 1, 2, 6)]
    for name, flows in files.items():
        (data_dir / name).write_text(file_text(flows))
    return files


def parquet_names(lake_dir, hour: int) -> list[str]:
    return sorted(path.name for path in lake_dir.glob(f"partials/CellUniqueUsers/**/hour={hour:02}/*.parquet"))


@pytest.mark.usefixtures("each_alone")
def test_the_run_after_compacts_closed_hours_and_changes_no_result(files, lake_dir):
    update()
    assert stored() == expected(files, START + 25 * 300)
    assert [len(parquet_names(lake_dir, hour)) for hour in (0, 1, 2)] == [12, 12, 1]
    update()
    assert [len(parquet_names(lake_dir, hour)) for hour in (0, 1, 2)] == [1, 1, 1]
    assert parquet_names(lake_dir, 0)[0].startswith("compacted-")
    assert not DueCompaction.objects.exists()
    assert not list((lake_dir / "staging").iterdir())
    update(rebuild=[moment(START), moment(START + 7200)])
    assert stored() == expected(files, START + 25 * 300)


@pytest.mark.usefixtures("each_alone")
def test_a_batch_replaced_after_compaction_counts_as_it_is_now(files, data_dir, lake_dir):
    update()
    update()
    files["ipflow_data.03.csv"] = [Flow(START + 3 * 300, 4, 100, 0, 3, 8)]
    (data_dir / "ipflow_data.03.csv").write_text(file_text(files["ipflow_data.03.csv"]))
    update()
    assert stored() == expected(files, START + 25 * 300)
    assert len(parquet_names(lake_dir, 0)) == 2
    update()
    assert len(parquet_names(lake_dir, 0)) == 1
    update(rebuild=[moment(START), moment(START + 3600)])
    assert stored() == expected(files, START + 25 * 300)


@pytest.mark.usefixtures("each_alone")
def test_a_dry_run_of_pruning_counts_and_removes_nothing(files, lake_dir):
    update()
    before = sorted(lake_dir.rglob("*.parquet"))
    said = prune("1d", dry_run=True)
    assert "would remove 48 files of ipflow before 2021-07-18T02:00:00Z" in said
    assert sorted(lake_dir.rglob("*.parquet")) == before
    assert Watermark.objects.get().kept_from is None


@pytest.mark.usefixtures("each_alone")
def test_pruning_changes_no_result_and_keeps_what_a_rollup_still_needs(files, lake_dir):
    update()
    said = prune("1d")
    assert "removed 48 files of ipflow before 2021-07-18T02:00:00Z" in said
    assert [len(parquet_names(lake_dir, hour)) for hour in (0, 1, 2)] == [0, 0, 1]
    assert "0 failed" in update()
    assert stored() == expected(files, START + 25 * 300)


def test_what_would_need_the_pruned_hours_fails_and_says_why(files, data_dir):
    update()
    prune("1d")
    (data_dir / "ipflow_data.late.csv").write_text(file_text([Flow(START, 1, 1, 1, 1, 1)]))
    (data_dir / "ipflow_data.03.csv").write_text(file_text([Flow(START, 1, 1, 1, 1, 1)]))
    with pytest.raises(SystemExit):
        update()
    reason = "touches the interval from 2021-07-18T00:00:00Z, whose other records the lake no longer has"
    assert Batch.objects.get(name="ipflow_data.late.csv").reason == reason
    with pytest.raises(SystemExit):
        update(rebuild=[moment(START), moment(START + 3 * 3600)])
    assert stored() == expected(files, START + 25 * 300)


def test_pruning_more_does_not_forget_what_was_pruned(files):
    update()
    prune("1d")
    prune("90000d")
    assert Watermark.objects.get().kept_from == moment(START + 7200)


@pytest.mark.parametrize("age", ["90", "d", "-1d", "90 d", "1w"])
def test_an_age_that_is_none_is_wrong_use(age):
    with pytest.raises(CommandError, match="is not an age such as 90d or 36h"):
        call_command("prune_lake", f"--older-than={age}")


def test_records_of_the_archived_feeds_are_kept_sorted_by_time_and_replaced_with_their_batch(
    data_dir, lake_dir, settings
):
    settings.ARCHIVE_FEEDS = frozenset({"antenna"})
    messages = [
        Message(START + 3700, 1, 2, 30, "SKYPE"),
        Message(START + 9, 2, 2, 50, "y"),
        Message(START + 5, 2, 2, 40, "é"),
        Message(START, 1, 1, 9, "x"),
    ]
    path = data_dir / "antenna_data.1.jsonl"
    path.write_text(file_text(messages))
    (data_dir / "ipflow_data.1.csv").write_text(file_text([Flow(START, 1, 1, 1, 1, 1)]))
    update()
    archived = sorted(lake_dir.glob("records/*/year=2021/month=07/day=18/hour=*/*.parquet"))
    assert [path.parts[-6] + "/" + path.parts[-2] for path in archived] == ["antenna/hour=00", "antenna/hour=01"]
    rows = duckdb.sql(f"SELECT timestamp, id, antenna_id, bytes, app FROM '{archived[0]}'").fetchall()
    assert rows == [
        (START, uuid(1), uuid(1), 9, "x"),
        (START + 5, uuid(2), uuid(2), 40, "é"),
        (START + 9, uuid(2), uuid(2), 50, "y"),
    ]
    path.write_text(file_text(messages[:1]))
    update()
    (left,) = lake_dir.glob("records/*/year=*/month=*/day=*/hour=*/*.parquet")
    assert left.parts[-2] == "hour=01"
    assert duckdb.sql(f"SELECT count(*) FROM '{left}'").fetchall() == [(1,)]


def test_results_outlive_the_lake_of_their_hour(files):
    update()
    rows = list(ServiceTrafficVolume.objects.values())
    prune("1d")
    assert list(ServiceTrafficVolume.objects.values()) == rows
