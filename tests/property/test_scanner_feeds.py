"""For every feed, the compiled scanner, the bulk reader and a plain loop over the judge give the same.

``SCANNER_CASES=200000`` tries so many random files of each feed instead of the short form's.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import zstandard

from kpis.catalog.columns import MONTHS
from kpis.catalog.dimensions import GridCell
from kpis.catalog.expressions import Expression
from kpis.catalog.feeds import BadRow, Feed, moment_of
from kpis.catalog.folding import fold
from kpis.catalog.formats import CSV
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import (
    Count,
    CountDistinct,
    Last,
    Maximum,
    Mean,
    Minimum,
    Number,
    Percentile,
    Ratio,
    StandardDeviation,
    Sum,
)
from kpis.catalog.measures.percentiles import bucket_of
from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.engine import scanner as scanner_module
from kpis.engine.aggregate import partial_of_records
from kpis.engine.folding import add_fold
from kpis.engine.reader import Reader
from kpis.engine.scan_columns import RECORDS
from kpis.engine.scanner import scan
from kpis.engine.table import registered, rows
from kpis.formats.bounds import FileError
from kpis.formats.file_formats import row_format_of
from kpis.formats.judge import Times, judge, reject_text
from kpis.formats.lines import Line, first_line_of
from kpis.formats.text import BYTE_ORDER_MARK
from tests.effort import times
from tests.property.test_scanner import damage

CASES = times("SCANNER_CASES", 150, 5_000)
PACKERS = [("", bytes), ("", bytes), ("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)]
DAY = date(2021, 7, 18)
TIMES = Times(earliest=datetime(2021, 7, 17, tzinfo=UTC), latest=datetime(2021, 7, 18, 3, tzinfo=UTC))

WORDS = [
    "Los Angeles", "Vodafone", "vodafone", "VODAFONE", "Movistar", "San José", "SAN JOSÉ", "San Jose\u0301", "Σίσυφος",
    "straße", "STRASSE", "a", "", "x" * 16, "x" * 17, "x" * 17 + "y", "é" * 50, "📶 5G", "a b", "'", "x,y", 'say "hi"',
    "back\\slash", "tab\tbed", "\u200b", "\x7f", "n" * 99, "n" * 101, " padded ", "CALL", "Text", "null", "250236.0",
]  # fmt: skip
NUMBERS = [
    "0", "1", "3", "4", "007", "-1", "-0", "99", "255", "2147483647", "1.5", "-1.5", "0.000001", "31.25", "5.", ".5",
    "1e3", "1234567.123456", "1.1234567", "0.0000005", "99999999999", "9" * 18, "9" * 19, "9223372036854775807",
    "-9223372036854775808",
    "97", "97.000001", "+7", "--1", "1.2.3", "0x1F", "1 2", "08001", "250236.0", "250236.00", "1.0.0",
]  # fmt: skip
ODD_BYTES = [
    b"\n", b",", b'"', b"\r", b" ", b"\t", b"\0", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\\", b"{", b"}", b":",
    b"\\u00e9", b"\\ud83d\\ude00", b"\\ud83d", b"null", b'[1,{"a":2}]', b"-", b"0", b"9" * 20, b"", BYTE_ORDER_MARK,
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scanner")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


# ---- a plain twin -----------------------------------------------------------------------------------------------


def judged(
    feed: Feed, content: bytes, defaults: dict, given: datetime | None, times: Times = TIMES
) -> tuple[list, list, int, bool] | None:
    """Records with their interval's start, rejects, the number of data lines, and True if a row lacks its day."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    try:
        row_format = row_format_of(feed, first_line_of(lines[0], feed.format), defaults)
    except (FileError, IndexError):
        return None
    first = 0
    if row_format.has_header:
        first = 1
    else:
        lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
    records, rejects, count = [], [], 0
    for number, text in enumerate(lines[first:], first + 1):
        is_last = number == len(lines) and not content.endswith(b"\n")
        line = Line(number, text if is_last else text.removesuffix(b"\r"))
        if not line.content.strip():
            continue
        count += 1
        try:
            record = judge(row_format, line)
            times.check(feed, record)
        except BadRow as bad:
            rejects.append((number, bad.column, bad.reason, reject_text(line)))
            continue
        start = given or feed.interval.floor(moment_of(feed, record))
        records.append((start.replace(tzinfo=None), record))
    return records, rejects, count, row_format.lacks_day


