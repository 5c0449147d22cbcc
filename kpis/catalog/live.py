"""The counts of the live page: a stream's records by the second and by the minute of their own time.

Only recent records are counted: an old topic that is read again costs nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kpis.catalog.builtin.antenna import ANTENNA, APP_TRAFFIC_VOLUME
from kpis.catalog.builtin.cdr import CDR, COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.dimensions import Dimension

# By the feed's name: the dimensions of its counts. Groups are named as in the records, case included.
LIVE_DIMENSIONS: dict[str, tuple[Dimension, ...]] = {
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


def counted_from(length: int, now: datetime) -> datetime:
    """Return the start (UTC) of the first second, or minute, that is still counted at a moment."""
    seconds = (now - KEPT[length]).timestamp() // length * length
    return datetime.fromtimestamp(seconds, now.tzinfo)
