"""Measures in plain Python: what each gives over records, which are dicts of values; floats to nine places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Record = dict[str, Any]
HALF = Decimal("0.5")


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
    return round(value, 9) if isinstance(value, float) else value


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


TWINS = {
    "a sum where": Twin(
        'type = "sum", name = "total", columns = ["a", "b"], where = "a > 5"', ("total",), _sum_where
    ),
    "a count where": Twin(
        'type = "count", name = "good", where = "b in (1, 2) and d < 0.5"',
        ("good",),
        lambda records: [sum(one["b"] in (1, 2) and one["d"] < HALF for one in _with(records, "d"))],
    ),
    "a minimum": Twin('type = "minimum", name = "least", column = "a"', ("least",), _extreme(min, "a")),
    "a maximum": Twin('type = "maximum", name = "most", column = "b"', ("most",), _extreme(max, "b")),
    "a minimum of decimals": Twin('type = "minimum", name = "least", column = "d"', ("least",), _extreme(min, "d")),
    "a maximum of decimals": Twin('type = "maximum", name = "most", column = "d"', ("most",), _extreme(max, "d")),
}  # fmt: skip
