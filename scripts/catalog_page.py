"""The reference page of catalog files, made from the classes of their entries."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec
from msgspec import inspect

from kpis.catalog.file import entries, measure_entries
from kpis.catalog.file.definitions import COLUMN_NOTES, FEED_NOTES, KPI_NOTES, MERGING
from scripts.markdown import table

INTRO = """
A catalog file declares feeds, KPIs and references of your own, in [TOML](https://toml.io). `CATALOG` names it, or
several of them with commas between. A feed is a table `[feeds.NAME]`, a KPI a table `[kpis.NAME]`, a reference a table
`[references.NAME]`:

```toml
{example}```

A file that cannot be used stops each command with its line and the reason.
"""

EXAMPLE = """\
[feeds.probe]
description = "Probe counters: bytes per cell"
files = ["probe_*.csv"]
format = {type = "csv"}
time = {column = "begin"}

[feeds.probe.columns]
begin = {type = "time", format = "unix_ms"}
cell = {type = "integer", minimum = 1}
operator = {type = "text", optional = true}
bytes = {type = "integer", minimum = 0, unit = "bytes"}

[kpis.CellVolume]
id = 1001
feed = "probe"
description = "Cells by bytes"
by = ["cell"]
measure = {type = "sum", columns = ["bytes"], name = "total_bytes"}
unit = "bytes"
lengths = ["5m", "1h"]

[references.cell]
description = "Cells with their site and vendor"
of = ["probe.cell"]
key = "cell"
name = "cell_name"

[references.cell.columns]
cell = {type = "integer"}
cell_name = {type = "text", optional = true}
site = {type = "text", optional = true}
vendor = {type = "choice", words = ["Ericsson", "Nokia"], optional = true}
"""

FORMULA = """
A ratio can be written as a `formula`, in place of `feed`, `by`, `measure` and `lengths`:

```toml
[kpis.UplinkShare]
id = 1001
formula = "100 * sum(bytes_uplink) / sum(bytes_uplink, bytes_downlink) of ipflow by cell_id.region per 1h, 1d"
```

First comes one quotient of formulas over sums and counts: `sum(a)`, `sum(a, b)` of two columns,
`sum(a where kind = 'DATA')`, `count()` of records, `count(kind = 'DATA')`. Then come the feed after `of`, dimensions
after `by`, and the lengths after `per`. The value is called as the KPI, in small letters: `uplink_share`. `description`
is the formula, if it is not given, and `unit` is `percent` after `100 *`, or else `ratio`. Dimensions that need a
table, and other measures, need the keys.
"""

DIMENSION = """
An entry of `by`, where the name of a column alone does not do. A KPI has at most 14 dimensions. Their texts have at
most 668 characters together where there are two, four less for each further dimension, and those of one with
`ignore_case` at most 223: databases have no longer indexes.
"""

REFERENCE = """
`[references.NAME]`, with a name of lower-case letters, digits and `_`. The key is a column of integers, texts, words,
postal codes or UUIDs, and describes columns of the same kind. A column of feeds has one reference at most.
[Load names and places](../how-to/references.md) has the rules of its files. A changed reference is not applied by
`apply_catalog`; load its file again.
"""

DEFAULT = """
A `default` is what a missing value becomes: that of an empty field, of a word in `missing`, of a number in `unknown`,
of `null` in JSON or NULL in Parquet, and, with `required = false`, of a column or key that is not there. It must be a
value of the column itself. As each record has a value then, `optional` is a contradiction, one of whole numbers can
be a dimension, and expressions do not see that anything was missing. Columns of times, days and UUIDs have none, as
an invented one would be wrong, and those of references neither.
"""

# The tables of the page, each with its title, and the classes of what it describes.
SECTIONS: list[tuple[str, str, tuple[type[msgspec.Struct], ...]]] = [
    ("A feed", "`[feeds.NAME]`, with a name of lower-case letters, digits and `_`.", (entries.FeedEntry,)),
    ("The format of a feed", "`format = {type = ...}`", entries.AnyFormat.__args__),
    ("A derived column", "`NAME = {value = ...}` in `[feeds.NAME.derived]`.", (entries.DerivedEntry,)),
    ("A check", "`[[feeds.NAME.checks]]`, once for each.", (entries.CheckEntry,)),
    ("The time of a feed's records", "`time = {...}`: either `column`, or `day` and `clock`.", (entries.TimeEntry,)),
    (
        "A column",
        "`NAME = {type = ...}` in `[feeds.NAME.columns]` or `[references.NAME.columns]`. All types have:",
        (entries.ColumnEntry,),
    ),
    ("The types of columns", DEFAULT.strip(), entries.AnyColumn.__args__),
    ("A KPI", "`[kpis.NAME]`, with a name of letters and digits that begins with a capital.", (entries.KPIEntry,)),
    ("A KPI in three lines", FORMULA.strip(), ()),
    ("A dimension", DIMENSION.strip(), (entries.DimensionEntry,)),
    ("The measure of a KPI", "`measure = {type = ...}`. All have `name`.", measure_entries.AnyMeasure.__args__),
    ("A term of a ratio", "An entry of `terms`.", (measure_entries.TermEntry,)),
    ("A reference", REFERENCE.strip(), (entries.ReferenceEntry,)),
]
CHANGES = """
A change counts once `manage.py apply_catalog` has applied it; until then runs stop, unless nothing has to be computed
again. `manage.py check_catalog` says what it will do. After it, start the web and consumers again.

{table}

Files are read again from the data folder. Where a file is gone, and for messages of streams, a KPI is computed from the
batch's archived records, if the feed has `archive`; else `apply_catalog` says which intervals it would lose and changes
nothing, and with `--drop` it goes on and marks them as incomplete. Of a KPI that is new, and has nothing to lose, they
are marked at once. A feed with another name is a removed one and a new one, and so is a KPI with another `id`.
"""
# What classes have from their base, which is described once.
COMMON = {entries.ColumnEntry, measure_entries.MeasureEntry}


def catalog_page() -> str:
    """Return the page of catalog files: an example, and the keys of each table."""
    parts = ["# Catalog files", INTRO.strip().replace("{example}", EXAMPLE)]
    for title, intro, classes in SECTIONS:
        parts += [f"## {title}", *([intro] if intro else [])]
        for one in classes:
            if (tag := one.__struct_config__.tag) and one not in COMMON:
                parts += [f"### `{tag}`", " ".join((one.__doc__ or "").split()).replace("``", "`")]
            rows = list(_rows(one))
            if rows:
                parts.append(table(("key", "values", "default", "meaning"), rows))
    parts += ["## Changes of a catalog", CHANGES.strip().replace("{table}", _changes())]
    return "\n\n".join(parts)


def _changes() -> str:
    """Return the table of what changes of keys lead to."""
    notes = f"of a feed {_listed(FEED_NOTES)}; of a column {_listed(COLUMN_NOTES)}; of a KPI {_listed(KPI_NOTES)}"
    rows = [
        ("a feed or KPI that is new", "a table for each KPI, computed from the files that are there"),
        (notes, "nothing is computed again"),
        (f"of a KPI {_listed(MERGING)}", "its results are computed again, from the lake"),
        ("any other key of a KPI", "its results and partials are computed again, from the files"),
        ("any other key of a feed or column", "all of the feed's files are read again"),
        ("a feed or KPI that is removed", "its rows and files of the lake stay until `apply_catalog --drop`"),
    ]
    return table(("change", "what is done"), rows)


def _listed(keys: Collection[str]) -> str:
    return ", ".join(f"`{key}`" for key in sorted(keys))


def _rows(entry: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    found = inspect.type_info(entry)
    assert isinstance(found, inspect.StructType)  # noqa: S101  entries are structs
    common = {name for base in entry.__mro__[1:] if base in COMMON for name in base.__struct_fields__}
    for key in found.fields:
        if key.name in common and entry not in COMMON:
            continue
        described = key.type
        meaning = ""
        while isinstance(described, inspect.Metadata):
            meaning = (described.extra_json_schema or {}).get("description", meaning)
            described = described.type
        yield f"`{key.encode_name}`", _values(described), _default(key), meaning


def _default(key: inspect.Field) -> str:
    if key.required:
        return "required"
    value = key.default if key.default is not msgspec.NODEFAULT else key.default_factory()
    if value in (None, "", [], {}):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def _values(type_: inspect.Type) -> str:
    match type_:
        case inspect.Metadata():
            return _values(type_.type)
        case inspect.LiteralType(values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.IntType(ge=ge, le=le):
            return "whole number" + (
                f", {ge} to {le}" if le is not None else f", {ge} or more" if ge is not None else ""
            )
        case inspect.FloatType():
            return "number"
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType(item_type=item):
            return f"list of {_values(item)}"
        case inspect.StructType() | inspect.DictType():
            return "table"
        case inspect.UnionType(types=types):
            kinds = dict.fromkeys(_values(one) for one in types if not isinstance(one, inspect.NoneType))
            return " or ".join(kinds)
    return type(type_).__name__
