"""chDB, which is ClickHouse in the process: all files into a table in memory, then four queries."""

from __future__ import annotations

import json
from pathlib import Path

from chdb.session import Session

from benchmarks.peers.answer import FIVE_MINUTES, HOUR, TOP, arguments, write

COLUMNS = {
    "interval_start_timestamp": "Int64",
    "interval_end_timestamp": "Int64",
    "msisdn": "Int64",
    "bytes_uplink": "Int64",
    "bytes_downlink": "Int64",
    "service_id": "Int32",
    "cell_id": "Int64",
}
REASON = f"""
    multiIf(
        more != '' OR {" OR ".join(f"{name} IS NULL" for name in COLUMNS)}, 'not seven numbers',
        interval_end_timestamp - interval_start_timestamp != {FIVE_MINUTES}, 'not five minutes long',
        interval_start_timestamp % {FIVE_MINUTES} != 0, 'not aligned',
        msisdn <= 0 OR bytes_uplink < 0 OR bytes_downlink < 0, 'out of range',
        '')"""
HOUR_START = f"start - start % {HOUR}"
TOPS = (
    "SELECT start, service_id AS id, sum(bytes) AS value FROM bench.flows GROUP BY start, id",
    "SELECT start, cell_id AS id, uniqExact(msisdn) AS value FROM bench.flows GROUP BY start, id",
    f"SELECT {HOUR_START} AS hour, service_id AS id, sum(bytes) AS value FROM bench.flows GROUP BY hour, id",
    f"SELECT {HOUR_START} AS hour, cell_id AS id, uniqExact(msisdn) AS value FROM bench.flows GROUP BY hour, id",
)
FLOWS = """
    interval_start_timestamp AS start, msisdn, bytes_uplink + bytes_downlink AS bytes, service_id, cell_id"""


def main() -> None:
    paths, rejects = arguments()
    files = f"{Path(paths[0]).parent}/{{{','.join(Path(path).name for path in paths)}}}"
    session = Session()
    session.query("CREATE DATABASE bench")
    if rejects is None:
        columns = ", ".join(f"{name} {of}" for name, of in COLUMNS.items())
        source = f"file('{files}', 'CSVWithNames', '{columns}')"
        session.query(f"CREATE TABLE bench.flows ENGINE = Memory AS SELECT {FLOWS} FROM {source}")
    else:
        check(session, files, rejects)
    write(map(json.loads, str(session.query(top(groups), "JSONCompactEachRow")).splitlines()) for groups in TOPS)


def check(session: Session, files: str, rejects: str) -> None:
    """Create the table of the records; write the rejects with their text.

    All is read as text, since a number that does not fit into a column would be read as another number.
    """
    texts = ", ".join(f"text_{name} String" for name in COLUMNS)
    numbers = ", ".join(f"to{of}OrNull(text_{name}) AS {name}" for name, of in COLUMNS.items())
    text = " || ',' || ".join(f"text_{name}" for name in COLUMNS) + " || if(more = '', '', ',' || more)"
    session.query(f"""
        CREATE TABLE bench.rows ENGINE = Memory AS
        SELECT {", ".join(COLUMNS)}, {REASON} AS reason, if(reason = '', '', {text}) AS text, _file AS file
        FROM (SELECT *, _file, {numbers} FROM file('{files}', 'CSV', '{texts}, more String'))
        SETTINGS input_format_csv_skip_first_lines = 1, input_format_csv_allow_variable_number_of_columns = 1""")
    columns = ", ".join(f"assumeNotNull({name}) AS {name}" for name in COLUMNS)
    session.query(f"""
        CREATE VIEW bench.flows AS SELECT {FLOWS} FROM (SELECT {columns} FROM bench.rows WHERE reason = '')""")
    session.query(
        f"SELECT file, NULL, reason, text FROM bench.rows WHERE reason != '' INTO OUTFILE '{rejects}' FORMAT CSV"
    )


def top(groups: str) -> str:
    return f"""
        SELECT * FROM ({groups}) ORDER BY 1, value DESC, id LIMIT {TOP} BY 1
        SETTINGS output_format_json_quote_64bit_integers = 0"""


if __name__ == "__main__":
    main()
