"""For random feeds of all column types, the compiled scanner, the bulk reader and the judge give the same.

``SCANNER_CASES=200000`` tries so many random files instead of the short form's.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal as Exact

import duckdb
import pytest

from kpis.catalog.checks import column_types
from kpis.catalog.columns import (
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    Date,
    Decimal,
    Integer,
    PostalCode,
    Text,
    TimeOfDay,
    Timestamp,
    UnixTimestamp,
)
from kpis.catalog.dimensions import Dimension
from kpis.catalog.expressions import Expression, condition
from kpis.catalog.feeds import At, Column, Feed, Range, check_range, day_and_time, moment_at
from kpis.catalog.formats import CSV, JSONLines
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import (
    Count,
    CountDistinct,
    Last,
    Maximum,
    Mean,
    Measure,
    Minimum,
    Number,
    Percentile,
    Ratio,
    StandardDeviation,
    Sum,
    Term,
    formula,
    number_of,
)
from kpis.engine import scanner as scanner_module
from kpis.engine.folding import add_fold
from kpis.engine.live import timeline_of_records
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import Scan, scan
from kpis.engine.table import rows
from kpis.formats.judge import ANY_TIME
from tests.effort import times
from tests.property.test_column_types import TYPES, a_time, damaged
from tests.property.test_scanner import damage
from tests.property.test_scanner_feeds import (
    ODD_BYTES,
    OTHERS,
    agrees_with_the_reader,
    csv_field,
    judged,
    naive_partial,
    text_of,
)

CASES = times("SCANNER_CASES", 60, 5_000)
ZONES = ["UTC", "Europe/Madrid", "America/New_York", "Africa/Casablanca"]
PLAIN = {
    "text": (Text(optional=True, longest=60), text_of),
    "decimal": (Decimal(minimum=-1000, maximum=10**6, unknown=(99,)), lambda chance: f"{chance.uniform(-9, 99):.4f}"),
    "day": (Date(), lambda chance: f"{a_time(chance):%Y-%m-%d}"),
    "time": (TimeOfDay(), lambda chance: f"{a_time(chance):%H:%M:%S}"),
    "perhaps": (Integer(optional=True, bits=32), lambda chance: chance.choice(["", "0", "7", "123456"])),
    "count": (Integer(maximum=10**9), lambda chance: str(chance.randrange(10**6))),
    "number or 7": (
        Integer(optional=True, bits=32, minimum=-10, default=7),
        lambda chance: chance.choice(["", "0", "7", "-5", "123456"]),
    ),
    "unknown or -3": (
        Integer(optional=True, minimum=-10, unknown=(99,), default=-3),
        lambda chance: chance.choice(["", "99", "-3", "5"]),
    ),
    "decimal or 0.5": (
        Decimal(optional=True, minimum=-1, maximum=9, unknown=(99,), default=Exact("0.500000")),
        lambda chance: chance.choice(["", "99", "0.5", "0.25", "-1"]),
    ),
    "text or it's Zoë's": (Text(optional=True, longest=60, default="it's Zoë's"), text_of),
    "code or 08001": (PostalCode(optional=True, default="08001"), lambda chance: chance.choice(["", "08001.0", "7"])),
    "word or b": (Choice(optional=True, words=("a", "b"), default="b"), lambda chance: chance.choice(["", "a", "B"])),
    "yes unless said": (Boolean(optional=True, default=True), lambda chance: chance.choice(["", "yes", "0"])),
}
ALL = TYPES | PLAIN
TIMES_OF_ROWS = [name for name, (of, _) in TYPES.items() if isinstance(of, Timestamp) and not of.optional]


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


def random_feed(chance: random.Random) -> tuple[Feed, dict[str, str]]:
    """Return a feed, and the names in ALL of its columns' types."""
    columns = {f"c{number}": chance.choice([*ALL]) for number in range(chance.randrange(4))}
    columns |= {"name": "text", "n": "count"}
    at = chance.choice([At.START, At.END])
    checks = []
    if chance.random() < 0.7:
        columns["since"] = chance.choice(TIMES_OF_ROWS)
        moment = moment_at("since", at)
        if chance.random() < 0.2:
            columns["until"] = columns["since"]
            checks.append(check_range("until", "is before since", Range(less="since", least=-ALWAYS)))
    else:
        columns |= {"day": "day", "time": "time"}
        moment = day_and_time("day", "time", chance.choice(ZONES), at)
    names = [*columns]
    chance.shuffle(names)
    of = tuple(
        Column(name, of, required=not of.optional or chance.random() < 0.5)
        for name, of in ((name, ALL[columns[name]][0]) for name in names)
    )
    format = chance.choice([JSONLines(), JSONLines(), CSV(), CSV(), CSV(delimiter=";", decimal=",")])
    return Feed("f", "f", format, ("f",), (".csv",), of, tuple(checks), moment, FIVE_MINUTES), columns


