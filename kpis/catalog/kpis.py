"""The KPIs, one entry each: a measure of a feed's records, grouped by dimensions, per interval."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from kpis.catalog.feeds import ANTENNA, CDR, COVERAGE, IPFLOW, Feed
from kpis.catalog.folding import fold, folded_sql
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE, Length
from kpis.catalog.measures import Count, CountDistinct, Mean, Measure, Sum, SumOverQuota

# The partial's column that counts the records which spell a folded dimension one way.
SPELLED = "spelled"


@dataclass(frozen=True)
class Dimension:
    """One thing that a KPI's groups are made of: the column ``name`` of its results, from ``column`` of the feed.

    Texts that are ``folded`` make one group whatever their letter case and encoding (``kpis.catalog.folding``); its
    name is the spelling that most of the interval's records have, the first in order among equals. An empty text is a
    group of its own, named "".
    """

    name: str
    column: str
    folded: bool = False

    # Whether its groups' names are computed here, and are no text of the records.
    is_computed = False

    @property
    def spelling(self) -> str:
        """The partial's column that has a folded dimension as the records spell it."""
        return f"{self.name}_spelling"

    @property
    def folded_column(self) -> str:
        """The results' column that has a folded dimension's folded name, by which its groups are found."""
        return f"{self.name}_folded"

    def key(self, name: str) -> str:
        """What tells a group's name from others in this dimension."""
        return fold(name) if self.folded else name

    def of(self, feed: Feed) -> str:
        """SQL over the feed's records: what a record's group is made of, as the record spells it."""
        column = feed.column(self.column)
        return f"coalesce({column.name}, '')" if column.type.optional else column.name

    def unit(self, feed: Feed) -> str:
        """The dimension's unit, "" for none."""
        return feed.column(self.column).unit


@dataclass(frozen=True)
class GridCell(Dimension):
    """The cell of a grid that a record's place lies in, by the latitude in ``column`` and a ``longitude``, in degrees.

    A degree has so many cells each way. A cell has its south and west edges, not the others, and goes by its
    south-west corner: ``34.05,-118.25``. Records without a place make a group of their own, named "".
    """

    longitude: str = ""
    a_degree: int = 20
    is_computed = True

    @property
    def size(self) -> Decimal:
        """How many degrees a cell is wide and high."""
        return 1 / Decimal(self.a_degree)

    def of(self, feed: Feed) -> str:
        # In decimals throughout, so that a place on an edge is in the cell that begins there.
        south, west = (
            f"CAST(CAST(floor({column} * {self.a_degree}) AS INTEGER) * {self.size} AS VARCHAR)"
            for column in (self.column, self.longitude)
        )
        return f"coalesce({south} || ',' || {west}, '')"

    def unit(self, feed: Feed) -> str:
        return f"south-west corner of {self.size} degrees: latitude,longitude"

    def corner(self, name: str) -> tuple[float, float] | None:
        """The latitude and longitude of a cell's south-west corner, by the cell's name; None for no place."""
        latitude, _, longitude = name.partition(",")
        return (float(latitude), float(longitude)) if longitude else None


@dataclass(frozen=True)
class Reference:
    """A table that partials are joined with when they are merged: its name, and the columns that must be equal."""

    table: str
    on: str


