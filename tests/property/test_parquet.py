"""Parquet files made at random: the bulk reader gives exactly what the judge gives of their values, one by one."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Number
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpis.catalog.checks import column_types
from kpis.catalog.columns import (
    UUID,
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    Date,
    Decimal,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    MonthFirst,
    PostalCode,
    Text,
    TimeOfDay,
    UnixTimestamp,
)
from kpis.catalog.dimensions import Dimension
from kpis.catalog.expressions import condition
from kpis.catalog.feeds import (
    BadRow,
    Column,
    Feed,
    Place,
    Range,
    check_range,
    day_and_time,
    own_moment,
    unix_moment,
)
from kpis.catalog.formats import Parquet
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import (
    Count,
    CountDistinct,
    Maximum,
    Mean,
    Measure,
    Minimum,
    Percentile,
    StandardDeviation,
    Sum,
    number_of,
)
from kpis.catalog.result_columns import BadEntry
from kpis.engine import parquet_scan
from kpis.engine.aggregate import TotalTooLarge, partial_of_records
from kpis.engine.file_reader import Reading
from kpis.engine.folding import add_fold
from kpis.engine.parquet_scan import scan_parquet
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.formats.judge import AheadOfClock, Times, checked
from kpis.formats.parquet_columns import FileColumn, Kind, fit_of
from kpis.formats.parquet_rows import ParquetRows, reader_of
from kpis.formats.parquet_sql import value_of
from tests.property.test_scanner_columns import last_of
from tests.property.test_scanner_feeds import agrees_with_the_reader

CODECS = ("none", "snappy", "zstd", "gzip", "lz4", "brotli")
BASE_MS = 1_626_566_400_000
MOST_OFF = 400
DAY = 86_400_000_000
WORDS = ("Call", "Text")
ANY_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})")

# A column of a file: its values as pyarrow writes them, its type in DuckDB, and the values that the judge gets.
Made = tuple[pa.Array, str, list[Any]]


@dataclass
class Maker:
    """Makes columns at random, of ``rows`` values each."""

    chance: random.Random
    rows: int

    def values(self, make: Callable[[], Any], nulls: float = 0.05) -> list[Any]:
        some = self.chance.random() < 0.7
        return [None if some and self.chance.random() < nulls else make() for _ in range(self.rows)]

    def of(self, kind: Kind) -> Made:
        return getattr(self, kind.name.lower())()

    def boolean(self) -> Made:
        values = self.values(lambda: self.chance.random() < 0.5)
        return pa.array(values, pa.bool_()), "BOOLEAN", values

    def whole(self) -> Made:
        name, type_, least, most = self.chance.choice(
            [
                ("TINYINT", pa.int8(), -128, 127),
                ("SMALLINT", pa.int16(), -(2**15), 2**15 - 1),
                ("INTEGER", pa.int32(), -(2**31), 2**31 - 1),
                ("BIGINT", pa.int64(), -(2**63), 2**63 - 1),
                ("UTINYINT", pa.uint8(), 0, 255),
                ("USMALLINT", pa.uint16(), 0, 2**16 - 1),
                ("UINTEGER", pa.uint32(), 0, 2**32 - 1),
                ("UBIGINT", pa.uint64(), 0, 2**64 - 1),
            ]
        )
        values = self.values(lambda: min(most, max(least, self.number())))
        return pa.array(values, type_), name, values

    def number(self) -> int:
        near = self.chance.choice(
            [0, 1, 5, 99, 100, 127, 10**6, 2**31, 2**53, 2**63, 2**64, 10**11, 20_210_718_000_509]
        )
        return self.chance.choice([1, 1, 1, -1]) * max(0, near + self.chance.randint(-2, 2))

    def float(self) -> Made:
        name, type_ = self.chance.choice([("DOUBLE", pa.float64()), ("FLOAT", pa.float32()), ("FLOAT", pa.float16())])
        made = pa.array(self.values(self.fraction), pa.float64())
        if type_ == pa.float16():
            made = pa.array([None if one is None else max(-6e4, min(6e4, one)) for one in made.to_pylist()])
        array = made.cast(pa.float32() if type_ == pa.float16() else type_, safe=False)
        array = array.cast(type_, safe=False)
        return array, name, [None if one is None else float(one) for one in array.to_pylist()]

    def fraction(self) -> float:
        return self.chance.choice(
            [
                lambda: float(self.number()),
                lambda: self.chance.uniform(-200, 200),
                lambda: (2 * self.chance.randint(0, 10**8) + 1) / 2_000_000,
                lambda: self.chance.randint(0, 10**9) / 1_000_000,
                lambda: self.chance.choice([90, 99, 100, 180]) + self.chance.choice([-1, 1]) * 10 ** self.exponent(),
                lambda: self.chance.choice([float("nan"), float("inf"), -0.0, 1e300, 1e-40, -1e-31, 2.0**63, 5e-7]),
            ]
        )()

    def exponent(self) -> int:
        return -self.chance.randint(0, 16)

    def decimal(self) -> Made:
        precision = self.chance.randint(1, 38)
        scale = self.chance.randint(0, precision)

        def make() -> Number:
            digits = self.chance.choice([self.chance.randint(1, precision), min(precision, scale + 3)])
            number = self.chance.randrange(10**digits)
            if self.chance.random() < 0.5 and scale:
                # Fewer places than there could be, and ties.
                kept = 10 ** self.chance.randint(0, scale)
                number = number // kept * kept + self.chance.choice([0, 0, kept // 2])
            number = number % 10**precision * self.chance.choice([1, 1, -1])
            return Number((number < 0, tuple(map(int, str(abs(number)))), -scale))

        values = self.values(make)
        return pa.array(values, pa.decimal128(precision, scale)), f"DECIMAL({precision},{scale})", values

    def text(self) -> Made:
        values = self.values(self.one_text)
        type_ = self.chance.choice([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
        return pa.array(values, pa.string()).cast(type_), "VARCHAR", values

    def one_text(self) -> str:
        chance = self.chance
        return chance.choice(
            [
                lambda: str(self.number()),
                lambda: f" {chance.randint(0, 300)}.{chance.randint(0, 10**7)}\t",
                lambda: chance.choice(["", " ", "\t", "x\0y", "é", "日本", "a\u200bb", "call", "TEXT", "'\"\\"]),
                lambda: "".join(chance.choices(string.ascii_letters + " .", k=chance.choice([3, 12, 13]))),
                lambda: chance.choice(["2021-07-18", "2021-02-30", "0999-01-01", "00:05:09", "24:00:00", "9:00:00"]),
                lambda: chance.choice(["Jul 18 2021 00:05:09", "jul 8 2021 00:05:09", "Jul 32 2021 00:05:09"]),
                lambda: chance.choice(["250236.0", "250236.00", "12.5", "1e5", "-0", "007", "nan", "true"]),
                lambda: f"{chance.getrandbits(128):032x}",
                lambda: "8d3a7c1e-5B2f-4d60-9e0a-0123456789ab",
                lambda: "8d3a7c1e-5b2f-4d60-9e0a-0123456789ab",
            ]
        )()

    def bytes(self) -> Made:
        values = self.values(lambda: self.chance.choice([self.one_text().encode(), b"\xff", b"ab\xc3"]))
        return pa.array(values, pa.binary()), "BLOB", values

    def uuid(self) -> Made:
        made = self.values(lambda: self.chance.getrandbits(128).to_bytes(16, "big"))
        shown = [None if one is None else _uuid(one.hex()) for one in made]
        return pa.array(made, pa.uuid()), "UUID", shown

    def date(self) -> Made:
        values = self.values(
            lambda: self.chance.choice([18_826, 18_826, 18_827, 0, -1, 2_932_896, 2_932_897, -719_162, -719_163, 2**30])
        )
        return pa.array(values, pa.int32()).cast(pa.date32()), "DATE", values

    def time(self) -> Made:
        name, unit, a_micro, type_ = self.chance.choice(
            [
                ("TIME", "ms", Number("0.001"), pa.time32),
                ("TIME", "us", 1, pa.time64),
                ("TIME_NS", "ns", 1000, pa.time64),
            ]
        )
        values = self.values(lambda: self.chance.randrange(int(DAY * a_micro)))
        array = pa.array(values, pa.int32() if unit == "ms" else pa.int64()).cast(type_(unit))
        return array, name, [None if one is None else int(one / a_micro // 1) for one in values]

    def timestamp(self) -> Made:
        unit, a_second = self.chance.choice([("s", 1), ("ms", 1_000), ("us", 10**6), ("ns", 10**9)])
        is_utc = self.chance.random() < 0.5
        beyond = 2**62 if unit == "us" else 250_000_000_000 * a_second if unit != "ns" else 2**62

        def make() -> int:
            near = self.chance.choice([BASE_MS // 1000] * 8 + [0, -1, 1_626_566_400 // 86_400 * 86_400])
            part = self.chance.randrange(a_second) if self.chance.random() < 0.5 else 0
            moment = (near + self.chance.choice([0, self.chance.randint(0, MOST_OFF)])) * a_second + part
            return self.chance.choice([beyond, -beyond]) if self.chance.random() < 0.02 else moment

        values = self.values(make)
        array = pa.array(values, pa.int64()).cast(pa.timestamp(unit, "UTC" if is_utc else None))
        zone = {True: " WITH TIME ZONE", False: ""}[is_utc]
        name = f"TIMESTAMP{zone}" if unit != "ns" else "TIMESTAMPTZ_NS" if is_utc else "TIMESTAMP_NS"
        micros = [None if one is None else one * 10**6 // a_second for one in values]
        return array, name, micros

    def none(self) -> Made:
        return pa.nulls(self.rows), '"NULL"', [None] * self.rows


def _uuid(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


TYPES: list[Callable[[random.Random], ColumnType]] = [
    lambda chance: Integer(bits=chance.choice([32, 64]), minimum=chance.choice([0, 1, -(2**63)])),
    lambda chance: Integer(maximum=chance.choice([100, None])),
    lambda chance: Decimal(),
    lambda chance: Decimal(minimum=-90, maximum=90),
    lambda chance: Decimal(minimum=0, maximum=100, unknown=chance.choice([(99,), (0, -1), (255,)])),
    lambda chance: Text(longest=12),
    lambda chance: Choice(words=WORDS),
    lambda chance: Choice(words=("1", "5", "true")),
    lambda chance: PostalCode(),
    lambda chance: UUID(),
    lambda chance: Date(),
    lambda chance: TimeOfDay(),
    lambda chance: MonthFirst(),
    lambda chance: Integer(unknown=(99,), scientific=chance.random() < 0.5),
    lambda chance: Boolean(),
    lambda chance: Boolean(true=("Y", "5"), false=("N",)),
    lambda chance: ISOTimestamp(zone=zone(chance), days=chance.random() < 0.5),
    lambda chance: FormattedTimestamp(zone=zone(chance), format="%Y%m%d%H%M%S"),
    lambda chance: UnixTimestamp(a_second=chance.choice([1, 1_000, 1_000_000])),
]


# What a record has where its row has nothing, by the type of the column.
DEFAULTS: dict[type[ColumnType], Any] = {
    Integer: 77,
    Decimal: Number("0.250000"),
    Text: "it's",
    Choice: "5",
    PostalCode: "08001",
    Boolean: False,
}


def random_column(chance: random.Random, name: str) -> Column:
    of = replace(chance.choice(TYPES)(chance), optional=chance.random() < 0.6)
    if not of.optional or chance.random() < 0.5:
        return Column(name, of)
    return Column(name, replace(of, default=DEFAULTS.get(type(of))), required=chance.random() < 0.5)


def zone(chance: random.Random) -> str:
    return chance.choice(["UTC", "Europe/Madrid", "Asia/Kolkata"])


def mostly_good(maker: Maker, kind: Kind) -> Made:
    """A column whose rows mostly have times of the same hour, so that most rows are records."""
    chance, rows = maker.chance, maker.rows
    if kind is Kind.WHOLE:
        values = [BASE_MS + chance.randint(0, MOST_OFF * 1000) for _ in range(rows)]
        return pa.array(values, pa.int64()), "BIGINT", values
    if kind is Kind.TIMESTAMP:
        values = [BASE_MS * 1000 + chance.randint(0, MOST_OFF * 10**6) for _ in range(rows)]
        return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC")), "TIMESTAMP WITH TIME ZONE", values
    if kind is Kind.DATE:
        values = [chance.choice([18_826, 18_827, None]) for _ in range(rows)]
        return pa.array(values, pa.int32()).cast(pa.date32()), "DATE", values
    values = [chance.randint(0, 86_399) * 10**6 for _ in range(rows)]
    return pa.array(values, pa.int64()).cast(pa.time64("us")), "TIME", values


def mended(made: Made, column: ColumnType, chance: random.Random) -> Made:
    """The same column with most of the values that the feed's column cannot hold replaced by others of its values."""
    array, name, raws = made
    read = reader_of(FileColumn("c", name, "c"), column)
    good = [place for place, raw in enumerate(raws) if is_good(read, raw)]
    if not good:
        return made
    places = [
        place if chance.random() < 0.02 or is_good(read, raws[place]) else chance.choice(good)
        for place in range(len(raws))
    ]
    return array.take(pa.array(places)), name, [raws[place] for place in places]