def naive_partial(kpi: KPI, records: list[tuple[datetime, dict[str, Any]]]) -> list[tuple]:
    """What ``partial_of_records`` gives, in plain Python."""
    groups = defaultdict(list)
    for start, record in records:
        keys: list[Any] = [start]
        for dimension in kpi.by:
            if isinstance(dimension, GridCell):
                place = [record[column] for column in dimension.columns]
                corner = [
                    None if one is None else Decimal(math.floor(one * dimension.per_degree)) * dimension.size
                    for one in place
                ]
                keys.append("" if None in corner else ",".join(f"{one:.2f}" for one in corner))
                continue
            value = record[dimension.column]
            value = "" if value is None else str(value).lower() if isinstance(value, bool) else value
            keys += [fold(value), value] if dimension.folded else [value]
        if isinstance(kpi.measure, CountDistinct):
            keys.append(record[kpi.measure.column])
        if isinstance(kpi.measure, Percentile):
            # Records without a value are a group too, the last.
            keys.append(next(((0, bucket_of(one)) for one in whole_values([record], kpi.measure.column)), (1, None)))
        groups[tuple(keys)].append(record)
    if isinstance(kpi.measure, Last):
        return [(*keys, *newest_of(kpi, groups[keys])) for keys in sorted(groups)]
    if isinstance(kpi.measure, Percentile):
        return [(*keys[:-1], keys[-1][1], *naive_values(kpi, groups[keys])) for keys in sorted(groups)]
    return [(*keys, *naive_values(kpi, groups[keys])) for keys in sorted(groups)]


def naive_values(kpi: KPI, group: list[dict[str, Any]]) -> list[int | None]:
    values: list[int | None]
    match kpi.measure:
        case Count(where=where):
            values = [len(counted_of(group, where))]
        case CountDistinct():
            values = []
        case Mean(column=column):
            found = [record[column] for record in group if record[column] is not None]
            values = [int(sum(found, Decimal(0)) * 10**6), len(found), len(group) - len(found)]
        case Sum(columns=columns, where=where):
            values = [sum_of(counted_of(group, where), columns)]
        case Ratio(terms=terms):
            of_terms = [(counted_of(group, term.where), term.columns) for term in terms]
            values = [sum_of(records, columns) if columns else len(records) for records, columns in of_terms]
        case Minimum(column=number):
            values = [min(whole_values(group, number), default=None)]
        case Maximum(column=number):
            values = [max(whole_values(group, number), default=None)]
        case StandardDeviation(column=number):
            numbers = whole_values(group, number)
            values = [sum(numbers), *divmod(sum(one * one for one in numbers), 10**12), len(numbers)]
        case Percentile(column=number):
            values = [len(whole_values(group, number))]
        case measure:
            raise AssertionError(measure)
    return values + [len(group)] * bool(kpi.folded)


def newest_of(kpi: KPI, group: list[dict[str, Any]]) -> tuple[datetime | None, int | None]:
    assert isinstance(kpi.measure, Last)
    number = kpi.measure.column
    found = [
        (moment_of(kpi.feed, one).replace(tzinfo=None), *whole_values([one], number))
        for one in group
        if one[number.name] is not None
    ]
    return max(found, default=(None, None))


def counted_of(records: list[dict[str, Any]], where: Expression | None) -> list[dict[str, Any]]:
    return [one for one in records if where is None or where.of(one) is True]


def sum_of(records: list[dict[str, Any]], columns: tuple[str, ...]) -> int:
    return sum(record[column] or 0 for record in records for column in columns)


def whole_values(records: list[dict[str, Any]], number: Number) -> list[int]:
    """A column's values, decimals in millionths, of the records that have one."""
    factor = 10**6 if number.is_decimal else 1
    return [int(record[number.name] * factor) for record in records if record[number.name] is not None]


# ---- random files -----------------------------------------------------------------------------------------------


def text_of(chance: random.Random) -> str:
    if chance.random() < 0.9:
        return chance.choice(["Los Angeles", "Vodafone", "vodafone", "Movistar", "x" * 17, "San José", "08001"])
    return chance.choice(WORDS)


