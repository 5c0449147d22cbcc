"""Measures in plain Python: what each gives over records, which are dicts of values; floats to twelve digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

Record = dict[str, Any]
HALF = Decimal("0.5")


FEED = """
[feeds.probe]
description = "Probes"
files = ["probe_*.csv"]
format = {type = "csv"}
time = {column = "at"}
[feeds.probe.columns]
at = {type = "time", format = "unix_s"}
cell = {type = "integer"}
a = {type = "integer", optional = true}
b = {type = "integer", minimum = 0}
d = {type = "decimal", optional = true, unknown = [99]}
"""
KPI_ENTRY = """
[kpis.{name}]
id = {id}
feed = "probe"
description = "Probes"
by = ["cell"]
measure = {{{measure}}}
unit = "units"
"""


@dataclass(frozen=True)
class Twin:
    """A measure's entry in a catalog file, its columns, and what it gives over records, the value first.

    ``of_none`` is the total of no records.
    """

    entry: str
    columns: tuple[str, ...]
    values: Callable[[list[Record]], list[Any]]

    @property
    def name(self) -> str:
        return self.columns[0]


def rounded(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _with(records: list[Record], column: str) -> list[Record]:
    return [record for record in records if record[column] is not None]


def _known(records: list[Record], column: str) -> list[Any]:
    return [record[column] for record in _with(records, column)]


def _extreme(choose: Callable[..., Any], column: str) -> Callable[[list[Record]], list[Any]]:
    def values(records: list[Record]) -> list[Any]:
        found = choose(_known(records, column), default=None)
        return [float(found) if isinstance(found, Decimal) else found]

    return values


def _sum_where(records: list[Record]) -> list[Any]:
    return [sum((one["a"] or 0) + one["b"] for one in records if one["a"] is not None and one["a"] > 5)]


def _ratio(numerator: int, denominator: int, scale: int, zero: int | None = None) -> list[Any]:
    if denominator:
        return [float(Fraction(scale * numerator, denominator)), numerator, denominator]
    return [None if zero is None else float(scale * zero), numerator, denominator]


def _deviation(column: str) -> Callable[[list[Record]], list[Any]]:
    def values(records: list[Record]) -> list[Any]:
        found = [Fraction(value) for value in _known(records, column)]
        if len(found) < 2:
            return [None, len(found)]
        mean = sum(found) / len(found)
        return [math.sqrt(sum((one - mean) ** 2 for one in found) / (len(found) - 1)), len(found)]

    return values


def _last(column: str) -> Callable[[list[Record]], list[Any]]:
    def values(records: list[Record]) -> list[Any]:
        _, found = max(((one["at"], one[column]) for one in _with(records, column)), default=(0, None))
        return [float(found) if isinstance(found, Decimal) else found]

    return values


def middle(number: int) -> Fraction:
    """The middle of the range of whole numbers that are counted as one: 64 ranges from a power of two to the next."""
    size, width = abs(number), 1
    while size // width >= 128:
        width *= 2
    found = Fraction(2 * (size // width) * width + width - 1, 2)
    return found if number >= 0 else -found


def nearest_rank(values: list[Any], percent: int) -> Any:
    """The least value that so many per cent of the values do not exceed."""
    return next(one for one in sorted(values) if 100 * sum(other <= one for other in values) >= percent * len(values))


def percentiles(values: list[Any], percents: tuple[int, ...]) -> list[float | None]:
    if not values:
        return [None] * len(percents)
    exact = [nearest_rank(values, percent) for percent in percents]
    if isinstance(exact[0], Decimal):
        return [float(middle(int(one.scaleb(6))) / 10**6) for one in exact]
    return [float(middle(one)) for one in exact]


def _percentiles(column: str, percents: tuple[int, ...]) -> Callable[[list[Record]], list[Any]]:
    return lambda records: percentiles(_known(records, column), percents)


TWINS = {
    "a sum where": Twin(
        'type = "sum", name = "total", columns = ["a", "b"], where = "a > 5"', ("total",), _sum_where
    ),
    "a count where": Twin(
        'type = "count", name = "good", where = "b in (1, 2) and d < 0.5"',
        ("good",),
        lambda records: [sum(one["b"] in (1, 2) and one["d"] < HALF for one in _with(records, "d"))],
    ),
    "a ratio": Twin(
        """type = "ratio", name = "rate", numerator = "good", denominator = "all", scale = 100, terms = [
            {name = "all"}, {name = "good", where = "a > 0"}]""",
        ("rate", "numerator", "denominator"),
        lambda records: _ratio(sum((one["a"] or 0) > 0 for one in records), len(records), 100),
    ),
    "a ratio of formulas": Twin(
        """type = "ratio", name = "rate", numerator = "2 * x - y", denominator = "z", zero = "1", terms = [
            {name = "x", columns = ["a"]}, {name = "y", columns = ["b"]},
            {name = "z", columns = ["a", "b"], where = "d > 0"}]""",
        ("rate", "numerator", "denominator"),
        lambda records: _ratio(
            sum(2 * (one["a"] or 0) - one["b"] for one in records),
            sum((one["a"] or 0) + one["b"] for one in _with(records, "d") if one["d"] > 0),
            1,
            1,
        ),
    ),
    "a standard deviation": Twin(
        'type = "standard_deviation", name = "spread", column = "a"', ("spread", "samples"), _deviation("a")
    ),
    "a standard deviation of decimals": Twin(
        'type = "standard_deviation", name = "spread", column = "d"', ("spread", "samples"), _deviation("d")
    ),
    "a last value": Twin('type = "last", name = "newest", column = "a"', ("newest",), _last("a")),
    "a last decimal": Twin('type = "last", name = "newest", column = "d"', ("newest",), _last("d")),
    "percentiles": Twin(
        'type = "percentile", name = "size", column = "a"',
        ("size_p50", "size_p90", "size_p95", "size_p99"),
        _percentiles("a", (50, 90, 95, 99)),
    ),
    "percentiles of decimals": Twin(
        'type = "percentile", name = "size", column = "d", percentiles = [95, 1]',
        ("size_p95", "size_p1"),
        _percentiles("d", (95, 1)),
    ),
    "a minimum": Twin('type = "minimum", name = "least", column = "a"', ("least",), _extreme(min, "a")),
    "a maximum": Twin('type = "maximum", name = "most", column = "b"', ("most",), _extreme(max, "b")),
    "a minimum of decimals": Twin('type = "minimum", name = "least", column = "d"', ("least",), _extreme(min, "d")),
    "a maximum of decimals": Twin('type = "maximum", name = "most", column = "d"', ("most",), _extreme(max, "d")),
}  # fmt: skip
