"""Files of a run are committed together: fewer lake files and queries, the same figures, and one that fails alone."""

from __future__ import annotations

import io
import itertools
import json

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from kpis.models import Batch, LakeFile, Run, ServiceTrafficVolume
from kpis.store.ledger import DatabaseLedger
from tests.twin import Flow, Log, expected, file_text, stored
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

MAXIMUM = 2**63 - 1
TOO_LARGE = "ServiceTrafficVolume: a total is beyond 2^63-1, the largest number that is kept"


def flows(number: int) -> list[Flow]:
    """Records of two intervals of one hour, and of a third in the next hour."""
    return [Flow(START + start, number, 1 + number, 2, number % 3, 7) for start in (0, 300, 3600)]


@pytest.fixture
def files(data_dir) -> dict[str, list]:
    files = {f"ipflow_data.{number:02}.csv": flows(number) for number in range(1, 8)}
    files |= {
        f"coverage_data.2021-07-18.{number}.csv": [Log(START + number, f"O{number}", "5", 1, "", "")]
        for number in range(5)
    }
    put(data_dir, files)
    return files


def put(data_dir, files: dict[str, list]) -> None:
    for name, records in files.items():
        (data_dir / name).write_text(file_text(records))


def watermark(files: dict[str, list]) -> dict[type, int]:
    newest: dict[type, int] = {}
    for records in files.values():
        for one in records:
            newest[type(one)] = max(newest.get(type(one), 0), one.start - one.start % 300 + 300)
    return newest


def exact(files: dict[str, list]) -> tuple[dict, dict]:
    return expected(files, watermark(files))


def commits(monkeypatch) -> list[int]:
    """How many batches each commit has from now on."""
    found = []
    commit = DatabaseLedger.commit

    def counted(self, change):
        found.append(len(change.batches))
        commit(self, change)

    monkeypatch.setattr(DatabaseLedger, "commit", counted)
    return found


def lake_totals() -> dict[int, int]:
    """The bytes of each service by SQL over the lake."""
    out = io.StringIO()
    call_command(
        "query_lake",
        "SELECT service_id, sum(total_bytes) AS total FROM ServiceTrafficVolume GROUP BY 1",
        format="json",
        stdout=out,
    )
    return {row["service_id"]: int(row["total"]) for row in json.loads(out.getvalue())}


def test_the_files_of_a_run_share_a_transaction_and_a_lake_file_a_kpi_and_hour(files, lake_dir, monkeypatch):
    found = commits(monkeypatch)
    assert "12 files ingested, 0 failed" in update()
    assert sorted(found) == [5, 7]
    assert stored() == exact(files)
    folders = list(LakeFile.objects.values_list("folder", flat=True))
    assert len(folders) == len(set(folders)) == len(list(lake_dir.glob("partials/**/*.parquet")))
    assert set(LakeFile.objects.values_list("key", flat=True)) == {""}
    assert not list(lake_dir.glob("staging/*"))


@pytest.mark.parametrize("bounds", [{"GROUP_FILES": 3}, {"GROUP_SECONDS": 0}, {"GROUP_MB": 0}])
def test_a_group_is_bounded_and_its_bounds_change_no_figure(files, settings, monkeypatch, bounds):
    for name, value in bounds.items():
        setattr(settings, name, value)
    found = commits(monkeypatch)
    update()
    assert (max(found), sum(found)) == (bounds.get("GROUP_FILES", 1), 12)
    assert stored() == exact(files)


def test_a_batch_of_a_group_is_replaced_and_put_back_and_its_former_rows_are_not_read(files, data_dir):
    update()
    name = "ipflow_data.03.csv"
    put(data_dir, {name: flows(30)})
    assert "1 files ingested" in update()
    assert stored() == exact(files | {name: flows(30)})
    # The group's file still has the rows of the content that comes back; the batch's own goes before.
    put(data_dir, {name: flows(3)})
    assert "1 files ingested" in update()
    assert stored() == exact(files)
    rows = ServiceTrafficVolume.objects.filter(interval=1).order_by().values("service_id")
    assert lake_totals() == dict(rows.annotate(total=Sum("total_bytes")).values_list("service_id", "total"))


def test_a_batch_of_a_group_that_becomes_a_wrong_file_takes_its_figures_with_it(files, data_dir):
    update()
    (data_dir / "ipflow_data.05.csv").write_text("rubbish\n")
    with pytest.raises(SystemExit):
        update()
    del files["ipflow_data.05.csv"]
    assert stored() == exact(files)


def test_of_a_group_whose_total_is_too_large_the_file_to_blame_fails_alone(files, data_dir, monkeypatch):
    wrong = "ipflow_data.04.csv"
    put(data_dir, {wrong: [Flow(START, 4, MAXIMUM, 0, 1, 7)]})
    found = commits(monkeypatch)
    with pytest.raises(SystemExit):
        update()
    failed = Batch.objects.get(status="failed")
    assert (failed.name, failed.reason) == (wrong, TOO_LARGE)
    assert Batch.objects.filter(status="in").count() == 11
    del files[wrong]
    assert stored() == exact(files)
    # Halves: most files still share a commit.
    assert len(found) < 12


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a trigger is written otherwise there")
def test_of_a_group_that_the_database_refuses_the_file_to_blame_fails_alone(files):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON kpis_batchinterval WHEN NEW.batch_id IN "
            "(SELECT id FROM kpis_batch WHERE name = 'ipflow_data.02.csv') "
            "BEGIN SELECT RAISE(ABORT, 'no room in this table'); END"
        )
    try:
        with pytest.raises(SystemExit):
            update()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refuse")
    failed = Batch.objects.get(status="failed")
    assert (failed.name, failed.reason) == ("ipflow_data.02.csv", "the database refuses it: no room in this table")
    del files["ipflow_data.02.csv"]
    assert stored() == exact(files)


def test_copies_in_one_group_count_once(data_dir):
    put(data_dir, {f"ipflow_data.{letter}.csv": flows(1) for letter in "abc"})
    update()
    assert sorted(Batch.objects.values_list("name", "status")) == [
        ("ipflow_data.a.csv", "in"),
        ("ipflow_data.b.csv", "duplicate"),
        ("ipflow_data.c.csv", "duplicate"),
    ]
    assert stored() == exact({"a": flows(1)})


def test_a_group_of_many_files_needs_hardly_more_queries_than_one_of_few(data_dir):
    counts = []
    numbers = itertools.count(1)
    for files in (10, 200):
        put(data_dir, {f"ipflow_data.{number}.csv": flows(number) for number in itertools.islice(numbers, files)})
        with CaptureQueriesContext(connection) as queries:
            update()
        counts.append(len(queries))
    assert Run.objects.count() == 2
    assert counts[1] - counts[0] <= 20, counts


def test_a_staging_that_a_killed_group_left_is_removed_and_the_files_count(files, lake_dir, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(self, change):
        raise Killed

    monkeypatch.setattr(DatabaseLedger, "commit", kill)
    with pytest.raises(Killed):
        update()
    monkeypatch.undo()
    assert list(lake_dir.glob("partials/**/group-*.parquet"))
    assert not Batch.objects.exists()
    update()
    assert stored() == exact(files)
    assert len(list(lake_dir.glob("partials/**/*.parquet"))) == LakeFile.objects.count()
    assert ServiceTrafficVolume.objects.exists()
