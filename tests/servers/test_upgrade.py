"""The database and the lake of an older release go on under this one, on each database."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections

from kpis.models import Batch, IntervalSummary, StreamConsumer, StreamPosition, Watermark
from tests.data import release
from tests.data.release import START
from tests.databases import empty_database, migrate_singly, opened, schema
from tests.processes import Place
from tests.twin import FIVE_MINUTES, ONE_HOUR, Call, Flow, Log, Message, expected, file_text, moment

pytestmark = pytest.mark.django_db(transaction=True)

ARCHIVE = Path(release.__file__).parent / "0.1.0.tar.gz"
LAST_MIGRATION = "0012_stream_shard"
BEFORE_POSITIONS = "0024_batch_mark"
LAST_REPLACED = "0025_stream_positions_and_words"
SHARD = "shardId-000000000007"
START_TIME = moment(START)
CLOSED = {Flow: START + 3900, Message: START + 4200, Log: START + 3900, Call: START + 3780}


@pytest.fixture
def upgraded(tmp_path) -> Iterator[Place]:
    """A place with what 0.1.0 left, migrated: its rows, its lake, and the files that it had ingested."""
    with empty_database(tmp_path) as url, tarfile.open(ARCHIVE) as archive:
        place = Place(tmp_path / "place", url)
        with opened(url) as alias:
            migrate_singly(alias, LAST_MIGRATION)
            load(alias, json.load(archive.extractfile("rows.json")))
        archive.extractall(place.folder, [one for one in archive if one.name != "rows.json"], filter="data")
        for name, content in release.contents().items():
            (place.data / name).write_bytes(content)
            os.utime(place.data / name, (START, START))
        ended = place.run("migrate", "-v0")
        assert (ended.code, ended.err) == (0, "")
        with opened(url) as alias:
            assert schema(alias) == schema("default")
        yield place


def load(alias: str, tables: dict[str, dict]) -> None:
    """Puts rows into tables as they were when they were written, and the sequences behind them."""
    using = connections[alias]
    with using.cursor() as cursor:
        for table, rows in tables.items():
            if rows["rows"]:
                columns = ", ".join(map(using.ops.quote_name, rows["columns"]))
                places = ", ".join(["%s"] * len(rows["columns"]))
                cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows["rows"])
                if using.vendor == "postgresql":
                    cursor.execute(
                        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
                    )


def finals(tables: tuple[dict, dict]) -> tuple[dict, dict]:
    """The tables without the longer intervals under way: the second hour, and the calls' five minutes in it."""
    under_way = {(kpi, ONE_HOUR, moment(START + 3600)) for kpi in range(1, 13)}
    under_way |= {(kpi, FIVE_MINUTES, moment(START + 3600)) for kpi in (10, 11)}
    return tuple({key: value for key, value in table.items() if key not in under_way} for table in tables)


def test_what_0_1_0_left_goes_on_exact(upgraded):
    files = release.FILES | {"calls": release.MESSAGES}
    ended = upgraded.run()
    # Files of which 0.1.0 noted no inode are looked into once more, and so is the one that failed.
    assert (ended.code, ended.err[:44]) == (1, "failed ipflow_data.bad.csv: has no column in")
    assert "1 failed" in ended.out
    assert upgraded.run().code == 0
    assert finals(upgraded.stored()) == finals(expected(files, CLOSED))
    with upgraded.alias() as alias:
        assert StreamPosition.objects.using(alias).values_list("source", "stream", "partition", "position").get() == (
            "kafka",
            "calls",
            "0",
            "8",
        )
        failed = Batch.objects.using(alias).get(status=Batch.Status.FAILED)
        assert (failed.name, failed.reason.startswith("has no column ")) == ("ipflow_data.bad.csv", True)
    # Replaced in the hour that was compacted, packed and not, repaired, late, and what closes the hour under way.
    changed = {
        "ipflow_data.0.csv": [Flow(START, 77, 1, 1, 1, 1)],
        "ipflow_data.bad.csv": [Flow(START + 300, 78, 2, 2, 2, 2)],
        "antenna_data.late.jsonl": [Message(START + 3, 1, 1, 1, "x"), Message(START + 7200, 1, 1, 1, "x")],
        "ipflow_data.9.csv": [Flow(START + 7200, 1, 1, 1, 1, 1)],
        "cdr_data.9.csv": [Call(START + 7200, "County 1", "Sprint", "TEXT")],
        "coverage_data.2021-07-18.9.csv": [Log(START + 7200, "op 1", "9", 1, "4", "25001")],
    }
    for name, records in changed.items():
        (upgraded.data / name).write_text(file_text(records))
    files |= changed
    ended = upgraded.run()
    assert (ended.code, ended.err) == (0, "")
    closed = {Flow: START + 7500, Message: START + 7500, Log: START + 7500, Call: START + 7260}
    assert upgraded.stored() == expected(files, closed)
    assert upgraded.run().code == 0
    ended = upgraded.run("update_network_stats", "--rebuild", "2021-07-18T00:00Z", "2021-07-18T03:00Z")
    assert (ended.code, ended.err) == (0, "")
    assert upgraded.stored() == expected(files, closed)


