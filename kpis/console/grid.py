"""The cells of a grid KPI in one interval, merged into bins for a map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from kpis.catalog.dimensions import GridCell
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.models import KPIResult, Region
from kpis.models.result_models import result_model

# The most bins across the map: more would be too small to see.
MOST_BINS = 45
# The possible widths of a bin, in cells.
_WIDTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True)
class Box:
    """A rectangle of the map, in degrees."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, latitude: float, longitude: float) -> bool:
        """Return True if a point is in it."""
        return self.south <= latitude < self.north and self.west <= longitude < self.east


@dataclass(frozen=True)
class Bin:
    """Cells that are shown as one: their place, the mean over all of their samples, and the number of samples."""

    box: Box
    value: float
    samples: int
    cells: int


@dataclass(frozen=True)
class Cell:
    """A cell of the grid: its row, and its place."""

    row: KPIResult
    box: Box


@dataclass(frozen=True)
class Grid:
    """A KPI's interval on the map: the cells in the box, weakest first, and the row of the records without a place."""

    kpi: KPI
    box: Box
    cells: list[Cell]
    nowhere: KPIResult | None
    width: int

    @property
    def size(self) -> float:
        """The width and height of a bin, in degrees."""
        return float(_dimension(self.kpi).size * self.width)

    @property
    def bins(self) -> list[Bin]:
        """The cells with samples, merged."""
        found: dict[tuple[int, int], list[Cell]] = {}
        for cell in self.cells:
            if getattr(cell.row, self.kpi.value) is not None:
                found.setdefault(self._bin_of(cell.box), []).append(cell)
        return [self._bin(south, west, cells) for (south, west), cells in sorted(found.items())]

    def _bin_of(self, box: Box) -> tuple[int, int]:
        return round(box.south / float(_dimension(self.kpi).size)) // self.width, (
            round(box.west / float(_dimension(self.kpi).size)) // self.width
        )

    def _bin(self, south: int, west: int, cells: list[Cell]) -> Bin:
        corner = (round(number * self.size, 6) for number in (west, south, west + 1, south + 1))
        weights = [
            (Fraction(getattr(cell.row, self.kpi.value)), getattr(cell.row, self.kpi.measure.weight)) for cell in cells
        ]
        samples = sum(weight for _, weight in weights)
        mean = float(sum(value * weight for value, weight in weights) / samples)
        return Bin(Box(*corner), mean, samples, len(cells))


def box_of(regions: Iterable[Region]) -> Box | None:
    """Return the bounding box of regions; None if there are none."""
    boxes = [(one.west, one.south, one.east, one.north) for one in regions]
    if not boxes:
        return None
    west, south, east, north = zip(*boxes, strict=True)
    return Box(min(west), min(south), max(east), max(north))


def grid(kpi: KPI, length: Length, start: datetime, box: Box | None) -> Grid:
    """Return the KPI's interval in the box, or, without one, in the bounding box of its own cells."""
    dimension = _dimension(kpi)
    size = float(dimension.size)
    rows = result_model(kpi).objects.filter(interval=length.code, interval_start_timestamp=start).order_by("-rank")
    cells, nowhere = [], None
    for row in rows:
        corner = dimension.corner(getattr(row, dimension.name))
        if corner is None:
            nowhere = row
            continue
        south, west = corner
        if box is None or box.holds(south + size / 2, west + size / 2):
            cells.append(Cell(row, Box(west, south, round(west + size, 6), round(south + size, 6))))
    if box is None:
        boxes = [cell.box for cell in cells] or [Box(-180, -90, 180, 90)]
        box = Box(
            min(one.west for one in boxes),
            min(one.south for one in boxes),
            max(one.east for one in boxes),
            max(one.north for one in boxes),
        )
    extent = max(box.east - box.west, box.north - box.south)
    width = next((width for width in _WIDTHS if extent / (width * size) <= MOST_BINS), _WIDTHS[-1])
    # Cells without samples rank last; their order does not matter.
    cells.sort(key=lambda cell: getattr(cell.row, kpi.value) is None)
    return Grid(kpi, box, cells, nowhere, width)


def _dimension(kpi: KPI) -> GridCell:
    (dimension,) = kpi.by
    if not isinstance(dimension, GridCell):
        raise TypeError(f"{kpi.name} is not computed on a grid")
    return dimension
