"""Make kpis/reference/data/california.geojson: the counties of a US state, by its FIPS code, as GeoJSON (RFC 7946).

    npm pack us-atlas@3.0.1 && tar xf us-atlas-3.0.1.tgz
    python3 scripts/make_counties.py package/counties-10m.json 06 > kpis/reference/data/california.geojson

us-atlas has the US Census Bureau's cartographic boundaries of 2017 as TopoJSON, simplified and quantised. Its shapes
share their borders' points, so that rounding them leaves no gaps; a ten-thousandth of a degree is about 10 m, less than
what they were quantised to. Islets without an area after rounding are left out.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

PLACES = 4

Point = tuple[float, float]


def arcs_of(topology: dict) -> list[list[Point]]:
    """Return the topology's lines, in degrees (TopoJSON: each point is the difference to the one before, quantised)."""
    (scale_x, scale_y), (origin_x, origin_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = []
    for arc in topology["arcs"]:
        x = y = 0
        line = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            line.append((round(x * scale_x + origin_x, PLACES), round(y * scale_y + origin_y, PLACES)))
        lines.append(line)
    return lines


def ring_of(indexes: list[int], lines: list[list[Point]]) -> list[Point]:
    """Return the closed line that these lines make end to end; a negative index is a line backwards, from ~0 down."""
    ring: list[Point] = []
    for index in indexes:
        for point in lines[index] if index >= 0 else lines[~index][::-1]:
            if not ring or point != ring[-1]:
                ring.append(point)
    return ring


def area_of(ring: list[Point]) -> float:
    """Return a ring's area in square degrees, positive if it runs counterclockwise."""
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairwise(ring)) / 2


def polygon_of(rings: list[list[int]], lines: list[list[Point]]) -> list[list[Point]]:
    """Return a polygon's rings, the outer one counterclockwise and its holes clockwise."""
    polygon = [ring_of(ring, lines) for ring in rings]
    return [ring if (area_of(ring) > 0) == (number == 0) else ring[::-1] for number, ring in enumerate(polygon)]


def features_of(topology: dict, state: str) -> list[dict]:
    """Yield the state's counties, by their FIPS codes."""
    lines = arcs_of(topology)
    features = []
    for county in topology["objects"]["counties"]["geometries"]:
        if not county["id"].startswith(state):
            continue
        polygons = county["arcs"] if county["type"] == "MultiPolygon" else [county["arcs"]]
        shapes = [shape for polygon in polygons if area_of((shape := polygon_of(polygon, lines))[0]) > 0]
        kind, coordinates = ("MultiPolygon", shapes) if len(shapes) > 1 else ("Polygon", shapes[0])
        features.append(
            {
                "type": "Feature",
                "id": county["id"],
                "properties": {"name": county["properties"]["name"]},
                "geometry": {"type": kind, "coordinates": coordinates},
            }
        )
    return sorted(features, key=lambda feature: feature["id"])


def main() -> None:
    """Write a state's counties to standard output, one per line."""
    path, state = sys.argv[1:]
    features = features_of(json.loads(Path(path).read_text()), state)
    lines = ",\n".join(json.dumps(feature, separators=(",", ":")) for feature in features)
    sys.stdout.write(f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
