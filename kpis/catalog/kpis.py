"""A KPI: a measure of a feed's records, grouped by dimensions, per interval."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.dimensions import SPELLED, Dimension
from kpis.catalog.feeds import Feed
from kpis.catalog.folding import folded_sql
from kpis.catalog.intervals import Length
from kpis.catalog.measures import Measure


@dataclass(frozen=True)
class Reference:
    """A table that partials are joined with when they are merged: its name, and the columns that must be equal."""

    table: str
    on: str


@dataclass(frozen=True)
class KPI:
    """One KPI.

    ``by`` says what its groups are made of, ``lengths`` the interval lengths it is computed for. ``top`` keeps only
    the first TOP_N groups of an interval, and ``personal`` marks figures about single subscribers. A KPI with
    ``partials_of`` is computed from the partials of another, joined with the ``reference``; its dimensions are then
    columns of the reference.
    """

    id: int
    name: str
    description: str
    feed: Feed
    by: tuple[Dimension, ...]
    measure: Measure
    unit: str
    lengths: tuple[Length, ...]
    top: bool = False
    personal: bool = False
    partials_of: KPI | None = None
    reference: Reference | None = None

    @property
    def notes(self) -> str:
        """Which values of the measured columns count, and which are unknown: a line a column, "" for none."""
        columns = [column for column in self.feed.columns if column.name in self.measure.measured and column.source]
        return "\n".join(f"`{column.name}`: {column.note}." for column in columns)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The columns that tell its groups apart."""
        return tuple(dimension.name for dimension in self.by)

    @property
    def value(self) -> str:
        """The column that the groups are ranked by, largest first."""
        return self.measure.value

    @property
    def columns(self) -> tuple[str, ...]:
        """What a result says of a group: its dimensions and its values."""
        return (*self.dimensions, *self.measure.values)

    @property
    def computed(self) -> frozenset[str]:
        """The dimensions whose groups' names are computed here."""
        return frozenset(dimension.name for dimension in self.by if dimension.is_computed)

    @property
    def folded(self) -> tuple[Dimension, ...]:
        return tuple(dimension for dimension in self.by if dimension.folded)

    @property
    def partial_keys(self) -> dict[str, str]:
        """What the partial is grouped by besides the interval: columns, each with its SQL over the records."""
        keys = {}
        for dimension in self.by:
            text = dimension.of(self.feed)
            keys[dimension.name] = folded_sql(text) if dimension.folded else text
            if dimension.folded:
                keys[dimension.spelling] = text
        return keys | {name: name for name in self.measure.partial_keys}

    @property
    def folded_spellings(self) -> dict[str, str]:
        """The partial's folded dimensions, each with its SQL over the partial's spelling of it."""
        return {dimension.name: folded_sql(dimension.spelling) for dimension in self.folded}

    @property
    def partial_values(self) -> dict[str, str]:
        """What the partial says of each of its groups: columns, each with its SQL over the records."""
        spelled = {SPELLED: "count(*)"} if self.folded else {}
        return self.measure.partial | spelled

    @property
    def source(self) -> KPI:
        """The KPI whose partials this one is computed from: mostly itself."""
        return self.partials_of or self
