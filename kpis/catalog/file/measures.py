"""Measures of a catalog file's entries."""

from __future__ import annotations

from kpis.catalog import measures
from kpis.catalog.expressions import Expression
from kpis.catalog.feeds import Feed
from kpis.catalog.file import measure_entries as entries
from kpis.catalog.file.conditions import condition_of
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.naming import instead, known_column
from kpis.catalog.file.source import Source
from kpis.catalog.measures import Measure
from kpis.catalog.plugin_measures import PLUGIN_MEASURES, plugin_measure
from kpis.catalog.result_columns import BadEntry


def measure_of(source: Source, at: Keys, entry: entries.AnyMeasure, feed: Feed) -> Measure:
    """Return the measure of an entry over a feed's records; raises CatalogError if the entry contradicts itself."""
    known = {column.name: column for column in feed.record_columns}

    def where(text: str) -> Expression | None:
        return condition_of(source, (*at, "where"), text, feed)

    def number(name: str) -> measures.Number:
        return measures.number_of(known[known_column(source, (*at, "column"), name, known)])

    match entry:
        case entries.SumMeasure(name=name, columns=added):
            names = [known_column(source, (*at, "columns", index), one, known) for index, one in enumerate(added)]
            return measures.Sum(name, columns=tuple(names), where=where(entry.where))
        case entries.CountMeasure(name=name, share=share):
            return measures.Count(name, share=share, where=where(entry.where))
        case entries.CountDistinctMeasure(name=name, column=column):
            return measures.CountDistinct(name, column=known_column(source, (*at, "column"), column, known))
        case entries.MeanMeasure(name=name, column=column, samples=samples, empty=empty):
            return measures.Mean(
                name, column=known_column(source, (*at, "column"), column, known), samples=samples, empty=empty
            )
        case entries.MinimumMeasure(name=name, column=column):
            return measures.Minimum(name, number(column))
        case entries.MaximumMeasure(name=name, column=column):
            return measures.Maximum(name, number(column))
        case entries.PluginMeasure(name=name, kind=kind, columns=used, options=options):
            if kind not in PLUGIN_MEASURES:
                there = instead(kind, PLUGIN_MEASURES) if PLUGIN_MEASURES else "no plug-in has one"
                raise source.error((*at, "kind"), f"is {kind}, which is no measure of a plug-in: {there}")
            names = [known_column(source, (*at, "columns", index), one, known) for index, one in enumerate(used)]
            try:
                return plugin_measure(kind, name, tuple(names), options)
            except BadEntry as error:
                raise source.error(at, f"cannot be used: {error.problem}") from None