@dataclass(frozen=True)
class KPI:
    """One KPI.

    ``by`` says what its groups are made of, ``lengths`` the interval lengths it is computed for. ``top`` keeps only
    the first TOP_N groups of an interval, and ``personal`` marks figures about single subscribers. A KPI with
    ``partials_of`` is computed from the partials of another, joined with the ``reference``; its dimensions are then
    columns of the reference.
    """

    id: int
    name: str
    description: str
    feed: Feed
    by: tuple[Dimension, ...]
    measure: Measure
    unit: str
    lengths: tuple[Length, ...]
    top: bool = False
    personal: bool = False
    partials_of: KPI | None = None
    reference: Reference | None = None

    @property
    def notes(self) -> str:
        """Which values of the measured columns count, and which are unknown: a line a column, "" for none."""
        columns = [column for column in self.feed.columns if column.name in self.measure.measured and column.source]
        return "\n".join(f"`{column.name}`: {column.note}." for column in columns)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The columns that tell its groups apart."""
        return tuple(dimension.name for dimension in self.by)

    @property
    def value(self) -> str:
        """The column that the groups are ranked by, largest first."""
        return self.measure.value

    @property
    def columns(self) -> tuple[str, ...]:
        """What a result says of a group: its dimensions and its values."""
        return (*self.dimensions, *self.measure.values)

    @property
    def computed(self) -> frozenset[str]:
        """The dimensions whose groups' names are computed here."""
        return frozenset(dimension.name for dimension in self.by if dimension.is_computed)

    @property
    def folded(self) -> tuple[Dimension, ...]:
        return tuple(dimension for dimension in self.by if dimension.folded)

    @property
    def partial_keys(self) -> dict[str, str]:
        """What the partial is grouped by besides the interval: columns, each with its SQL over the records."""
        keys = {}
        for dimension in self.by:
            text = dimension.of(self.feed)
            keys[dimension.name] = folded_sql(text) if dimension.folded else text
            if dimension.folded:
                keys[dimension.spelling] = text
        return keys | {name: name for name in self.measure.partial_keys}

    @property
    def folded_spellings(self) -> dict[str, str]:
        """The partial's folded dimensions, each with its SQL over the partial's spelling of it."""
        return {dimension.name: folded_sql(dimension.spelling) for dimension in self.folded}

    @property
    def partial_values(self) -> dict[str, str]:
        """What the partial says of each of its groups: columns, each with its SQL over the records."""
        spelled = {SPELLED: "count(*)"} if self.folded else {}
        return self.measure.partial | spelled

    @property
    def source(self) -> KPI:
        """The KPI whose partials this one is computed from: mostly itself."""
        return self.partials_of or self


SERVICE_TRAFFIC_VOLUME = KPI(
    id=1,
    name="ServiceTrafficVolume",
    description="Services by traffic: bytes up and down",
    feed=IPFLOW,
    by=(Dimension("service_id", "service_id"),),
    measure=Sum("total_bytes", columns=("bytes_uplink", "bytes_downlink")),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    top=True,
)
CELL_UNIQUE_USERS = KPI(
    id=2,
    name="CellUniqueUsers",
    description="Cells by unique users: distinct subscriber numbers (msisdn)",
    feed=IPFLOW,
    by=(Dimension("cell_id", "cell_id"),),
    measure=CountDistinct("number_of_unique_users", column="msisdn"),
    unit="users",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    top=True,
)
ANTENNA_TRAFFIC_VOLUME = KPI(
    id=3,
    name="AntennaTrafficVolume",
    description="Antennas by traffic",
    feed=ANTENNA,
    by=(Dimension("antenna_id", "antenna_id"),),
    measure=Sum("total_bytes", columns=("bytes",)),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)
APP_TRAFFIC_VOLUME = KPI(
    id=4,
    name="AppTrafficVolume",
    description="Apps by traffic",
    feed=ANTENNA,
    by=(Dimension("app", "app"),),
    measure=Sum("total_bytes", columns=("bytes",)),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)
USER_TRAFFIC_VOLUME = KPI(
    id=5,
    name="UserTrafficVolume",
    description="Users (devices) by traffic",
    feed=ANTENNA,
    by=(Dimension("user_id", "id"),),
    measure=Sum("total_bytes", columns=("bytes",)),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    personal=True,
)
USER_QUOTA_EXCEEDED = KPI(
    id=6,
    name="UserQuotaExceeded",
    description="Subscribers over their hourly quota, by usage over all their devices",
    feed=ANTENNA,
    by=(Dimension("email", "email"),),
    measure=SumOverQuota("usage", quota="quota"),
    unit="bytes",
    lengths=(ONE_HOUR,),
    personal=True,
    partials_of=USER_TRAFFIC_VOLUME,
    reference=Reference("subscribers", on="user_id"),
)
OPERATOR_SIGNAL = KPI(
    id=7,
    name="OperatorSignal",
    description="Operators by average signal strength",
    feed=COVERAGE,
    by=(Dimension("operator", "operator", folded=True),),
    measure=Mean("average_signal", column="signal", samples="number_of_samples", empty="number_of_empty_values"),
    unit="ASU",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)
