"""The values of a Parquet file's columns in SQL: the same as ``parquet_columns`` gives, or left to it."""

from __future__ import annotations

import re
from typing import NamedTuple

from kpis.catalog.columns import Boolean, ColumnType, Date, Decimal, Integer, Text
from kpis.catalog.columns.timestamps import LocalTimestamp
from kpis.formats.parquet_columns import DAY_MICROSECONDS, FileColumn, Kind

# Of the characters that Python can print: those of Latin, Greek and Cyrillic letters, Japanese, Chinese and Korean.
_PRINTABLE = (
    r" -~\x{A1}-\x{AC}\x{AE}-\x{24F}\x{391}-\x{3A1}\x{3A3}-\x{3CE}\x{400}-\x{482}\x{48A}-\x{4FF}"
    r"\x{3041}-\x{3096}\x{30A1}-\x{30FA}\x{4E00}-\x{9FA5}\x{AC00}-\x{D7A3}"
)
_NUMBERS = (Kind.WHOLE, Kind.FLOAT, Kind.DECIMAL)
# The years 1 to 9999.
_DAYS = "BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"
_MOMENTS = "BETWEEN -62135596800000000 AND 253402300799999999"
# Below, a number of six places has room within the 53 bits of a DOUBLE; above the other, it is not all but 0.
_SMALL, _TINY = "4e6", "1e-20"


class Value(NamedTuple):
    """SQL for a value, and a condition: true where the value is right. Both are of a field that is not NULL."""

    is_plain: str
    value: str


def value_of(column: FileColumn, column_type: ColumnType, field: str) -> Value:
    """Return SQL that reads a field as a type of a feed's columns, which can hold the column's kind."""
    if column.kind is Kind.NONE:
        found = Value("false", f"CAST(NULL AS {column_type.sql_type})")
    elif column.kind is Kind.BOOLEAN and isinstance(column_type, Boolean):
        found = Value(f"{field} IS NOT NULL", field)
    elif column.kind in (Kind.TIME, Kind.TIMESTAMP) or (column.kind is Kind.DATE and isinstance(column_type, Date)):
        found = _time(column, column_type, field)
    elif isinstance(column_type, Integer) and column.kind in _NUMBERS and type(column_type) is Integer:
        found = _whole(column, column_type, field)
    elif isinstance(column_type, Decimal) and column.kind in _NUMBERS and type(column_type) is Decimal:
        found = _decimal(column, column_type, field)
    else:
        found = _by_text(column, column_type, field)
    value = f"CASE WHEN {found.is_plain} THEN {found.value} END"
    return Value(f"({field} IS NULL OR {found.is_plain})" if column_type.optional else found.is_plain, value)


def _time(column: FileColumn, column_type: ColumnType, field: str) -> Value:
    if column.kind is Kind.DATE:
        return Value(f"{field} {_DAYS}", field)
    number = column.microseconds(field)
    if column.kind is Kind.TIME:
        is_plain = f"{number} BETWEEN 0 AND {DAY_MICROSECONDS - 1}"
        return Value(is_plain, f"TIME '00:00:00' + to_microseconds({number})")
    if isinstance(column_type, Date):
        day = f"DATE '1970-01-01' + CAST({number} // {DAY_MICROSECONDS} AS INTEGER)"
        return Value(f"({number} {_MOMENTS} AND {number} % {DAY_MICROSECONDS} = 0)", day)
    moment = f"make_timestamp(CASE WHEN {number} {_MOMENTS} THEN {number} END)"
    if isinstance(column_type, LocalTimestamp) and not column.is_utc:
        moment = column_type.local_zone.utc_sql(moment)
    return Value(f"{moment} IS NOT NULL", moment)


def _whole(column: FileColumn, column_type: Integer, field: str) -> Value:
    if column_type.unknown:
        return _by_text(column, column_type, field)
    number = f"TRY_CAST({field} AS {column_type.sql_type})"
    return Value(f"coalesce({_is_whole(column, field)} AND {column_type.holds(number)}, false)", number)


def _is_whole(column: FileColumn, field: str) -> str:
    """Return an SQL condition: true if a number is whole, and of 64 bits; it may be NULL."""
    if column.kind is Kind.WHOLE:
        return "true"
    number = f"TRY_CAST({field} AS BIGINT)"
    return f"CAST({number} AS DOUBLE) = {field}" if column.kind is Kind.FLOAT else f"TRY({number} = {field})"