def test_positions_of_kafka_and_of_kinesis_go_on_in_one_table(tmp_path):
    with empty_database(tmp_path) as url, opened(url) as alias:
        apps = migrate_singly(alias, BEFORE_POSITIONS)
        offsets, shards = apps.get_model("kpis", "StreamOffset"), apps.get_model("kpis", "StreamShard")
        for topic, partition, offset, origin in (
            ("calls", 0, 2**63 - 1, {"topic_id": "aB", "generation": 3, "last_message": "1-ff"}),
            ("Calls", 0, 1, {}),
            ("calls", 11, 0, {}),
        ):
            offsets.objects.using(alias).create(
                feed="cdr", topic=topic, partition=partition, next_offset=offset, **origin
            )
        shards.objects.using(alias).create(
            feed="cdr", stream="calls", shard=SHARD, sequence_number="9" * 129, beginning="8" * 129, generation=2
        )
        shards.objects.using(alias).create(
            feed="antenna", stream="calls", shard=SHARD, beginning="8", is_ended=True, stream_created="2026-11-30"
        )
        user = User.objects.using(alias).create(username="reader")
        of_topics = ContentType.objects.using(alias).create(app_label="kpis", model="streamoffset")
        user.user_permissions.create(content_type=of_topics, codename="view_streamoffset", name="Can view")
        call_command("migrate", database=alias, verbosity=0)
        rows = StreamPosition.objects.using(alias).order_by("source", "feed", "stream", "partition")
        assert [row[1:] for row in rows.values_list()] == [
            ("cdr", "kafka", "Calls", "0", "1", "", 1, "", "", False),
            ("cdr", "kafka", "calls", "0", str(2**63 - 1), "aB", 3, "1-ff", "", False),
            ("cdr", "kafka", "calls", "11", "0", "", 1, "", "", False),
            ("antenna", "kinesis", "calls", SHARD, "", "2026-11-30", 1, "", "8", True),
            ("cdr", "kinesis", "calls", SHARD, "9" * 129, "", 2, "", "8" * 129, False),
        ]
        assert User.objects.using(alias).get().has_perm("kpis.view_streamposition")
        tables = connections[alias].introspection.table_names()
        assert {"kpis_streamoffset", "kpis_streamshard"}.isdisjoint(tables)


def test_positions_go_back_into_both_tables(tmp_path):
    with empty_database(tmp_path) as url, opened(url) as alias:
        apps = migrate_singly(alias, BEFORE_POSITIONS)
        topic = {"topic": "calls", "partition": 11, "next_offset": 7, "topic_id": "aB", "last_message": "1-ff"}
        shard = {"stream": "calls", "shard": SHARD, "sequence_number": "9", "beginning": "8", "stream_created": "then"}
        tables = {"StreamOffset": topic | {"generation": 3}, "StreamShard": shard | {"generation": 2, "is_ended": True}}
        for name, values in tables.items():
            apps.get_model("kpis", name).objects.using(alias).create(feed="cdr", **values)
        migrate_singly(alias, LAST_REPLACED)
        apps = migrate_singly(alias, BEFORE_POSITIONS)
        for name, values in tables.items():
            assert apps.get_model("kpis", name).objects.using(alias).values(*values).get() == values


def test_columns_that_are_renamed_keep_their_values(tmp_path):
    moments = [moment(START + second) for second in range(4)]
    with empty_database(tmp_path) as url, opened(url) as alias:
        apps = migrate_singly(alias, BEFORE_POSITIONS)

        def create(model: str, **values):
            return apps.get_model("kpis", model).objects.using(alias).create(**values)

        run = create("Run", started_at=START_TIME, process=1)
        create("Batch", feed="cdr", name="a", status="in", size=1, modified_ns=1, run=run, taken_in_at=moments[0])
        create("StreamConsumer", feed="cdr", topic="calls", host="here", process=1, told_at=moments[1])
        create("Watermark", feed="cdr", interval_end_timestamp=moments[2])
        span = {"interval_start_timestamp": START_TIME, "interval_end_timestamp": moment(START + 300)}
        counts = {"groups": 0, "records": 0, "batches": 1}
        create(
            "IntervalSummary", kpi=1, interval=1, updated_at=START_TIME, first_figured_at=moments[3], **span, **counts
        )
        call_command("migrate", database=alias, verbosity=0)
        assert [
            Batch.objects.using(alias).get().ingested_at,
            StreamConsumer.objects.using(alias).get().reported_at,
            Watermark.objects.using(alias).get().newest_interval_end,
            IntervalSummary.objects.using(alias).get().first_computed_at,
        ] == moments
