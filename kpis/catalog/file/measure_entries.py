"""The keys of a KPI's measure in a catalog file, each with its type, its default and its meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kpis.catalog.file.entry import ColumnName, Entry


class MeasureEntry(Entry, kw_only=True, frozen=True, tag_field="type"):
    """What is computed of each group's records."""

    name: Annotated[ColumnName, Meta(description="The name of the value.")]


WHERE = Meta(
    description="Only records for which it is true count: an [expression](expressions.md) over the feed's columns. A "
    "group without such a record has 0, unlike with `filter`, which leaves the group out."
)


class SumMeasure(MeasureEntry, tag="sum", kw_only=True, frozen=True):
    """The sum of one or more columns of whole numbers."""

    columns: Annotated[list[str], Meta(min_length=1, description="The columns.")]
    where: Annotated[str, WHERE] = ""


class CountMeasure(MeasureEntry, tag="count", kw_only=True, frozen=True):
    """The number of records."""

    share: Annotated[str, Meta(description="The name of a further value: the group's share of the interval.")] = ""
    where: Annotated[str, WHERE] = ""


class CountDistinctMeasure(MeasureEntry, tag="count_distinct", kw_only=True, frozen=True):
    """The number of distinct values of a column, over the records that have one."""

    column: Annotated[str, Meta(description="The column.")]


class MeanMeasure(MeasureEntry, tag="mean", kw_only=True, frozen=True):
    """The mean of a column of numbers, over the records that have a value, whose sum in a group is at most 9.2e12."""

    column: Annotated[str, Meta(description="The column.")]
    samples: Annotated[ColumnName, Meta(description="The name of the count of records with a value.")] = "samples"
    empty: Annotated[ColumnName, Meta(description="The name of the count of records without one.")] = "empty_values"


class MinimumMeasure(MeasureEntry, tag="minimum", kw_only=True, frozen=True):
    """The least value of a column of numbers, over the records that have one. Groups rank by it, largest first."""

    column: Annotated[str, Meta(description="The column.")]


class MaximumMeasure(MeasureEntry, tag="maximum", kw_only=True, frozen=True):
    """The largest value of a column of numbers, over the records that have one."""

    column: Annotated[str, Meta(description="The column.")]


class TermEntry(Entry, kw_only=True, frozen=True):
    """A sum or a count that the formulas of a ratio use."""

    name: Annotated[ColumnName, Meta(description="Its name in the formulas.")]
    columns: Annotated[
        list[str], Meta(description="The columns of whole numbers that are added up. Without: records are counted.")
    ] = []
    where: Annotated[
        str,
        Meta(
            description="Only records for which it is true count: an [expression](expressions.md) over the feed's "
            "columns."
        ),
    ] = ""


class RatioMeasure(MeasureEntry, tag="ratio", kw_only=True, frozen=True):
    """The quotient of two formulas over sums and counts: of all records, in a long interval and in the total too."""

    terms: Annotated[list[TermEntry], Meta(min_length=1, description="The sums and counts that the formulas use.")]
    numerator: Annotated[
        str, Meta(description="An [expression](expressions.md) over the terms, a whole number, such as `good + fair`.")
    ]
    denominator: Annotated[str, Meta(description="Another one.")]
    scale: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="What the quotient is multiplied by: 100 for per cent.")
    ] = 1
    zero: Annotated[
        Literal["empty", "0", "1"],
        Meta(description="The quotient where the denominator is 0, before it is scaled. Groups without rank last."),
    ] = "empty"


class StandardDeviationMeasure(MeasureEntry, tag="standard_deviation", kw_only=True, frozen=True):
    """The sample standard deviation (n - 1) of a column of numbers, over the records that have a value.

    The sum of a group's squares is at most 9.2e30 for whole numbers and 9.2e18 for decimals.
    """

    column: Annotated[str, Meta(description="The column.")]
    samples: Annotated[ColumnName, Meta(description="The name of the count of records with a value.")] = "samples"


class LastMeasure(MeasureEntry, tag="last", kw_only=True, frozen=True):
    """The value of a column of numbers in the newest record that has one; of several at the same time the largest."""

    column: Annotated[str, Meta(description="The column.")]


Percent = Annotated[int, Meta(ge=1, le=99)]


class PercentileMeasure(MeasureEntry, tag="percentile", kw_only=True, frozen=True):
    """Percentiles of a column of numbers, over the records that have a value: `NAME_p50` and so on.

    A percentile is the least value that so many per cent of the values do not exceed. What is shown is within 1 % of
    it, as values are counted in ranges, and the same in any order; whole numbers up to 127 are exact.
    """

    name: Annotated[ColumnName, Meta(description="The name of the values, to which the percentage is added.")]
    column: Annotated[str, Meta(description="The column.")]
    percentiles: Annotated[
        list[Percent], Meta(min_length=1, max_length=20, description="The percentages. Groups rank by the first.")
    ] = msgspec.field(default_factory=lambda: [50, 90, 95, 99])


class PluginMeasure(MeasureEntry, tag="plugin", kw_only=True, frozen=True):
    """A [measure of a plug-in](measures.md)."""

    kind: Annotated[str, Meta(description="The name that the plug-in gives it.")]
    columns: Annotated[list[str], Meta(description="Columns that it uses.")] = []
    options: Annotated[dict[str, Any], Meta(description="What the plug-in describes.")] = {}


AnyMeasure = (
    SumMeasure
    | CountMeasure
    | CountDistinctMeasure
    | MeanMeasure
    | MinimumMeasure
    | MaximumMeasure
    | RatioMeasure
    | StandardDeviationMeasure
    | LastMeasure
    | PercentileMeasure
    | PluginMeasure
)
