"""The bulk reader gives each record its interval, also where SQL does not know the record's time."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb

from kpis.catalog.columns import Date, Integer, TimeOfDay
from kpis.catalog.feeds import Column, Feed, day_and_time
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan

FEED = Feed(
    name="local",
    description="Rows of a test",
    format=CSV(),
    file_names=("local_*",),
    endings=(".csv",),
    columns=(Column("day", Date()), Column("time", TimeOfDay()), Column("number", Integer())),
    checks=(),
    moment=day_and_time("day", "time", "Europe/Madrid"),
    interval=FIVE_MINUTES,
)


def test_a_day_in_a_zone_is_read_in_bulk_whatever_its_year(tmp_path):
    path = tmp_path / "local_1.csv"
    path.write_text("day,time,number\n2070-01-01,00:00:00,1\n2021-07-18,12:04:59,2\n9999-12-29,12:00:00,3\n")
    intervals = {
        datetime(2021, 7, 18, 10, 0, tzinfo=UTC): 1,
        datetime(2069, 12, 31, 23, 0, tzinfo=UTC): 1,
        datetime(9999, 12, 29, 11, 0, tzinfo=UTC): 1,
    }
    with duckdb.connect(config={"threads": 1}) as connection:
        assert Reader(connection).read(path, FEED).intervals == intervals
        given = datetime(2030, 1, 1, tzinfo=UTC)
        assert Reader(connection).read(path, FEED, given).intervals == {given: 3}
    found = scan(path, FEED, [])
    assert found is not None
    assert found.reading.intervals == intervals
