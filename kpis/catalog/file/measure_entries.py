"""The keys of a KPI's measure in a catalog file, each with its type, its default and its meaning."""

from __future__ import annotations

from typing import Annotated, Any

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


class PluginMeasure(MeasureEntry, tag="plugin", kw_only=True, frozen=True):
    """A [measure of a plug-in](measures.md)."""

    kind: Annotated[str, Meta(description="The name that the plug-in gives it.")]
    columns: Annotated[list[str], Meta(description="Columns that it uses.")] = []
    options: Annotated[dict[str, Any], Meta(description="What the plug-in describes.")] = {}


AnyMeasure = (
    SumMeasure | CountMeasure | CountDistinctMeasure | MeanMeasure | MinimumMeasure | MaximumMeasure | PluginMeasure
)