def is_good(read: Callable[[Any], Any], raw: Any) -> bool:
    try:
        read(raw)
    except BadValue:
        return False
    return True


def make_feed(chance: random.Random) -> tuple[Feed, dict[str, Kind]]:
    """Return a feed of columns at random, and the kinds of those that make the time."""
    columns = [random_column(chance, f"c{number}") for number in range(chance.randint(1, 5))]
    how = chance.choice(["unix", "own", "day"])
    if how == "unix":
        times = [Column("t", Integer(minimum=0))]
        moment, kinds = unix_moment("t", 1000), {"t": Kind.WHOLE}
    elif how == "own":
        times = [Column("t", MonthFirst())]
        moment, kinds = own_moment("t"), {"t": Kind.TIMESTAMP}
    else:
        times = [Column("date", Date(optional=True), required=False), Column("hour", TimeOfDay())]
        moment, kinds = day_and_time("date", "hour"), {"date": Kind.DATE, "hour": Kind.TIME}
    place = None
    if chance.random() < 0.3:
        columns += [Column(name, Decimal(True, minimum=-180, maximum=180)) for name in ("lat", "long")]
        place = Place("lat", "long")
    checks = ()
    if chance.random() < 0.4:
        columns.append(Column("checked", Integer()))
        checks = (check_range("checked", "is odd", Range(step=2)),)
    feed = Feed(
        name="random",
        description="At random",
        format=Parquet(),
        file_names=("random*",),
        endings=(".parquet",),
        columns=tuple(chance.sample(columns + times, len(columns) + len(times))),
        checks=checks,
        moment=moment,
        interval=FIVE_MINUTES,
        name_date=None if how != "day" else ANY_DATE,
        place=place,
    )
    return feed, kinds


