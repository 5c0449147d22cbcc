"""Registration of the lake's tables and hours in an AWS Glue catalog, so that no crawler is needed.

Columns, their types and units are those of ``lake_sql`` and ``lake_ddl``. Engines that read the catalog (Athena, Spark,
Trino, Redshift Spectrum) look an hour's folder up by its partition, whose values are texts with leading zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from kpis.lake import HOUR_FOLDERS
from kpis.lake.ddl import ATHENA_TYPES
from kpis.lake.tables import LakeTable, hours_of, lake_tables
from kpis.storage import BucketAddress, Storage
from kpis.storage.bucket import client

# The table parameter that names the lake.
OWNER = "network_analysis_lake"
# The most partitions in one request to Glue.
PARTITIONS_A_CHANGE = 100
PARTITIONS_A_REMOVAL = 25
FORMAT = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}
# A partition's values: year, month, day and hour, as its folders' names have them.
Values = tuple[str, ...]


class CatalogError(Exception):
    """The catalog cannot be used; the message names the place and the reason."""


@dataclass
class Registration:
    """The counts of a registration: tables, and partitions of all of them."""

    tables_created: int = 0
    tables_updated: int = 0
    tables_unchanged: int = 0
    partitions_added: int = 0
    partitions_updated: int = 0
    partitions_removed: int = 0
    partitions_unchanged: int = 0

    @property
    def changes(self) -> int:
        tables = self.tables_created + self.tables_updated
        return tables + self.partitions_added + self.partitions_updated + self.partitions_removed


def register(lake: BucketAddress, storage: Storage, database: str) -> Registration:
    """Bring a Glue database up to date with the lake; create it if it is missing.

    Tables of others in it stay. Raises CatalogError, also if one has a name that the lake needs, and LakeError.
    """
    catalog = _Catalog(lake, database)
    catalog.make()
    for table in lake_tables():
        catalog.bring(table, hours_of(storage, table))
    return catalog.done


class _Catalog:
    """A Glue database while it is updated."""

    def __init__(self, lake: BucketAddress, database: str):
        self.done = Registration()
        self._lake, self._database = str(lake), database
        with self._translate_errors():
            self._client = client("glue")

    def make(self) -> None:
        with self._translate_errors():
            try:
                self._client.get_database(Name=self._database)
            except self._client.exceptions.EntityNotFoundException:
                definition = {"Name": self._database, "Description": f"The lake of Network Analysis at {self._lake}"}
                self._client.create_database(DatabaseInput=definition)

    def bring(self, table: LakeTable, hours: Iterable[Values]) -> None:
        """Create or update a table, and its partitions for the hours."""
        with self._translate_errors():
            self._bring_table(table)
            found = {tuple(one["Values"]): one for one in self._partitions(table)}
        wanted = {values: self._partition(table, values) for values in hours}
        added = [partition for values, partition in wanted.items() if values not in found]
        changed = [
            partition for values, partition in wanted.items() if values in found and not _says(found[values], partition)
        ]
        removed = [{"Values": list(values)} for values in found if values not in wanted]
        place = {"DatabaseName": self._database, "TableName": table.name.lower()}
        with self._translate_errors():
            for some in _chunks(added, PARTITIONS_A_CHANGE):
                answer = self._client.batch_create_partition(**place, PartitionInputList=some)
                self._check(answer, "AlreadyExistsException")
            for some in _chunks(changed, PARTITIONS_A_CHANGE):
                entries = [
                    {"PartitionValueList": partition["Values"], "PartitionInput": partition} for partition in some
                ]
                self._check(self._client.batch_update_partition(**place, Entries=entries), "EntityNotFoundException")
            for some in _chunks(removed, PARTITIONS_A_REMOVAL):
                answer = self._client.batch_delete_partition(**place, PartitionsToDelete=some)
                self._check(answer, "EntityNotFoundException")
        self.done.partitions_added += len(added)
        self.done.partitions_updated += len(changed)
        self.done.partitions_removed += len(removed)
        self.done.partitions_unchanged += len(wanted) - len(added) - len(changed)

    def _bring_table(self, table: LakeTable) -> None:
        definition = self._table(table)
        try:
            found = self._client.get_table(DatabaseName=self._database, Name=definition["Name"])["Table"]
        except self._client.exceptions.EntityNotFoundException:
            self._client.create_table(DatabaseName=self._database, TableInput=definition)
            self.done.tables_created += 1
            return
        owner = found.get("Parameters", {}).get(OWNER)
        if owner != self._lake:
            whose = f"of the lake at {owner}" if owner else "that network-analysis did not create"
            raise CatalogError(
                f"The Glue database {self._database} has a table {definition['Name']} {whose}. Remove it, or "
                "name another --database."
            )
        if _says(found, definition):
            self.done.tables_unchanged += 1
        else:
            self._client.update_table(DatabaseName=self._database, TableInput=definition, SkipArchive=True)
            self.done.tables_updated += 1

    def _table(self, table: LakeTable) -> dict[str, Any]:
        return {
            "Name": table.name.lower(),
            "Description": table.description,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": folder, "Type": ATHENA_TYPES["VARCHAR"]} for folder in HOUR_FOLDERS],
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet", OWNER: self._lake},
            "StorageDescriptor": self._files(table, f"{self._lake}/{table.folder}/"),
        }

    def _partition(self, table: LakeTable, values: Values) -> dict[str, Any]:
        folders = "/".join(f"{folder}={value}" for folder, value in zip(HOUR_FOLDERS, values, strict=True))
        files = self._files(table, f"{self._lake}/{table.folder}/{folders}/")
        return {"Values": list(values), "StorageDescriptor": files}

    def _files(self, table: LakeTable, location: str) -> dict[str, Any]:
        columns = [
            {"Name": column.name.lower(), "Type": ATHENA_TYPES[column.type], "Comment": column.unit}
            for column in table.columns
        ]
        return {"Columns": columns, "Location": location, **FORMAT}

    def _partitions(self, table: LakeTable) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("get_partitions").paginate(
            DatabaseName=self._database, TableName=table.name.lower()
        )
        for page in pages:
            yield from page["Partitions"]

    def _check(self, answer: Mapping[str, Any], passed: str) -> None:
        """Raise CatalogError for failed changes; ``passed`` errors mean that another process has done the same."""
        for failed in answer.get("Errors", ()):
            said = failed.get("ErrorDetail", {})
            if said.get("ErrorCode") != passed:
                raise self._error(said.get("ErrorMessage") or said.get("ErrorCode") or "a partition failed")

    def _error(self, reason: str) -> CatalogError:
        return CatalogError(f"Cannot use the Glue database {self._database}: {reason.rstrip('.')}.")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate boto3's errors into CatalogError."""
        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            raise self._error(said.get("Message") or said.get("Code") or str(error)) from error
        except BotoCoreError as error:
            raise self._error(str(error)) from error


def _says(found: Any, wanted: Any) -> bool:
    """Return True if the catalog's definition agrees with ours; it adds defaults, and leaves out empty values."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_says(found.get(name, ""), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_says(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _chunks(values: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
