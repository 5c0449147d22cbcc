"""The registry of all feeds and KPIs, by name and by id."""

from __future__ import annotations

from kpis.catalog.builtin import antenna, cdr, coverage, ipflow
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI

FEEDS = {feed.name: feed for feed in (ipflow.IPFLOW, antenna.ANTENNA, coverage.COVERAGE, cdr.CDR)}
STREAM_FEEDS = tuple(feed.name for feed in FEEDS.values() if feed.is_streamable)
FEED_FILES = {pattern: feed.name for feed in FEEDS.values() for pattern in feed.file_names}
_KPIS = (*ipflow.KPIS, *antenna.KPIS, *coverage.KPIS, *cdr.KPIS)

KPIS = {kpi.id: kpi for kpi in sorted(_KPIS, key=lambda kpi: kpi.id)}


def kpis_of(feed: Feed, length: Length | None = None) -> list[KPI]:
    """Return the KPIs of a feed, or those of them that have the length."""
    return [kpi for kpi in KPIS.values() if kpi.feed == feed and (length is None or length in kpi.lengths)]


def lengths_of(feed: Feed) -> list[Length]:
    """Return the interval lengths of the feed's KPIs, shortest first: the feed's own, then its rollups'."""
    lengths = {feed.interval} | {length for kpi in kpis_of(feed) for length in kpi.lengths}
    return sorted(lengths, key=lambda length: length.minutes)


def partial_kpis(feed: Feed) -> list[KPI]:
    """Return the feed's KPIs whose partials the lake keeps: those that are not computed from another's."""
    return [kpi for kpi in kpis_of(feed) if kpi.source is kpi]


def partial_kpi_ids(feed: Feed) -> frozenset[int]:
    """Return the ids of the feed's KPIs whose partials the lake keeps."""
    return frozenset(kpi.id for kpi in partial_kpis(feed))
