"""Measures: what a KPI counts, as SQL over three kinds of rows.

A measure is computed in three steps, each an SQL expression, so that every SQL engine gives the same answer:

1. *partial*: over the records of one batch, grouped by interval and dimensions: what the lake keeps;
2. *merge*: over the partials of any number of batches, grouped the same way: a group's values;
3. *total*: the interval's value over all groups: over the same partials without the dimensions, or, if the groups'
   values add up, over those values.

Partials hold sums, counts and the distinct values themselves, not final results. Therefore an hour merged from partials
is exact, unlike the sum of its top lists or of its 5-minute user counts. ``docs/reference/measures.md`` describes the
interface for plug-ins.
"""

from kpis.catalog.measures.distinct import CountDistinct
from kpis.catalog.measures.extremes import Extreme, Maximum, Minimum
from kpis.catalog.measures.last import Last
from kpis.catalog.measures.means import Mean, StandardDeviation
from kpis.catalog.measures.measure import Combine, Measure
from kpis.catalog.measures.numbers import MICRO, Number, number_of
from kpis.catalog.measures.percentiles import Percentile
from kpis.catalog.measures.ratio import Ratio, Term, formula
from kpis.catalog.measures.sums import Count, Sum, SumOverQuota

__all__ = [
    "MICRO",
    "Combine",
    "Count",
    "CountDistinct",
    "Extreme",
    "Last",
    "Maximum",
    "Mean",
    "Measure",
    "Minimum",
    "Number",
    "Percentile",
    "Ratio",
    "StandardDeviation",
    "Sum",
    "SumOverQuota",
    "Term",
    "formula",
    "number_of",
]
