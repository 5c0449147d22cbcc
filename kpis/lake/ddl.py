"""The lake in another engine's catalog: CREATE statements for Athena, Spark, Trino and DuckDB, from our catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kpis.lake import HOUR_FOLDERS
from kpis.lake.tables import LakeColumn, LakeTable, lake_tables, scan, scan_what_is_there
from kpis.storage.folder import Folder

SCHEMA = "network_analysis"
FILE = "file://"
DIGITS = {"year": 4, "month": 2, "day": 2, "hour": 2}
RANGES = {"year": "2000,2099", "month": "1,12", "day": "1,31", "hour": "0,23"}

# Other engines' names of DuckDB's types, and the type of the folders' names ("folder"). Where an engine looks folders
# up by their names, these are texts with leading zeros, as in month = '07'.
ATHENA_TYPES = {
    "VARCHAR": "string",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "DECIMAL(18,6)": "decimal(18,6)",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "BOOLEAN": "boolean",
    "folder": "int",
}
SPARK_TYPES = {
    "VARCHAR": "STRING",
    "INTEGER": "INT",
    "BIGINT": "BIGINT",
    "DECIMAL(18,6)": "DECIMAL(18,6)",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "BOOLEAN": "BOOLEAN",
    "folder": "STRING",
}
TRINO_TYPES = {
    "VARCHAR": "varchar",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "DECIMAL(18,6)": "decimal(18,6)",
    "DATE": "date",
    "TIMESTAMP": "timestamp(3)",
    "BOOLEAN": "boolean",
    "folder": "varchar",
}


@dataclass(frozen=True)
class Dialect:
    """The statements of an engine: ``create`` returns those of a table, for the location of the lake.

    ``remarks`` are notes for its users; ``remote`` is True if the location has to be an object store's.
    """

    name: str
    remarks: tuple[str, ...]
    create: Callable[[LakeTable, str], Iterator[str]]
    remote: bool = False


def statements(dialect: Dialect, location: str) -> Iterator[str]:
    """Yield the remarks, and the dialect's statements for all tables of the lake, each ending in a semicolon."""
    remarks = (
        f"The lake at {location} for {dialect.name}: records (kept of the feeds in ARCHIVE_FEEDS), partials, rejects.",
        "Moments are UTC. The batches that count are those of the ledger, which this engine does not see: files of a",
        "batch that is being replaced, or compacted, can lie here for the moments that a run takes.",
        *dialect.remarks,
    )
    yield "".join(f"-- {remark}\n" for remark in remarks)
    yield f"CREATE {'DATABASE' if dialect.create is _athena else 'SCHEMA'} IF NOT EXISTS {SCHEMA};\n"
    for table in lake_tables():
        yield from dialect.create(table, location.rstrip("/"))


def _athena(table: LakeTable, location: str) -> Iterator[str]:
    columns = _columns(table, ATHENA_TYPES, _in_backticks, str.lower)
    folders = ", ".join(f"`{folder}` {ATHENA_TYPES['folder']}" for folder in HOUR_FOLDERS)
    properties = {"projection.enabled": "true"}
    for folder in HOUR_FOLDERS:
        properties |= {
            f"projection.{folder}.type": "integer",
            f"projection.{folder}.range": RANGES[folder],
            f"projection.{folder}.digits": str(DIGITS[folder]),
        }
    path = "/".join(f"{folder}=${{{folder}}}" for folder in HOUR_FOLDERS)
    properties["storage.location.template"] = f"{location}/{table.folder}/{path}/"
    listed = ",\n".join(f"  '{name}' = {_hive_text(value)}" for name, value in properties.items())
    yield (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {SCHEMA}.`{table.name.lower()}` (\n{columns}\n)\n"
        f"COMMENT {_hive_text(table.description)}\n"
        f"PARTITIONED BY ({folders})\n"
        f"STORED AS PARQUET\n"
        f"LOCATION {_hive_text(f'{location}/{table.folder}/')}\n"
        f"TBLPROPERTIES (\n{listed}\n);\n"
    )