def number_of(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.5:
        return str(chance.randrange(4))
    return f"{chance.uniform(-10, 99):.{chance.randrange(7)}f}" if kind < 0.85 else chance.choice(NUMBERS)


def id_of(chance: random.Random) -> str:
    found = str(uuid.UUID(int=chance.choice([1, 2, 3, 2**127 + 5, chance.getrandbits(128)])))
    kind = chance.random()
    return (
        found
        if kind < 0.8
        else found.upper()
        if kind < 0.9
        else chance.choice([found[:-1], found.replace("-", ""), ""])
    )


def moment(chance: random.Random) -> datetime:
    seconds = chance.choice([0, 1, 299, 300, 3599, 7200, 10_800, 10_801, -1, -86_400, -86_401])
    return datetime(2021, 7, 18, tzinfo=UTC) + timedelta(seconds=seconds)


def month_first(chance: random.Random, when: datetime) -> str:
    text = f"{MONTHS[when.month - 1]} {when:%d %Y %H:%M:%S}"
    if chance.random() < 0.93:
        return text
    return chance.choice(
        [text.lower(), text.replace(" ", "  ", 1), text[:-3], "Feb 30 2021 00:00:00", "Jan 01 1970 00:00:00", ""]
    )


def values_of(feed: Feed, chance: random.Random) -> dict[str, str]:
    when = moment(chance)
    later = when + timedelta(seconds=chance.choice([0, 60, 60, 3600, -1, 30 * 86_400, 30 * 86_400 + 1]))
    start = int(when.timestamp())
    by_type: dict[str, Callable[[], str]] = {
        "Integer": lambda: number_of(chance).partition(".")[0] if chance.random() < 0.9 else number_of(chance),
        "Decimal": lambda: number_of(chance) if chance.random() < 0.9 else "",
        "Text": lambda: text_of(chance),
        "PostalCode": lambda: chance.choice(["08001", "250236.0", "", "K1A 0B1", "1.0.0", "9" * 19, "12.00"]),
        "Choice": lambda: chance.choice(["CALL", "TEXT", "TEXT", "call", "Texts", ""]),
        "UUID": lambda: id_of(chance),
        "Date": lambda: chance.choice(["2021-07-18"] * 6 + ["2021-02-30", "2021-7-18", "2021-07-17", ""]),
        "TimeOfDay": lambda: (
            f"{when:%H:%M:%S}" if chance.random() < 0.95 else chance.choice(["24:00:00", "8:00:00", "00:00"])
        ),
        "MonthFirst": lambda: month_first(chance, when),
    }
    row = {column.name: by_type[type(column.type).__name__]() for column in feed.columns}
    own = {"timestamp": str(start), "EndT": month_first(chance, later)}
    own |= {"interval_start_timestamp": str(start * 1000), "interval_end_timestamp": str(start * 1000 + 300_000)}
    row |= {name: text for name, text in own.items() if name in row}
    if "lat" in row and chance.random() < 0.1:
        row |= {"lat": "0", "long": chance.choice(["0", "0.000000", "-0", "5"])}
    return row


def csv_field(chance: random.Random, text: str, is_plain: bool) -> str:
    """Return a field of CSV with the text, mostly plain."""
    if '"' in text or "," in text:
        text = '"' + text.replace('"', '""') + '"'
    elif not is_plain:
        text = chance.choice(["{}"] * 12 + ['"{}"', " {}", "{} ", ' "{}" ', '" {}"', "{}\t", '"{}']).format(text)
    return text


def csv_file(feed: Feed, chance: random.Random) -> list[bytes]:
    names = list(feed.column_names)
    has_header = feed.format == CSV() or chance.random() < 0.3
    if has_header and chance.random() < 0.5:
        chance.shuffle(names)
        names = [name for name in names if feed.column(name).required or chance.random() < 0.6]
        for extra in chance.choice([[], [], ["note"], ["note", "x y"]]):
            names.insert(chance.randrange(len(names) + 1), extra)
    lines = []
    if has_header:
        lines.append(",".join(chance.choice(["{}", "{}", '"{}"', " {}"]).format(name) for name in names))
    is_plain = chance.random() < 0.4
    for _ in range(chance.randrange(1, 30)):
        row = values_of(feed, chance)
        lines.append(",".join(csv_field(chance, row.get(name, text_of(chance)), is_plain) for name in names))
    return [line.encode("utf-8", "surrogatepass") for line in lines]


def json_value(feed: Feed, chance: random.Random, name: str, text: str) -> Any:
    if type(feed.column(name).type).__name__ != "Integer":
        return text if chance.random() < 0.98 else chance.choice([None, 5, True, [text], {"a": text}])
    if chance.random() < 0.03:
        return chance.choice([1.5, 1e3, None, text, False, -1, 10**18, 10**19, []])
    return int(text) if re.fullmatch("-?[0-9]+", text) else text


OTHERS = [
    1,
    -1.5,
    1e300,
    "text",
    'quo"te',
    "San José",
    "\ud83d",
    None,
    True,
    [],
    {},
    [1, [2, {"a": 1, "b": {}}]],
    {"a": 1},
]


def json_file(feed: Feed, chance: random.Random) -> list[bytes]:
    lines = []
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,", " :\t")])
    for _ in range(chance.randrange(1, 30)):
        row = values_of(feed, chance)
        names = list(row)
        if chance.random() < 0.2:
            chance.shuffle(names)
        if chance.random() < 0.03:
            names.pop()
        pairs = [(name, json_value(feed, chance, name, row[name])) for name in names]
        while chance.random() < 0.15:
            pairs.insert(
                chance.randrange(len(pairs) + 1), (chance.choice(["x", "y", "é", "a b"]), chance.choice(OTHERS))
            )
        if chance.random() < 0.02:
            pairs.append(chance.choice(pairs))
        is_ascii = chance.random() < 0.5
        members = [
            f"{json.dumps(name)}{separators[1]}{json.dumps(value, ensure_ascii=is_ascii)}" for name, value in pairs
        ]
        lines.append(("{" + separators[0].join(members) + "}").encode("utf-8", "surrogatepass"))
        if chance.random() < 0.02:
            lines[-1] = chance.choice(
                [b"{}", b"[]", b'{"a":1,}', b'{"timestamp":01}', b'{"x":{"a":1,"a":2}}', b"  ", b"5"]
            )
    return lines


def random_file(feed: Feed, chance: random.Random) -> bytes:
    lines = (json_file if feed.format.has_keys else csv_file)(feed, chance)
    for _ in range(chance.choice([0, 0, 1, 2])):
        lines.insert(
            chance.randrange(1, len(lines) + 1), chance.choice([b"", b" ", b"\t", lines[0], b"x", BYTE_ORDER_MARK])
        )
    text = bytearray(chance.choice([b"\n", b"\n", b"\r\n"]).join(lines) + chance.choice([b"\n", b"\n", b"\r\n", b""]))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
        damage(text, len(lines[0]) if len(lines) > 1 else 0, ODD_BYTES, chance)
    return chance.choice([b""] * 9 + [BYTE_ORDER_MARK]) + bytes(text)


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_random_files_give_what_judge_and_reader_give(folder, connection, monkeypatch, feed):
    chance = random.Random(20210718)  # noqa: S311  test data need no secrecy
    kpis, taken = partial_kpis(feed), 0
    for case in range(CASES):
        # Texts so short that lines lie across their borders.
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([2_000, 3_000, 2**20]))
        content = random_file(feed, chance)
        # Some files are packed.
        suffix, pack = chance.choice(PACKERS)
        path = folder / f"{feed.name}.random{suffix}"
        path.write_bytes(pack(content))
        defaults = {"date": DAY} if feed.needs_date and chance.random() < 0.7 else {}
        given = datetime(2030, 1, 1, tzinfo=UTC) if chance.random() < 0.1 else None
        found = scan(path, feed, kpis, given, None, TIMES, defaults, with_records=case % 16 == 0)
        if found is None:
            continue
        taken += 1
        expected = judged(feed, content, defaults, given)
        assert expected is not None, content
        records, rejects, lines, lacks_day = expected
        assert found.rejects == rejects, content
        assert (found.reading.lines, found.reading.records) == (lines, len(records)), content
        assert found.reading.lacks_day == lacks_day, content
        starts = Counter(start for start, _ in records)
        assert {start.replace(tzinfo=None): n for start, n in found.reading.intervals.items()} == starts
        for kpi in kpis:
            assert list(rows(found.partials[kpi.id])) == naive_partial(kpi, records), content
        if case % 8 == 0:
            agrees_with_the_reader(connection, kpis, path, found, given, defaults)
    assert taken > 0.8 * CASES


