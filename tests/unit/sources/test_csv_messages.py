"""Messages of CSV feeds with options: each is a row, in the columns' order, also one that looks like a header."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as Number

import duckdb
import pytest

from kpis.catalog.columns import Decimal, Integer, Text
from kpis.catalog.feeds import Column, Feed, unix_moment
from kpis.catalog.formats import CSV, Header
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.sources.spool import Spool

FEED = Feed(
    name="probe",
    description="Probe counters",
    format=CSV(Header.OPTIONAL, delimiter=";", decimal=",", missing=("NULL",)),
    file_names=("probe_*",),
    endings=(".csv",),
    columns=(
        Column("begin", Integer(), headers=("Begin; time", "TIME")),
        Column("load", Decimal(optional=True)),
        Column("name", Text(optional=True), required=False),
    ),
    checks=(),
    moment=unix_moment("begin", a_second=1),
    interval=FIVE_MINUTES,
)


@pytest.mark.parametrize("header", [Header.OPTIONAL, Header.NONE])
def test_each_message_is_a_row_in_the_columns_order(tmp_path, header):
    feed = replace(FEED, format=replace(FEED.format, header=header))
    messages = [b"TIME;load;name", b"5;1,5;a", b"6;NULL;null", b'7;"2,5";\xc3\xa9', b"8;1.5;a", b"9;1"]
    spool = Spool(feed, tmp_path / "messages")
    spool.add([10, 11, 12, 13, 14, 15], messages)
    batch = spool.messages("probes", 0, None)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(batch.path, feed)
        found = connection.execute("SELECT begin, load, name FROM records ORDER BY begin").fetchall()
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    assert found == [(5, Number("1.500000"), "a"), (6, None, None), (7, Number("2.500000"), "é")]
    assert [(batch.offsets[line - batch.first_line], column, reason) for line, column, reason, _ in rejects] == [
        (10, "begin", "is not a whole number"),
        (14, "load", "has a point, but a comma precedes its decimals"),
        (15, "", "has 2 fields where the header has 3"),
    ]
    scanned = scan(batch.path, feed, [])
    assert scanned is not None
    assert (scanned.reading, scanned.rejects) == (reading, rejects)
