"""The reference page of column types, whose examples are read by the types themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

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
    PostalCode,
    Text,
    TimeOfDay,
    UnixTimestamp,
)
from kpis.catalog.columns.layouts import DIRECTIVES
from kpis.catalog.columns.zones import YEARS
from scripts.markdown import table

INTRO = """
A column's type says which texts of a file are values, and which value each is. A row with another text is a reject,
with the column and the reason. [Catalog files](catalog.md#the-types-of-columns) has the keys of each type;
[Feeds](feeds.md) the columns of each feed. An empty field is a value only of an `optional` column: none.
"""
TIMES_INTRO = """
A time is kept in UTC, to the microsecond. What a text has below a microsecond is cut off, which moves no time into
another interval. Without a time of day it is the day's midnight. The time of a record lies from 1970-01-01 to
9999-12-30; other columns may have any time of the years 1 to 9999.
"""
FORMAT_INTRO = """
A format has directives of `strptime`, and all else stands as it is written there. A catalog whose format has another
directive, or lacks a part of a day, is refused with the reason.
"""
FORMAT_DIGITS = """
A number of two digits may be written with one, unless another number stands right beside it, as in `%Y%m%d`.
"""
ZONES = f"""
A time without an offset is local time of the column's `zone`, by default UTC: a name of the
[IANA database](https://www.iana.org/time-zones), such as `Europe/Madrid`.

- A local time that does not exist, as clocks go forward, makes the row a reject.
- A local time that comes twice, as clocks go back, is the first of the two: nothing in the text says which one it is.
  A file whose times have an offset, or are UTC, has no such hour.
- Times in a zone are read fast up to the year {1969 + YEARS}, and one by one after it.

A day and a time of day in two columns are local in the same way: `time = {{day = ..., clock = ..., zone = ...}}`.
"""
ENDS = """
With `at = "end"`, the time is the end of what the record is about. An interval does not contain its end, so that a
record whose time is 12:05:00 counts in the interval that ends at 12:05, of any length.
"""
NUMBERS = """
With `scientific`, a whole number may have a point or an exponent, as spreadsheets write it; it is read exactly.
`unknown` has numbers that mean that there is no value: they are read like an empty field, within the range or not.
"""
JSON = """
In JSON, whole numbers are numbers, and texts, days and times are texts. Decimals and Unix time may be either; true and
false may be JSON's own, or any of the column's words. `null` is an empty field in an optional column.
"""

MADRID = "Europe/Madrid"
# The sections: title, introduction, and examples: how a column is declared, its type, and texts.
ISO = [
    (
        "`iso`",
        ISOTimestamp(),
        (
            "2026-03-01T12:00:00Z",
            "2026-03-01 12:00",
            "2026-03-01T12:00:00.25+02:00",
            "2026-03-01T12:00:00,123456789-0330",
        ),
    ),
    (
        "`iso`, `zone` Europe/Madrid",
        ISOTimestamp(zone=MADRID),
        ("2026-07-01T12:00:00", "2026-07-01T12:00:00Z", "2026-07-01"),
    ),
    ("`iso`, `zone` Europe/Madrid, `days`", ISOTimestamp(zone=MADRID, days=True), ("2026-07-01",)),
]
FORMATS = [
    (f"`{format}`, `zone` {zone}", FormattedTimestamp(format=format, zone=zone), texts)
    for format, zone, texts in (
        (
            "%d.%m.%Y %H:%M:%S",
            MADRID,
            ("01.07.2026 12:00:00", "1.7.2026 9:05:00", "29.03.2026 02:30:00", "25.10.2026 02:30:00"),
        ),
        ("%m/%d/%Y %I:%M %p", "America/New_York", ("07/01/2026 12:30 AM",)),
        ("%d/%b/%Y:%H:%M:%S %z", "UTC", ("01/Jul/2026:12:00:00 +0200",)),
        ("%Y%m%d%H%M%S%f", "UTC", ("20260701120000250",)),
    )
]
UNIX = [
    ("`unix_s`", UnixTimestamp(), ("1772366400", "1772366400.25", "1.7e9")),
    ("`unix_ms`", UnixTimestamp(a_second=1_000), ("1772366400250",)),
    ("`unix_us`", UnixTimestamp(a_second=1_000_000), ("1772366400000001",)),
]
OTHERS = [
    ("`integer`", Integer(minimum=-(2**63)), ("-42", "007", "42.0", "9223372036854775808")),
    ("`integer`, `minimum` 0", Integer(), ("-1",)),
    ("`integer`, `scientific`", Integer(scientific=True), ("42.0", "3.1656863E+10", "1.5")),
    ("`integer`, `unknown` -1 and 255", Integer(unknown=(-1, 255)), ("254", "255", "-1")),
    ("`decimal`", Decimal(), ("42", "-0.5", "0.1234565", ".5", "1e3")),
    ("`text`, `longest` 5", Text(longest=5), ("Hertz", "Hertz and others")),
    ("`choice`, `words` CALL and TEXT", Choice(words=("CALL", "TEXT")), ("CALL", "call", "SMS")),
    ("`boolean`", Boolean(), ("true", "YES", "0", "off")),
    ("`postal_code`", PostalCode(), ("08001", "250236.0")),
    ("`uuid`", UUID(), ("936DA01F-9ABD-4D9D-80C7-02AF85C822A8", "936DA01F")),
    ("`date`", Date(), ("2026-03-01", "2026-02-29")),
    ("`time_of_day`", TimeOfDay(), ("23:59:59", "24:00:00")),
]

Examples = Sequence[tuple[str, ColumnType, tuple[str, ...]]]


def columns_page() -> str:
    """Return the page of column types: what each accepts, with examples."""
    directives = ((f"`{directive}`", meaning) for directive, (_, meaning) in DIRECTIVES.items())
    parts = [
        "# Column types", INTRO, "## Times", TIMES_INTRO, "### ISO 8601", _examples(ISO), "### Times in a format",
        FORMAT_INTRO, table(("directive", "what it stands for"), directives), FORMAT_DIGITS, _examples(FORMATS),
        "### Unix time", _examples(UNIX), "### Zones", ZONES, "### The start or the end of an interval", ENDS,
        "## Numbers, words and texts", NUMBERS, _examples(OTHERS), "## JSON", JSON,
    ]  # fmt: skip
    return "\n\n".join(part.strip() for part in parts)


def _examples(examples: Examples) -> str:
    return table(("column", "text", "value, or the reason of a reject"), _rows(examples))


def _rows(examples: Examples) -> Iterable[tuple[str, str, str]]:
    for declared, of, texts in examples:
        for text in texts:
            yield declared, f"`{text}`", _value(of, text)


def _value(of: ColumnType, text: str) -> str:
    try:
        value = of.parse(text)
    except BadValue as error:
        return f"{error}"
    if value is None:
        return "none"
    if isinstance(value, datetime):
        return f"`{value.isoformat()}Z`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
