"""The rows of a Parquet file: which of its columns are the feed's, and the judge of a single row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal as Number
from pathlib import Path
from typing import Any, NamedTuple

from kpis.catalog.columns import BadValue, Boolean, ColumnType, Date
from kpis.catalog.columns.timestamps import LocalTimestamp
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.catalog.sql import quoted
from kpis.formats.bounds import FileError
from kpis.formats.judge import cut
from kpis.formats.parquet_columns import (
    DAY_MICROSECONDS,
    OUTSIDE,
    FileColumn,
    Kind,
    day_of,
    fit_of,
    moment_of,
    text_of,
    time_of,
)
from kpis.formats.parquet_sql import Value, value_of
from kpis.formats.row_values import RowValues, without_unit

# SQL of the column with a row's number: no column of a feed has a space in its name.
ROW_NUMBER = '"row number"'


class ParquetRow(NamedTuple):
    """A row: its number in the file, from 1, and its values as ``FileColumn.raw`` gives them."""

    number: int
    values: Sequence[Any]


class ParquetRows(RowValues):
    """The rows of a file with these columns, which may come in any order and case; others are ignored.

    Raises FileError when one of the feed's columns is missing, comes twice or has a type that it cannot hold.
    """

    def __init__(self, feed: Feed, columns: Sequence[FileColumn], defaults: Mapping[str, Any]):
        super().__init__(feed, defaults)
        # What a record is made of: each column with that of the file, and its place in a row's values.
        self.columns: list[tuple[Column, FileColumn]] = []
        places: dict[str, int] = {}
        for column in feed.columns:
            found = _named(feed, column, columns)
            if found:
                places[column.name] = len(self.columns)
                self.columns.append((column, found[0]))
        self._check_missing(places)
        for column, found_column in self.columns:
            _check_fit(column, found_column)
        self._sql: dict[str, Value] = {
            column.name: value_of(found_column, column.type, _field(number))
            for number, (column, found_column) in enumerate(self.columns)
        }
        self._readers = [
            (
                column.name,
                places.get(column.name),
                reader_of(self.columns[places[column.name]][1], column.type) if column.name in places else None,
                self.defaults.get(column.name),
            )
            for column in feed.columns
        ]
        self._day = feed.moment.column if feed.needs_date else ""
        self.lacks_day = feed.needs_date and self._day not in places

    def _check_missing(self, places: Mapping[str, int]) -> None:
        moment = self.feed.moment.column
        needed = [column for column in self.feed.columns if column.required]
        if moment not in self.defaults:
            needed.append(self.feed.column(moment))
        missing = [column for column in dict.fromkeys(needed) if column.name not in places]
        lacking = ", ".join(" or ".join(column.names_in_files) for column in missing)
        if self.feed.needs_date and [column.name for column in missing] == [moment]:
            raise FileError(f"has no column {lacking}, and neither its name nor --date gives the day")
        if missing:
            raise FileError(f"has no column {lacking}")

    def record(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return a row's values by column; raises BadRow."""
        record, name = {}, ""
        try:
            for name, place, read, default in self._readers:
                value = None if place is None or read is None else read(values[place])
                if value is None and name == self._day:
                    self.lacks_day = True
                record[name] = default if value is None else value
        except BadValue as error:
            raise BadRow(name, str(error)) from None
        return record

    def text(self, values: Sequence[Any]) -> str:
        """Return the feed's columns of a row as a JSON object, by their names in the file; cut, if it is too long."""
        shown = (
            f"{json.dumps(column.name, ensure_ascii=False)}: {_as_json(column.shown(value))}"
            for (_, column), value in zip(self.columns, values, strict=True)
        )
        return cut(f"{{{', '.join(shown)}}}")

    def table(self, path: Path) -> str:
        """Return SQL for the rows of the file, with their numbers from 0 as ROW_NUMBER."""
        fields = [f"{quoted(column.key)} AS {_field(number)}" for number, (_, column) in enumerate(self.columns)]
        literal = str(path).replace("'", "''")
        return (
            f"(SELECT {', '.join([*fields, f'file_row_number AS {ROW_NUMBER}'])} "
            f"FROM read_parquet('{literal}', file_row_number = true, hive_partitioning = false))"
        )

    @property
    def fields(self) -> str:
        """The columns of that table, as ``also`` of ``records_query``."""
        return f", {ROW_NUMBER}" + "".join(f", {_field(number)}" for number in range(len(self.columns)))

    @property
    def raw(self) -> str:
        """SQL for a row's number and values, over the columns of that table."""
        values = [column.raw(_field(number)) for number, (_, column) in enumerate(self.columns)]
        return ", ".join([f"{ROW_NUMBER} + 1", *values])

    def plain(self, column: Column) -> str:
        found = self._sql.get(column.name)
        return "true" if found is None else found.is_plain

    def value(self, column: Column) -> str:
        found = self._sql.get(column.name)
        return self.or_default(column, f"CAST(NULL AS {column.type.sql_type})" if found is None else found.value)

    def lacks(self, column: Column) -> str:
        found = self._sql.get(column.name)
        return "true" if found is None else f"{found.value} IS NULL"


