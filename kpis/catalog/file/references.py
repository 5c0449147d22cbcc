"""References of a catalog file's entries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from kpis.catalog.dimensions import Attribute
from kpis.catalog.feeds import Feed
from kpis.catalog.file.build import column_of
from kpis.catalog.file.entries import ReferenceEntry
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.naming import instead
from kpis.catalog.file.source import Source
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable, kind_of_key
from kpis.catalog.result_columns import BadEntry

# A feed's column, by the names of both.
Described = tuple[str, str]


def add_reference(
    references: dict[str, ReferenceTable],
    source: Source,
    name: str,
    entry: ReferenceEntry,
    feeds: Mapping[str, Feed],
) -> None:
    """Add the reference of an entry over some feeds to the references that there are.

    Raises CatalogError if the entry contradicts itself, or another of the references.
    """
    at: Keys = ("references", name)
    if name in references:
        raise source.error(at, "is the name of another reference: choose another")
    columns = tuple(column_of(source, (*at, "columns", key), key, one) for key, one in entry.columns.items())
    known = {column.name: column for column in columns}
    for made_column in columns:
        if made_column.type.default is not None:
            raise source.error(
                (*at, "columns", made_column.name, "default"),
                "is for columns of feeds: optional lets a reference have no value",
            )
    for where, given in _named(entry):
        if given not in known:
            raise source.error((*at, *where), f"names no column: {instead(given, known)}")
    if len(entry.place) not in (0, 2):
        raise source.error((*at, "place"), "needs two columns, latitude and longitude")
    described = {one: where for where, one in _described(source, at, entry, feeds)}
    try:
        made = ReferenceTable(
            name=name,
            description=entry.description,
            columns=columns,
            key=entry.key,
            describes=frozenset(described),
            shown=entry.name,
            place=(entry.place[0], entry.place[1]) if entry.place else None,
            ignore_case=entry.ignore_case,
        )
    except BadEntry as error:
        raise source.error(at, f"cannot be used: {error.problem}") from None
    for (feed, column), where in described.items():
        kind = kind_of_key(feeds[feed].column(column))
        if kind != made.key_kind:
            raise source.error(
                where, f"names {feed}.{column}, whose values are no keys: it is no {made.key_kind} as {entry.key} is"
            )
        for other in references.values():
            if (feed, column) in other.describes:
                raise source.error(where, f"names {feed}.{column}, which the reference {other.name} describes")
    references[name] = made


def check_case(
    reference: ReferenceTable, source: Source, entry: ReferenceEntry, feeds: Mapping[str, Feed], kpis: Collection[KPI]
) -> None:
    """Raise CatalogError if KPIs tell the values apart that a reference describes otherwise than it tells its keys."""
    at: Keys = ("references", reference.name)
    for where, (feed, column) in _described(source, at, entry, feeds):
        folded = {
            dimension.folded: kpi
            for kpi in kpis
            for dimension in kpi.by
            if kpi.feed.name == feed and dimension.columns == (column,) and not isinstance(dimension, Attribute)
        }
        if folded and reference.ignore_case not in folded:
            kpi = folded[not reference.ignore_case]
            wanted = "leave ignore_case out" if reference.ignore_case else "set ignore_case = true"
            rule = "as it is written" if reference.ignore_case else "in any case"
            raise source.error(where, f"names {feed}.{column}, by which KPI {kpi.id} groups {rule}: {wanted}")


def _named(entry: ReferenceEntry) -> Iterator[tuple[Keys, str]]:
    """Yield the columns that an entry's keys name, each with its place."""
    yield ("key",), entry.key
    if entry.name:
        yield ("name",), entry.name
    for index, name in enumerate(entry.place):
        yield ("place", index), name


def _described(
    source: Source, at: Keys, entry: ReferenceEntry, feeds: Mapping[str, Feed]
) -> Iterator[tuple[Keys, Described]]:
    """Yield the feeds' columns that the reference describes, each with the place of its name."""
    given = [((*at, "of", index), text) for index, text in enumerate(entry.of)] or [((*at, "key"), entry.key)]
    for where, text in given:
        feed, _, column = text.rpartition(".")
        if feed and feed not in feeds:
            raise source.error(where, f"names no feed: {instead(feed, feeds)}")
        there = [feeds[feed]] if feed else feeds.values()
        found = [one.name for one in there if column in {of_feed.name for of_feed in one.record_columns}]
        if not found:
            names = {of_feed.name: None for one in there for of_feed in one.record_columns}
            told = "" if entry.of else "is the column of no feed, so that of must name those that it describes; "
            raise source.error(where, f"{told or 'names no column of a feed: '}{instead(column, names)}")
        for name in found:
            yield where, (name, column)
