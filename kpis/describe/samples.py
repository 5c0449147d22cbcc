"""The first rows of a sample file, as texts by column."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import escape
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from kpis.describe.dialects import (
    MISSING_WORDS,
    SAMPLE_BYTES,
    Dialect,
    decimal_mark_of,
    dialect_of,
    encoding_of,
)
from kpis.formats.bounds import DEFAULT_BOUNDS, FileError
from kpis.formats.content import RawFile, open_file, unpacked_chunks

MOST_ROWS = 10_000
PARQUET_MARK = b"PAR1"
NESTED = ("array", "list", "map", "struct", "union", "variant")


@dataclass(frozen=True)
class Sample:
    """A sample's columns, in their order: each name in the file with the texts of its first rows; "" for none.

    ``format`` is the type of the format in a catalog file, with the ``options`` that differ from the defaults.
    ``quoted`` are the columns with JSON texts, which are no numbers even if they have digits alone, and ``lacking``
    those whose key some rows lack; ``left_out`` are columns that a feed cannot read, since their name is empty or comes
    twice.
    """

    path: Path
    format: str
    columns: dict[str, list[str]]
    options: dict[str, Any] = field(default_factory=dict)
    quoted: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return max(map(len, self.columns.values()), default=0)


def read_sample(path: Path) -> Sample:
    """Read the first rows of a CSV or JSON lines file, packed or not, or of a Parquet file; raises FileError."""
    content = _first_bytes(path)
    if content.startswith(PARQUET_MARK):
        return _parquet(path)
    encoding = encoding_of(content)
    text = content.decode(encoding, "replace").removeprefix("\ufeff")
    if not text.strip():
        raise FileError("is empty")
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise FileError("is no text that can be recognized")
    # The last line may be cut.
    if len(content) >= SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    if text.lstrip().startswith("{"):
        return _json_lines(path, text)
    return _csv(path, text, encoding)


def _first_bytes(path: Path) -> bytes:
    content = b""
    with open_file(path) as file:
        for chunk in unpacked_chunks(path, RawFile(file), DEFAULT_BOUNDS):
            content += chunk
            if len(content) >= SAMPLE_BYTES:
                break
    return content[:SAMPLE_BYTES]


def _csv(path: Path, text: str, encoding: str) -> Sample:
    try:
        dialect = dialect_of(text)
    except ValueError as error:
        raise FileError(f"{error}") from None
    rows = list(islice(_rows(text, dialect), MOST_ROWS + 1))
    if dialect.has_header:
        names, rows = rows[0], rows[1:]
    else:
        names = [f"column {number}" for number in range(1, len(rows[0]) + 1)]
    if not rows:
        raise FileError("has a header alone: a sample needs rows")
    rows = [row for row in rows[:MOST_ROWS] if len(row) == len(names)]
    words = {value.lower() for row in rows for value in row}
    missing = [word for word in MISSING_WORDS if word.lower() in words]
    none = {word.lower() for word in missing}
    columns = [["" if row[index].lower() in none else row[index] for row in rows] for index in range(len(names))]
    lower = Counter(name.lower() for name in names)
    left_out = dict.fromkeys(name for name in names if not name.isprintable() or not name or lower[name.lower()] > 1)
    decimal, thousands = decimal_mark_of(columns, dialect.delimiter)
    options: dict[str, Any] = {
        "delimiter": dialect.delimiter if dialect.delimiter != "," else None,
        "quote": dialect.quote if dialect.quote != '"' else None,
        "decimal": decimal if decimal != "." else None,
        "thousands": thousands or None,
        "encoding": encoding if encoding != "utf-8" else None,
        "comment": dialect.comment or None,
        "preamble": dialect.preamble or None,
        "header": None if dialect.has_header else "none",
        "missing": missing or None,
    }
    return Sample(
        path,
        "csv",
        {
            name: [_plain(value, decimal, thousands) for value in values]
            for name, values in zip(names, columns, strict=True)
            if name not in left_out
        },
        {key: value for key, value in options.items() if value is not None},
        left_out=tuple(left_out),
    )


def _rows(text: str, dialect: Dialect) -> Iterator[list[str]]:
    """Yield the rows of a CSV text, the header among them."""
    lines = StringIO("".join(text.splitlines(keepends=True)[dialect.preamble :]), newline="")
    kept = (line for line in lines if line.strip() and not (dialect.comment and line.startswith(dialect.comment)))
    if dialect.quote:
        rows: Iterable[list[str]] = csv.reader(kept, delimiter=dialect.delimiter, quotechar=dialect.quote)
    else:
        rows = (line.rstrip("\r\n").split(dialect.delimiter) for line in kept)
    yield from ([field.strip() for field in row] for row in rows)


def _plain(value: str, decimal: str, thousands: str) -> str:
    """Return a number as it is without thousands separators and with a decimal point; other texts as they are."""
    if decimal == "." and not thousands:
        return value
    plain = (value.replace(thousands, "") if thousands else value).replace(decimal, ".", 1)
    return plain if plain.lstrip("+-").replace(".", "", 1).isdigit() else value


def _json_lines(path: Path, text: str) -> Sample:
    columns: dict[str, list[str]] = {}
    quoted: set[str] = set()
    nested: set[str] = set()
    present: Counter[str] = Counter()
    rows = 0
    for line in text.splitlines():
        try:
            found = json.loads(line, parse_float=_Number, parse_int=_Number)
        except ValueError:
            continue
        if not isinstance(found, dict):
            continue
        for key, value in _flat(found):
            if isinstance(value, list):
                nested.add(key)
                continue
            present[key] += 1
            values = columns.setdefault(key, [])
            values.extend([""] * (rows - len(values)))
            values.append(json.dumps(value) if isinstance(value, bool) else f"{value or ''}")
            if isinstance(value, str) and not isinstance(value, _Number):
                quoted.add(key)
        rows += 1
        if rows == MOST_ROWS:
            break
    if not rows:
        raise FileError("has no line that is a JSON object")
    for values in columns.values():
        values.extend([""] * (rows - len(values)))
    plain = {key: values for key, values in columns.items() if key and key.isprintable() and key not in nested}
    lacking = frozenset(key for key in plain if present[key] < rows)
    return Sample(path, "json_lines", plain, quoted=frozenset(quoted), lacking=lacking)


def _flat(found: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of an object, those of objects within it as paths, each with its value; a list is no value."""
    for key, value in found.items():
        if isinstance(value, dict):
            yield before + key, []
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _parquet(path: Path) -> Sample:
    with duckdb.connect() as connection:
        # In UTC, whatever the machine's zone.
        connection.execute("SET TimeZone = 'UTC'")
        try:
            relation = connection.read_parquet(escape(f"{path}"))
            # What is nested is left out.
            names = [
                name for name, type_ in zip(relation.columns, relation.types, strict=True) if type_.id not in NESTED
            ]
            texts = ", ".join(f"""coalesce(CAST("{name.replace('"', '""')}" AS VARCHAR), '')""" for name in names)
            rows = relation.project(texts).limit(MOST_ROWS).fetchall() if names else []
        except duckdb.Error as error:
            raise FileError(f"is no Parquet file that can be read: {error}") from None
    if not rows:
        raise FileError("has no row: a sample needs rows")
    columns = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    lower = Counter(name.lower() for name in names)
    left_out = tuple(name for name in names if not name or not name.isprintable() or lower[name.lower()] > 1)
    plain = {name: values for name, values in columns.items() if name not in left_out}
    return Sample(path, "parquet", plain, left_out=left_out)


class _Number(str):
    """A JSON number, as it is written."""
