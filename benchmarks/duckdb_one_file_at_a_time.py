"""The peer: the script that a data team would write with DuckDB for the same answers from the same files.

Usage: duckdb_one_file_at_a_time.py FILE...

Each FILE holds the IP flows of one five-minute interval. It is read into a table, bad rows apart; from that come
the interval's top 10 services by bytes and top 10 cells by unique users, and what the exact hour needs: bytes per
service, and the pairs of cell and subscriber. After the last file come the hours' top lists. All of it goes to
the standard output as one JSON object: start of the interval (Unix ms) to its two lists of [id, value].
"""

from __future__ import annotations

import json
import sys

import duckdb

COLUMNS = {
    "interval_start_timestamp": "BIGINT",
    "interval_end_timestamp": "BIGINT",
    "msisdn": "BIGINT",
    "bytes_uplink": "BIGINT",
    "bytes_downlink": "BIGINT",
    "service_id": "INTEGER",
    "cell_id": "BIGINT",
}
HOUR = 3_600_000

TOP_SERVICES = """
    SELECT {start} AS interval_start, service_id, sum(bytes)::BIGINT AS value FROM {source} GROUP BY 1, 2
    QUALIFY row_number() OVER (PARTITION BY interval_start ORDER BY value DESC, service_id) <= 10
    ORDER BY interval_start, value DESC, service_id"""
TOP_CELLS = """
    SELECT {start} AS interval_start, cell_id, count(DISTINCT msisdn) AS value FROM {source} GROUP BY 1, 2
    QUALIFY row_number() OVER (PARTITION BY interval_start ORDER BY value DESC, cell_id) <= 10
    ORDER BY interval_start, value DESC, cell_id"""


def main(paths: list[str]) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE services (start BIGINT, service_id INTEGER, bytes HUGEINT)")
    connection.execute("CREATE TABLE cells (start BIGINT, cell_id BIGINT, msisdn BIGINT)")
    answers = {"five_minutes": {}, "hours": {}}
    for path in paths:
        connection.execute(
            f"""
            CREATE OR REPLACE TABLE flows AS
            SELECT *, bytes_uplink + bytes_downlink AS bytes
            FROM read_csv(?, header = true, columns = {COLUMNS}, store_rejects = true)
            """,
            [path],
        )
        connection.execute(
            "INSERT INTO services SELECT interval_start_timestamp, service_id, sum(bytes) FROM flows GROUP BY ALL"
        )
        connection.execute("INSERT INTO cells SELECT DISTINCT interval_start_timestamp, cell_id, msisdn FROM flows")
        collect(connection, answers["five_minutes"], "interval_start_timestamp", "flows", "flows")
    hour = f"start - start % {HOUR}"
    collect(connection, answers["hours"], hour, "services", "cells")
    json.dump(answers, sys.stdout)


def collect(connection, answers: dict, start: str, services: str, cells: str) -> None:
    """Adds both top lists of each interval in the tables to the answers."""
    for name, query, source in (("services", TOP_SERVICES, services), ("cells", TOP_CELLS, cells)):
        for moment, group, value in connection.execute(query.format(start=start, source=source)).fetchall():
            answers.setdefault(moment, {"services": [], "cells": []})[name].append([group, value])


if __name__ == "__main__":
    main(sys.argv[1:])
