"""The KPIs, one entry each: a measure of a feed's records, grouped by dimensions, per interval."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.feeds import IPFLOW, Feed
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, Length
from kpis.catalog.measures import CountDistinct, Measure, Sum


@dataclass(frozen=True)
class KPI:
    """One KPI.

    ``dimensions`` are columns of the feed that the groups are made of, ``lengths`` the interval lengths it is
    figured for, the feed's own first. ``top`` keeps only the first TOP_N groups of an interval, and
    ``personal`` marks figures about single subscribers.
    """

    id: int
    name: str
    description: str
    feed: Feed
    dimensions: tuple[str, ...]
    measure: Measure
    unit: str
    lengths: tuple[Length, ...]
    top: bool = False
    personal: bool = False

    def __post_init__(self) -> None:
        if self.lengths[0] != self.feed.interval:
            raise ValueError(f"KPI {self.name} must start at its feed's interval, {self.feed.interval}")

    @property
    def value(self) -> str:
        """The column that the groups are ranked by, largest first."""
        return self.measure.value


KPIS = {
    kpi.id: kpi
    for kpi in (
        KPI(
            id=1,
            name="ServiceTrafficVolume",
            description="Services by traffic: bytes up and down",
            feed=IPFLOW,
            dimensions=("service_id",),
            measure=Sum("total_bytes", columns=("bytes_uplink", "bytes_downlink")),
            unit="bytes",
            lengths=(FIVE_MINUTES, ONE_HOUR),
            top=True,
        ),
        KPI(
            id=2,
            name="CellUniqueUsers",
            description="Cells by unique users: distinct subscriber numbers (msisdn)",
            feed=IPFLOW,
            dimensions=("cell_id",),
            measure=CountDistinct("number_of_unique_users", column="msisdn"),
            unit="users",
            lengths=(FIVE_MINUTES, ONE_HOUR),
            top=True,
        ),
    )
}


def kpis_of(feed: Feed, length: Length | None = None) -> list[KPI]:
    """The KPIs of a feed, of those that have the length where one is given."""
    return [kpi for kpi in KPIS.values() if kpi.feed == feed and (length is None or length in kpi.lengths)]


def lengths_of(feed: Feed) -> list[Length]:
    """The interval lengths that any KPI of the feed has, shortest first: the feed's own, then its rollups'."""
    lengths = {length for kpi in kpis_of(feed) for length in kpi.lengths}
    return sorted(lengths, key=lambda length: length.minutes)
