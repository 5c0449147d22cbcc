"""Call detail records: calls and texts by county and operator."""

from __future__ import annotations

from datetime import timedelta

from kpis.catalog.columns import Choice, MonthFirst, Text
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Column, Feed, Range, check_range, own_moment
from kpis.catalog.formats import CSV, Header
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count

# Networks end a call after hours; a call of weeks has a time that was unknown when the record was written.
_LONGEST_CALL = timedelta(days=30)

CDR = Feed(
    name="cdr",
    description="Call detail records: calls and texts by county and operator",
    format=CSV(Header.OPTIONAL),
    file_names=("cdr_data.*", "cdr_[0-9]*.csv"),
    endings=(".csv", ".txt"),
    columns=(
        Column("SourcePN", Text(longest=32), is_personal=True),
        Column("DestPN", Text(longest=32), is_personal=True),
        Column("Location", Text()),
        Column("StartT", MonthFirst()),
        Column("EndT", MonthFirst()),
        Column("Type", Choice(words=("CALL", "TEXT"))),
        Column("Company", Text()),
    ),
    checks=(
        check_range("EndT", "is before StartT", Range(less="StartT", least=timedelta(0))),
        check_range(
            "EndT", f"is more than {_LONGEST_CALL.days} days after StartT", Range(less="StartT", most=_LONGEST_CALL)
        ),
    ),
    moment=own_moment("StartT"),
    interval=ONE_MINUTE,
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
    help_texts={"number_of_calls": "calls and texts"},
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
    help_texts={"market_share": "of all calls and texts of the interval, 0 to 1"},
)

KPIS = (
    COUNTY_CALL_VOLUME,
    OPERATOR_CALL_VOLUME,
)
