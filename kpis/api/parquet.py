"""Parquet: a list's whole result as a typed file, written at flat memory however many rows there are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from django.http import FileResponse
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer

from kpis.api.serializers import MillisecondsField, MinutesField, UTCDateTimeField

_ROWS_A_PART = 10_000
_ROWS_A_GROUP = 51_200
_MEMORY_LIMIT = "64MB"

# The types of a file's columns, as pandas calls them.
_WHOLE_NUMBER, _NUMBER, _MOMENT, _TRUTH, _TEXT = "Int64", "Float64", "datetime64[us, UTC]", "boolean", "object"
_IN_DUCKDB = {
    _WHOLE_NUMBER: "BIGINT",
    _NUMBER: "DOUBLE",
    _MOMENT: "TIMESTAMPTZ",
    _TRUTH: "BOOLEAN",
    _TEXT: "VARCHAR",
}
_TYPES = {
    UTCDateTimeField: _MOMENT,
    serializers.IntegerField: _WHOLE_NUMBER,
    serializers.PrimaryKeyRelatedField: _WHOLE_NUMBER,
    MillisecondsField: _WHOLE_NUMBER,
    MinutesField: _WHOLE_NUMBER,
    serializers.FloatField: _NUMBER,
    serializers.BooleanField: _TRUTH,
}


class ParquetRenderer(BaseRenderer):
    """Offers the format. Lists are answered by ``parquet_response``, and errors in JSON."""

    media_type = "application/vnd.apache.parquet"
    format = "parquet"
    charset = None
    render_style = "binary"


def parquet_response(name: str, fields: Mapping[str, serializers.Field], rows: Iterable[Sequence]) -> FileResponse:
    """A download of rows, which have a value for each field, as ``<name>.parquet``.

    Whole numbers are INT64, decimal numbers DOUBLE, moments TIMESTAMP in UTC, flags BOOLEAN and all else UTF8. The
    file is complete before its first byte is sent, and gone from the disk by then: only this response still has it.
    """
    types = {name: _type_of(field) for name, field in fields.items()}
    with tempfile.TemporaryDirectory(prefix="network-analysis-export-") as folder:
        file = _write(Path(folder), types, iter(rows)).open("rb")
    return FileResponse(file, as_attachment=True, filename=f"{name}.parquet", content_type=ParquetRenderer.media_type)


def _type_of(field: serializers.Field) -> str:
    for kind, name in _TYPES.items():
        if isinstance(field, kind):
            return name
    choices = getattr(field, "choices", None)
    return _WHOLE_NUMBER if choices and all(isinstance(choice, int) for choice in choices) else _TEXT


def _write(folder: Path, types: dict[str, str], rows: Iterator[Sequence]) -> Path:
    """Writes rows into a file in the folder, by way of parts of bounded size; returns its path."""
    # Imported here, since they take long to load and most requests do without them.
    import duckdb
    import pandas as pd

    # A column that is empty throughout would lose its type.
    columns = ", ".join(f'"{name}"::{_IN_DUCKDB[kind]} AS "{name}"' for name, kind in types.items())
    config = {"memory_limit": _MEMORY_LIMIT, "temp_directory": str(folder), "threads": 1}
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
    """The rows in lists of bounded size: at least one, empty where there are no rows."""
    yield list(islice(rows, _ROWS_A_PART))
    while chunk := list(islice(rows, _ROWS_A_PART)):
        yield chunk
