"""Regions: the shapes of the map, read from GeoJSON (RFC 7946)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from django.db import transaction

from kpis.catalog.folding import fold
from kpis.models import Region
from kpis.models.fields import longest_text

CALIFORNIA = Path(__file__).parent / "data" / "california.geojson"

# A page of the map contains all the shapes, and stays below 1 MB with them.
LARGEST_FILE_BYTES = 50_000_000
LARGEST_SHAPES_BYTES = 600_000
# The decimals of a degree that are kept: about 10 m.
PLACES = 4

Position = tuple[float, float]
Ring = list[Position]


class RegionError(Exception):
    """A file of regions that cannot be loaded; the message names the feature and the reason."""


@dataclass(frozen=True)
class Shape:
    """A region in a file.

    ``name`` is the name that people use; records may use that or one of the ``spellings``. ``geometry`` is a GeoJSON
    MultiPolygon whose outer rings run counterclockwise; its bounding box is in degrees.
    """

    code: str
    name: str
    spellings: list[str]
    geometry: dict[str, Any]
    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class Loaded:
    """The number of regions that were added, changed, unchanged and removed."""

    added: int
    changed: int
    unchanged: int
    removed: int


def read_shapes(path: Path, name_properties: Sequence[str] = ("name",), code_property: str = "") -> list[Shape]:
    """Return the regions of a GeoJSON file, in degrees (WGS 84); raises RegionError for the first problem.

    The first of ``name_properties`` names a region, the others have further spellings, if any. Its code is the
    feature's id, or the ``code_property``.
    """
    shapes = []
    spelled: dict[str, str] = {}
    codes: dict[str, str] = {}
    for where, feature in _features(_json(path)):
        properties = feature.get("properties") or {}
        names = [_text(properties.get(name)) for name in name_properties]
        if not names[0]:
            raise RegionError(f"{where} has no name in the property {name_properties[0]!r}{_known(properties)}.")
        code = _text(properties.get(code_property) if code_property else feature.get("id"))
        if not code:
            place = f"the property {code_property!r}" if code_property else "its id: name a property that has one"
            raise RegionError(f"{where} ({names[0]}) has no code in {place}{_known(properties)}.")
        if code in codes:
            raise RegionError(f"{where} ({names[0]}) has the code {code} of {codes[code]}.")
        codes[code] = names[0]
        spellings = list(dict.fromkeys(name for name in names if name))
        for spelling in spellings:
            if fold(spelling) in spelled:
                raise RegionError(f"{where} is called {spelling!r}, as is {spelled[fold(spelling)]}.")
        spelled |= {fold(spelling): where for spelling in spellings}
        shapes.append(_shape(f"{where} ({names[0]})", code, spellings, feature.get("geometry")))
    size = sum(len(json.dumps(shape.geometry, separators=(",", ":"))) for shape in shapes)
    if size > LARGEST_SHAPES_BYTES:
        raise RegionError(
            f"The shapes take {size:,} bytes, and a page of the map holds {LARGEST_SHAPES_BYTES:,}: "
            "simplify them first."
        )
    return shapes


@transaction.atomic
def put_regions(shapes: Iterable[Shape]) -> Loaded:
    """Replace all regions."""
    wanted = {shape.code: shape for shape in shapes}
    there = {region.code: region for region in Region.objects.select_for_update()}
    changed = [code for code in wanted if code in there and asdict(wanted[code]) != _content(there[code])]
    removed = [code for code in there if code not in wanted]
    added = [code for code in wanted if code not in there]
    # Removed first: a name of one of them may be another's now.
    Region.objects.filter(code__in=[*changed, *removed]).delete()
    Region.objects.bulk_create(Region(**asdict(wanted[code])) for code in [*changed, *added])
    return Loaded(len(added), len(changed), len(wanted) - len(added) - len(changed), len(removed))


def _content(region: Region) -> dict[str, Any]:
    return {name: getattr(region, name) for name in Shape.__dataclass_fields__}


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise RegionError(f"{path} is larger than {LARGEST_FILE_BYTES:,} bytes: simplify its shapes first.")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise RegionError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RegionError(f"{path} is no JSON: {error}.") from error


def _features(collection: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a collection's features, each with its number in the file, for messages."""
    features = collection.get("features") if isinstance(collection, dict) else None
    if not isinstance(features, list) or collection.get("type") != "FeatureCollection":
        raise RegionError("The file is no GeoJSON FeatureCollection.")
    if not features:
        raise RegionError("The file has no features.")
    for number, feature in enumerate(features, 1):
        where = f"Feature {number}"
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise RegionError(f"{where} is no GeoJSON Feature.")
        if not isinstance(feature.get("properties") or {}, dict):
            raise RegionError(f"{where} has properties that are no object.")
        yield where, feature