def _spark(table: LakeTable, location: str) -> Iterator[str]:
    columns = _columns(table, SPARK_TYPES, _in_backticks, str)
    folders = ",\n".join(f"  `{folder}` {SPARK_TYPES['folder']}" for folder in HOUR_FOLDERS)
    yield (
        f"CREATE TABLE IF NOT EXISTS {SCHEMA}.`{table.name}` (\n{columns},\n{folders}\n)\n"
        f"USING PARQUET\n"
        f"PARTITIONED BY ({', '.join(f'`{folder}`' for folder in HOUR_FOLDERS)})\n"
        f"LOCATION {_hive_text(f'{location}/{table.folder}/')}\n"
        f"COMMENT {_hive_text(table.description)};\n"
    )
    # Spark fails to list the hours of a table whose folder does not exist yet.
    if not location.startswith(FILE) or Path(location.removeprefix(FILE), table.folder).is_dir():
        yield f"MSCK REPAIR TABLE {SCHEMA}.`{table.name}`;\n"


def _trino(table: LakeTable, location: str) -> Iterator[str]:
    columns = _columns(table, TRINO_TYPES, _in_quotes, str.lower)
    folders = ",\n".join(f'  "{folder}" {TRINO_TYPES["folder"]}' for folder in HOUR_FOLDERS)
    listed = ", ".join(f"'{folder}'" for folder in HOUR_FOLDERS)
    name = table.name.lower()
    yield (
        f'CREATE TABLE IF NOT EXISTS {SCHEMA}."{name}" (\n{columns},\n{folders}\n)\n'
        f"COMMENT {_text(table.description)}\n"
        f"WITH (\n"
        f"  format = 'PARQUET',\n"
        f"  external_location = {_text(f'{location}/{table.folder}/')},\n"
        f"  partitioned_by = ARRAY[{listed}]\n"
        f");\n"
    )
    yield f"CALL system.sync_partition_metadata('{SCHEMA}', '{name}', 'FULL');\n"


def _duckdb(table: LakeTable, location: str) -> Iterator[str]:
    name = f'{SCHEMA}."{table.name}"'
    query = scan(location, table) if "://" in location else scan_what_is_there(Folder(Path(location)), table)
    yield f"CREATE OR REPLACE VIEW {name} AS\n{query};\n"
    yield f"COMMENT ON VIEW {name} IS {_text(table.description)};\n"
    for column in table.columns:
        if column.unit:
            yield f'COMMENT ON COLUMN {name}."{column.name}" IS {_text(column.unit)};\n'


DIALECTS = {
    "athena": Dialect(
        "Athena",
        (
            "Athena runs one statement at a time. The folders come from partition projection, so there is nothing to",
            f"repair after a run; a year outside {RANGES['year'].replace(',', ' to ')} needs a wider range. Give each",
            "query a condition on year, month, day or hour (numbers), which is what keeps it from looking everywhere.",
        ),
        _athena,
        remote=True,
    ),
    "spark": Dialect(
        "Spark 3.4 or newer",
        (
            "After each run MSCK REPAIR TABLE finds its new hours; of what has no file yet there is nothing to repair.",
            "year, month, day and hour are texts: month = '07'.",
        ),
        _spark,
    ),
    "trino": Dialect(
        "Trino's Hive connector (its catalog as the session's)",
        (
            "After each run sync_partition_metadata finds its new hours. year, month, day and hour are texts:",
            "month = '07'.",
        ),
        _trino,
    ),
    "duckdb": Dialect(
        "DuckDB",
        ("A view without files is empty: create it again once there is one. In an object store it would fail.",),
        _duckdb,
    ),
}


def _columns(
    table: LakeTable, types: Mapping[str, str], quoted: Callable[[str], str], spelled: Callable[[str], str]
) -> str:
    comment = _text if types is TRINO_TYPES else _hive_text

    def line(column: LakeColumn) -> str:
        unit = f" COMMENT {comment(column.unit)}" if column.unit else ""
        return f"  {quoted(spelled(column.name))} {types[column.type]}{unit}"

    return ",\n".join(map(line, table.columns))


def _in_backticks(name: str) -> str:
    return f"`{name}`"


def _in_quotes(name: str) -> str:
    return f'"{name}"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hive_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
