"""Coverage logs of phones: signal, GPS precision and network status by place."""

from __future__ import annotations

import re

from kpis.catalog.columns import Date, Decimal, Integer, PostalCode, Text, TimeOfDay
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Column, Feed, day_and_time
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, Mean
from kpis.catalog.place import Place

# A phone's value for an unknown number: CellInfo.UNAVAILABLE of Android, the largest of 32 bits.
_UNAVAILABLE = 2**31 - 1
_NO_FIX = (-1, _UNAVAILABLE)


COVERAGE = Feed(
    name="coverage",
    description="Coverage logs of phones: signal, GPS precision and network status by place",
    format=CSV(),
    file_names=("coverage_data.*",),
    endings=(".csv", ".txt"),
    columns=(
        Column("date", Date(optional=True), required=False),
        Column("hour", TimeOfDay()),
        Column("lat", Decimal(optional=True, minimum=-90, maximum=90, unknown=(_UNAVAILABLE,)), "degrees"),
        Column("long", Decimal(optional=True, minimum=-180, maximum=180, unknown=(_UNAVAILABLE,)), "degrees"),
        Column(
            "signal",
            # -1 is a value of UMTS as well, but nearly always means "none".
            Decimal(optional=True, minimum=-5, maximum=97, unknown=(-1, 99, 255, _UNAVAILABLE), scale="ASU, not dBm"),
            "ASU",
            source="3GPP TS 27.007 8.5 and 8.69, TS 25.133 9.1.1.3, Android CellSignalStrength",
        ),
        Column("network", Text(optional=True)),
        Column("operator", Text(optional=True)),
        Column(
            "status",
            Integer(maximum=3),
            "0 in service, 1 out of service, 2 emergency only, 3 radio off",
            source="Android ServiceState",
        ),
        Column("description", Text(optional=True)),
        Column("net", Text(optional=True), required=False),
        Column(
            "speed",
            Decimal(optional=True, minimum=0, maximum=2160, unknown=_NO_FIX),
            "km/h",
            source="600 m/s, beyond which civil receivers give no fix: MTCR 11.A.3; CoreLocation's -1",
        ),
        Column(
            "satellites",
            Decimal(optional=True, minimum=0, maximum=99, unknown=_NO_FIX),
            "satellites",
            source="two digits in NMEA 0183 GGA",
        ),
        Column(
            "precission",
            Decimal(optional=True, minimum=0, maximum=20_037_509, unknown=_NO_FIX),
            "m",
            source="half the equator of WGS 84; CoreLocation's -1",
        ),
        Column("provider", Text(optional=True)),
        Column("activity", Text(optional=True)),
        Column("postal_code", PostalCode(optional=True)),
    ),
    checks=(),
    moment=day_and_time("date", "hour"),
    interval=FIVE_MINUTES,
    name_date=re.compile(r"\.(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})\."),
    place=Place("lat", "long"),
)

_SAMPLES_OF_SIGNAL = {
    "number_of_samples": "reports with a signal",
    "number_of_empty_values": "reports without one, left out of the average",
}

OPERATOR_SIGNAL = KPI(
    id=7,
    name="OperatorSignal",
    description="Operators by average signal strength",
    feed=COVERAGE,
    by=(Dimension("operator", "operator", folded=True),),
    measure=Mean("average_signal", column="signal", samples="number_of_samples", empty="number_of_empty_values"),
    unit="ASU",
    lengths=(FIVE_MINUTES, ONE_HOUR),
    help_texts=_SAMPLES_OF_SIGNAL,
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
    help_texts={
        "average_precision": "metres, over the samples; empty where there are none",
        "number_of_samples": "reports with a precision",
        "number_of_empty_values": "reports without one, left out of the average",
    },
)

POSTAL_CODE_STATUS = KPI(
    id=9,
    name="PostalCodeStatus",
    plural="postal code status",
    description="Reports per postal code and network status (0 in service, 1 out, 2 emergency only, 3 radio off)",
    feed=COVERAGE,
    by=(Dimension("postal_code", "postal_code"), Dimension("status", "status")),
    measure=Count("number_of_reports"),
    unit="reports",
    lengths=(FIVE_MINUTES, ONE_HOUR),
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
    help_texts=_SAMPLES_OF_SIGNAL,
)

KPIS = (
    OPERATOR_SIGNAL,
    OPERATOR_GPS_PRECISION,
    POSTAL_CODE_STATUS,
    COVERAGE_GRID_SIGNAL,
)
