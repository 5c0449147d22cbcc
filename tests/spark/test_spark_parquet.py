"""Parquet files of a declared feed on Spark's executors: the tables are those of a run without Spark."""

from __future__ import annotations

import pytest

from tests.processes import new_place
from tests.servers.test_apply_catalog import Work
from tests.servers.test_parquet_feed import CATALOG, FIRST, SECOND, VOLUMES, statuses, write
from tests.spark.test_spark import ON_SPARK

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]


def test_parquet_files_are_read_on_executors(tmp_path):
    work = Work(new_place(tmp_path / "place"))
    work.declare(CATALOG)
    work.apply("--no-backfill")
    data = work.place.data
    write(data / "counters_1.parquet", FIRST, row_group_size=2)
    write(data / "counters_2.parquet", SECOND, local=False)
    (data / "counters_3.parquet").write_bytes(b"PAR1")
    ended = work.run("update_network_stats", **ON_SPARK, SPARK_MASTER="local[2]")
    assert ended.out.splitlines()[-1].startswith("2 files ingested, 1 failed, 6 records, 3 rejects, 3 intervals")
    assert work.rows("CellVolume") == VOLUMES
    assert [row["line"] for row in work.tables()["kpis_reject"]] == [5, 6, 7]
    assert statuses(work)["counters_3.parquet"] == (
        "failed",
        "ends in the middle of its Parquet data: its last bytes are not PAR1",
    )
