"""The counts of the live page: a stream's records by the second and by the minute of their own time.

Only recent records are counted: an old topic that is read again costs nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kpis.catalog.builtin.antenna import ANTENNA, APP_TRAFFIC_VOLUME
from kpis.catalog.builtin.cdr import CDR, COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEEDS, kpis_of
from kpis.catalog.result_columns import Label

# By the built-in feed's name: the dimensions of its counts.
_BUILT_IN: dict[str, tuple[Dimension, ...]] = {
    # Their times are those of intervals, or of what phones kept for hours: no second by second.
    IPFLOW.name: (),
    COVERAGE.name: (),
    CDR.name: (COUNTY_CALL_VOLUME.by[0], OPERATOR_CALL_VOLUME.by[0]),
    ANTENNA.name: APP_TRAFFIC_VOLUME.by,
}
# The dimension whose last minute is compared with its last hour.
SCORED_FEED, SCORED = CDR.name, COUNTY_CALL_VOLUME.by[0].name

SECOND, MINUTE = 1, 60
SHOWN_SECONDS = 900
SCORED_MINUTES = 60
# A minute longer than they are shown, since clocks differ: what is shown is complete.
KEPT = {
    SECOND: timedelta(seconds=SHOWN_SECONDS + 60),
    MINUTE: timedelta(minutes=SCORED_MINUTES + 2),
}
# A record's time may be this far ahead of the clock; beyond, it is a mistake and not counted.
EARLY = timedelta(minutes=1)
# The most groups of a second, or a minute, that are counted by name; further ones count under OTHERS.
MOST_GROUPS = 200
OTHERS = ""


def live_dimensions(feed: Feed) -> tuple[Dimension, ...]:
    """Return the dimensions of a feed's counts, of which no two feeds have one of the same name.

    Groups are named as in the records, case included. A declared feed's is the first of its KPIs' that names groups by
    texts which are about no person.
    """
    if feed.name in _BUILT_IN:
        return _BUILT_IN[feed.name]
    for kpi in kpis_of(feed):
        for one in kpi.source.by:
            column = feed.column(one.column)
            is_text = isinstance(column.type.result_type, Label) and not one.is_computed
            if is_text and not (kpi.personal or column.is_personal):
                return (Dimension(f"{feed.name}_{one.name}", one.column),)
    return ()


def live_feeds() -> list[Feed]:
    """Return the feeds whose streams have live counts."""
    return [feed for feed in FEEDS.values() if feed.is_streamable and live_dimensions(feed)]


def counted_from(length: int, now: datetime) -> datetime:
    """Return the start (UTC) of the first second, or minute, that is still counted at a moment."""
    seconds = (now - KEPT[length]).timestamp() // length * length
    return datetime.fromtimestamp(seconds, now.tzinfo)
