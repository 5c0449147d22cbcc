"""``register_lake``: a Glue catalog gets the tables and hours that the lake has, and only what changed is changed."""

from __future__ import annotations

import io
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.builtin.cdr import CDR
from kpis.lake.ddl import ATHENA_TYPES
from kpis.lake.tables import lake_tables, records_table, rejects_table
from kpis.storage.bucket import client
from tests.servers.test_buckets import START, call, hour_of_flows, keys, put, update
from tests.twin import Message, file_text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

FOLDERS = ["year", "month", "day", "hour"]
TABLES = len(lake_tables())


@pytest.fixture
def database(bucket) -> str:
    """The name of a database of the catalog that is not there yet."""
    return bucket.name.replace("-", "_")


def register(database: str) -> str:
    out = io.StringIO()
    call_command("register_lake", catalog="glue", database=database, stdout=out)
    return out.getvalue().strip()


def summary(tables: tuple[int, int, int], partitions: tuple[int, int, int, int]) -> str:
    """The last line of a registration that changed something."""
    created, updated, same = tables
    added, changed, removed, kept = partitions
    return (
        f"tables: {created} created, {updated} updated, {same} unchanged; partitions: {added} added, "
        f"{changed} updated, {removed} removed, {kept} unchanged"
    )


def tables_of(database: str) -> dict[str, dict]:
    pages = client("glue").get_paginator("get_tables").paginate(DatabaseName=database)
    return {table["Name"]: table for page in pages for table in page["TableList"]}


def partitions_of(database: str, table: str) -> list[dict]:
    return client("glue").get_partitions(DatabaseName=database, TableName=table)["Partitions"]


def locations(database: str) -> set[str]:
    """Where the catalog finds files, of all tables."""
    return {
        one["StorageDescriptor"]["Location"] for table in tables_of(database) for one in partitions_of(database, table)
    }


def folders(bucket) -> set[str]:
    """Where the lake has files."""
    return {f"s3://{bucket.name}/{key.rpartition('/')[0]}/" for key in keys(bucket, "lake/") if key != "lake/lake.json"}


def two_hours(bucket) -> None:
    put(bucket, hour_of_flows(0, 2) | {"antenna_data.1.jsonl": [Message(START, 1, 2, 30, "x")]})
    calls = file_text([call(START), call(START + 3600)]) + "rubbish\n"
    bucket.put_object(Key="in/cdr_1.csv", Body=calls.encode())
    update()


def test_the_catalog_gets_what_the_lake_has_and_a_second_time_nothing(bucket, database):
    two_hours(bucket)
    # Two KPIs of flows, three of messages and two of calls, of which the calls are in two hours; records and rejects.
    partitions = 2 + 3 + 2 * 2 + 1 + 1
    assert register(database) == summary((TABLES, 0, 0), (partitions, 0, 0, 0))
    assert locations(database) == folders(bucket)
    tables = tables_of(database)
    assert tables.keys() == {table.name.lower() for table in lake_tables()}
    for table in lake_tables():
        found = tables[table.name.lower()]
        described = [
            (one["Name"], one["Type"], one["Comment"])
            for part in (found["StorageDescriptor"]["Columns"], found["PartitionKeys"])
            for one in [{"Comment": "", **column} for column in part]
        ]
        wanted = [(column.name.lower(), ATHENA_TYPES[column.type], column.unit) for column in table.columns]
        assert described == [*wanted, *((folder, "string", "") for folder in FOLDERS)]
        assert found["StorageDescriptor"]["Location"] == f"s3://{bucket.name}/lake/{table.folder}/"
    (rejects,) = partitions_of(database, "cdr_rejects")
    assert rejects["Values"] == ["2021", "07", "18", "00"]
    assert rejects["StorageDescriptor"]["Columns"] == tables["cdr_rejects"]["StorageDescriptor"]["Columns"]
    versions = {name: table["VersionId"] for name, table in tables.items()}
    assert register(database) == summary((0, 0, TABLES), (0, 0, 0, partitions)) + "; nothing was changed"
    assert {name: table["VersionId"] for name, table in tables_of(database).items()} == versions


