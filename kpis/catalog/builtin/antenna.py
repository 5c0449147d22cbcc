"""Antenna messages: bytes per device, antenna and app."""

from __future__ import annotations

from kpis.catalog.columns import UUID, Integer, Text
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Column, Feed, unix_moment
from kpis.catalog.formats import JSONLines
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI, Reference
from kpis.catalog.measures import Sum, SumOverQuota

ANTENNA = Feed(
    name="antenna",
    description="Antenna messages: bytes per device, antenna and app",
    format=JSONLines(),
    file_names=("antenna_data.*",),
    endings=(".jsonl", ".json"),
    columns=(
        Column("timestamp", Integer(), "s since 1970-01-01T00:00Z"),
        Column("id", UUID(), is_personal=True),
        Column("antenna_id", UUID()),
        Column("bytes", Integer(), "bytes"),
        Column("app", Text()),
    ),
    checks=(),
    moment=unix_moment("timestamp", a_second=1),
    interval=FIVE_MINUTES,
    is_archived=True,
)

SUBSCRIBERS = Reference(
    "subscribers",
    on="user_id",
    columns=(
        Column("user_id", UUID()),
        Column("email", Text(longest=254)),
        Column("quota", Integer(), "bytes an hour"),
    ),
)

ANTENNA_TRAFFIC_VOLUME = KPI(
    id=3,
    name="AntennaTrafficVolume",
    plural="antenna traffic volumes",
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
    plural="app traffic volumes",
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
    plural="user traffic volumes",
    description="Users (devices) by traffic",
    feed=ANTENNA,
    by=(Dimension("user_id", "id"),),
    measure=Sum("total_bytes", columns=("bytes",)),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    personal=True,
    help_texts={"user_id": "UUID of the device"},
)

USER_QUOTA_EXCEEDED = KPI(
    id=6,
    name="UserQuotaExceeded",
    plural="users over their quota",
    description="Subscribers over their hourly quota, by usage over all their devices",
    feed=ANTENNA,
    by=(Dimension("email", "email"),),
    measure=SumOverQuota("usage", quota="quota"),
    unit="bytes",
    lengths=(ONE_HOUR,),
    personal=True,
    partials_of=USER_TRAFFIC_VOLUME,
    reference=SUBSCRIBERS,
    help_texts={
        "usage": "bytes in the hour, over all devices of the email",
        "quota": "bytes an hour: the largest of the devices'",
    },
)

KPIS = (
    ANTENNA_TRAFFIC_VOLUME,
    APP_TRAFFIC_VOLUME,
    USER_TRAFFIC_VOLUME,
    USER_QUOTA_EXCEEDED,
)
