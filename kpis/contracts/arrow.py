"""Arrow schemas of the lake's tables and of the results, each as an Arrow IPC file without rows.

That is what Arrow's libraries and Polars read a schema from: ``pyarrow.ipc.open_file(path).schema`` and
``polars.read_ipc_schema(path)``. Fields have their description, and the unit where there is one, as metadata. Needs the
extra ``arrow``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kpis import extras
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Fraction, Label, ResultColumn, WholeNumber
from kpis.catalog.sql import aliased
from kpis.contracts.selection import Selection
from kpis.lake.tables import LakeTable, partials_table, records_table, rejects_table

if TYPE_CHECKING:
    import pyarrow as pa


class MissingExtra(Exception):
    """The extra that the schemas need is not installed; the message names it."""


def documents(selection: Selection) -> dict[str, bytes]:
    """Return an Arrow IPC file for each table of the lake and of results, by the table's name; raises MissingExtra."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra(extras.missing("arrow", "Arrow schemas need", error)) from error
    files = {}
    for name, schema in schemas(selection).items():
        file = io.BytesIO()
        with pa.ipc.new_file(file, schema):
            pass
        files[name] = file.getvalue()
    return files


def schemas(selection: Selection) -> dict[str, pa.Schema]:
    """Return the schemas of feeds' records and rejects, and of KPIs' partials and results, by the tables' names."""
    tables = [*map(records_table, selection.feeds), *map(rejects_table, selection.feeds)]
    tables += [partials_table(kpi.source) for kpi in selection.kpis if kpi.source.id == kpi.id]
    return {table.name: lake_schema(table) for table in tables} | {
        kpi.name: results_schema(kpi) for kpi in selection.kpis
    }


def lake_schema(table: LakeTable) -> pa.Schema:
    """Return the schema of a table's files: of what is in them, without what the folders' names add."""
    import duckdb
    import pyarrow as pa

    columns = {column.name: f"CAST(NULL AS {column.type})" for column in table.columns}
    with duckdb.connect() as connection:
        found = connection.sql(f"SELECT {aliased(columns)} LIMIT 0").to_arrow_table().schema
    described = (
        field.with_metadata(_metadata(description=column.unit))
        for field, column in zip(found, table.columns, strict=True)
    )
    return pa.schema(described, _metadata(name=table.name, description=table.description, folder=f"{table.folder}"))


def results_schema(kpi: KPI) -> pa.Schema:
    """Return the schema of a KPI's results as the API gives them in Parquet."""
    import pyarrow as pa

    moment = pa.timestamp("us", "UTC")
    fields = [
        pa.field("id", pa.int64()),
        pa.field("interval_start_timestamp", moment, metadata=_metadata(description="included")),
        pa.field("interval_end_timestamp", moment, metadata=_metadata(description="not included")),
        pa.field("interval", pa.int64(), metadata=_metadata(description=_lengths(kpi))),
        *(_result_field(column, kpi) for column in kpi.result_columns),
        pa.field("rank", pa.int64(), metadata=_metadata(description="1 is the largest")),
    ]
    personal = "true" if kpi.personal else ""
    return pa.schema(
        fields, _metadata(name=kpi.name, description=kpi.description, kpi_id=f"{kpi.id}", personal=personal)
    )


def _lengths(kpi: KPI) -> str:
    return "; ".join(f"{length.code}: {length}" for length in kpi.lengths)


def _result_field(column: ResultColumn, kpi: KPI) -> pa.Field:
    import pyarrow as pa

    types = {Label: pa.string(), WholeNumber: pa.int64(), Fraction: pa.float64()}
    unit = kpi.unit if column.name == kpi.value else ""
    metadata = _metadata(description=column.help_text, unit=unit)
    return pa.field(column.name, types[type(column.type)], metadata=metadata)


def _metadata(**values: str) -> dict[str, str] | None:
    """Return the values that are not empty; None for none."""
    return {name: value for name, value in values.items() if value} or None
