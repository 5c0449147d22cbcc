"""Expressions over a feed's columns, for checks on rows, filters of KPIs and derived columns.

A small language that is neither SQL nor Python: ``docs/reference/expressions.md`` describes it. ``Expression`` computes
it in Python, which is the truth, and gives the SQL that computes the same.
"""

from kpis.catalog.expressions.errors import ExpressionError
from kpis.catalog.expressions.expression import Expression, TooLarge, condition, expression
from kpis.catalog.expressions.kinds import Type

__all__ = ["Expression", "ExpressionError", "TooLarge", "Type", "condition", "expression"]