def _decimal(column: FileColumn, column_type: Decimal, field: str) -> Value:
    number = f"TRY_CAST({field} AS {column_type.sql_type})"
    is_right = "true"
    if column.kind is Kind.FLOAT:
        field = f"CAST({field} AS DOUBLE)"
        number, is_right = _rounded(column_type, field)
    elif column.kind is Kind.DECIMAL:
        is_right = _is_rounded(column, column_type, field, number)
    unknown = f"{number} IN ({', '.join(map(str, column_type.unknown))})" if column_type.unknown else "false"
    is_within = f"{number} BETWEEN {column_type.minimum} AND {column_type.maximum}"
    return Value(
        f"coalesce({is_right} AND ({is_within} OR {unknown}), false)",
        f"CASE WHEN NOT {unknown} THEN {number} END",
    )


def _rounded(column_type: Decimal, field: str) -> tuple[str, str]:
    """Return SQL for a DOUBLE with six places, and a condition: true if that is what it is, rounded half to even.

    Between two numbers of six places, or between a bound and the next such number, it is left to Python.
    """
    millionths = f"{field} * 1e6"
    is_between = f"abs({millionths} - floor({millionths}) - 0.5) > 0.001"
    limits = {abs(column_type.minimum), abs(column_type.maximum), *map(abs, column_type.unknown)}
    is_off = " AND ".join(f"abs(abs({field}) - {limit}) > 0.000001" for limit in sorted(limits))
    is_whole = f"({field} = floor({field}) AND abs({field}) <= 1e11)"
    # By a file's statistics, which leave NaN out, DuckDB takes a comparison for true, and drops it.
    rounded = f"TRY_CAST(TRY_CAST(round({millionths}) AS BIGINT) * 0.000001 AS DECIMAL(18, 6))"
    number = f"""CASE WHEN {is_whole} THEN TRY_CAST({field} AS {column_type.sql_type})
        WHEN abs({field}) < {_SMALL} THEN {rounded} END"""
    is_right = f"abs({field}) < {_SMALL} AND abs({field}) > {_TINY} AND {is_between} AND {is_off}"
    return number, f"isfinite({field}) AND ({is_whole} OR ({is_right}))"


def _is_rounded(column: FileColumn, column_type: Decimal, field: str, number: str) -> str:
    """Return an SQL condition: true if ``number``, which DuckDB rounds half away from zero, is rounded half to even."""
    found = re.fullmatch(r"DECIMAL\(([0-9]+),([0-9]+)\)", column.type)
    if found and int(found[2]) <= 6:
        return "true"
    exact = f"TRY(TRY_CAST({number} AS {column.type}) = {field})"
    places = f"TRY_CAST({field} AS DECIMAL(20, 7))"
    is_tie = f"TRY(TRY_CAST({places} AS {column.type}) = {field} AND right(CAST({places} AS VARCHAR), 1) = '5')"
    limits = ", ".join(map(str, {column_type.minimum, column_type.maximum, *column_type.unknown}))
    return f"({exact} OR (NOT {is_tie} AND {number} NOT IN ({limits})))"


def _by_text(column: FileColumn, column_type: ColumnType, field: str) -> Value:
    """Return SQL that reads a field by its text, as ``text_of`` does."""
    is_readable = "true"
    if column.kind in (Kind.FLOAT, Kind.DECIMAL):
        is_readable = f"coalesce({_is_whole(column, field)}, false)"
        text = f"CAST(TRY_CAST({field} AS BIGINT) AS VARCHAR)"
    elif column.kind is Kind.DATE:
        text = f"CASE WHEN {field} {_DAYS} THEN CAST({field} AS VARCHAR) END"
    elif column.kind is Kind.BYTES:
        text = f"trim(TRY(decode({field})))"
    elif column.kind is Kind.TEXT:
        text = f"trim({field})"
    else:
        text = f"CAST({field} AS VARCHAR)"
    is_plain = _is_printable(column_type, text) if type(column_type) is Text else column_type.is_plain(text)
    is_plain = f"{text} IS NOT NULL AND {is_plain}"
    return Value(f"({is_readable} AND {is_plain})", column_type.value(text))


def _is_printable(column_type: Text, text: str) -> str:
    """Return an SQL condition: true if a text has the length that a column takes, and only well-known letters."""
    is_printable = f"length({text}) <= {column_type.longest} AND regexp_full_match({text}, '[{_PRINTABLE}]+')"
    return f"({text} = '' OR {is_printable})" if column_type.optional else f"({is_printable})"
