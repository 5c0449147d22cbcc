"""Dimensions: what the groups of a KPI are made of."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from kpis.catalog.feeds import Feed
from kpis.catalog.folding import fold

# The partial's column that counts the records which spell a folded dimension one way.
SPELLED = "spelled"


@dataclass(frozen=True)
class Dimension:
    """One thing that a KPI's groups are made of: the column ``name`` of its results, from ``column`` of the feed.

    Texts that are ``folded`` make one group whatever their letter case and encoding (``kpis.catalog.folding``); its
    name is the spelling that most of the interval's records have, the first in order among equals. An empty text is a
    group of its own, named "".
    """

    name: str
    column: str
    folded: bool = False

    # Whether its groups' names are computed here, and are no text of the records.
    is_computed = False

    @property
    def spelling(self) -> str:
        """The partial's column that has a folded dimension as the records spell it."""
        return f"{self.name}_spelling"

    @property
    def folded_column(self) -> str:
        """The results' column that has a folded dimension's folded name, by which its groups are found."""
        return f"{self.name}_folded"

    def key(self, name: str) -> str:
        """What tells a group's name from others in this dimension."""
        return fold(name) if self.folded else name

    def of(self, feed: Feed) -> str:
        """SQL over the feed's records: what a record's group is made of, as the record spells it."""
        column = feed.column(self.column)
        return f"coalesce({column.name}, '')" if column.type.optional else column.name

    def unit(self, feed: Feed) -> str:
        """The dimension's unit, "" for none."""
        return feed.column(self.column).unit


@dataclass(frozen=True)
class GridCell(Dimension):
    """The cell of a grid that a record's place lies in, by the latitude in ``column`` and a ``longitude``, in degrees.

    A degree has so many cells each way. A cell has its south and west edges, not the others, and goes by its
    south-west corner: ``34.05,-118.25``. Records without a place make a group of their own, named "".
    """

    longitude: str = ""
    a_degree: int = 20
    is_computed = True

    @property
    def size(self) -> Decimal:
        """How many degrees a cell is wide and high."""
        return 1 / Decimal(self.a_degree)

    def of(self, feed: Feed) -> str:
        # In decimals throughout, so that a place on an edge is in the cell that begins there.
        south, west = (
            f"CAST(CAST(floor({column} * {self.a_degree}) AS INTEGER) * {self.size} AS VARCHAR)"
            for column in (self.column, self.longitude)
        )
        return f"coalesce({south} || ',' || {west}, '')"

    def unit(self, feed: Feed) -> str:
        return f"south-west corner of {self.size} degrees: latitude,longitude"

    def corner(self, name: str) -> tuple[float, float] | None:
        """The latitude and longitude of a cell's south-west corner, by the cell's name; None for no place."""
        latitude, _, longitude = name.partition(",")
        return (float(latitude), float(longitude)) if longitude else None
