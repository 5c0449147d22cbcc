"""A KPI: a measure of a feed's records, grouped by dimensions, per interval."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from kpis.catalog.dimensions import SPELLED, Attribute, Dimension
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.folding import folded_sql
from kpis.catalog.intervals import Length
from kpis.catalog.measures import Combine, Measure
from kpis.catalog.names import taken, taken_in_partials
from kpis.catalog.result_columns import BadEntry, ResultColumn
from kpis.catalog.sql import quoted

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression

_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
# A name that is valid as a column in SQL, an attribute in Python, and a field with lookups in Django.
_COLUMN_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def words_of(name: str) -> list[str]:
    """Return the words of a KPI's name: those of ``OperatorGPSPrecision`` are Operator, GPS and Precision."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[0-9]+", name)


@dataclass(frozen=True)
class Reference:
    """A table that partials are joined with when they are merged.

    ``on`` is the one of its ``columns`` that must be equal in both.
    """

    table: str
    on: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class KPI:
    """One KPI.

    ``by`` are its dimensions, ``lengths`` the interval lengths it is computed for. ``top`` keeps only the first TOP_N
    groups of an interval, and ``personal`` marks personal data of subscribers. A KPI with ``partials_of`` is computed
    from the partials of another, joined with the ``reference``; its dimensions are then columns of the reference. With
    a ``filter`` only the records for which it is true count; intervals count their records all the same. A KPI by
    attributes is computed from partials by the attributes' keys: its own, or those of another KPI that has the same.

    The table of its results is made from the entry. ``help_texts`` describe columns of it, by their names, that the
    types and units of the feed's columns do not describe; ``plural`` is the name of its rows, if it is not the name in
    words with an "s".
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
    filter: Expression | None = None
    help_texts: Mapping[str, str] = field(default_factory=dict, hash=False)
    plural: str = ""

    def __post_init__(self) -> None:
        """Raise BadEntry if the entry contradicts itself."""
        try:
            contradiction = next(self._contradictions(), "")
        except BadEntry as error:
            contradiction = str(error)
        if contradiction:
            raise BadEntry(contradiction, f"KPI {self.id} ({self.name})")

    @property
    def words(self) -> str:
        """Its name in words, as within a sentence: ``OperatorGPSPrecision`` is "operator GPS precision"."""
        words = words_of(self.name)
        return " ".join(word if len(word) > 1 and word.isupper() else word.lower() for word in words)

    @property
    def notes(self) -> str:
        """What the filter and the measure say, and a line per measured column.

        Such a line has the values that count, and those that are unknown.
        """
        counted = [f"Counts only records for which `{self.filter.text}` is true."] if self.filter else []
        measured = [column for column in self.feed.record_columns if column.name in self.measure.measured]
        noted = [self.measure.note] if self.measure.note else []
        return "\n".join(
            [*counted, *noted, *(f"`{column.name}`: {column.note}." for column in measured if column.source)]
        )

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The columns that identify a group."""
        return tuple(dimension.name for dimension in self.by)

    @property
    def value(self) -> str:
        """The column that the groups are ranked by, largest first."""
        return self.measure.value

    @property
    def total_column(self) -> str:
        """The column of an interval's summary that has the value over all groups."""
        return "mean" if self.measure.is_fraction else "total"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a group in the results: its dimensions and its values."""
        return (*self.dimensions, *self.measure.values)

    @property
    def result_columns(self) -> tuple[ResultColumn, ...]:
        """The same columns with their types, bounds and help texts."""
        columns = (
            *(one.result_column(self._column_of(one)) for one in self.by),
            *self.measure.result_columns(self.feed, self.unit),
        )
        return tuple(replace(one, help_text=self.help_texts.get(one.name, one.help_text)) for one in columns)

    @property
    def computed(self) -> frozenset[str]:
        """The dimensions whose groups' names are computed here."""
        return frozenset(dimension.name for dimension in self.by if dimension.is_computed)

    @property
    def folded(self) -> tuple[Dimension, ...]:
        return tuple(dimension for dimension in self.by if dimension.folded)

    @property
    def partial_keys(self) -> dict[str, str]:
        """The columns that the partial is grouped by besides the interval, each with its SQL over the records."""
        keys = {}
        for dimension in self.by:
            text = dimension.of(self.feed)
            keys[dimension.name] = folded_sql(text) if dimension.folded else text
            if dimension.folded:
                keys[dimension.spelling] = text
        return keys | self.measure.partial_keys

    @property
    def folded_spellings(self) -> dict[str, str]:
        """The partial's folded dimensions, each with its SQL over the partial's spelling of it."""
        return {dimension.name: folded_sql(quoted(dimension.spelling)) for dimension in self.folded}

    @property
    def partial_values(self) -> dict[str, str]:
        """The columns of the partial's values, each with its SQL over the records."""
        spelled = {SPELLED: "count(*)"} if self.folded else {}
        return self.measure.partial | spelled

    @property
    def combine(self) -> dict[str, Combine]:
        """How the columns of the partial's values become one of several batches."""
        return self.measure.combine | (dict.fromkeys([SPELLED], Combine.SUM) if self.folded else {})

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The dimensions that are attributes of others."""
        return tuple(dimension for dimension in self.by if isinstance(dimension, Attribute))

    @property
    def is_joined(self) -> bool:
        """True if its partials are joined with another table when they are merged."""
        return self.reference is not None or bool(self.attributes)

    @cached_property
    def source(self) -> KPI:
        """The KPI whose partials this one is computed from: usually itself."""
        if self.partials_of is not None or not self.attributes:
            return self.partials_of or self
        # Of the same id and name, by which the lake knows the partials.
        keys = [one for one in self.by if not isinstance(one, Attribute)]
        measured = [*self.measure.partial, *self.measure.partial_keys, *self.measure.values]
        for one in self.attributes:
            if not any(one.has_key(key) for key in keys):
                others = [*self.dimensions, *measured, *(name for key in keys for name in (key.name, key.spelling))]
                keys.append(one.key_dimension(others))
        return replace(self, by=tuple(keys), help_texts={})

    def key_of(self, attribute: Attribute) -> Dimension:
        """Return the dimension of the partials that has an attribute's keys."""
        return next(key for key in self.source.by if attribute.has_key(key))

    @property
    def partial_definition(self) -> tuple:
        """What its partials depend on besides the names of their dimensions."""
        source = self.source
        keys, values = sorted(source.partial_keys.values()), tuple(source.partial_values.items())
        combine = tuple(source.combine.items())
        return source.feed.name, source.filter, tuple(keys), values, combine, source.measure.kept

    def can_use_partials_of(self, other: KPI) -> bool:
        """Return True if this KPI by attributes can be computed from the partials of another one of the feed."""
        there = other.source.by
        return (
            self.partial_definition == other.partial_definition
            and not any(one.name in other.source.partial_keys for one in self.attributes)
            and all(one in there for one in self.by if not isinstance(one, Attribute))
            and all(any(one.has_key(key) for key in there) for one in self.attributes)
        )

    def _column_of(self, dimension: Dimension) -> Column:
        """Return the column whose values make a dimension's groups: the reference's if there is one, or the feed's."""
        if isinstance(dimension, Attribute):
            return dimension.described
        found = self.reference.columns if self.reference else self.feed.record_columns
        columns = {column.name: column for column in found}
        for name in dimension.columns:
            if name not in columns:
                place = self.reference.table if self.reference else f"the feed {self.feed.name}"
                raise BadEntry(f"dimension {dimension.name}: {place} has no column {name}")
        return columns[dimension.column]

    def _contradictions(self) -> Iterator[str]:
        """Yield the reasons why no table can be made from the entry. Raises the BadEntry of its parts."""
        if not _CLASS_NAME.fullmatch(self.name):
            yield "its name must be a capital letter, then letters and digits"
        if not self.by:
            yield "it has no dimension"
        if self.reference:
            yield from self._unjoinable(self.reference)
        names = {column.name for column in self.feed.record_columns}
        if self.filter is not None:
            yield from self._unfit("filter", self.filter, names)
            if self.source.filter != self.filter:
                source = self.source.name
                yield f"it has a filter, but is computed from the partials of {source}, which has its own"
        for condition in self.measure.conditions:
            yield from self._unfit("measure's condition", condition, names)
        for name in self.measure.needed:
            if name not in names:
                yield f"its measure needs the column {name}, which the feed {self.feed.name} does not have"
        columns = [column.name for column in self.result_columns]
        for name in columns:
            if not _COLUMN_NAME.fullmatch(name):
                yield f"the column {name!r} must be named by lower-case letters and digits, with single _ between them"
        yield from taken([*columns, *(one.folded_column for one in self.folded)], self.dimensions)
        if columns != [*self.columns]:
            yield f"its measure computes {', '.join(self.measure.values)}, but describes other columns"
        for attribute in self.attributes:
            if attribute.name in (*self.source.partial_keys, *self.source.partial_values):
                yield f"dimension {attribute.name}: its partials have that column; give it another name"
        if self.source is self:
            keys = [*self.dimensions, *(one.spelling for one in self.folded)]
            if self.folded and SPELLED in self.measure.partial:
                yield f"its measure cannot add up {SPELLED!r}, as its partials have another column of that name"
            yield from taken_in_partials(keys, self.partial_values, self.measure.partial_keys)
        for name in self.help_texts:
            if name not in columns:
                yield f"its help texts name the column {name}; it has {', '.join(columns)}"

    def _unfit(self, what: str, condition: Expression, names: Collection[str]) -> Iterator[str]:
        """Yield the reasons why a condition, which is called ``what``, cannot be used."""
        if not condition.is_condition:
            yield f"its {what} {condition.text!r} is {condition.type}, and must be a condition, true or false"
        for name in condition.columns:
            if name not in names:
                yield f"its {what} needs the column {name}, which the feed {self.feed.name} does not have"

    def _unjoinable(self, reference: Reference) -> Iterator[str]:
        """Yield the reasons why the partials cannot be joined with the reference."""
        if reference.on not in {column.name for column in reference.columns}:
            yield f"{reference.table} has no column {reference.on} to be joined on"
        if self.partials_of is None:
            yield f"it joins {reference.table} with the partials of another KPI, but partials_of names none"
        elif reference.on not in self.partials_of.partial_keys:
            yield f"{reference.table} is joined on {reference.on}, which the partials of {self.partials_of.name} lack"
