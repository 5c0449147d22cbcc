"""JSON Schema (draft 2020-12): of a feed's records as JSON messages, and of a KPI's rows as the API gives them.

A record's schema accepts every message that the feed accepts, whatever its own format, but for texts that are longer
than their column with the spaces around them. What a schema cannot say is left to the feed: that a whole number is
written without a point (5.0 is 5 there), the range of a decimal number that is written as a text, days that no calendar
has, letters that cannot be printed, and conditions on a row as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kpis.catalog.columns import (
    UUID,
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
from kpis.catalog.columns.times import CLOCK
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Fraction, Label, ResultColumn, WholeNumber
from kpis.contracts.selection import Selection

DRAFT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
# A text ends where no character follows: in Python, $ accepts a line feed there.
_END = r"(?![\s\S])"
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_DAY = "[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_MONTH_FIRST = "[A-Za-z]{3} +[0-9]{1,2},? +[0-9]{4} +[0-9]{2}:[0-9]{2}:[0-9]{2}"
# Of the years 1 to 9999, in seconds since 1970.
_FIRST_SECOND, _BEYOND = -62_135_596_800, 253_402_300_800


def bundle(selection: Selection) -> Schema:
    """Return one schema document: the schema of a single feed or KPI, else those of all by name, in ``$defs``."""
    found = {feed.name: record_schema(feed) for feed in selection.feeds}
    found |= {kpi.name: row_schema(kpi) for kpi in selection.kpis}
    if len(found) == 1:
        return {"$schema": DRAFT, **next(iter(found.values()))}
    return {"$schema": DRAFT, "title": "Records and results of Network Analysis", "$defs": found}


def documents(selection: Selection) -> dict[str, Schema]:
    """Return a schema document for each feed and KPI, by its name."""
    found = {feed.name: record_schema(feed) for feed in selection.feeds}
    found |= {kpi.name: row_schema(kpi) for kpi in selection.kpis}
    return {name: {"$schema": DRAFT, **schema} for name, schema in found.items()}


def record_schema(feed: Feed) -> Schema:
    """Return the schema of a feed's record as a JSON object with the columns' names in files as keys."""
    schema: Schema = {"title": feed.name, "description": feed.description, "type": "object", "properties": {}}
    required: list[str] = []
    others: list[Schema] = []
    for column in feed.columns:
        paths = [path for name in column.names_in_files for path in _paths(name)]
        for path in paths:
            _place(schema, path, _column_schema(column))
        if column.required:
            if len(paths) == 1:
                required.append(paths[0][0])
            else:
                others.append({"anyOf": [_requiring(path) for path in paths]})
    if required:
        schema["required"] = required
    if others:
        schema["allOf"] = others
    return schema


def _paths(name: str) -> list[Sequence[str]]:
    """Return the keys that lead to a value: the name itself, or, if it has points, those of objects within."""
    return [(name,), name.split(".")] if "." in name else [(name,)]


def _place(schema: Schema, path: Sequence[str], found: Schema) -> None:
    *within, key = path
    for step in within:
        schema = schema.setdefault("properties", {}).setdefault(step, {})
    schema.setdefault("properties", {})[key] = found


def _requiring(path: Sequence[str]) -> Schema:
    key, *within = path
    return {
        "type": "object",
        "required": [key],
        **({"properties": {key: _requiring(within)}} if within else {}),
    }


def _column_schema(column: Column) -> Schema:
    schema = value_schema(column.type)
    if column.note:
        schema["description"] = column.note
    if column.type.default is not None:
        schema["default"] = column.type.default_value
    if column.unit:
        schema["x-unit"] = column.unit
    if column.is_personal:
        schema["x-personal"] = True
    return schema


def value_schema(type_: ColumnType) -> Schema:
    """Return the schema of a column's value in JSON."""
    alternatives = _alternatives(type_)
    if type_.optional:
        alternatives.append({"type": "null"})
    return alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}


