"""JSON lines with keys within objects, keys that may be missing and others: all readers give what was written.

``JSON_CASES=20000`` tries so many random files instead of the short form's.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal as Number
from typing import Any

import duckdb
import pytest

from kpis.catalog.columns import Decimal, Integer, Text
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import BadRow, Column, Feed, moment_of, unix_moment
from kpis.catalog.formats import JSONLines
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, Mean, Sum
from kpis.engine import scanner as scanner_module
from kpis.engine.folding import add_fold
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import rows
from kpis.formats.file_formats import row_format_of
from kpis.formats.judge import judge, reject_text
from kpis.formats.lines import Line
from tests.effort import times
from tests.property.test_scanner_feeds import naive_partial

CASES = times("JSON_CASES", 150, 5_000)
START = 1_626_566_400

TREE = Feed(
    name="tree",
    description="Counters in objects",
    format=JSONLines(),
    file_names=("tree_*",),
    endings=(".jsonl",),
    columns=(
        Column("begin", Integer(), headers=("meta.ts",)),
        Column("cell", Integer(minimum=-5)),
        Column("bytes", Integer(), headers=("usage.bytes.total",)),
        Column("load", Decimal(optional=True), headers=("usage.load",)),
        Column("operator", Text(optional=True), required=False, headers=("meta.net.operator",)),
        Column("site", Text(optional=True), required=False, headers=("Site Name",)),
    ),
    checks=(),
    moment=unix_moment("begin", a_second=1),
    interval=FIVE_MINUTES,
)
FLAT_KEYS = {"begin": "ts", "bytes": "Bytes [kB]", "load": "load%", "operator": "op's", "site": "a+b"}
FLAT = replace(
    TREE,
    name="flat",
    columns=tuple(
        replace(column, required=True, headers=(FLAT_KEYS[column.name],) if column.name in FLAT_KEYS else ())
        for column in TREE.columns
    ),
)
# The scanner leaves columns with several keys to the bulk reader.
SEVERAL = replace(
    TREE,
    name="several",
    columns=(
        *TREE.columns[:2],
        Column("bytes", Integer(), headers=("volume", "usage.bytes.total")),
        *TREE.columns[3:],
    ),
)
FEEDS = {feed.name: feed for feed in (TREE, FLAT, SEVERAL)}


def kpis_of(feed: Feed) -> list[KPI]:
    made: list[tuple[str, Any]] = [
        ("cell", Sum("total", columns=("bytes",))),
        ("operator", Count("records")),
        ("site", Mean("mean_load", column="load", samples="samples", empty="empty")),
    ]
    return [
        KPI(
            id=9_100 + number, name=f"Tree{number}", plural=f"trees {number}", description="Trees", feed=feed,
            by=(Dimension(column, column),), measure=measure, unit="", lengths=(FIVE_MINUTES, ONE_HOUR),
        )
        for number, (column, measure) in enumerate(made)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


OTHERS = [1, -1.5, 1e300, "text", "é", None, True, [], {}, [1, {"a": {"b": 2}}], {"total": 5, "bytes": {"total": 6}}]
ODD = [1.5, "x", None, [], {}, {"ts": 1}, True, -1, 10**19, "", 1e3, "5"]


class Raw(str):
    """A number of JSON as it is written."""


def numbers_kept(value: Any) -> str:
    """JSON of objects with numbers as they are to be written, with keys in any number."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return "{" + ", ".join(f"{json.dumps(key)}: {numbers_kept(one)}" for key, one in value) + "}"
    return json.dumps(value, ensure_ascii=False)


def with_path(pairs: list, path: list[str], value: Any) -> None:
    """Add a value at a path to an object, which is a list of pairs."""
    if len(path) == 1:
        pairs.append((path[0], value))
        return
    inner = next((one for key, one in pairs if key == path[0] and isinstance(one, list)), None)
    if inner is None:
        inner = []
        pairs.append((path[0], inner))
    with_path(inner, path[1:], value)