def _text(value: Any) -> str:
    """Return a name or code as text; "" for none."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _known(properties: dict[str, Any]) -> str:
    return f"; its properties are {', '.join(sorted(properties))}" if properties else "; it has no properties"


def _shape(where: str, code: str, spellings: list[str], geometry: Any) -> Shape:
    for text, longest in [(code, "code"), *((spelling, "name") for spelling in spellings)]:
        if len(text) > longest_text(Region, longest) or not text.isprintable():
            raise RegionError(f"{where} has a {longest} that is too long, or holds a control character.")
    polygons = [[_ring(where, ring) for ring in polygon] for polygon in _polygons(where, geometry)]
    for outer, *holes in filter(None, polygons):
        if any(not _is_within(_box(hole), _box(outer)) for hole in holes):
            raise RegionError(f"{where} has a hole that reaches beyond its outer ring, which must come first.")
    # Rings without an area after rounding are invisible.
    kept = [
        [_turned(ring, outer=number == 0) for number, ring in enumerate(rings) if _area(ring)]
        for rings in polygons
        if rings and _area(rings[0])
    ]
    if not kept:
        raise RegionError(f"{where} has no area.")
    west, south, east, north = _box([position for rings in kept for position in rings[0]])
    box = {"west": west, "south": south, "east": east, "north": north}
    coordinates = [[[list(position) for position in ring] for ring in rings] for rings in kept]
    return Shape(code, spellings[0], spellings[1:], {"type": "MultiPolygon", "coordinates": coordinates}, **box)


def _polygons(where: str, geometry: Any) -> list[list[Any]]:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise RegionError(f"{where} has no Polygon or MultiPolygon for a geometry.")
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        raise RegionError(f"{where} has coordinates that make no {kind}.")
    return polygons


def _ring(where: str, ring: Any) -> Ring:
    """Return a ring's positions, rounded, without repeated ones."""
    if not isinstance(ring, list) or len(ring) < 4 or ring[0] != ring[-1]:
        raise RegionError(f"{where} has a ring that is no closed line of four positions or more.")
    positions: Ring = []
    for position in ring:
        if not isinstance(position, list) or len(position) < 2 or not all(map(_is_number, position)):
            raise RegionError(f"{where} has a position that is no pair of numbers.")
        longitude, latitude = position[:2]
        if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
            raise RegionError(
                f"{where} has a position at {longitude}, {latitude}: it must be longitude and latitude in degrees."
            )
        rounded = round(float(longitude), PLACES), round(float(latitude), PLACES)
        if not positions or rounded != positions[-1]:
            positions.append(rounded)
    if _crosses_antimeridian(positions):
        raise RegionError(
            f"{where} has a ring that crosses 180 degrees of longitude, or goes round a pole: a map would draw it the "
            "other way round the world. Cut it there (RFC 7946, 3.1.9), for example with "
            "`ogr2ogr -wrapdateline -datelineoffset 180 cut.geojson FILE.geojson`."
        )
    return positions


def _crosses_antimeridian(ring: Ring) -> bool:
    """Return True if a line of the ring goes more than half round the world, and so must go the shorter way.

    Lines along a pole go from one side of the map to the other, and so do those of a ring of which all positions are on
    its sides: the whole world, or a belt of it.
    """
    if all(abs(longitude) == 180 for longitude, _ in ring):
        return False
    return any(
        abs(longitude - next_longitude) > 180 and not (abs(latitude) == 90 and latitude == next_latitude)
        for (longitude, latitude), (next_longitude, next_latitude) in pairwise(ring)
    )


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and (isinstance(value, int) or isfinite(value))
    )


def _box(positions: Ring) -> tuple[float, float, float, float]:
    """Return the bounding box: west, south, east, north."""
    longitudes, latitudes = zip(*positions, strict=True)
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def _is_within(inner: tuple[float, float, float, float], outer: tuple[float, float, float, float]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _area(ring: Ring) -> float:
    """Return a ring's area in square degrees, positive if it runs counterclockwise."""
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairwise(ring)) / 2


def _turned(ring: Ring, outer: bool) -> Ring:
    """Return a ring in RFC 7946's direction: an outer one counterclockwise, a hole clockwise."""
    return ring if (_area(ring) > 0) == outer else ring[::-1]
