"""What CSV's options make of a file: its records, and its rejects with line, column, reason and text."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as Number

import duckdb
import pytest
from blake3 import blake3

from kpis.catalog.columns import Decimal, Integer, Text
from kpis.catalog.feeds import Column, Feed, unix_moment
from kpis.catalog.formats import CSV, Header
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.registry import FEEDS
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.formats.bounds import FileError
from kpis.formats.text import in_utf_8

FEED = Feed(
    name="probe",
    description="Probe counters",
    format=CSV(),
    file_names=("probe_*",),
    endings=(".csv",),
    columns=(
        Column("begin", Integer(), headers=("Begin time", "TIME")),
        Column("bytes", Integer(), headers=("Bytes",)),
        Column("load", Decimal(optional=True)),
        Column("name", Text(optional=True)),
    ),
    checks=(),
    moment=unix_moment("begin", a_second=1),
    interval=FIVE_MINUTES,
)
HEADER = "begin time;Bytes;load;name"


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@pytest.fixture
def read(connection, tmp_path):
    """A function that reads content as a format; returns the records' values and the rejects."""

    def read(content: bytes | str, feed: Feed = FEED, **options) -> tuple[list, list]:
        mine = replace(feed, format=CSV(**{"delimiter": ";", **options}))
        path = tmp_path / "probe_1.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        reading = Reader(connection).read(path, mine)
        assert reading.digest == blake3(path.read_bytes()).hexdigest()
        assert reading.lines == reading.records + reading.rejects
        names = ", ".join(mine.column_names)
        records = connection.execute(f"SELECT {names} FROM records ORDER BY begin").fetchall()
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
        if can_scan(mine, []) and (found := scan(path, mine, [])):
            assert (found.reading, found.rejects) == (reading, rejects)
        return records, rejects

    return read


def test_numbers_have_a_decimal_comma_and_thousands(read):
    text = f"{HEADER}\n1;1.234;1.234,5;a\n2;1234;1234,5;a\n3;1;-0,000001;a\n4;12.34;1;a\n5;1;1.5;a\n6;1;1,234,5;a\n"
    records, rejects = read(text, decimal=",", thousands=".")
    assert records == [
        (1, 1234, Number("1234.500000"), "a"),
        (2, 1234, Number("1234.500000"), "a"),
        (3, 1, Number("-0.000001"), "a"),
    ]
    assert rejects == [
        (5, "bytes", "has a thousands separator where none can be", "4;12.34;1;a"),
        (6, "load", "has a thousands separator where none can be", "5;1;1.5;a"),
        (7, "load", "is not a decimal number", "6;1;1,234,5;a"),
    ]
    records, rejects = read(f"{HEADER}\n1;1;1.5;a\n2;1;1,5;a\n", decimal=",")
    assert records == [(2, 1, Number("1.500000"), "a")]
    assert rejects == [(2, "load", "has a point, but a comma precedes its decimals", "1;1;1.5;a")]
    # Where they are not declared, separators are none.
    assert read(f"{HEADER}\n1;1'234;1;a\n")[1] == [(2, "bytes", "is not a whole number", "1;1'234;1;a")]
    quoted = read(f'{HEADER.replace(";", ",")}\n1,"1,234","1,234.5",a\n', delimiter=",", thousands=",")
    assert quoted == ([(1, 1234, Number("1234.500000"), "a")], [])


def test_words_for_no_value_are_read_as_an_empty_field(read):
    # The case of letters beyond ASCII counts: a Kelvin sign is no K.
    text = f"{HEADER}\n1;1;NULL;n/a\n2;null;1;a\n3;1;-;'-'\n4;1;k;nulls\n5;1;1;\u212a\n"
    records, rejects = read(text, missing=("Null", "N/A", "-", "K"), quote="'")
    one = Number("1.000000")
    assert records == [(1, 1, None, None), (3, 1, None, None), (4, 1, None, "nulls"), (5, 1, one, "\u212a")]
    assert rejects == [(3, "bytes", "is empty", "2;null;1;a")]