def test_new_hours_are_added_and_those_that_were_pruned_removed(bucket, database):
    two_hours(bucket)
    register(database)
    put(bucket, hour_of_flows(1, 2))
    update()
    assert register(database) == summary((0, 0, TABLES), (2, 0, 0, 11))
    call_command("prune_lake", "--older-than=36h", verbosity=0)
    left = folders(bucket)
    assert 0 < len(left) < 13
    assert register(database) == summary((0, 0, TABLES), (0, 0, 13 - len(left), len(left)))
    assert locations(database) == left


def test_another_schema_changes_tables_and_partitions(bucket, database):
    two_hours(bucket)
    with patch.dict(ATHENA_TYPES, TIMESTAMP="string"):
        register(database)
    with_time = [table.name.lower() for table in lake_tables() if "interval_start" in str(table.columns)]
    changed = sum(len(partitions_of(database, table)) for table in with_time)
    assert 0 < changed < 11
    assert register(database) == summary((0, len(with_time), TABLES - len(with_time)), (0, changed, 0, 11 - changed))
    (records,) = partitions_of(database, "antenna")
    assert records["StorageDescriptor"]["Columns"][0] == {
        "Name": "interval_start",
        "Type": "timestamp",
        "Comment": "start of the interval, UTC",
    }
    assert "nothing was changed" in register(database)


def test_partitions_go_in_as_many_at_once_as_glue_takes(bucket, database):
    asked = []

    def note(params, model, **_):
        (list_,) = {"PartitionInputList", "Entries", "PartitionsToDelete"} & params.keys()
        asked.append((list_, len(params[list_])))

    # Of a client of its own, which goes with the test.
    client.cache_clear()
    for operation in ("BatchCreatePartition", "BatchUpdatePartition", "BatchDeletePartition"):
        client("glue").meta.events.register(f"provide-client-params.glue.{operation}", note)
    hours = [f"year=2021/month=07/day={1 + hour // 24:02}/hour={hour % 24:02}" for hour in range(201)]
    for hour in hours:
        bucket.put_object(Key=f"lake/rejects/cdr/{hour}/x.parquet", Body=b"")
    register(database)
    with patch.dict(ATHENA_TYPES, BIGINT="int"):
        register(database)
    for hour in hours[1:]:
        bucket.Object(f"lake/rejects/cdr/{hour}/x.parquet").delete()
    register(database)
    assert asked == [
        *(("PartitionInputList", size) for size in (100, 100, 1)),
        *(("Entries", size) for size in (100, 100, 1)),
        ("Entries", 1),
        *(("PartitionsToDelete", 25) for _ in range(8)),
    ]
    client.cache_clear()


def test_what_belongs_to_others_stays_as_it_is(bucket, database):
    glue = client("glue")
    glue.create_database(DatabaseInput={"Name": database})
    name = records_table(CDR).name
    glue.create_table(DatabaseName=database, TableInput={"Name": name, "Description": "somebody's"})
    with pytest.raises(
        CommandError,
        match=f"database {database} has a table {name} that network-analysis did not create. Remove it, or",
    ):
        register(database)
    assert tables_of(database)[name]["Description"] == "somebody's"
    glue.delete_table(DatabaseName=database, Name=name)
    glue.create_table(DatabaseName=database, TableInput={"Name": "theirs"})
    register(database)
    assert tables_of(database).keys() > {"theirs", rejects_table(CDR).name}


def test_a_lake_elsewhere_does_not_take_over_the_tables_of_another(bucket, database, cloud, settings):
    register(database)
    settings.LAKE_DIR = type(settings.LAKE_DIR)(bucket.name, "another/")
    with pytest.raises(CommandError, match=f"of the lake at s3://{bucket.name}/lake. Remove it"):
        register(database)


def test_a_lake_in_a_folder_is_refused(settings):
    with pytest.raises(CommandError, match="LAKE_DIR must be s3://bucket/prefix") as raised:
        register("network")
    assert raised.value.returncode == 2


def test_what_the_catalog_refuses_is_reported(bucket, database, cloud):
    with cloud.dropping(left=1), pytest.raises(CommandError, match=f"Cannot use the Glue database {database}: "):
        register(database)