def agrees_with_the_reader(connection, kpis, path, found, given, defaults, times=TIMES) -> None:
    reading = Reader(connection).read(path, kpis[0].feed, given, defaults, times)
    assert found.reading == reading
    assert connection.execute("FROM rejects ORDER BY line").fetchall() == found.rejects
    if found.records is not None:
        expected = Counter(connection.execute("FROM records").fetchall())
        types = connection.execute("DESCRIBE records").fetchall()
        with registered(connection, RECORDS, found.records.columns):
            connection.execute(f"CREATE OR REPLACE TEMP TABLE records AS {found.records.sql}")
        assert Counter(connection.execute("FROM records").fetchall()) == expected
        assert not expected or connection.execute("DESCRIBE records").fetchall() == types
    for kpi in kpis if reading.records else []:
        columns = found.partials[kpi.id]
        with partial_of_records(connection, kpi, reading.intervals) as table:
            expected = connection.execute(f"FROM {table}")
            names = [(name, str(of)) for name, of, *_ in expected.description]
            expected_rows = expected.fetchall()
        connection.register("scanned", dict(columns))
        scanned = connection.execute("FROM scanned")
        # A DuckDB type of a text is read from the first ones, if there are any.
        assert [(name, str(of)) for name, of, *_ in scanned.description] == names
        assert scanned.fetchall() == expected_rows
        connection.unregister("scanned")
