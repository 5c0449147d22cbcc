"""Keys of JSON lines: within objects, missing, of several names; and numbers as JSON writes them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal as Number

import duckdb
import pytest

from kpis.catalog.columns import Date, Decimal, Integer, Text, TimeOfDay
from kpis.catalog.feeds import BadRow, Column, Feed, day_and_time, unix_moment
from kpis.catalog.formats import JSONLines
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.formats.json_rows import JSONRows
from kpis.formats.judge import judge
from kpis.formats.lines import Line

FEED = Feed(
    name="tree",
    description="Counters in objects",
    format=JSONLines(),
    file_names=("tree_*",),
    endings=(".jsonl",),
    columns=(
        Column("begin", Integer(), headers=("meta.ts",)),
        Column("bytes", Integer(), headers=("volume", "usage.bytes")),
        Column("load", Decimal(optional=True), required=False),
        Column("site", Text(), required=False),
    ),
    checks=(),
    moment=unix_moment("begin", a_second=1),
    interval=FIVE_MINUTES,
)


def record(text: str) -> tuple:
    return tuple(judge(JSONRows(FEED, b"", {}), Line(1, text.encode())).values())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"meta": {"ts": 5, "x": [{"ts": 6}]}, "volume": 7}', (5, 7, None, None)),
        ('{"usage": {"bytes": 7}, "meta": {"ts": 5}, "load": null, "site": "a"}', (5, 7, None, "a")),
        # A key of the object that is all of the path comes first.
        ('{"meta.ts": 6, "meta": {"ts": 5}, "volume": 7}', (6, 7, None, None)),
        ('{"meta": {"ts": 5}, "volume": 7, "load": 3e2}', (5, 7, Number("300.000000"), None)),
        ('{"meta": {"ts": 5}, "volume": 7, "load": 0.1234565E1}', (5, 7, Number("1.234565"), None)),
        ('{"meta": {"ts": 5}, "volume": 7, "load": 1.5}', (5, 7, Number("1.500000"), None)),
        ('{"meta": {"ts": 5}, "volume": 7, "load": "1.5"}', (5, 7, Number("1.500000"), None)),
    ],
)
def test_a_value_is_at_its_key_or_within(text, values):
    assert record(text) == values


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ('{"meta": 5, "volume": 7}', "begin", "is missing"),
        ('{"meta": {"ts": null}, "volume": 7}', "begin", "is not a whole number"),
        ('{"ts": 5, "volume": 7}', "begin", "is missing"),
        ('{"meta": {"ts": 5}}', "bytes", "is missing"),
        ('{"meta": {"ts": 5}, "volume": 7, "usage": {"bytes": 7}}', "bytes", "comes twice, as volume and usage.bytes"),
        ('{"meta": {"ts": 5, "ts": 5}, "volume": 7}', "", "has an object within in which a key comes twice"),
        ('{"meta": {"ts": 5}, "volume": 7, "site": null}', "site", "is not a text"),
        ('{"meta": {"ts": 5}, "volume": 7, "load": 1e99}', "load", "is not a decimal number"),
        ('{"meta": {"ts": 5}, "volume": 7, "load": 3e11}', "load", "is not between -100000000000 and 100000000000"),
        ('{"meta": {"ts": 5}, "volume": 7.0}', "bytes", "is not a whole number"),
    ],
)
def test_what_is_missing_or_of_another_kind_is_a_reject(text, column, reason):
    with pytest.raises(BadRow) as caught:
        record(text)
    assert (caught.value.column, caught.value.reason) == (column, reason)


@pytest.mark.parametrize("is_flat", [True, False])
def test_the_day_may_be_that_of_the_files_name(tmp_path, is_flat):
    """Rows without a day have the given one, in all readers."""
    feed = replace(
        FEED,
        columns=(
            Column("day", Date(optional=True), required=is_flat, headers=("d",)),
            Column("clock", TimeOfDay(), headers=("at" if is_flat else "at.clock",)),
        ),
        moment=day_and_time("day", "clock"),
        name_date=re.compile("(?P<year>....)-(?P<month>..)-(?P<day>..)"),
    )
    clock = '"at": "08:00:00"' if is_flat else '"at": {"clock": "08:00:00"}'
    lines = [f'{{"d": null, {clock}}}', f'{{"d": "2026-03-02", {clock}}}'] + [f"{{{clock}}}"] * (not is_flat)
    path = tmp_path / "tree_1.jsonl"
    path.write_text("\n".join(lines) + "\n")
    days = [date(2026, 3, 1), date(2026, 3, 2)] + [date(2026, 3, 1)] * (not is_flat)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(path, feed, defaults={"day": date(2026, 3, 1)})
        found = connection.execute("SELECT day, clock FROM records ORDER BY day").fetchall()
    assert found == sorted((day, time(8)) for day in days)
    assert reading.lacks_day
    scanned = scan(path, feed, [], defaults={"day": date(2026, 3, 1)})
    assert scanned is not None
    assert scanned.reading == reading
    assert set(reading.intervals) == {datetime.combine(day, time(8), UTC) for day in days}
    # Without a given day, such rows are rejects.
    assert scan(path, feed, []).reading.rejects == len(days) - 1
