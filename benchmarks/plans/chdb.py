"""chDB, which is ClickHouse in the process: all files into the groups of all KPIs, and queries over these."""

from __future__ import annotations

from pathlib import Path

from chdb.session import Session

from benchmarks.plans.figures import FIVE_MINUTES, midnight, run, subscribers
from benchmarks.plans.sql import CALLS, LOGS, MESSAGES, figures

BEST = "argMin(operator, (-records, operator))"
TYPES = {
    "BIGINT": "Int64",
    "VARCHAR": "String",
    "INTEGER": "Int32",
    "DOUBLE": "Nullable(Float64)",
    "DECIMAL(18, 6)": "Nullable(Decimal64(6))",
}
SIGNAL = "sum(signal) AS signal, count(signal) AS signals"
CELL = "if(isNull(south), '', printf('%.2f,%.2f', assumeNotNull(south), assumeNotNull(west)))"
COVERAGE = {
    "operators": f"operator, count() AS records, {SIGNAL}, sum(precission) AS precission, "
    "count(precission) AS precissions",
    "reports": "postal_code, status, count() AS records",
    "cells": f"{CELL} AS cell, count() AS records, {SIGNAL}",
}


def antenna(files: list[str], folder: Path) -> None:
    session = opened()
    session.query(f"""
        CREATE TABLE groups ENGINE = Memory AS
        SELECT timestamp - timestamp % {FIVE_MINUTES} AS start, antenna_id, app, id, sum(bytes) AS bytes
        FROM {source(files, "JSONEachRow", MESSAGES)}
        GROUP BY GROUPING SETS ((start, antenna_id), (start, app), (start, id))""")
    for table, column in (("antennas", "antenna_id"), ("apps", "app"), ("users", "id")):
        session.query(f"CREATE VIEW {table} AS SELECT start, {column}, bytes FROM groups WHERE {column} != ''")
    session.query(f"""
        CREATE TABLE people ENGINE = Memory AS SELECT * FROM file('{subscribers(files)}', 'CSVWithNames')""")
    write(session, "antenna", folder)


def coverage(files: list[str], folder: Path) -> None:
    session = opened()
    day = midnight(files[0])
    session.query(f"""
        CREATE TABLE logs ENGINE = Memory AS
        SELECT
            {day} + intDiv(toInt64(substring(hour, 1, 2)) * 3600 + toInt64(substring(hour, 4, 2)) * 60, {FIVE_MINUTES})
                * {FIVE_MINUTES} AS start,
            operator, replaceRegexpOne(postal_code, '\\\\.0$', '') AS postal_code, status, signal, precission,
            {corner("lat")} AS south, {corner("long")} AS west
        FROM {source(files, "CSVWithNames", LOGS)}""")
    for table, query in COVERAGE.items():
        session.query(f"CREATE TABLE {table} ENGINE = Memory AS SELECT start, {query} FROM logs GROUP BY ALL")
    write(session, "coverage", folder)


def cdr(files: list[str], folder: Path) -> None:
    session = opened()
    session.query(f"""
        CREATE TABLE calls ENGINE = Memory AS
        SELECT toUnixTimestamp(parseDateTime(minute, '%b %d %Y %H:%i', 'UTC')) AS start, * EXCEPT minute
        FROM (
            SELECT
                substring(StartT, 1, 17) AS minute, Location AS county, Company AS operator, Type AS call_type,
                count() AS records
            FROM {source(files, "CSVWithNames", CALLS)} GROUP BY ALL
        )""")
    write(session, "cdr", folder)


def corner(side: str) -> str:
    return f"toFloat64(floor({side} * 20)) / 20"


def opened() -> Session:
    session = Session()
    session.query("SET prefer_column_name_to_alias = 1")
    session.query("CREATE DATABASE bench")
    session.query("USE bench")
    return session


def source(files: list[str], form: str, columns: dict[str, str]) -> str:
    paths = f"{Path(files[0]).parent}/{{{','.join(Path(file).name for file in files)}}}"
    return f"file('{paths}', '{form}', '{', '.join(f'{name} {TYPES[of]}' for name, of in columns.items())}')"


def write(session: Session, feed: str, folder: Path) -> None:
    for name, query in figures(feed, BEST):
        session.query(f"{query} INTO OUTFILE '{folder / name}' FORMAT CSVWithNames")


if __name__ == "__main__":
    run({"antenna": antenna, "coverage": coverage, "cdr": cdr})
