"""IP flows: bytes per subscriber, service and cell in five minutes."""

from __future__ import annotations

import re

from kpis.catalog.columns import Integer
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Column, Feed, Range, check_range, unix_moment
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import CountDistinct, Sum

_START, _END = "interval_start_timestamp", "interval_end_timestamp"
_FIVE_MINUTES = FIVE_MINUTES.milliseconds

IPFLOW = Feed(
    name="ipflow",
    description="IP flows: bytes up and down per subscriber, service and cell in five minutes",
    format=CSV(),
    file_names=("ipflow_data.*",),
    endings=(".csv", ".txt"),
    columns=(
        Column(_START, Integer(), "ms since 1970-01-01T00:00Z"),
        Column(_END, Integer(), "ms since 1970-01-01T00:00Z"),
        Column("msisdn", Integer(minimum=1), is_personal=True),
        Column("bytes_uplink", Integer(), "bytes"),
        Column("bytes_downlink", Integer(), "bytes"),
        Column("service_id", Integer(bits=32, minimum=-(2**31))),
        Column("cell_id", Integer(minimum=-(2**63))),
    ),
    checks=(
        check_range(
            _END, f"is not 5 minutes after {_START}", Range(less=_START, least=_FIVE_MINUTES, most=_FIVE_MINUTES)
        ),
        check_range(_START, "is not aligned to 5 minutes", Range(step=_FIVE_MINUTES)),
    ),
    moment=unix_moment(_START, a_second=1000),
    interval=FIVE_MINUTES,
    name_end=re.compile(r"\.ts-([0-9]{1,15})\."),
)

SERVICE_TRAFFIC_VOLUME = KPI(
    id=1,
    name="ServiceTrafficVolume",
    plural="service traffic volumes",
    description="Services by traffic: bytes up and down",
    feed=IPFLOW,
    by=(Dimension("service_id", "service_id"),),
    measure=Sum("total_bytes", columns=("bytes_uplink", "bytes_downlink")),
    unit="bytes",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    top=True,
    help_texts={"total_bytes": "bytes, uplink + downlink"},
)

CELL_UNIQUE_USERS = KPI(
    id=2,
    name="CellUniqueUsers",
    plural="cell unique users",
    description="Cells by unique users: distinct subscriber numbers (msisdn)",
    feed=IPFLOW,
    by=(Dimension("cell_id", "cell_id"),),
    measure=CountDistinct("number_of_unique_users", column="msisdn"),
    unit="users",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    top=True,
)

KPIS = (
    SERVICE_TRAFFIC_VOLUME,
    CELL_UNIQUE_USERS,
)
