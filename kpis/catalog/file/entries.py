"""The keys of a catalog file, each with its type, its default and its meaning.

The file is converted to these classes; the JSON Schema for editors and the reference of catalog files are made from
them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kpis.catalog.file.entry import (
    FIRST_ID,
    LAST_ID,
    ColumnName,
    Entry,
    FeedName,
    FixedLengthName,
    KPIName,
    LengthName,
    Line,
    ReferenceName,
)
from kpis.catalog.file.measure_entries import AnyMeasure


class ColumnEntry(Entry, kw_only=True, frozen=True, tag_field="type"):
    """A column of a feed; ``type`` says what its values are."""

    header: Annotated[
        str | list[str],
        Meta(
            description="Its name in files, or several that it may have there: in a header, or the key in JSON, "
            "`radio.cell.id` for one in objects within. Default: its own."
        ),
    ] = []
    unit: Annotated[str, Meta(description="The unit of the values.")] = ""
    optional: Annotated[
        bool, Meta(description="Whether a row may leave the column empty. One with a `default` may anyway.")
    ] = False
    required: Annotated[bool, Meta(description="Whether each file must have the column.")] = True
    personal: Annotated[
        bool, Meta(description="Whether the values identify a person. KPIs with such a dimension must be personal.")
    ] = False
    source: Annotated[str, Meta(description="What defines the range of the values, such as a standard.")] = ""


class IntegerColumn(ColumnEntry, tag="integer", kw_only=True, frozen=True):
    """Whole numbers."""

    minimum: Annotated[int | None, Meta(description="The least value. Default: the least of the bits.")] = None
    maximum: Annotated[int | None, Meta(description="The largest value. Default: the largest of the bits.")] = None
    bits: Annotated[Literal[32, 64], Meta(description="The size of the numbers, signed.")] = 64
    unknown: Annotated[list[int], Meta(description="Numbers that mean that the value is not known.")] = []
    scientific: Annotated[
        bool, Meta(description="Whether whole numbers may be written as `123.0` and `3.1656863E+10`.")
    ] = False
    default: Annotated[
        int | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class DecimalColumn(ColumnEntry, tag="decimal", kw_only=True, frozen=True):
    """Decimal numbers, kept exactly to six places."""

    minimum: Annotated[int, Meta(description="The least value.")] = -(10**11)
    maximum: Annotated[int, Meta(description="The largest value.")] = 10**11
    unknown: Annotated[list[int], Meta(description="Numbers that mean that the value is not known.")] = []
    default: Annotated[
        int | float | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class TextColumn(ColumnEntry, tag="text", kw_only=True, frozen=True):
    """Texts without control characters."""

    longest: Annotated[int, Meta(ge=1, le=500, description="The most characters of a text.")] = 100
    default: Annotated[
        str | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class ChoiceColumn(ColumnEntry, tag="choice", kw_only=True, frozen=True):
    """One of a few words, in any case, kept as they are spelled here."""

    words: Annotated[list[Line], Meta(min_length=1, description="The words.")]
    default: Annotated[
        str | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class PostalCodeColumn(ColumnEntry, tag="postal_code", kw_only=True, frozen=True):
    """Postal codes: texts, of which a spreadsheet's ``.0`` is dropped."""

    default: Annotated[
        str | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class UUIDColumn(ColumnEntry, tag="uuid", kw_only=True, frozen=True):
    """UUIDs, in any case."""


class DateColumn(ColumnEntry, tag="date", kw_only=True, frozen=True):
    """Days, as ``2026-03-01``."""


class TimeOfDayColumn(ColumnEntry, tag="time_of_day", kw_only=True, frozen=True):
    """Times of day, as ``08:05:00``."""


class BooleanColumn(ColumnEntry, tag="boolean", kw_only=True, frozen=True):
    """True or false. The groups are named `true` and `false`."""

    true: Annotated[list[Line], Meta(min_length=1, description="The words for true, in any case.")] = msgspec.field(
        default_factory=lambda: ["true", "1", "yes"]
    )
    false: Annotated[list[Line], Meta(min_length=1, description="The words for false, in any case.")] = msgspec.field(
        default_factory=lambda: ["false", "0", "no"]
    )
    default: Annotated[
        bool | None, Meta(description="The value of records whose rows have none; not with `optional`.")
    ] = None


class TimeColumn(ColumnEntry, tag="time", kw_only=True, frozen=True):
    """Times, to the microsecond."""

    format: Annotated[
        str,
        Meta(
            description="How they are written: `iso`, as `2026-03-01T12:00:00Z`; `unix_s`, `unix_ms` or `unix_us`, "
            "Unix time in these units; or [directives](columns.md#times-in-a-format) such as `%d.%m.%Y %H:%M:%S`."
        ),
    ]
    zone: Annotated[str, Meta(description="The time zone of times without an offset, such as `Europe/Madrid`.")] = "UTC"
    days: Annotated[bool, Meta(description="Whether, with `iso`, a day alone means its midnight.")] = False


AnyColumn = (
    IntegerColumn
    | DecimalColumn
    | TextColumn
    | ChoiceColumn
    | PostalCodeColumn
    | UUIDColumn
    | DateColumn
    | TimeOfDayColumn
    | BooleanColumn
    | TimeColumn
)


class FormatEntry(Entry, kw_only=True, frozen=True, tag_field="type"):
    """How a feed's rows are written."""


class CSVEntry(FormatEntry, tag="csv", kw_only=True, frozen=True):
    """A row a line, fields between delimiters. [Formats](formats.md) has the rules."""

    header: Annotated[
        Literal["required", "optional", "none"],
        Meta(description="Whether a file begins with the names of its columns. Without, they are in the feed's order."),
    ] = "required"
    delimiter: Annotated[str, Meta(description="The character between two fields.")] = ","
    quote: Annotated[
        str, Meta(description="The character round a field that holds the delimiter. Empty: there is none.")
    ] = '"'
    decimal: Annotated[Literal[".", ","], Meta(description="What precedes the decimals of numbers.")] = "."
    thousands: Annotated[
        str, Meta(description="What may separate groups of three digits in numbers. Empty: nothing.")
    ] = ""
    encoding: Annotated[
        Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"],
        Meta(description="The encoding; the byte order mark of `utf-16` says which."),
    ] = "utf-8"
    comment: Annotated[str, Meta(description="Lines that begin with it are no rows. Empty: there are none.")] = ""
    preamble: Annotated[int, Meta(description="The number of lines before the header.")] = 0
    missing: Annotated[
        list[str], Meta(description="Words that mean the same as an empty field, in any case, such as `NULL`.")
    ] = []


class JSONLinesEntry(FormatEntry, tag="json_lines", kw_only=True, frozen=True):
    """One JSON object a line."""


class ParquetEntry(FormatEntry, tag="parquet", kw_only=True, frozen=True):
    """Apache Parquet."""


class AvroEntry(FormatEntry, tag="avro", kw_only=True, frozen=True):
    """Apache Avro: files, and messages of a stream. [Formats](formats.md#avro) has the rules."""

    schemas: Annotated[
        str,
        Meta(
            description="Where the schemas of messages are: a folder with a file `ID.avsc` each, from the catalog "
            "file's own folder on, or the http or https address of a schema registry. Files have their own."
        ),
    ] = ""


class PluginEntry(FormatEntry, tag="plugin", kw_only=True, frozen=True):
    """A [format of a plug-in](formats.md#a-format-of-your-own)."""

    name: Annotated[str, Meta(min_length=1, description="The name of the format.")]
    options: Annotated[dict[str, Any], Meta(description="Its options, which the plug-in describes and checks.")] = {}


AnyFormat = CSVEntry | JSONLinesEntry | ParquetEntry | AvroEntry | PluginEntry


class TimeEntry(Entry, kw_only=True, frozen=True):
    """When a record is: the time in ``column``, or the time of day in ``clock`` on the day in ``day``."""

    column: Annotated[str, Meta(description="The column with the time.")] = ""
    day: Annotated[str, Meta(description="The column with the day, with `clock`.")] = ""
    clock: Annotated[str, Meta(description="The column with the time of day, with `day`.")] = ""
    zone: Annotated[str, Meta(description="The time zone of `day` and `clock`.")] = "UTC"
    at: Annotated[
        Literal["start", "end"],
        Meta(description="Whether it is the start or the end of the interval that a record is about."),
    ] = "start"


class CheckEntry(Entry, kw_only=True, frozen=True):
    """A condition on a row as a whole; a row for which it is false is a reject."""

    column: Annotated[str, Meta(description="The column that a reject names.")]
    holds: Annotated[str, Meta(description="The condition, an [expression](expressions.md) over the feed's columns.")]
    reason: Annotated[Line, Meta(description="The reason of a reject, as it follows the column's name.")]


class DerivedEntry(Entry, kw_only=True, frozen=True):
    """A column that is in no file, computed from the others."""

    value: Annotated[
        str,
        Meta(description="Its value, an [expression](expressions.md) over the columns and the derived ones before."),
    ]
    unit: Annotated[str, Meta(description="The unit of the values.")] = ""


class FeedEntry(Entry, kw_only=True, frozen=True):
    """A feed: one kind of raw record."""

    description: Annotated[Line, Meta(description="What its records are, in a line.")]
    files: Annotated[
        list[Line], Meta(min_length=1, description="Patterns of its files' names, as in a shell: `probe_*.csv`.")
    ]
    endings: Annotated[
        list[Line],
        Meta(description="How the name of a finished file ends, for patterns that end in `*`. Default: by format."),
    ] = []
    format: Annotated[AnyFormat, Meta(description="How its rows are written.")]
    interval: Annotated[FixedLengthName, Meta(description="The shortest interval that its records are counted in.")] = (
        "5m"
    )
    time: Annotated[TimeEntry, Meta(description="When a record is.")]
    columns: Annotated[dict[ColumnName, AnyColumn], Meta(min_length=1, description="Its columns, by name.")]
    derived: Annotated[
        dict[ColumnName, DerivedEntry], Meta(description="Columns that are computed from the others, by name.")
    ] = {}
    checks: Annotated[list[CheckEntry], Meta(description="Conditions on a row as a whole.")] = []
    archive: Annotated[bool, Meta(description="Whether the lake keeps the records themselves.")] = False
    day_in_name: Annotated[
        str,
        Meta(
            description="A regular expression, of [RE2](https://github.com/google/re2/wiki/Syntax), that finds the day "
            "of the records in a file's name, with the groups `(?P<year>...)`, `month` and `day`, for rows whose "
            "column `time.day` is missing."
        ),
    ] = ""


class DimensionEntry(Entry, kw_only=True, frozen=True):
    """A dimension: what records are grouped by."""

    name: Annotated[ColumnName, Meta(description="The name of the dimension.")]
    column: Annotated[
        str, Meta(description="The feed's column, or `cell_id.region`. Default: that of the same name.")
    ] = ""
    ignore_case: Annotated[
        bool, Meta(description="Whether texts that differ by case make one group, named by the most frequent.")
    ] = False
    grid: Annotated[
        list[str],
        Meta(description="Two columns, latitude and longitude in degrees, to group by the cells of a grid instead."),
    ] = []
    cells_per_degree: Annotated[
        Literal[1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000],
        Meta(description="Of a grid: cells of a degree, each way."),
    ] = 20


class KPIEntry(Entry, kw_only=True, frozen=True):
    """A KPI: a measure of a feed's records, by dimensions, per interval."""

    id: Annotated[
        int,
        Meta(ge=FIRST_ID, le=LAST_ID, description=f"Its number in addresses, {FIRST_ID} to {LAST_ID}."),
    ]
    description: Annotated[Line, Meta(description="What it shows, in a line.")]
    plural: Annotated[str, Meta(description="The name of its rows. Default: its name in words, with an s.")] = ""
    feed: Annotated[str, Meta(description="The feed, declared or built in.")]
    by: Annotated[
        list[str | DimensionEntry],
        Meta(
            min_length=1,
            description="Its dimensions: columns by name, `cell_id.region` for what a reference says of a column, or "
            "tables.",
        ),
    ]
    measure: Annotated[AnyMeasure, Meta(description="What is computed.")]
    unit: Annotated[Line, Meta(description="The unit of the values.")]
    filter: Annotated[
        str,
        Meta(
            description="Only records for which it is true count: an [expression](expressions.md) over the feed's "
            "columns."
        ),
    ] = ""
    lengths: Annotated[
        list[LengthName],
        Meta(
            min_length=1,
            description="The interval lengths that it is computed for; days, weeks and months are those of TIME_ZONE.",
        ),
    ] = msgspec.field(default_factory=lambda: ["5m", "1h"])
    top: Annotated[bool, Meta(description="Whether only the TOP_N largest groups of an interval are kept.")] = False
    personal: Annotated[bool, Meta(description="Whether it shows personal data of subscribers.")] = False


class ReferenceEntry(Entry, kw_only=True, frozen=True):
    """A reference: what is known of the things that records name, such as the site of a cell."""

    description: Annotated[Line, Meta(description="What it describes, in a line.")]
    of: Annotated[
        list[str],
        Meta(
            description="The feeds' columns whose values are its keys: `probe.cell`, or `cell` for the columns of that "
            "name in all feeds. Default: those with the name of the key."
        ),
    ] = []
    key: Annotated[str, Meta(description="The column of its keys.")]
    name: Annotated[str, Meta(description="The column with the name that is shown beside a key. Default: none.")] = ""
    place: Annotated[
        list[str], Meta(description="Two columns, latitude and longitude in degrees. Default: it has no place.")
    ] = []
    ignore_case: Annotated[bool, Meta(description="Whether keys that differ by case are one.")] = False
    columns: Annotated[
        dict[ColumnName, AnyColumn],
        Meta(min_length=1, description="The columns of its files besides `valid_from` and `valid_to`, by name."),
    ]


# A key of a KPI's table that stands for others; see ``formulas``.
FORMULA = "formula"
FORMULA_HELP = (
    "Instead of feed, by, measure and lengths: a quotient of sums or counts, as "
    "100 * sum(up) / sum(up, down) of probe by cell per 1h, 1d."
)


class CatalogFile(Entry, kw_only=True, frozen=True):
    """A catalog file of Network Analysis."""

    feeds: Annotated[dict[FeedName, FeedEntry], Meta(description="Feeds, by name.")] = {}
    kpis: Annotated[dict[KPIName, KPIEntry], Meta(description="KPIs, by name.")] = {}
    references: Annotated[dict[ReferenceName, ReferenceEntry], Meta(description="References, by name.")] = {}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of catalog files, for editors."""
    (schema,), definitions = msgspec.json.schema_components([CatalogFile], ref_template="#/$defs/{name}")
    kpi = definitions["KPIEntry"]
    kpi["properties"][FORMULA] = {"type": "string", "description": FORMULA_HELP}
    in_full = kpi["required"]
    kpi["required"] = ["id"]
    kpi["anyOf"] = [{"required": in_full}, {"required": [FORMULA]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}
