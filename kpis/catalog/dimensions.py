"""Dimensions: what a KPI's records are grouped by."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from kpis.catalog.feeds import Column, Feed
from kpis.catalog.folding import fold
from kpis.catalog.names import free_name
from kpis.catalog.references import ReferenceTable
from kpis.catalog.result_columns import BadEntry, Label, ResultColumn
from kpis.catalog.sql import quoted

# The partial's column that counts the records with a spelling of a folded dimension.
SPELLED = "spelled"


@dataclass(frozen=True)
class Dimension:
    """A dimension of a KPI: the column ``name`` of its results, from ``column`` of the feed.

    Texts that are ``folded`` make one group regardless of case and encoding (``kpis.catalog.folding``); its name is the
    spelling of most of the interval's records, the first in order among equals. An empty text is a group of its own,
    named "".
    """

    name: str
    column: str
    folded: bool = False

    # True if its groups' names are computed here, and are not texts of the records.
    is_computed = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The feed's columns that it depends on."""
        return (self.column,)

    @property
    def spelling(self) -> str:
        """The partial's column with a folded dimension's spelling in the records."""
        return f"{self.name}_spelling"

    @property
    def folded_column(self) -> str:
        """The results' column with a folded dimension's folded name, by which its groups are looked up."""
        return f"{self.name}_folded"

    def key(self, name: str) -> str:
        """Return the value that two names of the same group share."""
        return fold(name) if self.folded else name

    def of(self, feed: Feed) -> str:
        """SQL over the feed's records for a record's group, as the record spells it."""
        column = feed.column(self.column)
        name = column.type.group_sql(quoted(column.name))
        return f"coalesce({name}, '')" if column.type.may_be_none else name

    def unit(self, feed: Feed) -> str:
        """The dimension's unit, "" for none."""
        return feed.column(self.column).unit

    def result_column(self, column: Column) -> ResultColumn:
        """Return the results' column for groups of the feed's, or the reference's, ``column``.

        Raises BadEntry if that column cannot make groups.
        """
        kind = type(column.type).__name__
        if column.type.result_type is None:
            raise BadEntry(f"dimension {self.name}: the column {column.name} is a {kind}, which names no groups")
        is_text = isinstance(column.type.result_type, Label)
        if self.folded and not is_text:
            raise BadEntry(f"dimension {self.name} is folded, but the column {column.name} ({kind}) has no texts")
        if column.type.may_be_none and not is_text:
            raise BadEntry(
                f"dimension {self.name}: the column {column.name} ({kind}) is optional, and only a text can be empty"
            )
        help_text = column.unit or column.type.help_text
        return ResultColumn(self.name, column.type.result_type, help_text, optional=column.type.may_be_none)


@dataclass(frozen=True)
class GridCell(Dimension):
    """The cell of a grid that contains a record's place: latitude in ``column`` and ``longitude``, in degrees.

    A degree has ``per_degree`` cells each way. A cell has its south and west edges, not the others, and is named by its
    south-west corner: ``34.05,-118.25``. Records without a place make a group of their own, named "".
    """

    longitude: str = ""
    per_degree: int = 20
    is_computed = True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.longitude)

    @property
    def size(self) -> Decimal:
        """The width and height of a cell, in degrees."""
        return 1 / Decimal(self.per_degree)

    def of(self, feed: Feed) -> str:
        # With decimals throughout, so that a place on an edge is in the cell that begins there.
        south, west = (
            f"CAST(CAST(floor({quoted(column)} * {self.per_degree}) AS INTEGER) * {self.size} AS VARCHAR)"
            for column in self.columns
        )
        return f"coalesce({south} || ',' || {west}, '')"

    def unit(self, feed: Feed) -> str:
        return f"south-west corner of {self.size} degrees: latitude,longitude"

    def result_column(self, column: Column) -> ResultColumn:
        help_text = f"south-west corner of {self.size} degrees, latitude,longitude; empty for no place"
        return ResultColumn(self.name, Label(20), help_text, optional=True)

    def cell_name(self, south: int, west: int) -> str:
        """Return the name of the cell that begins so many cells north and east of 0,0, as ``of`` gives it."""
        return f"{south * self.size},{west * self.size}"

    def corner(self, name: str) -> tuple[float, float] | None:
        """Return the latitude and longitude of a cell's south-west corner, by the cell's name; None for no place."""
        latitude, _, longitude = name.partition(",")
        return (float(latitude), float(longitude)) if longitude else None


@dataclass(frozen=True)
class Attribute(Dimension):
    """A dimension of what a reference says of the values of the feed's ``column``: the region of a cell.

    ``attribute`` is a column of the ``reference``. Each record counts by the version that is valid at the start of the
    feed's interval that it lies in. Records without such a version, or of one without the attribute, make a group of
    their own, named "".
    """

    reference: ReferenceTable = field(kw_only=True)
    attribute: str = field(kw_only=True)

    def key_dimension(self, others: Collection[str]) -> Dimension:
        """Return the dimension that partials have in place of this one, the reference's keys.

        It has the name of the feed's column in small letters, or a longer one if that is among ``others``.
        """
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.column).lower()
        name = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
        return Dimension(free_name(name, others), self.column, folded=self.reference.ignore_case)

    def has_key(self, dimension: Dimension) -> bool:
        """Return True if the groups of a dimension of partials are the reference's keys."""
        is_plain = type(dimension) is Dimension and dimension.column == self.column
        return is_plain and dimension.folded == self.reference.ignore_case

    @property
    def described(self) -> Column:
        """The reference's column."""
        return self.reference.column(self.attribute)

    def of(self, feed: Feed) -> str:
        """Raise TypeError: records have no attributes, which partials are joined with when they are merged."""
        raise TypeError(f"{self.name} is no dimension of records")

    def unit(self, feed: Feed) -> str:
        return self.described.unit

    def result_column(self, column: Column) -> ResultColumn:
        """Return the results' column for groups of the reference's ``column``; raises BadEntry if it has no texts."""
        label = column.type.result_type
        if not isinstance(label, Label):
            kind = type(column.type).__name__
            raise BadEntry(
                f"dimension {self.name}: the column {column.name} of the reference {self.reference.name} has the type "
                f"{kind}, and only a text can be empty, as for a key that the reference lacks"
            )
        help_text = f"the {self.attribute} of {self.column} by the reference {self.reference.name}; empty for none"
        return ResultColumn(self.name, label, help_text, optional=True)
