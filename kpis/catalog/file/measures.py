"""Measures of a catalog file's entries."""

from __future__ import annotations

from kpis.catalog import measures
from kpis.catalog.feeds import Feed
from kpis.catalog.file import measure_entries as entries
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.naming import instead, known_column
from kpis.catalog.file.source import Source
from kpis.catalog.measures import Measure
from kpis.catalog.plugin_measures import PLUGIN_MEASURES, plugin_measure
from kpis.catalog.result_columns import BadEntry


def measure_of(source: Source, at: Keys, entry: entries.AnyMeasure, feed: Feed) -> Measure:
    """Return the measure of an entry over a feed's records; raises CatalogError if the entry contradicts itself."""
    known = {column.name: column for column in feed.record_columns}
    match entry:
        case entries.SumMeasure(name=name, columns=added):
            names = [known_column(source, (*at, "columns", index), one, known) for index, one in enumerate(added)]
            return measures.Sum(name, columns=tuple(names))
        case entries.CountMeasure(name=name, share=share):
            return measures.Count(name, share=share)
        case entries.CountDistinctMeasure(name=name, column=column):
            return measures.CountDistinct(name, column=known_column(source, (*at, "column"), column, known))
        case entries.MeanMeasure(name=name, column=column, samples=samples, empty=empty):
            return measures.Mean(
                name, column=known_column(source, (*at, "column"), column, known), samples=samples, empty=empty
            )
        case entries.PluginMeasure(name=name, kind=kind, columns=used, options=options):
            if kind not in PLUGIN_MEASURES:
                there = instead(kind, PLUGIN_MEASURES) if PLUGIN_MEASURES else "no plug-in has one"
                raise source.error((*at, "kind"), f"is {kind}, which is no measure of a plug-in: {there}")
            names = [known_column(source, (*at, "columns", index), one, known) for index, one in enumerate(used)]
            try:
                return plugin_measure(kind, name, tuple(names), options)
            except BadEntry as error:
                raise source.error(at, f"cannot be used: {error.problem}") from None
