"""Values of a catalog file as entries, with messages for those who write the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect

from kpis.catalog.file.entries import AnyColumn, CatalogFile, DerivedEntry, FeedEntry, KPIEntry, ReferenceEntry
from kpis.catalog.file.entry import CLASS_NAME, NAME, ONE_LINE, ColumnName, FeedName, KPIName, ReferenceName
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.formulas import in_full
from kpis.catalog.file.source import Source

# msgspec's messages end with the place of the value, and name types in backquotes.
_AT = re.compile(r" - at `\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text in quotes",
    "bool": "true or false",
    "array": "a list in [ ]",
    "object": "a table",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time",
}
_PATTERNS = {
    NAME: "must be lower-case letters and digits, with single _ between them",
    CLASS_NAME: "must be a capital letter, then letters and digits",
    ONE_LINE: "must be one line that is not blank",
}


def convert(source: Source) -> CatalogFile:
    """Return the entries of a catalog file; raises CatalogError for the first value that is wrong.

    Entries of tables are converted one by one, since msgspec's messages do not name the keys of their tables.
    """
    _convert(source, (), {key: {} for key in source.values}, CatalogFile)
    for key, value in source.values.items():
        if isinstance(value, list):
            raise source.error((key,), f"is a list of tables: give each table its name, as in [{key}.NAME]")
    for name, feed in _tables(source.values, "feeds"):
        _convert(source, ("feeds", name), name, FeedName)
        for column, value in _tables(feed, "columns"):
            _convert(source, ("feeds", name, "columns", column), column, ColumnName)
            _convert(source, ("feeds", name, "columns", column), value, AnyColumn)
        for column, value in _tables(feed, "derived"):
            _convert(source, ("feeds", name, "derived", column), column, ColumnName)
            _convert(source, ("feeds", name, "derived", column), value, DerivedEntry)
        _convert(source, ("feeds", name), feed, FeedEntry)
    kpis = {}
    for name, kpi in _tables(source.values, "kpis"):
        _convert(source, ("kpis", name), name, KPIName)
        kpis[name] = in_full(source, name, kpi)
        _convert(source, ("kpis", name), kpis[name], KPIEntry)
    for name, reference in _tables(source.values, "references"):
        _convert(source, ("references", name), name, ReferenceName)
        for column, value in _tables(reference, "columns"):
            _convert(source, ("references", name, "columns", column), column, ColumnName)
            _convert(source, ("references", name, "columns", column), value, AnyColumn)
        _convert(source, ("references", name), reference, ReferenceEntry)
    return _convert(source, (), source.values | ({"kpis": kpis} if kpis else {}), CatalogFile)


def _tables(values: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield what is in a table of tables, by name; nothing if it is none, as ``_convert`` then says."""
    found = values.get(key) if isinstance(values, dict) else None
    if isinstance(found, dict):
        yield from found.items()


def _convert(source: Source, at: Keys, value: Any, type_: Any) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        place = _AT.search(f"{error}")
        keys: Keys = tuple(int(step[2]) if step[2] else step[1] for step in _STEP.finditer(place[1] if place else ""))
        raise _error(source, at, keys, _AT.sub("", f"{error}"), value, type_) from None


def _error(source: Source, at: Keys, keys: Keys, problem: str, value: Any, type_: Any) -> Exception:
    """Return the error for a message of msgspec's about the part ``keys`` of a value that is at ``at``."""
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL):
        known = _keys_at(type_, value, keys)
        near = get_close_matches(found[1], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it can have {', '.join(known)}"
        return source.error((*at, *keys, found[1]), f"is not a key of this table; {hint}")
    if found := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return source.error((*at, *keys), f"lacks the key {found[1]}")
    inner = value
    for key in keys:
        inner = inner[key]
    if problem.startswith("Invalid "):
        return source.error(
            (*at, *keys), f"must be one of {', '.join(_choices_at(type_, value, keys))}; it is {inner!r}"
        )
    if found := re.fullmatch(r"Expected `(?:str|int|array|object)` (matching regex|of length|[<>]=) ?(.*)", problem):
        return source.error((*at, *keys), _bound(found[1], found[2], inner))
    if found := re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null")
        return source.error((*at, *keys), f"must be {wanted}, not {_KINDS.get(found[2], found[2])}")
    return source.error((*at, *keys), f"cannot be used: {problem}")


def _bound(kind: str, bound: str, value: Any) -> str:
    if kind == "matching regex":
        return next((text for pattern, text in _PATTERNS.items() if repr(pattern) == bound), f"must match {bound}")
    if kind != "of length":
        return f"must be {bound} or {'more' if kind == '>=' else 'less'}; it is {value}"
    sign, number = bound.split()
    if sign == ">=":
        return "is empty"
    return f"has {len(value)} characters; it can have {number} at most"


def _at(type_: Any, value: Any, keys: Keys) -> inspect.Type:
    """Return the type of a part of a value, by the value's own type."""
    found = _inner(inspect.type_info(type_), value)
    for key in keys:
        value = value[key]
        if isinstance(found, inspect.StructType):
            found = next(one.type for one in found.fields if one.encode_name == key)
        elif isinstance(found, inspect.ListType):
            found = found.item_type
        found = _inner(found, value)
    return found


def _inner(type_: inspect.Type, value: Any) -> inspect.Type:
    """Return a type without its description; of a union's, that which the value seems to be meant for."""
    while isinstance(type_, inspect.Metadata):
        type_ = type_.type
    if isinstance(type_, inspect.UnionType) and isinstance(value, dict):
        tables = [one for one in type_.types if isinstance(one, inspect.StructType)]
        return next((one for one in tables if one.tag == value.get("type")), tables[0])
    return type_


def _keys_at(type_: Any, value: Any, keys: Keys) -> list[str]:
    """Return the keys that a table can have."""
    found = _at(type_, value, keys)
    return [one.encode_name for one in found.fields] if isinstance(found, inspect.StructType) else []


def _choices_at(type_: Any, value: Any, keys: Keys) -> list[str]:
    """Return what a value can be, of one that is none of a few."""
    if keys and keys[-1] == "type":
        (info,) = [inspect.type_info(type_)] if len(keys) == 1 else [_declared(type_, value, keys[:-1])]
        tables = info.types if isinstance(info, inspect.UnionType) else ()
        return [f"{one.tag}" for one in tables if isinstance(one, inspect.StructType)]
    found = _at(type_, value, keys)
    return [f"{one}" for one in found.values] if isinstance(found, inspect.LiteralType) else []


def _declared(type_: Any, value: Any, keys: Keys) -> inspect.Type:
    """Return the declared type of a part of a value, unions included."""
    *before, last = keys
    found = _at(type_, value, tuple(before))
    inner = (
        next(one.type for one in found.fields if one.encode_name == last)
        if isinstance(found, inspect.StructType)
        else found
    )
    while isinstance(inner, inspect.Metadata):
        inner = inner.type
    return inner
