"""The registry of all feeds, KPIs and references, by name and by id: the built-in ones, then those of catalog files.

``declare`` adds those of catalog files, before anything looks: settings do it for Django. The dictionaries stay the
same objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kpis.catalog.builtin import antenna, cdr, coverage, ipflow
from kpis.catalog.calendar import has_offsets_of, zone_name
from kpis.catalog.dimensions import Attribute, Dimension
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable

if TYPE_CHECKING:
    from kpis.catalog.file.definitions import Definition
    from kpis.catalog.file.load import Catalog
    from kpis.catalog.file.source import Source

FEEDS = {feed.name: feed for feed in (ipflow.IPFLOW, antenna.ANTENNA, coverage.COVERAGE, cdr.CDR)}
FEED_FILES = {pattern: feed.name for feed in FEEDS.values() for pattern in feed.file_names}
_KPIS = (*ipflow.KPIS, *antenna.KPIS, *coverage.KPIS, *cdr.KPIS)

KPIS = {kpi.id: kpi for kpi in sorted(_KPIS, key=lambda kpi: kpi.id)}
# The references, by name.
REFERENCES: dict[str, ReferenceTable] = {}
# What catalog files declare, its definitions, and the files themselves.
DECLARED_FEEDS: dict[str, Feed] = {}
DECLARED_KPIS: dict[int, KPI] = {}
DEFINITIONS: list[Definition] = []
SOURCES: list[Source] = []


def declare(paths: Iterable[Path]) -> None:
    """Add what catalog files declare. Raises CatalogError, and adds nothing, if one of them cannot be used."""
    paths = list(paths)
    if paths:
        from kpis.catalog.file.load import load

        _add(load(paths, FEEDS, KPIS.values()))


def declare_texts(texts: Iterable[tuple[str, str]]) -> None:
    """Add what catalog files declare, by their paths and texts, but for those that were added before."""
    known = set(declared_texts())
    texts = [one for one in texts if one not in known]
    if texts:
        from kpis.catalog.file.load import parsed
        from kpis.catalog.file.source import parse

        _add(parsed([parse(text.encode(), Path(path)) for path, text in texts], FEEDS, KPIS.values()))


def declared_texts() -> list[tuple[str, str]]:
    """Return the paths and texts of the catalog files, for ``declare_texts`` of another process."""
    return [(f"{source.path}", source.text) for source in SOURCES]


def _add(catalog: Catalog) -> None:
    built_in = dict(FEED_FILES)
    DECLARED_FEEDS.update(catalog.feeds)
    DECLARED_KPIS.update(catalog.kpis)
    DEFINITIONS.extend(catalog.definitions)
    SOURCES.extend(catalog.sources)
    FEEDS.update(catalog.feeds)
    KPIS.update(sorted(catalog.kpis.items()))
    REFERENCES.update(catalog.references)
    # The first pattern that fits decides: an operator's own come first.
    FEED_FILES.clear()
    FEED_FILES.update({pattern: feed.name for feed in catalog.feeds.values() for pattern in feed.file_names})
    FEED_FILES.update(built_in)


def reference_of(kpi: KPI, dimension: Dimension) -> ReferenceTable | None:
    """Return the reference that describes the values of a KPI's dimension; None if there is none.

    A name that is personal is for the dimensions of personal KPIs alone.
    """
    if dimension.is_computed or isinstance(dimension, Attribute) or kpi.reference is not None:
        return None
    for reference in REFERENCES.values():
        if (kpi.feed.name, dimension.column) in reference.describes and dimension.folded == reference.ignore_case:
            is_hidden = reference.shown and reference.column(reference.shown).is_personal and not kpi.personal
            return None if is_hidden else reference
    return None


def archived_feeds() -> tuple[str, ...]:
    """Return the names of the feeds whose records the lake keeps by default."""
    return tuple(feed.name for feed in FEEDS.values() if feed.is_archived)


def kpis_of(feed: Feed, length: Length | None = None) -> list[KPI]:
    """Return the KPIs of a feed, or those of them that have the length."""
    return [kpi for kpi in KPIS.values() if kpi.feed == feed and (length is None or length in kpi.lengths)]


def lengths_of(feed: Feed) -> list[Length]:
    """Return the interval lengths of the feed's KPIs, shortest first: the feed's own, then its rollups'."""
    lengths = {feed.interval} | {length for kpi in kpis_of(feed) for length in kpi.lengths}
    return sorted(lengths, key=lambda length: length.usual_minutes)


def whole_from(feed: Feed, kept_from: datetime | None) -> datetime:
    """Return the moment (UTC) from which on a feed's intervals are whole, if the lake keeps nothing before another.

    A week or month may begin before ``kept_from``; where that is None, the lake has all records.
    """
    return EPOCH if kept_from is None else max(length.ceiling(kept_from) for length in lengths_of(feed))


def zone_conflict() -> str:
    """Return why KPIs cannot count the days of the zone in use, or "" if they can.

    Days of some zones start at a quarter or half of an hour of UTC, within an interval of a feed's.
    """
    for kpi in KPIS.values():
        minutes = kpi.feed.interval.minutes
        if any(length.is_calendar for length in kpi.lengths) and not has_offsets_of(minutes):
            return (
                f"TIME_ZONE: days of {zone_name()} do not start at intervals of {kpi.feed.interval}, in which the feed "
                f"{kpi.feed.name} counts its records, and the KPI {kpi.name} has days, weeks or months of it. Give the "
                f"feed a shorter interval, such as 15m, or choose another zone."
            )
    return ""


def partial_kpis(feed: Feed | None = None) -> list[KPI]:
    """Return the KPIs whose partials the lake keeps, of a feed or of all: those that KPIs are computed from."""
    kpis = KPIS.values() if feed is None else kpis_of(feed)
    return list({kpi.source.id: kpi.source for kpi in kpis}.values())


def partial_kpi_ids(feed: Feed) -> frozenset[int]:
    """Return the ids of the KPIs whose partials the lake keeps, of a feed."""
    return frozenset(kpi.id for kpi in partial_kpis(feed))