ALWAYS = datetime(2070, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


def random_kpis(feed: Feed, chance: random.Random) -> list[KPI]:
    measures: list[tuple[tuple[Dimension, ...], Measure]] = [
        ((Dimension("name", "name", folded=True),), Count("records")),
        ((Dimension("name", "name"),), Sum("total", columns=("n",))),
        ((Dimension("name", "name"),), CountDistinct("distinct", column="n")),
    ]
    for column in feed.columns:
        if isinstance(column.type, Boolean):
            measures.append(((Dimension("yes", column.name), Dimension("name", "name")), Count("records")))
        elif isinstance(column.type, Text | Choice) and column.name != "name":
            measures.append(((Dimension("other", column.name), Dimension("name", "name")), Count("records")))
        elif isinstance(column.type, Integer | Decimal) and column.name != "n":
            measures.append(((Dimension("name", "name"),), Mean("mean", column.name, "samples", "empty")))
            if not column.type.may_be_none and isinstance(column.type, Integer):
                measures.append(((Dimension("number", column.name),), Count("records")))
            if isinstance(column.type, Integer) and column.type.minimum >= 0:
                measures.append(((Dimension("name", "name"),), Sum("total", columns=("n", column.name))))
    measures += [
        ((Dimension("name", "name", folded=not isinstance(measure, Last) and chance.random() < 0.2),), measure)
        for measure in chance.sample(measures_of_numbers(feed, chance), 3)
    ]
    return [
        KPI(number, f"K{number}", "k", feed, by, measure, "", (FIVE_MINUTES,))
        for number, (by, measure) in enumerate(measures, 1)
    ]


def measures_of_numbers(feed: Feed, chance: random.Random) -> list[Measure]:
    """The measures whose partials are totals, over columns at random."""
    numbers = [column for column in feed.record_columns if isinstance(column.type, Integer | Decimal)]
    whole = [column.name for column in numbers if isinstance(column.type, Integer)]
    number = number_of(chance.choice(numbers))

    def where() -> Expression | None:
        column = chance.choice([*whole, "name"])
        if chance.random() < 0.3:
            return None
        text = "name != 'Vodafone'" if column == "name" else f"{column} % 2 = 0 or {column} > 90"
        return condition(text, column_types(feed.record_columns))

    def columns() -> tuple[str, ...]:
        return tuple(chance.choice(whole) for _ in range(chance.randrange(1, 6)))

    terms = tuple(Term(f"t{one}", columns() if chance.random() < 0.6 else (), where()) for one in range(4))
    formulas = [formula(text, terms, feed) for text in ("t0 + t1", "t2 - t3")]
    return [
        Sum("total", columns(), where()),
        Count("good", where=where()),
        Ratio("rate", terms, *formulas),
        Minimum("least", number),
        Maximum("most", number),
        StandardDeviation("spread", number, "samples"),
        last_of(feed, number),
        Percentile("size_p50", "size", number),
    ]


def last_of(feed: Feed, number: Number) -> Last:
    columns = tuple(dict.fromkeys([feed.moment.column, *(name for name, _ in feed.moment.parts)]))
    return Last("newest", number, feed.moment.sql, columns)


def random_text(chance: random.Random, name: str) -> str:
    of, text_of_column = ALL[name]
    text = text_of_column(chance)
    if chance.random() < 0.97:
        for _ in range(50):
            if is_accepted(of, text):
                return text
            text = text_of_column(chance)
    return damaged(chance, text)


def is_accepted(of: ColumnType, text: str) -> bool:
    try:
        of.parse(text)
    except BadValue:
        return False
    return True


def csv_lines(feed: Feed, columns: dict[str, str], chance: random.Random) -> list[bytes]:
    assert isinstance(feed.format, CSV)
    delimiter, decimal, is_plain = feed.format.delimiter, feed.format.decimal, chance.random() < 0.7
    there = [column for column in feed.columns if column.required or chance.random() < 0.7]
    lines = [delimiter.join(column.name for column in there)]
    for _ in range(chance.randrange(1, 60)):
        texts = [random_text(chance, columns[column.name]) for column in there]
        if decimal != ".":
            is_number = [isinstance(column.type, Integer | Decimal) for column in there]
            texts = [text.replace(".", decimal) if one else text for text, one in zip(texts, is_number, strict=True)]
        fields = (csv_field(chance, text, is_plain) for text in texts)
        lines.append(delimiter.join(f'"{text}"' if delimiter in text and text[:1] != '"' else text for text in fields))
    return [line.encode() for line in lines]


def json_value(chance: random.Random, of: ColumnType, text: str) -> str:
    """Return a value in JSON, as it is written, with a text: a number of it if the column takes numbers."""
    if chance.random() < 0.02:
        return json.dumps(chance.choice([*OTHERS, 1, 0, 1.5, -0.0, "1", "true"]))
    if not text and chance.random() < 0.5:
        return "null"
    is_number = isinstance(of, Integer | Decimal | UnixTimestamp) and chance.random() < 0.9
    is_number |= isinstance(of, Boolean) and text in ("true", "false", "1", "0")
    return text if is_number and text else json.dumps(text, ensure_ascii=chance.random() < 0.5)


def json_lines(feed: Feed, columns: dict[str, str], chance: random.Random) -> list[bytes]:
    lines = []
    for _ in range(chance.randrange(1, 60)):
        names = [column.name for column in feed.columns if column.required or chance.random() < 0.7]
        if chance.random() < 0.1:
            chance.shuffle(names)
        members = [
            f'"{name}": {json_value(chance, feed.column(name).type, random_text(chance, columns[name]))}'
            for name in names
        ]
        if chance.random() < 0.05:
            members.insert(0, f'"other": {json.dumps(chance.choice(OTHERS))}')
        lines.append(("{" + ", ".join(members) + "}").encode())
    return lines


def test_random_feeds_give_what_judge_and_reader_give(tmp_path, connection, monkeypatch):
    chance = random.Random(20260301)  # noqa: S311  test data need no secrecy
    taken = records_taken = lines_taken = 0
    for case in range(CASES):
        feed, columns = random_feed(chance)
        kpis = random_kpis(feed, chance)
        assert can_scan(feed, kpis), columns
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([4_000, 6_000, 2**20]))
        lines = (json_lines if isinstance(feed.format, JSONLines) else csv_lines)(feed, columns, chance)
        text = bytearray(chance.choice([b"\n", b"\n", b"\r\n"]).join(lines) + b"\n")
        for _ in range(chance.choice([0, 0, 0, 1])):
            damage(text, len(lines[0]) if len(lines) > 1 else 0, ODD_BYTES, chance)
        content, path = bytes(text), tmp_path / "f.csv"
        path.write_bytes(content)
        given = datetime(2030, 1, 1, tzinfo=UTC) if chance.random() < 0.1 else None
        live = [Dimension("name", "name")]
        found = scan(path, feed, kpis, given, with_records=case % 2 == 0, live=live)
        expected = judged(feed, content, {}, given, ANY_TIME)
        if found is None:
            continue
        assert expected is not None, content
        taken += 1
        records, rejects, count, _ = expected
        assert found.rejects == rejects, content
        assert (found.reading.lines, found.reading.records) == (count, len(records)), content
        lines_taken, records_taken = lines_taken + count, records_taken + len(records)
        starts = Counter(start for start, _ in records)
        assert {start.replace(tzinfo=None): n for start, n in found.reading.intervals.items()} == starts
        for kpi in kpis:
            assert list(rows(found.partials[kpi.id])) == naive_partial(kpi, records), content
        if case % 2 == 0:
            agrees_with_the_reader(connection, kpis, path, found, given, {}, ANY_TIME)
            has_the_readers_timeline(connection, feed, live, found)
    # 0.82 of 1,000 files; most of the others have local times beyond the table of their zone.
    assert taken > 0.7 * CASES
    assert records_taken > 0.5 * lines_taken


def has_the_readers_timeline(connection: duckdb.DuckDBPyConnection, feed: Feed, live: list, found: Scan) -> None:
    if not found.reading.records:
        return
    expected = timeline_of_records(connection, feed, live)
    assert found.timeline is not None
    assert found.timeline.moments.tolist() == expected.moments.tolist()
    assert found.timeline.counts.tolist() == expected.counts.tolist()
    groups = [
        Counter(zip(*(column.tolist() for column in one.groups["name"].values()), strict=True))
        for one in (found.timeline, expected)
    ]
    assert groups[0] == groups[1]