def _alternatives(type_: ColumnType) -> list[Schema]:
    """Return the schemas of a column's values, apart from null, the usual one first."""
    match type_:
        case Integer():
            least, most = type_.bounds
            unknown = [{"enum": [*type_.unknown]}] if type_.unknown else []
            return [{"type": "integer", "minimum": least, "maximum": most}, *unknown]
        case Decimal():
            unknown = [{"enum": [*type_.unknown]}] if type_.unknown else []
            text = _text(r"-?[0-9]{1,30}(?:\.[0-9]{0,30})?", type_)
            return [{"type": "number", "minimum": type_.minimum, "maximum": type_.maximum}, *unknown, text]
        case PostalCode(longest=longest):
            saved = {"type": "string", "pattern": rf"^[ \t]*[0-9]{{1,{longest}}}\.0+[ \t]*{_END}"}
            return [_free_text(longest, type_), saved]
        case Text(longest=longest):
            return [_free_text(longest, type_)]
        case Choice(words=words):
            listed: Schema = {"enum": [*words]}
            return [listed, _text("|".join(map(_in_any_case, words)), type_)]
        case Boolean():
            numbers = [
                int(word) for word in type_.words if word.isascii() and word.isdecimal() and word == f"{int(word)}"
            ]
            said: list[Schema] = [{"type": "boolean"}]
            if numbers:
                said.append({"type": "integer", "enum": numbers})
            return [*said, _text("|".join(map(_in_any_case, type_.words)), type_)]
        case UUID():
            return [_text(_UUID, type_) | {"format": "uuid"}]
        case Date():
            return [_text(_DAY, type_) | {"format": "date"}]
        case TimeOfDay():
            return [_text(CLOCK, type_)]
        case MonthFirst():
            return [_text(_MONTH_FIRST, type_)]
        case ISOTimestamp():
            return [_text(type_.full_pattern, type_)]
        case FormattedTimestamp():
            return [_text(type_.layout.pattern, type_)]
        case UnixTimestamp(a_second=a_second):
            number = "integer" if a_second > 1 else "number"
            fraction = "" if a_second > 1 else r"(?:\.[0-9]{1,9})?"
            bounds = {"minimum": _FIRST_SECOND * a_second, "exclusiveMaximum": _BEYOND * a_second}
            return [{"type": number, **bounds}, _text(f"-?[0-9]+{fraction}", type_)]
    return [{"type": "string"}]


def _text(pattern: str, type_: ColumnType) -> Schema:
    """Return the schema of texts of a pattern, with spaces around; of an optional column also empty ones."""
    return {"type": "string", "pattern": rf"^[ \t]*(?:{pattern}){'?' * type_.optional}[ \t]*{_END}"}


def _free_text(longest: int, type_: ColumnType) -> Schema:
    text = rf"[^{_CONTROLS} ][^{_CONTROLS}]*"
    return _text(text, type_) | {"maxLength": longest}


def _in_any_case(word: str) -> str:
    """Return a pattern for a word in any case."""
    return "".join(_letter_in_any_case(letter) for letter in word)


def _letter_in_any_case(letter: str) -> str:
    letters = (
        sorted({letter, letter.lower(), letter.upper()})
        if len(letter.upper()) == len(letter.lower()) == 1
        else [letter]
    )
    if len(letters) > 1:
        return f"[{''.join(letters)}]"
    return letter if letter.isalnum() or not letter.isascii() or letter == " " else f"\\x{ord(letter):02x}"


def row_schema(kpi: KPI) -> Schema:
    """Return the schema of a KPI's row as the API gives it."""
    moment = {"type": "string", "format": "date-time"}
    properties: Schema = {
        "id": {"type": "integer"},
        "interval_start_timestamp": {**moment, "description": "UTC, included"},
        "interval_end_timestamp": {**moment, "description": "UTC, not included"},
        "interval": {
            "enum": [length.code for length in kpi.lengths],
            "description": "; ".join(f"{length.code}: {length}" for length in kpi.lengths),
        },
        **{column.name: _result_schema(column) for column in kpi.result_columns},
        "rank": {"type": "integer", "minimum": 1, "description": "1 is the largest"},
    }
    properties[kpi.value]["x-unit"] = kpi.unit
    schema = {
        "title": kpi.name,
        "description": kpi.description,
        "type": "object",
        "properties": properties,
        "required": [*properties],
    }
    return schema | ({"x-personal": True} if kpi.personal else {})


def _result_schema(column: ResultColumn) -> Schema:
    schema: Schema
    match column.type:
        case Label(longest):
            schema = {"type": "string", "maxLength": longest, **({} if column.optional else {"minLength": 1})}
        case WholeNumber(bits):
            schema = {"type": "integer", "minimum": -(1 << (bits - 1)), "maximum": (1 << (bits - 1)) - 1}
        case Fraction():
            schema = {"type": "number"}
    for bound, key in ((column.above, "exclusiveMinimum"), (column.at_least, "minimum"), (column.at_most, "maximum")):
        if isinstance(bound, int):
            schema[key] = bound
    if column.optional and not isinstance(column.type, Label):
        schema["type"] = [schema["type"], "null"]
    return schema | ({"description": column.help_text} if column.help_text else {})
