"""For random messages of a stream, the compiled scanner, the bulk reader and a plain loop over the judge give the same.

``SCANNER_BATCHES=20000`` tries so many random batches of each feed instead of the short form's.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest

from kpis import pipeline
from kpis.catalog.feeds import BadRow, Feed, moment_of
from kpis.catalog.live import live_dimensions
from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.clock import Clocks
from kpis.engine import scanner as scanner_module
from kpis.engine.live import LiveCounts
from kpis.formats.bounds import UNBOUNDED
from kpis.formats.file_formats import row_format_of
from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.formats.judge import judge, reject_text
from kpis.formats.lines import Line
from kpis.sources.messages import Messages
from kpis.stages.prepare import prepare
from kpis.stages.prepared import Prepared
from kpis.stages.read import scan_of
from kpis.stages.times import times_of
from tests.effort import times
from tests.property.test_scanner import damage
from tests.property.test_scanner_feeds import ODD_BYTES, csv_field, json_file, naive_partial, values_of
from tests.unit.sources.test_stream import spooled

BATCHES = times("SCANNER_BATCHES", 40, 2_000)
NOW = datetime(2021, 7, 18, 1, tzinfo=UTC)
EARLIEST = datetime(2021, 7, 17, tzinfo=UTC)
OPTIONS = pipeline.Options(
    max_reject_ratio=1, bounds=UNBOUNDED, clocks=Clocks(NOW, NOW), max_clock_ahead=timedelta(hours=2)
)
OTHERS = [
    None,
    b"",
    b" ",
    b"\r\n",
    b"\t\r",
    b"\0",
    b"\xff\xfe{}",
    b"a\nb",
    b"a\rb",
    b"{}",
    b"[1]",
    b"x",
    b"\xef\xbb\xbf",
]

Message = tuple[int, bytes | None]


def random_messages(feed: Feed, chance: random.Random) -> list[Message]:
    """Messages with their offsets, of which some are missing, as in a compacted topic."""
    if feed.format.has_keys:
        lines: list[bytes | None] = list(json_file(feed, chance))
    else:
        is_plain = chance.random() < 0.5
        rows = (values_of(feed, chance) for _ in range(chance.randrange(1, 30)))
        lines = [
            ",".join(csv_field(chance, row[name], is_plain) for name in feed.column_names).encode() for row in rows
        ]
    for _ in range(chance.choice([0, 0, 1, 3])):
        text = bytearray(chance.choice([line for line in lines if line] or [b"x"]))
        damage(text, 0, ODD_BYTES, chance)
        lines.insert(chance.randrange(len(lines) + 1), bytes(text) + chance.choice([b"", b"\n", b"\r\n"]))
    for _ in range(chance.choice([0, 0, 1, 3])):
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(OTHERS))
    if chance.random() < 0.03:
        lines.insert(chance.randrange(len(lines) + 1), b"x" * (LONGEST_LINE_BYTES + chance.randrange(3)))
    offset, messages = chance.choice([0, 5, 2**40]), []
    for line in lines:
        offset += chance.choice([1, 1, 1, 7])
        messages.append((offset, line))
    return messages


def flaw(line: bytes) -> str:
    """The reason why a message, without its line end, is a reject of any feed; "" if it is not."""
    if not line.strip():
        return "is empty"
    if {*b"\r\n"} & {*line}:
        return "holds a line end"
    if b"\0" in line:
        return "holds a NUL byte"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "is not valid UTF-8"
    return ""


def random_times(messages: list[Message], chance: random.Random) -> list[int | None]:
    """The messages' own times in Unix ms: mostly about midnight, some beyond all years or none."""
    midnight = 1_626_566_400_000
    odd = [None, None, -1, 0, -(2**62), 2**62, 253_402_300_799_999]
    return [midnight + chance.randrange(-2000, 2000) if chance.random() < 0.9 else chance.choice(odd) for _ in messages]


def day_of(moment: int | None) -> date | None:
    """The day (UTC) of a message's time."""
    if moment is None or not 0 < moment < 253_402_128_000_000:
        return None
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).date()


