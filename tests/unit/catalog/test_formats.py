"""Descriptions of formats: what contradicts itself is refused with its reason, and the rest is put in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kpis.catalog.columns import Integer
from kpis.catalog.feeds import Column
from kpis.catalog.formats import CSV, Header, JSONLines, Parquet
from kpis.catalog.registry import FEEDS
from kpis.catalog.result_columns import BadEntry

CONTRADICTIONS = {
    "the encoding 'ascii' is none of utf-8, utf-16, utf-16-le, utf-16-be, latin-1, cp1252": {"encoding": "ascii"},
    "the delimiter ';;' is not a single character": {"delimiter": ";;"},
    "the delimiter '' is not a single character": {"delimiter": ""},
    "the delimiter '5' may be part of a value": {"delimiter": "5"},
    "the delimiter 'x' may be part of a value": {"delimiter": "x"},
    "the delimiter '-' may be part of a value": {"delimiter": "-"},
    "the delimiter '\\n' cannot be within a line": {"delimiter": "\n"},
    "the quote 'x' is not one of \"'`|$%&*/^~!?#:;@": {"quote": "x"},
    "the quote ';' is the delimiter too": {"delimiter": ";", "quote": ";"},
    "the decimal mark ';' is neither '.' nor ','": {"decimal": ";"},
    "the thousands separator 'x' is none of '.', ',', \"'\", ' ', '_', '\\xa0', '\\u202f', '\u2019'": {
        "thousands": "x"
    },
    "',' is both the decimal mark and the thousands separator": {"decimal": ",", "thousands": ","},
    '"\'" is both the quote and the thousands separator': {"quote": "'", "thousands": "'"},
    "without quotes, the delimiter ',' cannot be within a number": {"quote": "", "decimal": ","},
    "the comment mark '123456789' is not 1 to 8 printable ASCII characters": {"comment": "123456789"},
    "the comment mark 'é' is not 1 to 8 printable ASCII characters": {"comment": "é"},
    "the comment mark '-- ' begins as a row may begin": {"comment": "-- "},
    "the comment mark ';' begins as a row may begin": {"comment": ";", "delimiter": ";"},
    "the preamble has -1 lines; it can have 0 to 1,000": {"preamble": -1},
    "the preamble has 1,001 lines; it can have 0 to 1,000": {"preamble": 1_001},
    "17 words mean no value; 16 can": {"missing": tuple(f"w{number}" for number in range(17))},
    "the word '' for no value is not 1 to 32 printable ASCII characters": {"missing": ("",)},
    "the word 'n/é' for no value is not 1 to 32 printable ASCII characters": {"missing": ("n/é",)},
    "the word 'N,A' for no value has the quote or the delimiter within, or a space at an end": {"missing": ("N,A",)},
    "the word 'null' for no value comes twice": {"missing": ("NULL", "null")},
}


@pytest.mark.parametrize("reason", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_with_its_reason(reason):
    with pytest.raises(BadEntry) as caught:
        CSV(**CONTRADICTIONS[reason])
    assert str(caught.value) == f"CSV: {reason}."


def test_a_format_is_put_in_words():
    assert str(CSV()) == "CSV with a header"
    assert str(JSONLines()) == "one JSON object a line"
    assert str(CSV(Header.NONE, delimiter="^", quote="")) == "CSV without a header; fields separated by '^'; no quotes"
    every = CSV(
        delimiter=";", quote="'", decimal=",", thousands=".", encoding="utf-16", comment="#", preamble=2,
        missing=("NULL", "-"),
    )  # fmt: skip
    assert str(every) == (
        "CSV with a header; fields separated by semicolons; quoted with '; a comma before decimals; points between "
        "thousands; utf-16; comments begin with #; 2 lines before the header; no value is also NULL, -"
    )


def test_messages_are_rows_in_utf_8_without_what_only_files_have():
    every = CSV(delimiter=";", decimal=",", encoding="utf-16", comment="#", preamble=2, missing=("-",))
    assert every.of_messages == CSV(delimiter=";", decimal=",", missing=("-",))
    assert all(one.is_streamable for one in (every, CSV(Header.NONE), JSONLines()))
    assert not Parquet().is_streamable
    feed = FEEDS["cdr"]
    assert feed.of_messages is feed
    assert replace(feed, format=every).of_messages == replace(feed, format=every.of_messages)


def test_a_file_of_messages_begins_with_the_names_that_a_header_has():
    feed = FEEDS["cdr"]
    assert feed.header_line == b"SourcePN,DestPN,Location,StartT,EndT,Type,Company\n"
    columns = (Column("a", Integer(), headers=("A; 1", "x")), Column("StartT", feed.column("StartT").type))
    named = replace(feed, columns=columns, format=CSV(Header.OPTIONAL, delimiter=";"))
    assert named.header_line == b'"A; 1";StartT\n'
    assert replace(named, format=CSV(Header.NONE)).header_line == b""
    assert FEEDS["antenna"].header_line == b""


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (("A", "a"), "Column b: 'a' comes twice among its names in files."),
        ((" A",), "Column b: ' A' cannot be its name in a file."),
        (("",), "Column b: '' cannot be its name in a file."),
        (("SOURCEPN",), "Feed cdr: 'SOURCEPN' names both SourcePN and b in files."),
    ],
)
def test_names_in_files_are_of_one_column(headers, reason):
    feed = FEEDS["cdr"]
    with pytest.raises(BadEntry) as caught:
        replace(feed, columns=(*feed.columns, Column("b", Integer(), headers=headers)))
    assert str(caught.value) == reason
