"""What the compiled scanner adds up for each measure, and the columns of partials that come of it."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.columns import Decimal, Integer
from kpis.catalog.feeds import Feed
from kpis.catalog.measures import (
    Count,
    CountDistinct,
    Extreme,
    Last,
    Maximum,
    Mean,
    Measure,
    Minimum,
    Percentile,
    Ratio,
    StandardDeviation,
    Sum,
)
from kpis.catalog.measures.means import SQUARES
from kpis.engine import compiled
from kpis.engine.reductions import Declined
from kpis.engine.scan_kinds import MICRO

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression

# The most columns of a SUM: scanner.h.
MOST_TERMS = 4
# The places that a total takes in a group; of others it is one.
PLACES = {compiled.LEAST: 2, compiled.LARGEST: 2, compiled.SQUARED: 2, compiled.NEWEST: 3}
# Measures by their very types: a subclass may compute something else.
MEASURES = frozenset([Sum, Count, CountDistinct, Mean, Ratio, Minimum, Maximum, StandardDeviation, Last, Percentile])


@dataclass(frozen=True)
class Total:
    """A total of a group: of ``kind``, over the values of columns, or without any over rows.

    With ``where`` it is of the rows for which that is true. Of several columns the values are added up.
    """

    kind: int
    columns: tuple[str, ...] = ()
    where: Expression | None = None

    @property
    def places(self) -> int:
        return PLACES.get(self.kind, 1)


@dataclass(frozen=True)
class Plan:
    """What the scanner reduces records to: by a reduction's kind, of columns, or if it is TOTALS, ``totals``.

    Groups are made by the bucket of a column besides, if ``bucket_of`` names one.
    """

    kind: int
    columns: tuple[str, ...] = ()
    totals: tuple[Total, ...] = ()
    bucket_of: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns whose values are reduced."""
        return (*self.columns, *(name for total in self.totals for name in total.columns))

    @property
    def width(self) -> int:
        """The places that the totals take in a group."""
        return sum(total.places for total in self.totals)


def plan_of(measure: Measure, feed: Feed) -> Plan | None:
    """Return what the scanner reduces a feed's records to for a measure; None if it has nothing that would do."""
    if type(measure) not in MEASURES:
        return None
    match measure:
        case Sum(columns=columns, where=where):
            types = [feed.column(name).type for name in columns]
            if not all(isinstance(one, Integer) for one in types):
                return None
            is_simple = where is None and len(columns) <= MOST_TERMS
            if is_simple and all(isinstance(one, Integer) and one.minimum >= 0 for one in types):
                return Plan(compiled.SUM, columns)
            return _of_totals(Total(compiled.ADDED, columns, where))
        case Count(where=where):
            return Plan(compiled.COUNT) if where is None else _of_totals(Total(compiled.OF_ROWS, where=where))
        case CountDistinct(column=column):
            return Plan(compiled.DISTINCT, (column,))
        case Mean(column=column):
            return Plan(compiled.MEAN, (column,)) if _is_number(feed, column) else None
        case Ratio(terms=terms):
            return _of_totals(
                *(
                    Total(compiled.ADDED if term.columns else compiled.OF_ROWS, term.columns, term.where)
                    for term in terms
                )
            )
        case Extreme(column=number):
            kind = compiled.LEAST if isinstance(measure, Minimum) else compiled.LARGEST
            return _of_totals(Total(kind, (number.name,))) if _is_number(feed, number.name) else None
        case Percentile(column=number):
            totals = (Total(compiled.OF_VALUES, (number.name,)),)
            is_number = _is_number(feed, number.name)
            return Plan(compiled.TOTALS, totals=totals, bucket_of=number.name) if is_number else None
        case Last(column=number, moment=moment):
            is_own = moment == feed.moment.sql and _is_number(feed, number.name)
            return _of_totals(Total(compiled.NEWEST, (number.name,))) if is_own else None
        case StandardDeviation(column=number):
            kinds = (compiled.ADDED, compiled.SQUARED, compiled.OF_VALUES)
            deviations = (Total(kind, (number.name,)) for kind in kinds)
            return _of_totals(*deviations) if _is_number(feed, number.name) else None
    return None


def _of_totals(*totals: Total) -> Plan:
    return Plan(compiled.TOTALS, totals=totals)


def _is_number(feed: Feed, column: str) -> bool:
    return isinstance(feed.column(column).type, Integer | Decimal)


def partial_values(plan: Plan, measure: Measure, feed: Feed, places: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a partial's columns behind those of the dimensions, from the places of its groups' totals.

    They are masked where a value is missing. Raises Declined where a value does not fit into 64 bits.
    """
    if isinstance(measure, Mean) and not isinstance(feed.column(measure.column).type, Decimal):
        (total, *others) = places
        if len(total) and np.abs(total.astype(np.float64)).max() * MICRO >= 2.0**62:
            raise Declined
        return [total * MICRO, *others]
    if plan.kind != compiled.TOTALS:
        return [*places]
    found, at = [], 0
    for one in plan.totals:
        found += _values_of(one.kind, places[at : at + one.places])
        at += one.places
    return [*found, *places[at:]]


def _values_of(kind: int, places: Sequence[np.ndarray]) -> list[np.ndarray]:
    if kind == compiled.SQUARED:
        return _divided(*places)
    if kind in (compiled.LEAST, compiled.LARGEST):
        values, is_there = places
        return [masked(values, is_there == 0)]
    if kind == compiled.NEWEST:
        values, is_there, moments = places
        return [masked(one, is_there == 0) for one in (moments.astype("datetime64[us]"), values)]
    return [*places]


def masked(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the values, masked where the mask is True; as they are if it nowhere is."""
    return np.ma.array(values, mask=mask) if mask.any() else values


def _divided(lower: np.ndarray, upper: np.ndarray) -> list[np.ndarray]:
    """Return sums of squares of 128 bits as a partial keeps them: how often they have SQUARES, and the rest."""
    library = compiled.library()
    quotients, rests = np.empty(len(lower), dtype=np.int64), np.empty(len(lower), dtype=np.int64)
    addresses = (ctypes.c_void_p(array.ctypes.data) for array in (lower, upper))
    results = (array.ctypes.data for array in (quotients, rests))
    if library is None or library.divide(*addresses, len(lower), SQUARES, *results) != compiled.DONE:
        raise Declined
    return [quotients, rests]
