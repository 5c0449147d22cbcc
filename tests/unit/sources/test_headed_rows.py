"""Messages of CSV that name their columns: rows in the feed's order, or rejects that say what the header lacks."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.formats import CSV, Header
from kpis.engine.reader import Reader
from kpis.sources.headed_rows import HeadedRows
from kpis.sources.messages import Refused
from kpis.sources.spool import Spool
from tests.unit.sources.test_csv_messages import FEED

HEADER = b'other;"Begin; time" ;LOAD'


@pytest.mark.parametrize("header", list(Header))
def test_a_row_is_put_into_the_order_of_the_feeds_columns(header):
    rows = HeadedRows(replace(FEED, format=replace(FEED.format, header=header)))
    assert rows.row(HEADER, b"x;5;1,5") == b"5;1,5;"
    assert rows.row(b"name;time;load", b'"a;""b""" ; 6;NULL\r\n') == b'6;NULL;"a;""b"""'
    assert rows.row(b"name;time;load", "é;6;".encode()) == "6;;é".encode()


def test_without_quotes_fields_are_as_they_are():
    rows = HeadedRows(replace(FEED, format=CSV(delimiter="|", quote="")))
    assert rows.row(b"name|Begin; time|load", b'"a"|6|1') == b'6|1|"a"'


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        (b"load;name", b"1;a", "has no column Begin; time or TIME in its header"),
        (b"time;load;time", b"1;2;3", "has the column time 2 times in its header"),
        (b"time,load", b"1;2", "separates its fields by commas; it must be semicolons"),
        (b"\xff;time", b"1;2", "has a header that is not valid UTF-8"),
        (HEADER, b"1;2", "has 2 fields where the header has 3"),
        (HEADER, b'1;"2;3', "has a badly placed quote"),
        (HEADER, b"other;begin; time;load", "has 4 fields where the header has 3"),
        (b"time;load", b"Time;load", "repeats the header"),
    ],
)
def test_a_row_that_its_header_does_not_fit_is_refused(header, row, reason):
    assert HeadedRows(FEED).row(header, row) == Refused(row, reason)


@pytest.mark.parametrize("value", [b"", b" \r\n", b"\xff;1;2", b"1;2;3\n4;5;6", b"1;2;\0"])
def test_what_is_no_line_of_text_is_left_to_the_spool(value):
    assert HeadedRows(FEED).row(HEADER, value) == value


def test_messages_with_and_without_a_header_are_in_one_batch(tmp_path):
    spool = Spool(FEED, tmp_path / "messages")
    spool.add(
        [1, 2, 3, 4, 5, 6],
        [b"5;1;a", b"b;6;", b"", None, b"c", b"7;1;d"],
        headers=[None, b"name;time;load", b"time", b"time", b"name;load", b" "],
    )
    batch = spool.messages("probes", 0, None)
    with duckdb.connect() as connection:
        reading = batch.completed(Reader(connection).read(batch.path, FEED), lambda: connection)
        found = connection.execute("SELECT begin, load, name FROM records ORDER BY begin").fetchall()
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    assert (reading.lines, found) == (6, [(5, 1, "a"), (6, None, "b"), (7, 1, "d")])
    assert rejects == [
        (3, "", "is empty", ""),
        (4, "", "is null", ""),
        (5, "", "has no column Begin; time or TIME in its header", "c"),
    ]


def test_the_message_gives_the_day_that_no_column_of_its_header_has():
    names = [column.name for column in COVERAGE.columns if column.required]
    row = ["12:00:00", *[""] * (len(names) - 1)]
    assert HeadedRows(COVERAGE).row(",".join(names).encode(), ",".join(row).encode()) == b",12:00:00" + b"," * 14