def judged(batch: Messages, messages: list[Message], times: list[int | None]) -> tuple[list, list]:
    """The records, each with its interval's start, and the rejects of messages, in plain Python."""
    feed, allowed = batch.feed, times_of(batch, OPTIONS)
    day = feed.moment.column if feed.may_lack_day else ""
    records, rejects = [], []
    for (offset, value), sent in zip(messages, times, strict=True):
        defaults = {day: day_of(sent)} if day and day_of(sent) else {}
        row_format = row_format_of(feed, ",".join(feed.column_names).encode(), defaults)
        if value is None:
            rejects.append((offset, "", "is null", ""))
            continue
        line = value.rstrip(b"\r\n")
        if reason := flaw(line):
            rejects.append((offset, "", reason, reject_text(Line(offset, value))))
            continue
        try:
            record = judge(row_format, Line(offset, line))
            if moment_of(feed, record) < EARLIEST:
                raise BadRow(feed.moment.column, "lies before 2021-07-17T00:00:00Z, where the lake was pruned")
            allowed.check(feed, record)
        except BadRow as bad:
            reason = bad.reason
            if bad.column == day and reason.endswith("gives the day"):
                reason = "is empty, and the message has no time that gives the day"
            rejects.append((offset, bad.column, reason, reject_text(Line(offset, line))))
        else:
            records.append((feed.interval.floor(moment_of(feed, record)).replace(tzinfo=None), record))
    return records, rejects


def naive_live(feed: Feed, records: list) -> LiveCounts | None:
    """The records of the last 62 minutes and of the next one, by the second and group."""
    if not records or not live_dimensions(feed):
        return None
    moments = sorted(moment_of(feed, record) for _, record in records)
    groups = {}
    for dimension in live_dimensions(feed):
        found: Counter = Counter()
        for _, record in records:
            when = moment_of(feed, record)
            if NOW - timedelta(minutes=62) <= when < NOW + timedelta(minutes=1):
                found[int(when.timestamp()), record[dimension.column]] += 1
        groups[dimension.name] = [(*key, count) for key, count in sorted(found.items())]
    return LiveCounts(groups, moments[(len(moments) - 1) // 2])


def found_in(engine: pipeline.Engine, one: Prepared) -> dict:
    """What is prepared of a batch."""
    tables: dict = defaultdict(list)
    for kpi in partial_kpis(one.entry.file.feed) if one.partials else []:
        with one.partial(engine.connection, kpi.id) as table:
            tables[kpi.id] = engine.connection.execute(f"FROM {table}").fetchall()
    if one.entry.rejects:
        tables["rejects"] = engine.connection.execute(f"FROM {one.rejects} ORDER BY line").fetchall()
    return {"entry": one.entry, "newest": one.newest, "live": one.live, "first": one.first_rejects, **tables}


def records_in(engine: pipeline.Engine, one: Prepared) -> Counter:
    with one.records.registered(engine.connection):
        return Counter(engine.connection.execute(f"FROM ({one.records.query})").fetchall())


@pytest.mark.parametrize("feed", [feed for feed in FEEDS.values() if feed.is_streamable], ids=lambda feed: feed.name)
def test_random_messages_give_what_judge_and_reader_give(tmp_path, lake_dir, monkeypatch, feed):
    chance = random.Random(20210718)  # noqa: S311  test data need no secrecy
    taken = 0
    with pipeline.engine(lake_dir) as engine:
        for case in range(BATCHES):
            monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([2_000, 3_000, 2**20]))
            messages = random_messages(feed, chance)
            times = random_times(messages, chance)
            batch = spooled(messages, None, tmp_path / "messages", feed, times)
            archived = frozenset([feed.name] if case % 4 == 0 else [])
            options = replace(OPTIONS, archive_feeds=archived)
            scanned = scan_of(batch, options, EARLIEST)
            taken += scanned is not None
            with prepare(batch, engine, options, partial(lambda scan: scan, scanned), EARLIEST) as one:
                found = found_in(engine, one)
                kept = records_in(engine, one) if archived and one.partials else None
            records, rejects = judged(batch, messages, times)
            entry = found["entry"]
            totals = [row[-1] for kpi in partial_kpis(feed) for row in naive_partial(kpi, records) if entry.reason]
            assert entry.is_in or max(totals) >= 2**63, entry.reason
            assert (entry.lines, entry.records, entry.rejects) == (len(messages), len(records), len(rejects)), messages
            assert found.get("rejects", []) == rejects, messages
            starts = Counter(start for start, _ in records)
            assert {start.replace(tzinfo=None): count for start, count in entry.intervals.items()} == starts
            for kpi in partial_kpis(feed) if records and entry.is_in else []:
                assert found[kpi.id] == naive_partial(kpi, records), (messages, times)
            if entry.is_in:
                moments = [moment_of(feed, record) for _, record in records]
                assert found["newest"] == max((when for when in moments if when <= NOW), default=None)
                assert found["live"] == naive_live(feed, records)
            with prepare(batch, engine, options, lambda: None, EARLIEST) as one:
                assert found_in(engine, one) == found, messages
                assert kept is None or records_in(engine, one) == kept
    assert taken > 0.8 * BATCHES
