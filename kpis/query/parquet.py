"""Parquet exports: typed files, written in memory that does not grow with the number of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import models
from django.http import FileResponse

from kpis.catalog.sql import aliased, quoted

MEDIA_TYPE = "application/vnd.apache.parquet"

_ROWS_A_PART = 10_000
_ROWS_A_GROUP = 51_200
_MEMORY_LIMIT = "64MB"


class ColumnType(StrEnum):
    """The type of a file's column, by its name in pandas."""

    WHOLE_NUMBER = "Int64"
    NUMBER = "Float64"
    MOMENT = "datetime64[us, UTC]"
    BOOLEAN = "boolean"
    TEXT = "object"

    @classmethod
    def of(cls, field: models.Field) -> ColumnType:
        """Return the type for a model field's values."""
        for kind, column_type in _OF_FIELDS.items():
            if isinstance(field, kind):
                return column_type
        return cls.TEXT


_OF_FIELDS = {
    models.IntegerField: ColumnType.WHOLE_NUMBER,
    models.FloatField: ColumnType.NUMBER,
    models.DateTimeField: ColumnType.MOMENT,
    models.BooleanField: ColumnType.BOOLEAN,
}
_IN_DUCKDB = {
    ColumnType.WHOLE_NUMBER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.MOMENT: "TIMESTAMPTZ",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TEXT: "VARCHAR",
}


def parquet_response(name: str, types: Mapping[str, ColumnType], rows: Iterable[Sequence]) -> FileResponse:
    """Return a download of rows, which have a value for each column of ``types``, as ``<name>.parquet``.

    Whole numbers are INT64, numbers DOUBLE, times TIMESTAMP in UTC, booleans BOOLEAN and all else UTF8. The file is
    complete before its first byte is sent, and already unlinked: only this response still has it open.
    """
    with tempfile.TemporaryDirectory(prefix="network-analysis-export-") as folder:
        file = _write(Path(folder), types, iter(rows)).open("rb")
    return FileResponse(file, as_attachment=True, filename=f"{name}.parquet", content_type=MEDIA_TYPE)


def _write(folder: Path, types: Mapping[str, ColumnType], rows: Iterator[Sequence]) -> Path:
    """Write rows into a file in the folder, by way of parts of bounded size; return its path."""
    # Imported here, since the import is slow and most requests do not need it.
    import duckdb
    import pandas as pd

    # A column without any value would lose its type.
    columns = aliased({name: f"{quoted(name)}::{_IN_DUCKDB[kind]}" for name, kind in types.items()})
    config: dict[str, Any] = {
        "memory_limit": _MEMORY_LIMIT,
        "temp_directory": str(folder),
        "threads": 1,
    }
    parts: list[str] = []
    with duckdb.connect(config=config) as connection:
        for chunk in _chunks(rows):
            values = zip(*chunk, strict=True) if chunk else [()] * len(types)
            series = zip(types.items(), values, strict=True)
            part = pd.DataFrame({name: pd.Series(column, dtype=kind) for (name, kind), column in series})
            connection.register("part", part)
            parts.append(str(folder / f"{len(parts)}.parquet"))
            connection.execute(f"COPY (SELECT {columns} FROM part) TO '{parts[-1]}' (FORMAT parquet)")
            connection.unregister("part")
        if len(parts) == 1:
            return Path(parts[0])
        whole = folder / "whole.parquet"
        connection.execute(
            f"COPY (FROM read_parquet({parts})) TO '{whole}' (FORMAT parquet, ROW_GROUP_SIZE {_ROWS_A_GROUP})"
        )
    return whole


def _chunks(rows: Iterator[Sequence]) -> Iterator[list[Sequence]]:
    """Yield the rows in lists of bounded size: at least one, empty if there are no rows."""
    yield list(islice(rows, _ROWS_A_PART))
    while chunk := list(islice(rows, _ROWS_A_PART)):
        yield chunk
