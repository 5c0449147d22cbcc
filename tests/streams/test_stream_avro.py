"""Avro over a real Kafka: the same feed from messages and files, and a consumer whose schemas are gone for a while."""

from __future__ import annotations

import json

import pytest

from tests import avro_bytes as avro
from tests.broker import Broker, mock_broker
from tests.processes import Ended, new_place
from tests.servers.test_apply_catalog import Work
from tests.unit.formats.test_avro import CATALOG, NOON, SCHEMA, record

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

KPI = """
[kpis.CellLoad]
id = 1001
feed = "cells"
description = "Cells by records"
by = ["cell"]
measure = {type = "count", name = "records"}
unit = "records"
"""


@pytest.fixture(params=["broker", "kafka"])
def any_broker(request):
    if request.param == "kafka":
        yield request.getfixturevalue("kafka")
    else:
        with mock_broker() as broker:
            yield broker


@pytest.fixture
def work(tmp_path) -> Work:
    work = Work(new_place(tmp_path / "place"))
    work.declare(CATALOG, KPI)
    (work.place.folder / "schemas").mkdir()
    (work.place.folder / "schemas" / "7.avsc").write_text(json.dumps(SCHEMA))
    work.apply("--no-backfill")
    return work


def consume(work: Work, broker: Broker) -> Ended:
    return work.run(
        "consume_stream",
        "--feed=cells",
        f"--bootstrap-servers={broker.servers}",
        "--topic=cells",
        "--group=cells",
        "--until-idle=1",
        STREAM_BATCH_SECONDS="1",
    )


def test_messages_and_files_are_counted_alike(work, any_broker):
    rows = [record(NOON + n * 1000, n % 3) for n in range(300)]
    (work.place.data / "cells_1.avro").write_bytes(avro.file(SCHEMA, rows[:150], "snappy"))
    ended = work.run("update_network_stats")
    assert ended.out.splitlines()[-1].startswith("1 files ingested, 0 failed, 100 records, 50 rejects")
    any_broker.put("cells", [*(avro.message(7, row) for row in rows[150:]), avro.message(8, rows[0]), b"{}"])
    schemas = work.place.folder / "schemas"
    schemas.rename(schemas.with_name("moved"))
    ended = consume(work, any_broker)
    assert ended.code == 1
    assert f"The folder of Avro schemas {schemas} is not there. What was ingested before stays" in ended.err
    schemas.with_name("moved").rename(schemas)
    ended = consume(work, any_broker)
    assert ended.code == 0, ended.err
    noon, hour = "2026-03-01 12:00:00", 2
    assert [row[-2:] for row in work.rows("CellLoad") if row[:2] == (noon, hour)] == [(1, 100), (2, 100)]
    rejects = work.tables()["kpis_reject"]
    reasons = sorted({reject["reason"] for reject in rejects})
    assert reasons == [
        "does not begin with a zero byte and the id of its schema in four",
        f"has the schema 8, and {schemas} has no file 8.avsc",
        "is less than 1",
    ]
    # 50 of the file, 50 of the stream, and two messages that are none.
    assert len(rejects) == 102
