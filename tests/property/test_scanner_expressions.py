"""Feeds with expressions: judge, bulk reader and compiled scanner agree on checks, derived columns and filters.

``EXPRESSION_FEED_CASES=100000`` tries so many random files of each feed instead of the short form's.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.checks import check_expression, column_types, derived_column
from kpis.catalog.columns import UUID, Decimal, Integer, PostalCode, Text
from kpis.catalog.columns.zones import YEARS
from kpis.catalog.dimensions import Dimension
from kpis.catalog.expressions import Expression, ExpressionError, condition, expression
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, CountDistinct, Last, Mean, Measure, Sum
from kpis.engine import scanner as scanner_module
from kpis.engine.aggregate import TotalTooLarge, partial_of_records
from kpis.engine.folding import add_fold
from kpis.engine.reader import Reader
from kpis.engine.scan_columns import RECORDS
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import registered, rows
from kpis.formats.judge import ANY_TIME
from tests.effort import times
from tests.property.test_expressions import random_text
from tests.property.test_scanner_columns import csv_lines, json_lines, random_feed, random_kpis
from tests.property.test_scanner_feeds import TIMES, judged, naive_partial, random_file

CASES = times("EXPRESSION_FEED_CASES", 30, 1_000)
DAY = date(2021, 7, 18)


def with_expressions(feed: Feed, more: list[Column], derived: dict[str, str], checks: dict[str, str]) -> Feed:
    """The feed with more columns, with derived ones, and with checks instead of its own; each check names a column."""
    feed = replace(feed, columns=(*feed.columns, *more), checks=())
    for name, text in derived.items():
        types = column_types(feed.record_columns, feed.place)
        feed = replace(feed, derived=(*feed.derived, derived_column(name, text, types)))
    types = column_types(feed.record_columns, feed.place)
    found = [check_expression(name, f"is not {text}", text, types) for text, name in checks.items()]
    return replace(feed, checks=tuple(found))


def kpi(feed: Feed, id: int, by: list[str], measure: Measure, filter: str) -> KPI:
    return KPI(
        id=id,
        name=f"Own{id}",
        description="of a test",
        feed=feed,
        by=tuple(Dimension(f"of_{name.lower()}", name) for name in by),
        measure=measure,
        unit="units",
        lengths=(FIVE_MINUTES,),
        filter=condition(filter, column_types(feed.record_columns, feed.place)) if filter else None,
    )


FLOWS = with_expressions(
    IPFLOW,
    [],
    {
        "total": "bytes_uplink + bytes_downlink",
        "is_big": "if(total > 3, 1, 0)",
        "half": "round(bytes_uplink * 0.5, 1)",
        "slot": "interval_start_timestamp // 300000 % 12",
        "least": "min(service_id, cell_id, 2) - 1",
    },
    {
        "interval_end_timestamp - interval_start_timestamp = 300000": "interval_end_timestamp",
        "interval_start_timestamp % 300000 = 0": "interval_start_timestamp",
        "total * 3 - msisdn != 2 and not (service_id = cell_id and is_big = 1)": "bytes_downlink",
        "bytes_uplink * bytes_downlink < 9000000000000000000 or msisdn = 3": "bytes_uplink",
        "abs(cell_id) >= 0 and -service_id < 3000000000": "",
    },
)
CALLS = with_expressions(
    CDR,
    [
        Column("signal", Decimal(minimum=-10, maximum=95, unknown=(97,), optional=True)),
        Column("code", Integer(minimum=-(2**63), optional=True)),
        Column("note", Text(optional=True)),
        Column("cell", UUID()),
    ],
    {
        "seconds": "seconds_between(StartT, EndT)",
        "level": "coalesce(floor(signal), code, -1)",
        "scaled": "max(signal * 2, code) + 0.25",
    },
    {
        "StartT <= EndT": "EndT",
        "seconds <= 2592000": "EndT",
        "Type = 'CALL' or is_missing(note) or note not in ('Vodafone', 'x,y', '')": "note",
        "signal < 90.5 or signal = 92 and code != 3": "signal",
        "if(is_missing(code), seconds >= 0, code // 2 < 1000)": "code",
    },
)
MESSAGES = with_expressions(
    ANTENNA,
    [Column("code", Integer(minimum=-(2**63))), Column("share", Decimal())],
    {"kilo": "bytes // 1000", "whole": "round(share)", "rest": "share - floor(share)"},
    {
        "bytes + code > 0": "bytes",
        "app in ('Vodafone', 'Movistar', 'San José', 'Los Angeles') or bytes % 2 = 0": "app",
        "timestamp > 0": "timestamp",
    },
)
LOGS = with_expressions(
    COVERAGE,
    [],
    {"far": "coalesce(abs(lat) + abs(long), 1000)"},
    {
        "status <= 2 or signal > 1": "status",
        "far < 150": "lat",
        "is_missing(date) or date >= date('2021-07-18')": "date",
    },
)
WORDS = with_expressions(
    CDR,
    [],
    {"place": "lower(Location)", "who": "if(contains(Company, 'one'), 'one', Company)"},
    {"starts_with(Location, 'L') or length(SourcePN) < 17 or ends_with(DestPN, 'e')": "Location", "Location < 'z'": ""},
)
TEXTS = with_expressions(
    CDR,
    [Column("note", Text(optional=True)), Column("code", PostalCode(optional=True))],
    {"size": "length(Location) + length(SourcePN)", "kind": "if(starts_with(coalesce(note, 'V'), 'V'), 1, 0)"},
    {
        "starts_with(Location, 'L') or length(SourcePN) < 17 or ends_with(DestPN, 'e')": "Location",
        "lower(Company) < 'z' and Company != 'San José'": "Company",
        "not contains(note, 'a') or size < 20": "note",
        "max(code, '1') > '0' or kind = 1": "code",
    },
)
FEEDS = {
    "flows": (
        FLOWS,
        [
            kpi(FLOWS, 1, ["service_id"], Sum("bytes", columns=("total", "bytes_uplink")), "service_id != 2"),
            kpi(FLOWS, 2, ["cell_id"], CountDistinct("users", column="msisdn"), "is_big = 1 and msisdn in (1, 2, 3)"),
            kpi(FLOWS, 3, ["is_big", "slot"], Count("flows"), ""),
            kpi(FLOWS, 4, ["least"], Mean("mean", "half", "samples", "empty"), "half > 0.5"),
            kpi(FLOWS, 5, ["service_id"], Count("flows"), "false"),
        ],
    ),
    "calls": (
        CALLS,
        [
            kpi(CALLS, 1, ["Location"], Count("calls"), "Type = 'CALL'"),
            kpi(CALLS, 2, ["Company", "Type"], Count("calls"), "signal > 1 or code > 1"),
            kpi(CALLS, 3, ["Company"], Mean("mean", "scaled", "samples", "empty"), "note != 'Vodafone'"),
            kpi(CALLS, 4, ["Type"], Mean("mean", "seconds", "samples", "empty"), "not is_missing(note)"),
            kpi(CALLS, 5, ["level"], CountDistinct("cells", column="cell"), "seconds < 3600"),
        ],
    ),
    "messages": (
        MESSAGES,
        [
            kpi(MESSAGES, 1, ["app"], Sum("bytes", columns=("kilo", "bytes")), "app != 'Movistar' and kilo = 0"),
            kpi(MESSAGES, 2, ["whole"], Mean("mean", "rest", "samples", "empty"), "rest < 0.5"),
            kpi(MESSAGES, 3, ["antenna_id"], Count("messages"), "code < 2"),
        ],
    ),
    "logs": (
        LOGS,
        [
            kpi(LOGS, 1, ["operator"], Mean("mean", "far", "samples", "empty"), "lat > 1"),
            kpi(LOGS, 2, ["status"], Count("records"), "is_missing(lat) or not is_missing(signal)"),
        ],
    ),
    "words": (
        WORDS,
        [
            kpi(WORDS, 1, ["place", "who"], Count("calls"), "lower(Company) != 'movistar'"),
            kpi(WORDS, 2, ["Type"], Count("calls"), "min(Location, Company) = Company"),
        ],
    ),
    "texts": (
        TEXTS,
        [
            kpi(TEXTS, 1, ["size", "kind"], Count("calls"), "lower(Company) = 'vodafone' or is_missing(lower(note))"),
            kpi(
                TEXTS, 2, ["Type"], Mean("mean", "size", "samples", "empty"), "coalesce(note, 'é') in ('é', 'Movistar')"
            ),
            kpi(TEXTS, 3, ["Location"], Count("calls"), "min(Type, 'D') = 'CALL'"),
            kpi(
                TEXTS, 4, ["Company"], CountDistinct("people", column="SourcePN"), "'V' <= Company and length(code) > 2"
            ),
        ],
    ),
}
BULK_ONLY = {"words"}
KIND_OF = {"VARCHAR": "text", "BOOLEAN": "boolean", "DATE": "date", "TIME": "time", "TIMESTAMP": "timestamp"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("expressions")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


def counted(kpi: KPI, records: list[tuple[datetime, dict[str, Any]]]) -> list[tuple[datetime, dict[str, Any]]]:
    """The records that a KPI counts."""
    return [one for one in records if kpi.filter is None or kpi.filter.of(one[1]) is True]


@pytest.mark.parametrize("name", FEEDS)
def test_random_files_of_feeds_with_expressions_give_the_same_three_times(folder, connection, monkeypatch, name):
    chance = random.Random(20210718)  # noqa: S311  test data need no secrecy
    feed, kpis = FEEDS[name]
    assert can_scan(feed, kpis) is (name not in BULK_ONLY)
    read, scanned, kept, reasons = 0, 0, 0, Counter()
    for case in range(CASES):
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([2_000, 3_000, 2**20]))
        content = random_file(feed, chance)
        path = folder / f"{name}.random"
        path.write_bytes(content)
        defaults = {"date": DAY} if feed.needs_date and chance.random() < 0.7 else {}
        expected = judged(feed, content, defaults, None)
        if expected is None:
            continue
        records, rejects, lines, _ = expected
        reasons.update(reason for _, _, reason, _ in rejects)
        kept += len(records)
        read += 1
        reading = Reader(connection).read(path, feed, None, defaults, TIMES)
        assert (reading.lines, reading.records) == (lines, len(records)), content
        assert connection.execute("FROM rejects ORDER BY line").fetchall() == rejects, content
        names = [column.name for column in feed.record_columns]
        typed = Counter((start, *(record[one] for one in names)) for start, record in records)
        assert Counter(connection.execute("FROM records").fetchall()) == typed, content
        partials = {}
        for kpi in kpis if records else []:
            with partial_of_records(connection, kpi, reading.intervals) as table:
                partials[kpi.id] = connection.execute(f"FROM {table}").fetchall()
            assert partials[kpi.id] == naive_partial(kpi, counted(kpi, records)), (kpi, content)
        found = None
        if name not in BULK_ONLY:
            found = scan(path, feed, kpis, None, None, TIMES, defaults, with_records=case % 4 == 0)
        if found is None:
            continue
        scanned += 1
        assert found.reading == reading, content
        assert found.rejects == rejects, content
        for kpi in kpis:
            assert list(rows(found.partials[kpi.id])) == partials.get(kpi.id, []), (kpi, content)
        if found.records is not None:
            with registered(connection, RECORDS, found.records.columns):
                assert Counter(connection.execute(found.records.sql).fetchall()) == typed, content
    assert read > 0.8 * CASES
    assert scanned > 0.8 * CASES or name in BULK_ONLY
    assert kept > CASES / 2
    assert len([check for check in feed.checks if reasons[check.reason]]) >= 2, reasons


def random_expression(feed: Feed, chance: random.Random, kinds: Sequence[str]) -> Expression:
    """A random expression over a feed's records, of one of the kinds."""
    types = column_types(feed.record_columns)
    of_kind = defaultdict(list)
    for column in feed.record_columns:
        of_kind[KIND_OF.get(column.type.sql_type, "number")].append(column.name)
    while True:
        with suppress(ExpressionError):
            return expression(random_text(chance, chance.choice(kinds), chance.randrange(1, 4), of_kind), types)