def shuffled(pairs: list, chance: random.Random) -> list:
    """An object with its keys in another order and further ones, in it and within."""
    pairs = [
        (key, shuffled(one, chance) if isinstance(one, list) and one and isinstance(one[0], tuple) else one)
        for key, one in pairs
    ]
    while chance.random() < 0.2:
        key = chance.choice(["x", "y", "ts", "total", "a b", "load", "bytes", "net"])
        if key not in [known for known, _ in pairs]:
            pairs.append((key, chance.choice(OTHERS)))
    if pairs and chance.random() < 0.02:
        key, value = chance.choice(pairs)
        pairs.append((key, chance.choice([value, {"zz": 1}, {}])))
    if chance.random() < 0.5:
        chance.shuffle(pairs)
    return pairs


def row_of(feed: Feed, chance: random.Random) -> tuple[str, dict[str, Any] | None]:
    """A line and, if that is sure, its record."""
    load = chance.choice([None, Raw("1.5"), Raw("3e2"), Raw("-2.5E-1"), "7.25", Raw("12"), Raw("0.0000005")])
    record: dict[str, Any] = {
        "begin": START + chance.randrange(1_000),
        "cell": chance.choice([1, 2, 3]),
        "bytes": chance.choice([0, 17, 5_300_000_123]),
        "load": load,
        "operator": chance.choice(["Orange", "Movistar", "Telefónica", None]),
        "site": chance.choice(["a", None]),
    }
    pairs: list = []
    is_sure = True
    plain = chance.random() < 0.5
    for column in feed.columns:
        value = record[column.name]
        key = chance.choice(column.names_in_files)
        if not column.required and value is None and chance.random() < 0.6:
            continue
        if not plain and chance.random() < 0.04:
            value, is_sure = chance.choice(ODD), False
        path = key.split(".") if "." in key and feed is not FLAT else [key]
        if not plain and chance.random() < 0.02:
            # As a whole, or not at all.
            path, is_sure = chance.choice([[key], ["gone"]]), False
        with_path(pairs, path, value)
    if load is not None:
        record["load"] = Number(str(load)).quantize(Number("0.000001"))
    if not plain:
        before = pairs
        pairs = shuffled(pairs, chance)
        is_sure = is_sure and pairs == before
    return numbers_kept(pairs), record if is_sure else None


def judged(feed: Feed, lines: list[bytes]) -> tuple[list, list]:
    row_format = row_format_of(feed, lines[0], {})
    records, rejects = [], []
    for number, content in enumerate(lines, 1):
        line = Line(number, content)
        try:
            record = judge(row_format, line)
        except BadRow as bad:
            rejects.append((number, bad.column, bad.reason, reject_text(line)))
            continue
        records.append((feed.interval.floor(moment_of(feed, record)).replace(tzinfo=None), record))
    return records, rejects


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_random_objects_are_read_alike(folder, connection, monkeypatch, feed):
    chance, scanned, kpis = random.Random(20261130), 0, kpis_of(feed)  # noqa: S311  test data need no secrecy
    path = folder / "tree.jsonl"
    assert can_scan(feed, kpis) == (feed is not SEVERAL)
    for case in range(CASES // 3):
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([2_000, 2**20]))
        made = [row_of(feed, chance) for _ in range(chance.randrange(1, 40))]
        lines = [text.encode() for text, _ in made]
        path.write_bytes(b"\n".join(lines) + b"\n")
        records, rejects = judged(feed, lines)
        counts = (len(lines), len(records), len(rejects))
        meant = Counter(tuple(record.values()) for _, record in made if record)
        assert meant <= Counter(tuple(record.values()) for _, record in records), path.read_text()
        found = scan(path, feed, kpis) if feed is not SEVERAL else None
        if found is not None:
            scanned += 1
            assert (found.reading.lines, found.reading.records, found.reading.rejects) == counts, path.read_text()
            assert found.rejects == rejects
            for kpi in kpis:
                assert list(rows(found.partials[kpi.id])) == naive_partial(kpi, records), path.read_text()
        if case % 3 == 0:
            reading = Reader(connection).read(path, feed)
            assert (reading.lines, reading.records, reading.rejects) == counts
            assert connection.execute("FROM rejects ORDER BY line").fetchall() == rejects
            expected = Counter((start, *record.values()) for start, record in records)
            assert Counter(connection.execute("FROM records").fetchall()) == expected
    assert scanned == (0 if feed is SEVERAL else CASES // 3)
