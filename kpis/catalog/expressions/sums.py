"""Expressions over sums: columns stand for their sums over rows, as in the formulas of ratios."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kpis.catalog.expressions.nodes import ColumnValue, Node
from kpis.catalog.sql import quoted


@dataclass(frozen=True)
class SumOfColumn(ColumnValue):
    """The sum of a column of whole numbers; an error in SQL if it does not fit 64 bits."""

    @property
    def sql(self) -> str:
        return f"CAST(sum({quoted(self.name)}) AS BIGINT)"


def over_sums(node: Node) -> Node:
    """Return a part with the sums of columns in the columns' places."""
    if isinstance(node, ColumnValue):
        return SumOfColumn(node.values, name=node.name)
    return replace(node, operands=tuple(map(over_sums, node.operands)))