def test_line_numbers_count_preamble_comments_and_blank_lines(read):
    text = f"Report\n\n{HEADER} no header\n# a\n\n#\n{HEADER}\n1;1;1;a\n# b\n\n2;x;1;a\n #c\n3;1;1;#\n"
    records, rejects = read(text, preamble=3, comment="#")
    assert [record[0] for record in records] == [1, 3]
    assert rejects == [
        (11, "bytes", "is not a whole number", "2;x;1;a"),
        (12, "", "has 1 field where the header has 4", " #c"),
    ]
    assert read(f"a\nb\n\n{HEADER}\n1;x;1;a\n", preamble=2)[1][0][0] == 5
    with pytest.raises(FileError, match="has no column Begin time or TIME, Bytes, load, name in its header"):
        read(f"a\nb\n{HEADER}\n1;1;1;a\n", preamble=1)
    with pytest.raises(FileError, match="has no header: it is empty"):
        read("a\nb\n", preamble=2)


def test_a_line_that_could_be_a_row_is_a_comment_all_the_same(read):
    rows = "".join(f"{mark}x;{number};1;{number}\n" for number, mark in enumerate(["#", "", "##", " #", ""], 1))
    records, rejects = read(f"name;Bytes;load;TIME\n{rows}", comment="#")
    assert ([(record[0], record[3]) for record in records], rejects) == ([(2, "x"), (4, "#x"), (5, "x")], [])


def test_without_a_header_columns_are_in_the_feeds_order(read):
    assert read("1;2;3;a\n2;x;3;a\n", header=Header.NONE) == (
        [(1, 2, Number("3.000000"), "a")],
        [(2, "bytes", "is not a whole number", "2;x;3;a")],
    )
    # A header is a row then, and no record.
    assert read(f"{HEADER}\n1;2;3;a\n", header=Header.NONE)[1] == [(1, "", "repeats the header", HEADER)]
    for header in (HEADER, "TIME [s];Bytes [kB];x;y"):
        assert len(read(f"{header}\n1;2;3;a\n", FEED if header == HEADER else named(), header=Header.OPTIONAL)[1]) == 0
    assert len(read("1;2;3;a\n", header=Header.OPTIONAL)[0]) == 1


def named() -> Feed:
    """The feed with names in files for all columns."""
    begin, volume, load, name = FEED.columns
    return replace(FEED, columns=(begin, volume, replace(load, headers=("x",)), replace(name, headers=("y",))))


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("TIME;BYTES;load;name", "5;7;1;a"),
        ("name;load;bytes [kB];Begin Time (UTC)", "a;1;7;5"),
        ('"Begin time [s]";load;"Bytes";Bytes [kB];name', "5;1;7;9;a"),
        ("\tTIME ;Bytes;load;name", "5;7;1;a"),
    ],
)
def test_names_in_files_match_in_any_case_and_with_units(read, header, row):
    assert read(f"{header}\n{row}\n") == ([(5, 7, Number("1.000000"), "a")], [])