OPERATOR_GPS_PRECISION = KPI(
    id=8,
    name="OperatorGPSPrecision",
    description="Operators by average GPS precision; the larger, the less precise",
    feed=COVERAGE,
    by=(Dimension("operator", "operator", folded=True),),
    measure=Mean("average_precision", column="precission", samples="number_of_samples", empty="number_of_empty_values"),
    unit="m",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)
POSTAL_CODE_STATUS = KPI(
    id=9,
    name="PostalCodeStatus",
    description="Reports per postal code and network status (0 in service, 1 out, 2 emergency only, 3 radio off)",
    feed=COVERAGE,
    by=(Dimension("postal_code", "postal_code"), Dimension("status", "status")),
    measure=Count("number_of_reports"),
    unit="reports",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)
COUNTY_CALL_VOLUME = KPI(
    id=10,
    name="CountyCallVolume",
    description="Counties by calls and texts",
    feed=CDR,
    by=(Dimension("county", "Location"),),
    measure=Count("number_of_calls"),
    unit="calls",
    lengths=(ONE_MINUTE, FIVE_MINUTES, ONE_HOUR),
)
OPERATOR_CALL_VOLUME = KPI(
    id=11,
    name="OperatorCallVolume",
    description="Operators by calls and by texts, with their share of the interval's calls and texts together",
    feed=CDR,
    by=(Dimension("operator", "Company", folded=True), Dimension("call_type", "Type")),
    measure=Count("number_of_calls", share="market_share"),
    unit="calls",
    lengths=(ONE_MINUTE, FIVE_MINUTES, ONE_HOUR),
)
COVERAGE_GRID_SIGNAL = KPI(
    id=12,
    name="CoverageGridSignal",
    description="Places by average signal strength: cells of a grid of 0.05 degrees",
    feed=COVERAGE,
    by=(GridCell("grid_cell", "lat", longitude="long"),),
    measure=Mean("average_signal", column="signal", samples="number_of_samples", empty="number_of_empty_values"),
    unit="ASU",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)

KPIS = {
    kpi.id: kpi
    for kpi in (
        SERVICE_TRAFFIC_VOLUME,
        CELL_UNIQUE_USERS,
        ANTENNA_TRAFFIC_VOLUME,
        APP_TRAFFIC_VOLUME,
        USER_TRAFFIC_VOLUME,
        USER_QUOTA_EXCEEDED,
        OPERATOR_SIGNAL,
        OPERATOR_GPS_PRECISION,
        POSTAL_CODE_STATUS,
        COUNTY_CALL_VOLUME,
        OPERATOR_CALL_VOLUME,
        COVERAGE_GRID_SIGNAL,
    )
}


def kpis_of(feed: Feed, length: Length | None = None) -> list[KPI]:
    """The KPIs of a feed, of those that have the length where one is given."""
    return [kpi for kpi in KPIS.values() if kpi.feed == feed and (length is None or length in kpi.lengths)]


def lengths_of(feed: Feed) -> list[Length]:
    """The interval lengths that any KPI of the feed has, shortest first: the feed's own, then its rollups'."""
    lengths = {feed.interval} | {length for kpi in kpis_of(feed) for length in kpi.lengths}
    return sorted(lengths, key=lambda length: length.minutes)


def partial_kpis(feed: Feed) -> list[KPI]:
    """The feed's KPIs whose partials the lake keeps: those that are not computed from another's."""
    return [kpi for kpi in kpis_of(feed) if kpi.source is kpi]


def partial_kpi_ids(feed: Feed) -> frozenset[int]:
    """The ids of the feed's KPIs whose partials the lake keeps."""
    return frozenset(kpi.id for kpi in partial_kpis(feed))
