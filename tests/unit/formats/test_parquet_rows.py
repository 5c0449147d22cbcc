"""What the judge makes of a value of a Parquet file: each kind of values as each type of a feed's columns."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal as Number
from typing import Any

import pytest

from kpis.catalog.columns import (
    UUID,
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    Date,
    Decimal,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    MonthFirst,
    PostalCode,
    Text,
    TimeOfDay,
    UnixTimestamp,
)
from kpis.formats.parquet_columns import FileColumn
from kpis.formats.parquet_rows import reader_of

ID = "8d3a7c1e-5b2f-4d60-9e0a-0123456789ab"
# 2021-07-18T00:05:09.000250Z in microseconds, and that midnight.
MICRO, MIDNIGHT = 1_626_566_709_000_250, 1_626_566_400_000_000
MOMENT = datetime(2021, 7, 18, 0, 5, 9, 250)  # noqa: DTZ001
OUTSIDE = "lies outside the years 1 to 9999"

VALUES: list[tuple[ColumnType, str, Any, Any]] = [
    # Whole numbers, of every type that can hold one exactly.
    (Integer(), "TINYINT", 5, 5),
    (Integer(), "UBIGINT", 2**63 - 1, 2**63 - 1),
    (Integer(), "DOUBLE", 5.0, 5),
    (Integer(), "DOUBLE", -0.0, 0),
    (Integer(), "FLOAT", 16_777_216.0, 16_777_216),
    (Integer(), "DECIMAL(9,2)", Number("5.00"), 5),
    (Integer(), "VARCHAR", " 5\t", 5),
    (Integer(), "BLOB", b"5", 5),
    (Integer(optional=True), "BIGINT", None, None),
    (Integer(optional=True), "VARCHAR", "", None),
    (Integer(optional=True), '"NULL"', None, None),
    (Integer(unknown=(99,)), "BIGINT", 99, None),
    # Decimals, rounded half to even at the sixth place.
    (Decimal(), "BIGINT", 5, Number(5)),
    (Decimal(), "DOUBLE", 0.1, Number("0.1")),
    (Decimal(), "DOUBLE", 0.0000025, Number("0.000003")),  # as a DOUBLE, it is above the tie
    (Decimal(), "DOUBLE", 0.5**20, Number("0.000001")),
    (Decimal(), "DECIMAL(18,7)", Number("0.0000025"), Number("0.000002")),
    (Decimal(), "DECIMAL(18,7)", Number("0.0000035"), Number("0.000004")),
    (Decimal(minimum=-90, maximum=90), "DOUBLE", 90.0, Number(90)),
    (Decimal(unknown=(255,)), "TINYINT", 255, None),
    (Decimal(), "VARCHAR", "5.25", Number("5.25")),
    # Texts, and what is written like one.
    (Text(), "VARCHAR", "  Telefónica ", "Telefónica"),
    (Text(), "BLOB", "Telefónica".encode(), "Telefónica"),
    (Text(), "INTEGER", 21407, "21407"),
    (Text(), "BOOLEAN", True, "true"),
    (Text(), "UUID", ID, ID),
    (Text(), "DECIMAL(9,2)", Number("5.50"), "5.5"),
    (Choice(words=("Call", "Text")), "VARCHAR", "CALL", "Call"),
    (Choice(words=("1", "2")), "UTINYINT", 2, "2"),
    (PostalCode(), "DOUBLE", 250236.0, "250236"),
    (PostalCode(), "INTEGER", 250236, "250236"),
    (PostalCode(), "VARCHAR", "250236.0", "250236"),
    (UUID(), "UUID", ID, ID),
    (UUID(), "VARCHAR", ID.upper(), ID),
    (Boolean(), "BOOLEAN", False, False),
    (Boolean(true=("Y",), false=("N",)), "BOOLEAN", True, True),
    (Boolean(), "TINYINT", 1, True),
    # Days, times of day and times.
    (Date(), "DATE", 18_826, date(2021, 7, 18)),
    (Date(), "TIMESTAMP", MIDNIGHT, date(2021, 7, 18)),
    (Date(), "VARCHAR", "2021-07-18", date(2021, 7, 18)),
    (Date(optional=True), "DATE", None, None),
    (TimeOfDay(), "TIME", 309_000_250, time(0, 5, 9, 250)),
    (TimeOfDay(), "VARCHAR", "00:05:09", time(0, 5, 9)),
    (MonthFirst(), "TIMESTAMP", MICRO, MOMENT),
    (MonthFirst(), "TIMESTAMP_NS", MICRO, MOMENT),
    (ISOTimestamp(), "TIMESTAMP WITH TIME ZONE", MICRO, MOMENT),
    # Local time, in the column's zone, unless it is UTC.
    (ISOTimestamp(zone="Europe/Madrid"), "TIMESTAMP", MICRO, MOMENT.replace(day=17, hour=22)),
    (ISOTimestamp(zone="Europe/Madrid"), "TIMESTAMP WITH TIME ZONE", MICRO, MOMENT),
    (ISOTimestamp(zone="Europe/Madrid"), "VARCHAR", "2021-07-18T02:05:09.000250", MOMENT),
    (ISOTimestamp(zone="Europe/Madrid", days=True), "DATE", 18_826, datetime(2021, 7, 17, 22)),  # noqa: DTZ001
    (FormattedTimestamp(format="%Y%m%d%H%M%S"), "BIGINT", 20_210_718_000_509, MOMENT.replace(microsecond=0)),
    (UnixTimestamp(a_second=1_000), "BIGINT", 1_626_566_709_000, MOMENT.replace(microsecond=0)),
    (UnixTimestamp(), "DOUBLE", 1_626_566_709.00025, MOMENT),
    (UnixTimestamp(), "DECIMAL(18,6)", Number("1626566709.000250"), MOMENT),
    (UnixTimestamp(), "TIMESTAMP", MICRO, MOMENT),
]
BAD_VALUES: list[tuple[ColumnType, str, Any, str]] = [
    (Integer(), "BIGINT", None, "is empty"),
    (Integer(), "BIGINT", -1, "is negative"),
    (Integer(), "UBIGINT", 2**63, "is beyond 64 bits"),
    (Integer(bits=32), "BIGINT", 2**31, "is beyond 32 bits"),
    (Integer(), "DOUBLE", 5.5, "is not a whole number"),
    (Integer(), "DOUBLE", 1e-40, "is not a whole number"),
    (Integer(), "DOUBLE", 1e300, "is beyond 64 bits"),
    (Integer(), "DOUBLE", float("nan"), "is not a whole number"),
    (Integer(), "DECIMAL(38,37)", Number("0." + "0" * 36 + "1"), "is not a whole number"),
    (Integer(), "VARCHAR", "five", "is not a whole number"),
    (Integer(), "BLOB", b"\xff", "is not valid UTF-8"),
    (Decimal(), "DOUBLE", float("inf"), "is not a decimal number"),
    (Decimal(minimum=-90, maximum=90), "DOUBLE", 90.00000000000001, "is not between -90 and 90"),
    (Text(longest=3), "VARCHAR", "four", "is longer than 3 characters"),
    (Text(), "VARCHAR", "x" * 65_537, "is longer than 65,536 characters"),
    (Text(), "BLOB", b"x" * 262_145, "is longer than 65,536 characters"),
    (Text(), "VARCHAR", "a\0b", "holds a control character"),
    (Date(), "DATE", None, "is empty"),
    (Date(), "DATE", 2**31 - 2, OUTSIDE),
    (Date(), "TIMESTAMP", MICRO, "is a time, not a day"),
    (TimeOfDay(), "TIME", 86_400_000_000, "is not a time of day"),
    (MonthFirst(), "TIMESTAMP", 2**63 - 1, OUTSIDE),
    (ISOTimestamp(zone="Europe/Madrid"), "TIMESTAMP", 1_616_898_600_000_000, "does not exist in Europe/Madrid"),
    (ISOTimestamp(zone="Asia/Kolkata"), "TIMESTAMP", -62_135_596_800_000_000, OUTSIDE),
]


@pytest.mark.parametrize(("column", "kind", "raw", "value"), VALUES, ids=str)
def test_a_value_is_read_as_the_text_that_csv_would_have_or_as_the_time_it_is(column, kind, raw, value):
    found = reader_of(FileColumn("c", kind, "c"), column)(raw)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(("column", "kind", "raw", "reason"), BAD_VALUES, ids=str)
def test_a_value_that_the_column_cannot_hold_has_a_reason(column, kind, raw, reason):
    with pytest.raises(BadValue) as error:
        reader_of(FileColumn("c", kind, "c"), column)(raw)
    assert str(error.value) == reason
