"""Measures of a catalog file's entries."""

from __future__ import annotations

from kpis.catalog import measures
from kpis.catalog.expressions import Expression
from kpis.catalog.feeds import Feed
from kpis.catalog.file import measure_entries as entries
from kpis.catalog.file.conditions import condition_of, expressed
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
        case entries.StandardDeviationMeasure(name=name, column=column, samples=samples):
            return measures.StandardDeviation(name, number(column), samples)
        case entries.LastMeasure(name=name, column=column):
            moment = feed.moment
            moment_columns = tuple(dict.fromkeys([moment.column, *(part for part, _ in moment.parts)]))
            return measures.Last(name, number(column), moment.sql, moment_columns)
        case entries.PercentileMeasure(name=name, column=column, percentiles=percentiles):
            if len(set(percentiles)) < len(percentiles):
                raise source.error((*at, "percentiles"), "has a percentage twice")
            return measures.Percentile(f"{name}_p{percentiles[0]}", name, number(column), tuple(percentiles))
        case entries.RatioMeasure():
            return _ratio(source, at, entry, feed)
        case entries.PluginMeasure(name=name, kind=kind, columns=used, options=options):
            if kind not in PLUGIN_MEASURES:
                there = instead(kind, PLUGIN_MEASURES) if PLUGIN_MEASURES else "no plug-in has one"
                raise source.error((*at, "kind"), f"is {kind}, which is no measure of a plug-in: {there}")
            names = [known_column(source, (*at, "columns", index), one, known) for index, one in enumerate(used)]
            try:
                return plugin_measure(kind, name, tuple(names), options)
            except BadEntry as error:
                raise source.error(at, f"cannot be used: {error.problem}") from None


def _ratio(source: Source, at: Keys, entry: entries.RatioMeasure, feed: Feed) -> Measure:
    known = {column.name: column for column in feed.record_columns}
    terms: list[measures.Term] = []
    for number, term in enumerate(entry.terms):
        where: Keys = (*at, "terms", number)
        if term.name in {one.name for one in terms}:
            raise source.error((*where, "name"), f"is {term.name}, the name of another term too")
        added = [known_column(source, (*where, "columns", index), one, known) for index, one in enumerate(term.columns)]
        condition = condition_of(source, (*where, "where"), term.where, feed)
        terms.append(measures.Term(term.name, tuple(added), condition))

    def formula(key: str, text: str) -> Expression:
        return expressed(source, (*at, key), lambda: measures.formula(text, tuple(terms), feed))

    return measures.Ratio(
        entry.name,
        terms=tuple(terms),
        numerator=formula("numerator", entry.numerator),
        denominator=formula("denominator", entry.denominator),
        scale=entry.scale,
        zero=None if entry.zero == "empty" else int(entry.zero),
    )
