"""An answer of the API as rows: of JSON, CSV or Parquet."""

from __future__ import annotations

import csv
from tempfile import NamedTemporaryFile

import duckdb


def json_rows(response) -> list[dict]:
    return response.json()


def csv_rows(response) -> list[dict]:
    return list(csv.DictReader(response.getvalue().decode().splitlines()))


def parquet_rows(response) -> list[dict]:
    """The rows of a Parquet file; moments as Unix time in microseconds, which no zone changes."""
    with NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as connection:
        file.write(response.getvalue())
        file.flush()
        path = file.name
        types = dict(connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{path}')").fetchall())
        moments = [f'epoch_us("{name}") AS "{name}"' for name, kind in types.items() if kind.startswith("TIMESTAMP")]
        shown = f"* REPLACE ({', '.join(moments)})" if moments else "*"
        rows = connection.execute(f"SELECT {shown} FROM '{path}'").fetchall()
    return [dict(zip(types, row, strict=True)) for row in rows]
