"""DuckDB: loads each file into a table, and computes its interval's figures and the parts of the hour's."""

from __future__ import annotations

import duckdb

from benchmarks.peers.answer import FIVE_MINUTES, HOUR, TOP, arguments, write

COLUMNS = {
    "interval_start_timestamp": "BIGINT",
    "interval_end_timestamp": "BIGINT",
    "msisdn": "BIGINT",
    "bytes_uplink": "BIGINT",
    "bytes_downlink": "BIGINT",
    "service_id": "INTEGER",
    "cell_id": "BIGINT",
}
CSV = f"header = true, auto_detect = false, delim = ',', columns = {COLUMNS}"
REASON = f"""
    CASE
        WHEN {" OR ".join(f"{name} IS NULL" for name in COLUMNS)} THEN 'empty'
        WHEN interval_end_timestamp - interval_start_timestamp != {FIVE_MINUTES} THEN 'not five minutes long'
        WHEN interval_start_timestamp % {FIVE_MINUTES} != 0 THEN 'not aligned'
        WHEN msisdn <= 0 OR bytes_uplink < 0 OR bytes_downlink < 0 THEN 'out of range'
    END"""
TEXT = " || ',' || ".join(f"coalesce({name}::VARCHAR, '')" for name in COLUMNS)
HOUR_START = f"start - start % {HOUR}"
TOPS = (
    "SELECT start, id, sum(bytes)::BIGINT AS value FROM services GROUP BY ALL",
    "SELECT start, id, count(*) AS value FROM pairs GROUP BY ALL",
    f"SELECT {HOUR_START} AS start, id, sum(bytes)::BIGINT AS value FROM services GROUP BY ALL",
    f"SELECT {HOUR_START} AS start, id, count(DISTINCT msisdn) AS value FROM pairs GROUP BY ALL",
)


def main() -> None:
    paths, rejects = arguments()
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("CREATE TABLE services (start BIGINT, id INTEGER, bytes HUGEINT)")
    connection.execute("CREATE TABLE pairs (start BIGINT, id BIGINT, msisdn BIGINT)")
    connection.execute("CREATE TABLE bad (file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)")
    for path in paths:
        if rejects is None:
            ingest(connection, path, f"SELECT * FROM read_csv(?, {CSV})", "true")
        else:
            ingest(
                connection,
                path,
                f"SELECT *, {REASON} AS reason FROM read_csv(?, {CSV}, store_rejects = true)",
                "reason IS NULL",
            )
            connection.execute(
                f"INSERT INTO bad SELECT ?, NULL, reason, {TEXT} FROM flows WHERE reason IS NOT NULL", [path]
            )
    if rejects is not None:
        # Without the line's number, which is wrong where several threads read a file: some come twice.
        connection.execute("""
            INSERT INTO bad SELECT DISTINCT ON (file_path, line_byte_position) file_path, NULL, error_message, csv_line
            FROM reject_errors JOIN reject_scans USING (scan_id, file_id)""")
        connection.execute(
            f"COPY (SELECT parse_filename(file), line, reason, text FROM bad) TO '{rejects}' (HEADER false)"
        )
    write(connection.execute(top(groups)).fetchall() for groups in TOPS)


def ingest(connection: duckdb.DuckDBPyConnection, path: str, flows: str, good: str) -> None:
    """Add a file's bytes by service, and its distinct pairs of cell and user."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE flows AS {flows}", [path])
    connection.execute(f"""
        INSERT INTO services
        SELECT interval_start_timestamp, service_id, sum(bytes_uplink + bytes_downlink)
        FROM flows WHERE {good} GROUP BY ALL""")
    connection.execute(f"""
        INSERT INTO pairs SELECT DISTINCT interval_start_timestamp, cell_id, msisdn FROM flows WHERE {good}""")


def top(groups: str) -> str:
    return f"""
        SELECT * FROM ({groups})
        QUALIFY row_number() OVER (PARTITION BY start ORDER BY value DESC, id) <= {TOP}
        ORDER BY start, value DESC, id"""


if __name__ == "__main__":
    main()
