"""Messages of CSV feeds with options: each is a row, in the columns' order, also one that looks like a header."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal as Number

import duckdb
import pytest

from kpis.catalog.columns import Date, Decimal, Integer, Text, TimeOfDay
from kpis.catalog.feeds import Column, Feed, day_and_time, unix_moment
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


def test_messages_of_a_feed_with_a_preamble_comments_and_another_encoding_are_plain_rows(tmp_path):
    format = replace(FEED.format, header=Header.NONE, encoding="utf-16", comment="#", preamble=2)
    feed = replace(FEED, format=format)
    spool = Spool(feed, tmp_path / "messages")
    spool.add([10, 11, 12], ["5;1,5;é".encode(), b"# 6;1;a", b"7;1;#"])
    batch = spool.messages("probes", 0, None)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(batch.path, feed.of_messages)
        found = connection.execute("SELECT begin, load, name FROM records ORDER BY begin").fetchall()
        rejects = connection.execute("FROM rejects").fetchall()
    assert found == [(5, Number("1.500000"), "é"), (7, Number("1.000000"), "#")]
    assert rejects == [(2, "begin", "is not a whole number", "# 6;1;a")]
    scanned = scan(batch.path, feed.of_messages, [])
    assert scanned is not None
    assert (scanned.reading, scanned.rejects) == (reading, rejects)


def test_a_message_that_lacks_its_day_has_the_day_of_its_own_time_in_the_feeds_zone(tmp_path):
    feed = replace(
        FEED,
        columns=(Column("day", Date(optional=True), required=False), Column("time", TimeOfDay())),
        format=CSV(Header.NONE),
        moment=day_and_time("day", "time", "Europe/Madrid"),
    )
    # 2021-07-17T21:59:59.999Z and 22:00Z, which is midnight in Madrid.
    before, after = 1_626_559_199_999, 1_626_559_200_000
    messages = [b",12:00:00", b",12:00:00", b"2021-07-16,12:00:00", b",12:00:00", b",13:00:00", b",24:00:00"]
    times = [before, after, after, None, 253_402_300_800_000, after]
    spool = Spool(feed, tmp_path / "messages")
    spool.add(range(6), messages, times=times)
    # Later ones, and one that is no line.
    spool.add([6, 7], [None, b",00:00:00"], times=[before, after])
    batch = spool.messages("probes", 0, None)
    no_day = "is empty, and the message has no time that gives the day"
    with duckdb.connect() as connection:
        reading = Reader(connection).read(batch.path, feed, days=batch.days)
        found = connection.execute("SELECT * EXCLUDE time FROM records ORDER BY 1").fetchall()
        rejects = connection.execute('SELECT line, "column", reason FROM rejects ORDER BY line').fetchall()
    assert found == [
        (datetime.fromisoformat("2021-07-16T10:00"), date(2021, 7, 16)),
        (datetime.fromisoformat("2021-07-17T10:00"), date(2021, 7, 17)),
        (datetime.fromisoformat("2021-07-17T22:00"), date(2021, 7, 18)),
        (datetime.fromisoformat("2021-07-18T10:00"), date(2021, 7, 18)),
    ]
    assert rejects == [(4, "day", no_day), (5, "day", no_day), (6, "time", "is not a time of day such as 08:05:00")]
    scanned = scan(batch.path, feed, [], days=batch.days)
    assert scanned is not None
    assert scanned.reading == reading
    assert [reject[:3] for reject in scanned.rejects] == rejects
    # The halves of a batch have the days of their own messages, and other days make another content.
    halves = batch.halves()
    assert [half.days.days.tolist() for half in halves] == [batch.days.days[:4].tolist(), batch.days.days[4:].tolist()]
