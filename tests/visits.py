"""A feed of visits to cells, with KPIs per day, week and month."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from tests.catalogs import declared

CATALOG = """
[feeds.visit]
description = "Visits"
files = ["visit_*.csv"]
format = {type = "csv"}
time = {column = "at"}
[feeds.visit.columns]
at = {type = "time", format = "unix_s"}
cell = {type = "integer"}
subscriber = {type = "integer"}
device = {type = "text"}
size = {type = "integer"}
""" + "".join(
    f"""
[kpis.{name}]
id = {id}
feed = "visit"
description = "{name}"
by = ["cell"]
measure = {{name = "figure", {measure}}}
unit = "units"
lengths = ["1d", "1w", "1mo"]
"""
    for id, name, measure in (
        (1001, "VisitSize", 'type = "sum", columns = ["size"]'),
        (1002, "VisitSubscribers", 'type = "count_distinct", column = "subscriber"'),
        (1003, "VisitDevices", 'type = "count_distinct", column = "device"'),
        (1004, "VisitSizes", 'type = "percentile", column = "size"'),
    )
)
VISITS = parsed([parse(CATALOG.encode(), Path("catalog.toml"))], {}, [])
KPIS = VISITS.kpis

# A visit: Unix time, cell, subscriber, device and size.
Visit = tuple[int, int, int, str, int]


@contextmanager
def visits(settings: Any) -> Iterator[None]:
    """Declare the feed and its KPIs."""
    settings.FEED_FILES = {"visit_*.csv": "visit"}
    with declared(feeds=VISITS.feeds.values(), kpis=KPIS.values()):
        yield


def write(folder: Path, name: str, records: list[Visit]) -> None:
    lines = [",".join(map(str, one)) for one in records]
    (folder / f"visit_{name}.csv").write_text("\n".join(["at,cell,subscriber,device,size", *lines, ""]))
