"""DuckDB: each file is read once, into the groups of all of its KPIs; the figures are queries over these."""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.plans.figures import FIVE_MINUTES, midnight, run, subscribers
from benchmarks.plans.sql import CALLS, LOGS, MESSAGES, figures

CSV = "header = true, auto_detect = false, delim = ','"
BEST = "arg_min(operator, (-records, operator))"
SIGNAL = "sum(signal) AS signal, count(signal) AS signals"
CELL = "coalesce((south * 0.05)::VARCHAR || ',' || (west * 0.05)::VARCHAR, '')"
COVERAGE = {
    "operators": f"operator, count(*) AS records, {SIGNAL}, sum(precission) AS precission, "
    "count(precission) AS precissions",
    "reports": "postal_code, status, count(*) AS records",
    "cells": f"{CELL} AS cell, count(*) AS records, {SIGNAL}",
}


def antenna(files: list[str], folder: Path) -> None:
    connection = duckdb.connect()
    connection.execute(
        f"""
        CREATE TABLE groups AS
        SELECT timestamp - timestamp % {FIVE_MINUTES} AS start, antenna_id, app, id, sum(bytes)::BIGINT AS bytes
        FROM read_json(?, format = 'newline_delimited', columns = {MESSAGES})
        GROUP BY GROUPING SETS ((start, antenna_id), (start, app), (start, id))""",
        [files],
    )
    for table, column in (("antennas", "antenna_id"), ("apps", "app"), ("users", "id")):
        connection.execute(f"CREATE VIEW {table} AS FROM groups WHERE {column} IS NOT NULL")
    connection.execute(f"CREATE TABLE people AS FROM read_csv('{subscribers(files)}')")
    write(connection, "antenna", folder)


def coverage(files: list[str], folder: Path) -> None:
    connection = duckdb.connect()
    for number, file in enumerate(files):
        connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE logs AS
            SELECT
                {midnight(file)} + epoch(hour::TIME)::BIGINT // {FIVE_MINUTES} * {FIVE_MINUTES} AS start,
                coalesce(operator, '') AS operator,
                coalesce(regexp_replace(postal_code, '\\.0$', ''), '') AS postal_code,
                status, signal, precission, floor(lat * 20)::INTEGER AS south, floor(long * 20)::INTEGER AS west
            FROM read_csv(?, {CSV}, columns = {LOGS})""",
            [file],
        )
        for table, query in COVERAGE.items():
            into = f"INSERT INTO {table}" if number else f"CREATE TABLE {table} AS"
            connection.execute(f"{into} SELECT start, {query} FROM logs GROUP BY ALL")
    write(connection, "coverage", folder)


def cdr(files: list[str], folder: Path) -> None:
    connection = duckdb.connect()
    connection.execute(
        f"""
        CREATE TABLE calls AS
        SELECT epoch(strptime(minute, '%b %d %Y %H:%M'))::BIGINT AS start, * EXCLUDE minute
        FROM (
            SELECT
                StartT[:17] AS minute, Location AS county, Company AS operator, Type AS call_type, count(*) AS records
            FROM read_csv(?, {CSV}, columns = {CALLS}) GROUP BY ALL
        )""",
        [files],
    )
    write(connection, "cdr", folder)


def write(connection: duckdb.DuckDBPyConnection, feed: str, folder: Path) -> None:
    for name, query in figures(feed, BEST):
        connection.execute(f"COPY ({query}) TO '{folder / name}' (HEADER)")


if __name__ == "__main__":
    run({"antenna": antenna, "coverage": coverage, "cdr": cdr})