def write(path: Path, columns: dict[str, pa.Array], chance: random.Random, rows: int) -> None:
    pq.write_table(
        pa.table(columns),
        path,
        compression=chance.choice(CODECS),
        row_group_size=chance.choice([rows, max(1, rows // 3), 7]) or 1,
        use_dictionary=chance.random() < 0.5,
        version="2.6",
        data_page_version=chance.choice(["1.0", "2.0"]),
        write_statistics=chance.random() < 0.5,
    )


@pytest.fixture
def connection():
    with duckdb.connect() as opened:
        yield opened


@pytest.mark.parametrize("seed", range(150))
def test_the_bulk_reader_gives_what_the_judge_gives(tmp_path, connection, seed):
    chance = random.Random(f"parquet {seed}")  # noqa: S311
    feed, kinds = make_feed(chance)
    rows = chance.choice([0, 1, 20, 200])
    maker = Maker(chance, rows)
    made: dict[str, Made] = {}
    for column in feed.columns:
        if column.name not in kinds and not column.required and chance.random() < 0.4:
            continue
        if column.name in kinds:
            if column.name == "date" and chance.random() < 0.3:
                continue
            made[column.name] = mostly_good(maker, kinds[column.name])
            if chance.random() < 0.2:
                kind = chance.choice(sorted(fit_of(column.type).kinds))
                made[column.name] = maker.of(kind)
        else:
            made[column.name] = maker.of(chance.choice(sorted(fit_of(column.type).kinds)))
    if chance.random() < 0.8:
        made = {name: mended(one, feed.column(name).type, chance) for name, one in made.items()}
    spelled = {name: chance.choice([name, name.upper(), name.title()]) for name in made}
    order = chance.sample(sorted(made), len(made))
    columns = {spelled[name]: made[name][0] for name in order}
    columns |= {"other": pa.array([[1]] * rows, pa.list_(pa.int64())), "o'th\"er": pa.array([None] * rows, pa.int8())}
    path = tmp_path / "file[1]*.parquet"
    write(path, columns, chance, rows)
    defaults = {"date": date(2021, 7, 18)} if feed.needs_date and chance.random() < 0.8 else {}
    if feed.needs_date and "date" not in made and not defaults:
        return
    times = Times(latest=datetime(2021, 7, 18, 0, 5, tzinfo=UTC) + timedelta(seconds=chance.randint(0, MOST_OFF)))
    given = datetime(2021, 7, 18, tzinfo=UTC) if chance.random() < 0.2 else None

    judge = ParquetRows(feed, [FileColumn(spelled[name], made[name][1], name) for name in order], defaults)
    raws = [made[column.name][2] for column, _ in judge.columns]
    records, rejects, ahead = [], [], 0
    for number in range(rows):
        values = [raw[number] for raw in raws]
        try:
            record = checked(feed, judge.record(values))
            times.check(feed, record)
            moment = feed.moment.of(record)
            floor = given or moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(minutes=5)
            values = [value + 0 if isinstance(value := record[name], Number) else value for name in feed.column_names]
            records.append((floor.replace(tzinfo=None), *values))
        except BadRow as bad:
            ahead += isinstance(bad, AheadOfClock)
            rejects.append((number + 1, bad.column, bad.reason, judge.text(values)))

    reading = Reader(connection).read(path, feed, given, defaults, times)
    found = connection.execute("FROM records").fetchall()
    assert sorted(found, key=repr) == sorted(records, key=repr)
    assert connection.execute("FROM rejects").fetchall() == rejects
    assert (reading.lines, reading.records, reading.rejects) == (rows, len(records), len(rejects))
    assert sum(reading.intervals.values()) == len(records)
    assert reading.ahead.count == ahead
    assert reading.lacks_day == judge.lacks_day


def random_kpis(feed: Feed, chance: random.Random) -> list[KPI]:
    """KPIs of each measure by each column, as many as a scan may have; none if the feed cannot be scanned."""
    names = [column.name for column in feed.columns]
    measures: list[Measure] = [Count("records")]
    for column in feed.columns:
        measures.append(CountDistinct("value", column=column.name))
        # Large sums are left to the bulk reader.
        if getattr(column.type, "maximum", None) is not None:
            measures += [Sum("value", columns=(column.name,)), Mean("value", column.name, "samples", "empty")]
        if isinstance(column.type, Integer | Decimal):
            number = number_of(column)
            measures += [Minimum("value", number), Maximum("value", number), last_of(feed, number)]
            measures.append(Percentile("value_p50", "value", number))
            large = condition(f"{column.name} > 1 or is_missing({column.name})", column_types(feed.record_columns))
            measures.append(Count("value", where=large))
            if getattr(column.type, "maximum", None) is not None:
                measures += [Sum("value", columns=(column.name,), where=large), StandardDeviation("value", number, "n")]
    found = []
    for name, measure, is_folded in product(names, measures, [False, True]):
        by = (Dimension("of_it", name, folded=is_folded),)
        with suppress(BadEntry):
            found.append(KPI(len(found) + 1, f"K{len(found)}", "k", feed, by, measure, "", (FIVE_MINUTES,)))
    found = [kpi for kpi in found if can_scan(feed, [kpi])]
    return chance.sample(found, min(len(found), 10))


@pytest.mark.parametrize("seed", range(60))
def test_the_scanner_gives_what_the_bulk_reader_gives(tmp_path, connection, monkeypatch, seed):
    chance = random.Random(f"scan {seed}")  # noqa: S311
    feed, kinds = make_feed(chance)
    kpis = random_kpis(feed, chance)
    maker = Maker(chance, chance.choice([0, 1, 20, 300]))
    made = {
        column.name: mostly_good(maker, kinds[column.name])
        if column.name in kinds
        else mended(maker.of(chance.choice(sorted(fit_of(column.type).kinds))), column.type, chance)
        for column in feed.columns
    }
    path = tmp_path / "file[1]*.parquet"
    write(path, {name: array for name, (array, _, _) in made.items()}, chance, maker.rows)
    defaults = {"date": date(2021, 7, 18)} if feed.needs_date else {}
    times = Times(latest=datetime(2021, 7, 18, 0, 5, tzinfo=UTC) + timedelta(seconds=chance.randint(0, MOST_OFF)))
    given = datetime(2021, 7, 18, tzinfo=UTC) if chance.random() < 0.2 else None
    monkeypatch.setattr(parquet_scan, "AT_ONCE", chance.choice([0, 50_000]))
    monkeypatch.setattr(parquet_scan, "MOST_KNOWN", chance.choice([1, 200_000]))
    monkeypatch.setattr(parquet_scan, "VECTORS", 1)
    if not kpis:
        return
    found = scan_parquet(path, feed, kpis, given, times, defaults, scratch=tmp_path)
    add_fold(connection)
    if found is None:
        # Only what the bulk reader refuses as well.
        reading = Reader(connection).read(path, feed, given, defaults, times)
        assert [kpi.name for kpi in kpis if has_too_large_a_total(connection, kpi, reading)]
        return
    agrees_with_the_reader(connection, kpis, path, found, given, defaults, times)


def has_too_large_a_total(connection: duckdb.DuckDBPyConnection, kpi: KPI, reading: Reading) -> bool:
    try:
        with partial_of_records(connection, kpi, reading.intervals):
            return False
    except TotalTooLarge:
        return True


# Every value that the judge reads, SQL reads too.
NATIVE = {
    (Integer, Kind.WHOLE),
    (Integer, Kind.FLOAT),
    (Integer, Kind.DECIMAL),
    (Decimal, Kind.WHOLE),
    (Text, Kind.WHOLE),
    (UUID, Kind.UUID),
    (Boolean, Kind.BOOLEAN),
    (Date, Kind.DATE),
    (Date, Kind.TIMESTAMP),
    (TimeOfDay, Kind.TIME),
    (MonthFirst, Kind.TIMESTAMP),
    (UnixTimestamp, Kind.TIMESTAMP),
}


@pytest.mark.parametrize("number", range(len(TYPES)))
def test_sql_reads_a_value_as_the_judge_does_or_leaves_it_to_the_judge(tmp_path, connection, number):
    for seed in range(4):
        chance = random.Random(f"values {number} {seed}")  # noqa: S311
        column = TYPES[number](chance)
        for kind in sorted(fit_of(column).kinds):
            array, name, raws = Maker(chance, 300).of(kind)
            pq.write_table(pa.table({"c": array}), tmp_path / "c.parquet", version="2.6")
            file_column = FileColumn("c", name, "c")
            sql, read = value_of(file_column, column, "c"), reader_of(file_column, column)
            found = connection.execute(
                f"SELECT {sql.is_plain}, {sql.value}, {file_column.raw('c')} FROM '{tmp_path / 'c.parquet'}'"
            ).fetchall()
            # NaN is not itself.
            assert repr([raw for _, _, raw in found]) == repr(raws)
            for (is_plain, value, _), raw in zip(found, raws, strict=True):
                if is_plain:
                    assert value == read(raw)
                elif (type(column), kind) in NATIVE and not getattr(column, "unknown", ()):
                    assert not is_good(read, raw)