def test_a_name_with_a_unit_is_of_the_column_that_has_it_so(read):
    begin, volume, load, _ = FEED.columns
    feed = replace(FEED, columns=(begin, volume, load, Column("kilobytes", Integer(), headers=("Bytes [kB]",))))
    records, _ = read("TIME;Bytes [kB];Bytes;load\n1;2;3;4\n", feed)
    assert records == [(1, 3, Number("4.000000"), 2)]
    with pytest.raises(FileError, match="has no column Bytes in its header"):
        read("TIME;Bytes [kB];load\n1;2;3\n", feed)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("TIME;Begin time;Bytes;load;name", "has 2 columns for begin in its header: TIME, Begin time"),
        ("TIME;Bytes [kB];Bytes [MB];load;name", "has 2 columns for bytes in its header: Bytes [kB], Bytes [MB]"),
        ("TIME;Bytes;BYTES;load;name", "has the column Bytes 2 times in its header"),
        ("begin;Bytes;load;name", "has no column Begin time or TIME in its header"),
        ("TIME;Bytes;load [%];name", "has no column load in its header"),
        ("TIME,Bytes,load,name", "separates its fields by commas; it must be semicolons"),
        ("TIME|Bytes|load|name", "separates its fields by bars; it must be semicolons"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_its_reason(read, header, reason):
    with pytest.raises(FileError) as caught:
        read(f"{header}\n1;1;1;a\n")
    assert str(caught.value) == reason


def test_a_tab_before_the_first_name_is_an_unnamed_column(read):
    header = HEADER.replace(";", "\t")
    records, rejects = read(f"\t{header}\t\nx\t1\t2\t3\ta\t\n\t\t\t\t\t\n\t2\tx\t3\ta\t\n", delimiter="\t")
    assert records == [(1, 2, Number("3.000000"), "a")]
    # A line of nothing but tabs is blank.
    assert rejects == [(4, "bytes", "is not a whole number", "\t2\tx\t3\ta\t")]


BAD_ROWS = {
    "utf-16-le": ("is not valid UTF-16", b"\x3d\xd8", r"2;1;1;\xed\xa0\xbd"),
    "utf-16-be": ("is not valid UTF-16", b"\xdc\x01", r"2;1;1;\xed\xb0\x81"),
    "cp1252": ("is not valid Windows-1252", b"\x81", r"2;1;1;\x81"),
    "utf-8": ("is not valid UTF-8", b"\xe9", r"2;1;1;\xe9"),
}


@pytest.mark.parametrize("encoding", BAD_ROWS)
def test_what_cannot_be_decoded_is_a_reject_and_loses_nothing_else(read, encoding):
    reason, bad, shown = BAD_ROWS[encoding]
    name = "Telefónica €"
    content = f"{HEADER}\r\n1;1;1;{name}\r\n2;1;1;".encode(encoding) + bad + f"\r\n3;1;1;{name}\r\n".encode(encoding)
    records, rejects = read(content, encoding=encoding)
    assert [(record[0], record[3]) for record in records] == [(1, name), (3, name)]
    assert rejects == [(3, "", reason, shown)]


def test_utf_16_may_end_in_the_middle_of_a_character(read):
    content = f"\ufeff{HEADER}\n1;1;1;\U0001f4f6\n2;1;1;a".encode("utf-16-le") + b"b"
    records, rejects = read(content, encoding="utf-16")
    assert records == [(1, 1, Number("1.000000"), "\U0001f4f6")]
    assert rejects == [(3, "", "is not valid UTF-16", r"2;1;1;a\xff")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "cp1252", "latin-1"])
def test_text_may_be_divided_anywhere(encoding):
    text = "aé\n" if encoding in ("cp1252", "latin-1") else "\ufeffa\U0001f4f6é\n\U0001f600"
    content = text.encode("utf-16-be" if encoding == "utf-16" else encoding)
    for at in range(2, len(content)):
        chunks = [content[:at], *(bytes([byte]) for byte in content[at:])]
        assert b"".join(in_utf_8(iter(chunks), encoding)) == text.encode()


def test_latin_1_reads_every_byte(read):
    records, rejects = read(f"{HEADER}\n1;1;1;\xe9\xff\n2;1;1;\x85\n".encode("latin-1"), encoding="latin-1")
    assert records == [(1, 1, Number("1.000000"), "éÿ")]
    assert rejects == [(3, "name", "holds a control character", "2;1;1;\x85")]


@pytest.mark.parametrize(
    ("encoding", "start", "reason"),
    [
        ("utf-8", b"\xff\xfe", "is UTF-16 text; it must be UTF-8"),
        ("latin-1", b"\xfe\xff", "is UTF-16 text; it must be Latin-1"),
        ("utf-16-le", b"\xfe\xff", "is utf-16-be text; it must be utf-16-le"),
        ("utf-16", b"", "has no byte order mark; its feed says that it is UTF-16 with one"),
        ("cp1252", b"\xef\xbb\xbf", "is UTF-8 text; it must be Windows-1252"),
        ("latin-1", b"\x1f\x8b", "holds gzip data, but its name does not end in .gz"),
        ("cp1252", b"b\0", "is not Windows-1252 text: its first line holds NUL bytes"),
    ],
)
def test_a_file_of_another_encoding_is_refused_with_its_reason(read, encoding, start, reason):
    with pytest.raises(FileError) as caught:
        read(start + HEADER.encode() + b"\n1;1;1;a\n", encoding=encoding)
    assert str(caught.value) == reason


def test_a_no_break_space_before_a_value_is_part_of_it(read):
    records, rejects = read(f"{HEADER}\n1;1;1;\u00a0a\n2;\u00a01;1;a\n3;1;1;a\n")
    assert [record[0] for record in records] == [3]
    assert [reject[:3] for reject in rejects] == [
        (2, "name", "holds a control character"),
        (3, "bytes", "is not a whole number"),
    ]


def test_built_in_feeds_match_no_units():
    assert not any(column.headers for feed in FEEDS.values() for column in feed.columns)
