"""Catalog files as feeds and KPIs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kpis.catalog.feeds import Feed
from kpis.catalog.file import source as sources
from kpis.catalog.file.build import feed_of, kpi_of, share_partials
from kpis.catalog.file.convert import convert
from kpis.catalog.file.definitions import Definition, feed_definition, kpi_definition
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.references import add_reference, check_case
from kpis.catalog.file.source import Source
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable


@dataclass(frozen=True)
class Catalog:
    """What catalog files declare: ``feeds`` by name, ``kpis`` by id, ``references`` by name, and ``sources``, the
    files themselves.

    ``definitions`` are the entries of the feeds and KPIs.
    """

    sources: tuple[Source, ...]
    feeds: Mapping[str, Feed]
    kpis: Mapping[int, KPI]
    references: Mapping[str, ReferenceTable]
    definitions: tuple[Definition, ...]


def load(paths: Iterable[Path], feeds: Mapping[str, Feed], kpis: Collection[KPI]) -> Catalog:
    """Read catalog files; raises CatalogError, with the file and line, if one cannot be used.

    ``feeds`` and ``kpis`` are those that there are besides: the files may refer to the feeds, and not use their names
    or the names and ids of the KPIs.
    """
    return parsed([sources.read(path) for path in paths], feeds, kpis)


def parsed(files: Iterable[Source], feeds: Mapping[str, Feed], kpis: Collection[KPI]) -> Catalog:
    """Return what parsed catalog files declare; see ``load``."""
    read = [(source, convert(source)) for source in files]
    declared: dict[str, Feed] = {}
    patterns = {pattern: feed.name for feed in feeds.values() for pattern in feed.file_names}
    tables = {"rejects": "the ledger's", "batches": "the ledger's"}
    for one in feeds.values():
        tables |= dict.fromkeys(_tables_of_feed(one.name), f"the feed {one.name}'s")
    for kpi in kpis:
        tables |= dict.fromkeys(_tables_of_kpi(kpi.name), f"the KPI {kpi.name}'s")
    for source, entries in read:
        for name, feed_entry in entries.feeds.items():
            if name in feeds or name in declared:
                kind = "a built-in feed" if name in feeds else "another feed"
                raise source.error(("feeds", name), f"is the name of {kind}: choose another")
            _add_tables(tables, source, ("feeds", name), _tables_of_feed(name), f"the feed {name}'s")
            declared[name] = feed_of(source, name, feed_entry)
            for index, pattern in enumerate(feed_entry.files):
                if pattern in patterns:
                    raise source.error(
                        ("feeds", name, "files", index), f"is a pattern of the feed {patterns[pattern]} too"
                    )
                patterns[pattern] = name
    references: dict[str, ReferenceTable] = {}
    for source, entries in read:
        for name, reference_entry in entries.references.items():
            add_reference(references, source, name, reference_entry, {**feeds, **declared})
            _add_tables(tables, source, ("references", name), [name.lower()], f"the reference {name}'s")
    by_name = {kpi.name.lower(): kpi for kpi in kpis}
    by_id: dict[int, KPI] = {}
    for source, entries in read:
        for name, kpi_entry in entries.kpis.items():
            kpi = kpi_of(source, name, kpi_entry, {**feeds, **declared}, references)
            if kpi.name.lower() in by_name:
                raise source.error(("kpis", name), "is the name of another KPI, apart from case: choose another")
            if kpi.id in by_id:
                raise source.error(("kpis", name, "id"), f"is {kpi.id}, the id of {by_id[kpi.id].name} too")
            _add_tables(tables, source, ("kpis", name), _tables_of_kpi(name), f"the KPI {name}'s")
            by_name[kpi.name.lower()] = by_id[kpi.id] = kpi
    by_id = share_partials(by_id, kpis)
    for source, entries in read:
        for name, reference_entry in entries.references.items():
            check_case(references[name], source, reference_entry, {**feeds, **declared}, [*kpis, *by_id.values()])
    definitions = [
        *(feed_definition(name, entry) for _, entries in read for name, entry in entries.feeds.items()),
        *(kpi_definition(name, entry, by_id[entry.id]) for _, entries in read for name, entry in entries.kpis.items()),
    ]
    return Catalog(tuple(source for source, _ in read), declared, by_id, references, tuple(definitions))


def _tables_of_feed(name: str) -> list[str]:
    """Return the names of a feed's tables in SQL over the lake; case makes no difference there."""
    return [name.lower(), f"{name}_rejects".lower()]


def _tables_of_kpi(name: str) -> list[str]:
    return [name.lower(), f"{name}_partials".lower()]


def _add_tables(tables: dict[str, str], source: Source, at: Keys, names: Iterable[str], owner: str) -> None:
    """Add a feed's or KPI's tables to all of the lake's; raises CatalogError if one of them is another's."""
    for name in names:
        if name in tables:
            raise source.error(at, f"would have the table {name} of the lake, which is {tables[name]}: choose another")
        tables[name] = owner
