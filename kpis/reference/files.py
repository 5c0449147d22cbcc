"""Files of references: CSV with a header, or GeoJSON (RFC 7946), as versions.

The columns are those of the reference, by their names in files and in any case; others are left out. ``valid_from`` and
``valid_to`` are times of ISO 8601, in UTC unless they have an offset; a day alone is its midnight. Empty, or before
1970, the first means from the beginning; empty, or in the year 9999, the second means without an end.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from kpis.catalog.columns import BadValue, Decimal
from kpis.catalog.columns.base import JSONNumber
from kpis.catalog.columns.timestamps import ISOTimestamp
from kpis.catalog.feeds import Column
from kpis.catalog.intervals import EPOCH, LAST_DAY
from kpis.catalog.references import VALID_FROM, VALID_TO, ReferenceTable

VALIDITY = (VALID_FROM, VALID_TO)
GEOJSON_ENDINGS = (".geojson", ".json")
# GeoJSON is read as a whole, and takes many times its size.
LARGEST_GEOJSON_BYTES = 200_000_000
# So many bad rows are named; of the others, there is the number.
MOST_NAMED = 100
# No end, from here on.
_LAST_YEAR = datetime(LAST_DAY.year, 1, 1, tzinfo=UTC)
_MOMENT = ISOTimestamp(optional=True, days=True)


class ReferenceFileError(Exception):
    """A file that cannot be loaded; the message says why, ``rows`` has a line for each row that is wrong."""

    def __init__(self, message: str, rows: Sequence[str] = ()):
        super().__init__(message)
        self.rows = tuple(rows)


class Version(NamedTuple):
    """A row of a file: what holds of a key from ``valid_from`` up to ``valid_to`` (None: without an end), in UTC.

    ``line`` is the number of its line, or of its feature. ``attributes`` are the other columns in JSON, in their order,
    without those that are empty.
    """

    line: int
    key: str
    valid_from: datetime
    valid_to: datetime | None
    name: str
    latitude: float | None
    longitude: float | None
    attributes: str


@dataclass
class ReferenceFile:
    """A file of a reference's versions, at ``path``."""

    reference: ReferenceTable
    path: Path
    # The columns of the file that the reference does not have; known once the rows are read.
    ignored: list[str] = field(default_factory=list)
    # True if the file says when its rows hold; known once the first row is read.
    has_validity: bool = False

    @property
    def unit(self) -> str:
        """What a row is called, with its number: line or feature."""
        return "feature" if self.is_geojson else "line"

    @property
    def is_geojson(self) -> bool:
        """True for GeoJSON, by the file's name; other files are CSV."""
        return self.path.name.lower().endswith(GEOJSON_ENDINGS)

    def versions(self) -> Iterator[Version]:
        """Yield the versions of the rows, in the order of the file.

        Raises ReferenceFileError if the file cannot be read, and at its end if rows are wrong.
        """
        wrong: list[str] = []
        count = 0
        for line, texts in self._rows():
            try:
                if isinstance(texts, str):
                    raise BadValue(texts)
                yield self._version(line, texts)
            except BadValue as error:
                count += 1
                if count <= MOST_NAMED:
                    wrong.append(f"{self.unit.capitalize()} {line}: {error}")
        if count:
            raise ReferenceFileError(wrong_rows(self.path, count), wrong)

    def _version(self, line: int, texts: Sequence[str]) -> Version:
        """Return the version of the parsers' texts; raises BadValue with the column."""
        try:
            key, name, latitude, longitude, since, until, *others = (
                parse(text) for (_, parse), text in zip(self._parsers, texts, strict=True)
            )
        except BadValue:
            raise self._wrong_column(texts) from None
        if since is None:
            since = EPOCH
        if until is not None and until <= since:
            raise BadValue(f"{VALID_TO} is not after {VALID_FROM}")
        if (latitude is None) != (longitude is None):
            empty = (self.reference.place or ())[0 if latitude is None else 1]
            raise BadValue(f"{empty} is empty, and the place's other column is not")
        attributes = {name: value for name, value in zip(self._attributes, others, strict=True) if value is not None}
        text = orjson.dumps(attributes).decode()
        return Version(line, self.reference.stored_key(key), since, until, name or "", latitude, longitude, text)

    def _wrong_column(self, texts: Sequence[str]) -> BadValue:
        """Return the error of the first text that its column refuses, with the column."""
        for (name, parse), text in zip(self._parsers, texts, strict=True):
            try:
                parse(text)
            except BadValue as error:
                return BadValue(f"{name} {error}")
        raise ValueError("no column refuses its text")

    @cached_property
    def _parsers(self) -> list[tuple[str, Callable[[str], Any]]]:
        """The columns with their parsers: key, name, latitude, longitude, the validity's two, then the attributes.

        A reference without a name or a place has an empty one for it.
        """
        reference = self.reference
        parsers = {column.name: _parser(column) for column in reference.columns}
        roles = [reference.key, reference.shown, *(reference.place or ("", ""))]
        return [
            *((name, parsers.get(name, _nothing)) for name in roles),
            (VALID_FROM, _start),
            (VALID_TO, _end),
            *((name, parsers[name]) for name in self._attributes),
        ]

    @cached_property
    def _attributes(self) -> list[str]:
        return [column.name for column in self.reference.attributes]

    def _rows(self) -> Iterator[tuple[int, Sequence[str] | str]]:
        """Yield each row's number, and its texts in the order of the parsers, or what is wrong with it."""
        try:
            if self.is_geojson:
                yield from self._features()
            else:
                with self.path.open(encoding="utf-8-sig", newline="") as file:
                    yield from self._lines(csv.reader(file, strict=True))
        except OSError as error:
            raise ReferenceFileError(f"{self.path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError:
            raise ReferenceFileError(f"{self.path} is not valid UTF-8.") from None
        except csv.Error as error:
            raise ReferenceFileError(f"{self.path} is no CSV: {error}.") from error

    def _lines(self, reader: Any) -> Iterator[tuple[int, Sequence[str] | str]]:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise ReferenceFileError(f"{self.path} is empty: its first line must name the columns.")
        places = self._places(header)
        width, line = len(header), reader.line_num + 1
        for fields in reader:
            if len(fields) == width:
                stripped = [one.strip() for one in fields]
                yield line, ["" if place is None else stripped[place] for place in places]
            elif any(one.strip() for one in fields):
                yield line, f"has {len(fields)} fields where the header has {width}"
            # A field may have line feeds: the row then begins some lines before its end.
            line = reader.line_num + 1

    def _places(self, header: Sequence[str]) -> list[int | None]:
        """Return where the header has the parsers' columns; None for an optional one that it lacks."""
        found: dict[str, int] = {}
        for place, name in enumerate(header):
            column = self._names.get(name.lower())
            if column is None:
                self.ignored.append(name)
            elif column in found:
                raise ReferenceFileError(f"{self.path}: two columns are {column}: {header[found[column]]}, {name}.")
            else:
                found[column] = place
        self.has_validity = any(name in found for name in VALIDITY)
        lacking = [column.name for column in self.reference.columns if column.name not in found]
        for name in lacking:
            if not self.reference.column(name).type.optional:
                raise ReferenceFileError(f"{self.path} has no column {name}; it has {', '.join(header)}.")
        return [found.get(name) for name, _ in self._parsers]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The columns by their names in files, in lower case."""
        names = {one.lower(): column.name for column in self.reference.columns for one in column.names_in_files}
        return names | {name: name for name in VALIDITY}

    def _features(self) -> Iterator[tuple[int, Sequence[str] | str]]:
        features = self._collection()
        given = [*dict.fromkeys(name for one in features for name in _properties(one))]
        # A feature's place is that of its geometry.
        place = [self._named(name) for name in self.reference.place or ()]
        in_geometry = [name for name in given if self._names.get(name.lower()) in (self.reference.place or ())]
        self.ignored += in_geometry
        given = [name for name in given if name not in in_geometry]
        if self.reference.key not in [self._names.get(name.lower()) for name in given]:
            given.append(self._named(self.reference.key))
        places = self._places([*given, *place])
        for number, one in enumerate(features, 1):
            try:
                yield number, self._feature_texts(one, places, given)
            except BadValue as error:
                yield number, f"{error}"

    def _named(self, column: str) -> str:
        """Return a column's name in files."""
        return self.reference.column(column).names_in_files[0]

    def _collection(self) -> list[Any]:
        if self.path.stat().st_size > LARGEST_GEOJSON_BYTES:
            raise ReferenceFileError(f"{self.path} is larger than {LARGEST_GEOJSON_BYTES:,} bytes: load it as CSV.")
        try:
            found = json.loads(self.path.read_bytes(), parse_float=JSONNumber)
        except (ValueError, RecursionError) as error:
            raise ReferenceFileError(f"{self.path} is no JSON: {error}.") from error
        features = found.get("features") if isinstance(found, dict) else None
        if not isinstance(features, list) or found.get("type") != "FeatureCollection":
            raise ReferenceFileError(f"{self.path} is no GeoJSON FeatureCollection.")
        return features

    def _feature_texts(self, feature: Any, places: Sequence[int | None], given: Sequence[str]) -> list[str]:
        """Return a feature's texts; raises BadValue with what is wrong."""
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise BadValue("is no GeoJSON Feature")
        properties = _properties(feature)
        point, key = _point(feature.get("geometry")), self.reference.key
        texts = []
        for (name, _), place in zip(self._parsers, places, strict=True):
            if place is None:
                texts.append("")
            elif place >= len(given):
                texts.append(point[place - len(given)])
            else:
                value = properties.get(given[place])
                texts.append(self._text(name, feature.get("id") if value is None and name == key else value))
        return texts

    def _text(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            # Also of a number: ids are often texts.
            return value.strip()
        kind = _MOMENT if name in VALIDITY else self.reference.column(name).type
        try:
            return kind.text_of_json(value)
        except BadValue as error:
            raise BadValue(f"{name} {error}") from None


def wrong_rows(path: Path, count: int) -> str:
    """Return the message about so many wrong rows of a file."""
    return f"{count:,} {'row' if count == 1 else 'rows'} of {path} cannot be used: nothing was loaded."


def _properties(feature: Any) -> Mapping[str, Any]:
    found = feature.get("properties") if isinstance(feature, dict) else None
    return found if isinstance(found, dict) else {}


def _point(geometry: Any) -> tuple[str, str]:
    """Return the texts of a point's latitude and longitude, empty without one; raises BadValue."""
    if geometry is None:
        return "", ""
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") != "Point" or not isinstance(coordinates, list):
        raise BadValue("has a geometry that is no Point")
    if len(coordinates) < 2:
        raise BadValue("has a Point without two coordinates")
    longitude, latitude = (Decimal().text_of_json(one) for one in coordinates[:2])
    return latitude, longitude


def _nothing(text: str) -> None:
    """Return None, for a column that the reference does not have."""


def _parser(column: Column) -> Callable[[str], Any]:
    """Return the function that parses a column's text, to a value that JSON has; it raises BadValue."""
    parse = column.type.parse
    if isinstance(column.type, Decimal):
        return lambda text: None if (value := parse(text)) is None else float(value)
    if column.type.sql_type in ("DATE", "TIME", "TIMESTAMP"):
        return lambda text: _iso(parse(text))
    return parse


def _iso(value: date | time | datetime | None) -> str | None:
    if value is None:
        return None
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value.isoformat()


# A file has few different times.
@lru_cache(maxsize=65_536)
def _moment(text: str) -> datetime | None:
    found = _MOMENT.parse(text)
    return None if found is None else found.replace(tzinfo=UTC)


def _start(text: str) -> datetime | None:
    found = _moment(text)
    return None if found is None or found <= EPOCH else found


def _end(text: str) -> datetime | None:
    found = _moment(text)
    return None if found is None or found >= _LAST_YEAR else found