def is_too_large(row: tuple) -> bool:
    return any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in row)


def test_random_feeds_with_random_expressions_give_the_same_three_times(tmp_path, connection):
    chance = random.Random(20210719)  # noqa: S311  test data need no secrecy
    scanned = kept = 0
    for case in range(CASES):
        feed, columns = random_feed(chance)
        # Most of them without texts that are computed, which the scanner leaves to the bulk reader.
        for number in range(chance.randrange(3)):
            parsed = random_expression(feed, chance, ["number"] if chance.random() < 0.9 else ["text", "date"])
            column = derived_column(f"own{number}", parsed.text, dict(parsed.columns_of))
            feed = replace(feed, derived=(*feed.derived, column))
        checks = []
        for number in range(chance.randrange(3)):
            parsed = random_expression(feed, chance, ["boolean"])
            # One that lets more rows pass.
            text = chance.choice([parsed.text, f"({parsed.text}) or n % 3 != {number}"])
            checks.append(check_expression("n", f"fails {number}", text, column_types(feed.record_columns)))
        feed = replace(feed, checks=(*feed.checks, *checks))
        kpis = [replace(one, feed=feed) for one in random_kpis(feed, chance)]
        kpis += [
            kpi(feed, 90 + number, ["name"], Mean("mean", column.name, "samples", "empty"), "")
            for number, column in enumerate(feed.derived)
            if isinstance(column.type, Integer | Decimal)
        ]
        kpis = [
            replace(one, filter=random_expression(feed, chance, ["boolean"])) if chance.random() < 0.5 else one
            for one in kpis
        ]
        content = b"\n".join((json_lines if feed.format.has_keys else csv_lines)(feed, columns, chance)) + b"\n"
        path = tmp_path / "f.csv"
        path.write_bytes(content)
        texts = [one.text for one in (*feed.expressions, *(one.filter for one in kpis)) if one is not None]
        said = f"{content!r} {texts}"
        records, rejects, lines, _ = judged(feed, content, {}, None, ANY_TIME)
        if not feed.moment.zone.is_utc and any(start.year - 1970 >= YEARS - 1 for start, _ in records):
            # SQL does not know local times so late.
            kpis = [one for one in kpis if not isinstance(one.measure, Last)]
        reading = Reader(connection).read(path, feed, None, {}, ANY_TIME)
        assert (reading.lines, reading.records) == (lines, len(records)), said
        assert connection.execute("FROM rejects ORDER BY line").fetchall() == rejects, said
        names = [column.name for column in feed.record_columns]
        typed = Counter((start, *(record[one] for one in names)) for start, record in records)
        assert Counter(connection.execute("FROM records").fetchall()) == typed, said
        kept += len(records)
        partials = {one.id: naive_partial(one, counted(one, records)) for one in kpis}
        too_large = {number for number, found in partials.items() if any(map(is_too_large, found))}
        for one in kpis if records else []:
            if one.id in too_large:
                with pytest.raises(TotalTooLarge), partial_of_records(connection, one, reading.intervals):
                    pass
                continue
            with partial_of_records(connection, one, reading.intervals) as table:
                assert connection.execute(f"FROM {table}").fetchall() == partials[one.id], (said, one)
        found = scan(path, feed, kpis, with_records=case % 2 == 0) if can_scan(feed, kpis) else None
        if found is None:
            continue
        scanned += 1
        assert not too_large, said
        assert (found.reading, found.rejects) == (reading, rejects), said
        for one in kpis:
            assert list(rows(found.partials[one.id])) == partials[one.id], (said, one)
        if found.records is not None:
            with registered(connection, RECORDS, found.records.columns):
                assert Counter(connection.execute(found.records.sql).fetchall()) == typed, said
    assert scanned > 0.2 * CASES
    assert kept > 5 * CASES