def _named(feed: Feed, column: Column, columns: Sequence[FileColumn]) -> list[FileColumn]:
    """Return the file's column for one of the feed's, or none; raises FileError if there are several."""
    ours = {name.lower() for name in column.names_in_files}
    found = [one for one in columns if one.name.lower() in ours]
    if not found and column.headers:
        known = {name.lower() for other in feed.columns for name in other.names_in_files}
        bare = (one for one in columns if one.name.lower() not in known)
        found = [one for one in bare if without_unit(one.name.lower()) in ours]
    if len(found) > 1:
        raise FileError(f"has {len(found)} columns for {column.name}: {', '.join(one.name for one in found)}")
    return found


def _check_fit(column: Column, found: FileColumn) -> None:
    fit = fit_of(column.type)
    if found.kind not in fit.kinds:
        raise FileError(
            f"has the column {found.name} as {found.type}, which cannot be {fit.noun}: "
            f"write it as {fit.advice}, or as text"
        )


def reader_of(column: FileColumn, column_type: ColumnType) -> Callable[[Any], Any]:
    """Return what reads a value, as ``raw`` gives it, as a type of a feed's columns; it raises BadValue."""
    read = _value_reader(column, column_type)
    if read is None:
        return lambda raw: column_type.parse(text_of(column.kind, raw, column_type))
    return lambda raw: column_type.parse("") if raw is None else read(raw)


def _value_reader(column: FileColumn, column_type: ColumnType) -> Callable[[Any], Any] | None:
    """Return what reads a value that is not NULL as what it is; None if it is read by its text."""
    if column.kind is Kind.BOOLEAN and isinstance(column_type, Boolean):
        return bool
    if column.kind is Kind.DATE:
        return day_of if isinstance(column_type, Date) else lambda raw: column_type.parse(day_of(raw).isoformat())
    if column.kind is Kind.TIME:
        return time_of
    if column.kind is not Kind.TIMESTAMP:
        return None
    if isinstance(column_type, LocalTimestamp) and not column.is_utc:
        return lambda raw: _utc(column_type, raw)
    return _midnight if isinstance(column_type, Date) else moment_of


def _utc(column_type: LocalTimestamp, microseconds: int) -> datetime:
    try:
        return column_type.local_zone.to_utc(moment_of(microseconds))
    except OverflowError:
        raise BadValue(OUTSIDE) from None


def _midnight(microseconds: int) -> date:
    moment = moment_of(microseconds)
    if microseconds % DAY_MICROSECONDS:
        raise BadValue("is a time, not a day")
    return moment.date()


def _as_json(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


def _field(number: int) -> str:
    return f'"field {number}"'
