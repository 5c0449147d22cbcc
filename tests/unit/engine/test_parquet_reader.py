"""Parquet files: columns by name, rejects with their numbers, and one message for each that cannot be read."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest

from kpis.catalog.columns import Date, Decimal, Integer, ISOTimestamp, Text, TimeOfDay
from kpis.catalog.feeds import Column, Feed, Range, check_range, day_and_time, own_moment
from kpis.catalog.formats import Parquet
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.engine.reader import Reader
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds, FileError, TooManyRejects
from kpis.formats.judge import Times
from kpis.formats.parquet_footer import unpacked_sizes

COLUMNS = (
    Column("begin", ISOTimestamp()),
    Column("cell", Integer(minimum=1)),
    Column("bytes", Integer()),
    Column("owner", Text(optional=True), required=False),
)
FEED = Feed(
    name="probe",
    description="Probe counters",
    format=Parquet(),
    file_names=("probe_*",),
    endings=(".parquet",),
    columns=COLUMNS,
    checks=(check_range("bytes", "is more than 1000", Range(most=1_000)),),
    moment=own_moment("begin"),
    interval=FIVE_MINUTES,
)
BY_DAY = replace(
    FEED,
    columns=(Column("date", Date(optional=True), required=False), Column("clock", TimeOfDay()), *COLUMNS[1:]),
    moment=day_and_time("date", "clock"),
    name_date=re.compile("([0-9]{4}-[0-9]{2}-[0-9]{2})"),
)
START = datetime(2021, 7, 18, tzinfo=UTC)


def table(*rows: tuple[int, Any, Any], **others: pa.Array) -> pa.Table:
    """A table of the seconds since START, the cell and the bytes of each row."""
    seconds, cells, amounts = zip(*rows, strict=True) if rows else ((), (), ())
    times = pa.array([START + timedelta(seconds=one) for one in seconds], pa.timestamp("ms", "UTC"))
    columns = {"Begin": times, "CELL": pa.array(cells, pa.int64()), "bytes": pa.array(amounts, pa.int32())}
    return pa.table(columns | others)


GOOD = table((0, 7, 100), (299, 8, 200), (300, 7, 300))


class Read:
    """What was read of one file: the reading, the records and the rejects."""

    def __init__(self, path: Path, feed: Feed = FEED, bounds: Bounds = DEFAULT_BOUNDS, **given: Any):
        with duckdb.connect() as connection:
            self.reading = Reader(connection, bounds=bounds).read(path, feed, **given)
            self.records = connection.execute("FROM records ORDER BY ALL").fetchall()
            self.rejects = connection.execute("FROM rejects").fetchall()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "probe_1.parquet"


def reason(path: Path, feed: Feed = FEED, bounds: Bounds = DEFAULT_BOUNDS, **given: Any) -> str:
    with pytest.raises(FileError) as error:
        Read(path, feed, bounds, **given)
    assert not error.value.passing
    return str(error.value)


def naive(**since: int) -> datetime:
    return (START + timedelta(**since)).replace(tzinfo=None)


def test_columns_are_found_by_name_in_any_case_and_order(path):
    pq.write_table(GOOD.select(["bytes", "CELL", "Begin"]), path)
    found = Read(path)
    assert found.records == [
        (naive(), naive(), 7, 100, None),
        (naive(), naive(seconds=299), 8, 200, None),
        (naive(minutes=5), naive(seconds=300), 7, 300, None),
    ]
    assert (found.reading.lines, found.reading.records, found.reading.rejects) == (3, 3, 0)
    assert found.reading.intervals == {START: 2, START + timedelta(minutes=5): 1}


def test_columns_have_other_names_in_files_also_with_a_unit(path):
    columns = (replace(COLUMNS[0], headers=("Start", "Begin")), *COLUMNS[1:2], replace(COLUMNS[2], headers=("Volume",)))
    feed = replace(FEED, columns=columns)
    pq.write_table(renamed("bytes", "Volume [B]"), path)
    assert [row[2:] for row in Read(path, feed).records] == [(7, 100), (8, 200), (7, 300)]
    pq.write_table(renamed("Begin", "Other"), path)
    assert reason(path, feed) == "has no column Start or Begin, Volume"


def test_other_columns_and_nested_ones_are_ignored(path):
    others = {
        "list": pa.array([[1, 2], [], None]),
        "struct": pa.array([{"cell": 9, "bytes": {"up": 1}}, None, {"cell": 9, "bytes": None}]),
        "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "time of day": pa.array([1, 2, 3], pa.time64("ns")),
        'a "name"': pa.array([1, 2, 3]),
    }
    table_ = pa.table(others | dict(zip(GOOD.column_names, GOOD.columns, strict=True)))
    pq.write_table(table_, path)
    assert [row[2:] for row in Read(path).records] == [(7, 100, None), (8, 200, None), (7, 300, None)]


def test_rejects_have_the_number_of_the_row_the_column_the_reason_and_the_row_as_json(path):
    rows = [(0, 7, 100), (1, 0, 100), (2, 7, None), (3, 8, 1_001), (4, 8, 1_000)]
    pq.write_table(table(*rows, owner=pa.array(["a", "é", None, "x\0", ""])), path, row_group_size=2)
    found = Read(path)
    assert [row[2:] for row in found.records] == [(7, 100, "a"), (8, 1_000, None)]
    assert found.rejects == [
        (
            2, "cell", "is less than 1",
            '{"Begin": "2021-07-18T00:00:01Z", "CELL": 0, "bytes": 100, "owner": "é"}',
        ),
        (
            3, "bytes", "is empty",
            '{"Begin": "2021-07-18T00:00:02Z", "CELL": 7, "bytes": null, "owner": null}',
        ),
        (
            4, "owner", "holds a control character",
            '{"Begin": "2021-07-18T00:00:03Z", "CELL": 8, "bytes": 1001, "owner": "x\\u0000"}',
        ),
    ]  # fmt: skip
    assert (found.reading.lines, found.reading.records, found.reading.rejects) == (5, 2, 3)


NAN = float("nan")
LEVELLED = replace(FEED, columns=(*COLUMNS[:3], Column("level", Decimal(optional=True))))
TOO_LARGE = "is not between -100000000000 and 100000000000"


@pytest.mark.parametrize("width", [pa.float32(), pa.float64()])
@pytest.mark.parametrize(
    ("levels", "records", "rejects"),
    [
        # The file's statistics leave NaN out.
        ([NAN, 1.5], [1.5], {1: "is not a decimal number"}),
        ([2.25, NAN, 2.25], [2.25, 2.25], {2: "is not a decimal number"}),
        ([NAN, 1.0], [1], {1: "is not a decimal number"}),
        ([NAN, NAN], [], {1: "is not a decimal number", 2: "is not a decimal number"}),
        ([1.5, 2.25, float("inf")], [1.5, 2.25], {3: "is not a decimal number"}),
        ([1.5, -8e12, 2.25], [1.5, 2.25], {2: TOO_LARGE}),
        ([8e12, NAN, 1.5, None], [1.5, None], {1: TOO_LARGE, 2: "is not a decimal number"}),
    ],
)
def test_a_float_that_is_no_number_or_too_large_rejects_its_row_alone(path, width, levels, records, rejects):
    rows = table(*[(number, 7, 1) for number in range(len(levels))], level=pa.array(levels, width))
    pq.write_table(rows, path)
    found = Read(path, LEVELLED)
    assert [row[4] for row in found.records] == records
    assert [row[:3] for row in found.rejects] == [(number, "level", why) for number, why in rejects.items()]


def test_nan_in_a_column_of_whole_numbers_rejects_its_row_alone(path):
    pq.write_table(GOOD.set_column(2, "bytes", pa.array([NAN, 5.0, 5.0])), path)
    found = Read(path)
    assert [row[3] for row in found.records] == [5, 5]
    assert [row[:3] for row in found.rejects] == [(1, "bytes", "is not a whole number")]


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("number", [-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2])
def test_a_time_that_statistics_cannot_show_rejects_its_row_alone(path, unit, zone, number):
    a_second = {"us": 10**6, "ns": 10**9}[unit]
    moments = [number, *(int(START.timestamp() + second) * a_second for second in (0, 299))]
    times = pa.array(moments, pa.int64()).cast(pa.timestamp(unit, zone))
    pq.write_table(GOOD.set_column(0, "begin", times), path)
    found = Read(path)
    # The largest number of nanoseconds is in 2262; the next larger one stands for infinity.
    if (unit, number) == ("ns", 2**63 - 2):
        assert [row[1].year for row in found.records] == [2021, 2021, 2262]
        return
    assert [row[2:4] for row in found.records] == [(8, 200), (7, 300)]
    assert [row[:2] for row in found.rejects] == [(1, "begin")]
    assert (found.reading.lines, found.reading.rejects) == (3, 1)


def test_a_time_in_milliseconds_beyond_all_years_fails_the_file_with_what_to_do(path):
    times = pa.array([-(2**63), 0, 0], pa.int64()).cast(pa.timestamp("ms"))
    pq.write_table(GOOD.set_column(0, "begin", times), path)
    assert reason(path) == (
        "has a time in milliseconds that lies beyond the year 294246, which cannot be read: write NULL where there is "
        "no time, or times in microseconds"
    )


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
def test_the_footer_says_what_columns_unpack_to_as_duckdb_does(path, codec):
    others = {"list": pa.array([[1, 2], [], None] * 300), "text": pa.array(["x" * 1_000, None, "é"] * 300)}
    pq.write_table(pa.concat_tables([GOOD] * 300).combine_chunks().append_column("a", others["list"]).append_column(
        "b", others["text"]), path, compression=codec, row_group_size=100)  # fmt: skip
    found = duckdb.sql(
        f"SELECT compression, sum(total_uncompressed_size)::BIGINT FROM parquet_metadata('{path}') GROUP BY ALL"
    ).fetchall()
    assert unpacked_sizes(path) == dict(found)
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[: -8 - length] + b"\xff" * length + content[-8:])
    with pytest.raises(FileError, match="its footer cannot be read"):
        unpacked_sizes(path)


def test_rows_that_are_ahead_of_the_clock_are_rejects(path):
    pq.write_table(GOOD, path)
    times = Times(latest=START + timedelta(seconds=299), ahead=timedelta(seconds=60))
    found = Read(path, times=times)
    assert [(row[0], row[1], row[2]) for row in found.rejects] == [
        (3, "begin", "lies more than 60 seconds ahead of the clock")
    ]
    assert found.reading.ahead.first == START + timedelta(seconds=300)


def test_the_day_is_the_rows_or_what_is_given(path):
    clocks = pa.array([60, 120], pa.time32("s"))
    days = pa.array([date(2021, 7, 17), None])
    both = {"clock": clocks, "cell": pa.array([1, 2]), "bytes": pa.array([1, 2])}
    pq.write_table(pa.table({**both, "date": days}), path)
    given = {"date": date(2021, 7, 18)}
    found = Read(path, BY_DAY, defaults=given)
    assert [row[1] for row in found.records] == [date(2021, 7, 17), date(2021, 7, 18)]
    assert found.reading.lacks_day
    assert Read(path, BY_DAY).rejects[0][:3] == (
        2, "date", "is empty, and neither the file's name nor --date gives the day",
    )  # fmt: skip
    pq.write_table(pa.table(both), path)
    assert [row[1] for row in Read(path, BY_DAY, defaults=given).records] == [date(2021, 7, 18)] * 2
    assert reason(path, BY_DAY) == "has no column date, and neither its name nor --date gives the day"


@pytest.mark.parametrize("rows", [GOOD.slice(0, 0), GOOD.schema])
def test_a_file_without_rows_has_none(path, rows):
    if isinstance(rows, pa.Schema):
        pq.ParquetWriter(path, rows).close()
        assert pq.ParquetFile(path).num_row_groups == 0
    else:
        pq.write_table(rows, path)
    found = Read(path)
    assert (found.reading.lines, found.records, found.rejects) == (0, [], [])


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "brotli", "lz4"])
def test_every_codec_of_many_row_groups_is_read(path, codec):
    rows = [(second, 1 + second % 3, second) for second in range(900)]
    pq.write_table(table(*rows), path, compression=codec, row_group_size=100)
    found = Read(path)
    assert [row[3] for row in found.records] == list(range(900))
    assert found.reading.intervals == {START + timedelta(minutes=5 * number): 300 for number in range(3)}


def renamed(old: str, new: str) -> pa.Table:
    return GOOD.rename_columns([new if name == old else name for name in GOOD.column_names])


TABLES: dict[str, tuple[pa.Table, str]] = {
    "a column is missing": (GOOD.drop_columns(["CELL"]), "has no column cell"),
    "two are missing": (GOOD.select(["bytes"]), "has no column begin, cell"),
    "a column twice": (GOOD.append_column("cell", pa.array([1, 2, 3])), "has 2 columns for cell: CELL, cell"),
    "a name that the reader needs": (
        GOOD.append_column("file_row_number", pa.array([1, 2, 3])),
        "has a column file_row_number, as DuckDB names what it counts: give it another name",
    ),
    "a time as a number": (
        table((0, 7, 1)).set_column(1, "CELL", pa.array([START])),
        "has the column CELL as TIMESTAMP WITH TIME ZONE, which cannot be a whole number: write it as INT64, or as "
        "text",
    ),
    "a number as a time": (
        table((0, 7, 1)).set_column(0, "begin", pa.array([1.5])),
        "has the column begin as DOUBLE, which cannot be a time: write it as TIMESTAMP, or as text",
    ),
    "a nested column": (
        GOOD.set_column(1, "CELL", pa.array([[1], [2], [3]])),
        "has the column CELL as BIGINT[], which cannot be a whole number: write it as INT64, or as text",
    ),
    "a decimal of too many digits": (
        GOOD.set_column(1, "CELL", pa.array([1, 2, 3], pa.decimal256(50, 10))),
        "has the column CELL as DECIMAL(50,10), which cannot be a whole number: write it as INT64, or as text",
    ),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_file_whose_columns_cannot_be_the_feeds_fails_with_the_column_and_what_to_do(path, what):
    rows, message = TABLES[what]
    pq.write_table(rows, path)
    assert reason(path) == message


def written(**options: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(GOOD, path, **options)


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pq.write_table(GOOD, path, compression="snappy")
        path.write_bytes(change(path.read_bytes()))

    return write


def with_codec(content: bytes, codec: int) -> bytes:
    """The same file, whose footer names another codec than Snappy (1) for each of its columns."""
    # Compact Thrift: field 4 of a column's metadata, an enum (i32) as a zigzag number, behind the list of its path.
    pattern = rb"(\x18.[A-Za-z]+\x15)\x02\x16"
    changed, count = re.subn(pattern, lambda found: found[1] + bytes([2 * codec]) + b"\x16", content)
    assert count == 3
    return changed


def encrypted(path: Path) -> None:
    with duckdb.connect() as connection:
        # Its own cryptography is good enough for a test.
        connection.execute("SET force_mbedtls_unsafe = 'true'")
        connection.execute("PRAGMA add_parquet_key('key', '0123456789112345')")
        connection.execute(f"COPY (SELECT 1 AS cell) TO '{path}' (ENCRYPTION_CONFIG {{footer_key: 'key'}})")


class NoKeys(encryption.KmsClient):
    """A client of a key server that gives each key as it is."""

    def __init__(self, _: Any):
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        return base64.b64encode(key)


def encrypted_within(path: Path) -> None:
    """Writes a file whose footer is plain, and a column encrypted."""
    how = encryption.EncryptionConfiguration(footer_key="a", column_keys={"b": ["CELL"]}, plaintext_footer=True)
    keys = encryption.CryptoFactory(NoKeys)
    properties = keys.file_encryption_properties(encryption.KmsConnectionConfig(), how)
    pq.write_table(GOOD, path, encryption_properties=properties)
    assert path.read_bytes().startswith(b"PAR1")


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "CSV": (lambda path: path.write_text("begin,cell,bytes\n"), "is no Parquet file: it does not begin with PAR1"),
    "gzip": (
        with_bytes(gzip.compress),
        "is gzip data, not a Parquet file: unpack it, as Parquet packs its columns itself",
    ),
    "encrypted": (encrypted, "is an encrypted Parquet file, which cannot be read: write it without encryption"),
    "encrypted but for the footer": (
        encrypted_within,
        "is an encrypted Parquet file, which cannot be read: write it without encryption",
    ),
    "cut off": (
        with_bytes(lambda content: content[:-100]),
        "ends in the middle of its Parquet data: its last bytes are not PAR1",
    ),
    "nothing but the mark": (
        lambda path: path.write_bytes(b"PAR1"),
        "ends in the middle of its Parquet data: its last bytes are not PAR1",
    ),
    "a footer beyond the file": (
        with_bytes(lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1"),
        "holds damaged Parquet data: Footer length error in file it",
    ),
    "an unknown codec": (
        with_bytes(lambda content: with_codec(content, 3)),
        "is packed with LZO, which cannot be read: write it with Snappy, Zstandard or gzip",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_read_fails_with_one_message(path, fault):
    write, message = FAULTS[fault]
    write(path)
    assert reason(path) == message


def test_a_damaged_footer_fails_the_file(path):
    pq.write_table(GOOD, path)
    content = path.read_bytes()
    path.write_bytes(content[:-60] + b"\xff" * 52 + content[-8:])
    assert reason(path).startswith("holds damaged Parquet data: ")


def test_data_that_is_damaged_within_fails_the_file(path):
    pq.write_table(GOOD, path, compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x1f\x8b") + 12
    content[place : place + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert reason(path).startswith("holds damaged Parquet data: ")


def test_text_that_is_not_utf_8_fails_the_file(path):
    broken = pa.array([b"\xff", b"a", b"b"]).view(pa.string())
    pq.write_table(GOOD.append_column("owner", broken), path)
    assert reason(path).startswith("holds damaged Parquet data: Invalid string encoding found")


def test_a_few_bytes_that_stand_for_many_rows_are_beyond_the_bounds(path):
    rows = 200_000
    same = table((0, 7, 1))
    pq.write_table(same.take(pa.array([0] * rows)), path)
    size = path.stat().st_size
    assert size < 5_000
    # Four columns of eight bytes are 6.4 MB.
    assert reason(path, bounds=Bounds(unpacked_bytes=6_399_999)) == (
        "unpacks to more than 6,399,999 bytes, which is MAX_UNPACKED_MB"
    )
    assert Read(path, bounds=Bounds(unpacked_bytes=6_400_000)).reading.records == rows


def test_a_file_with_more_rejects_than_are_kept_fails_at_the_first_beyond(path):
    pq.write_table(table(*[(second, second % 2, 1) for second in range(20)]), path, row_group_size=5)
    with pytest.raises(TooManyRejects) as error:
        Read(path, bounds=Bounds(rejects=3))
    assert (error.value.rejects, error.value.line) == (3, 7)


def test_a_file_that_changes_while_it_is_read_may_be_read_again(path, monkeypatch):
    pq.write_table(GOOD, path)
    reader = "kpis.engine.parquet_reader.content_digests"

    def changing(*_: object) -> tuple[str, str]:
        path.write_bytes(b"PAR1 is another")
        return "", ""

    monkeypatch.setattr(reader, changing)
    with pytest.raises(FileError) as error:
        Read(path)
    assert error.value.passing
    assert str(error.value) == "changed while it was read"


def test_a_file_larger_than_the_memory_limit_is_read(path, tmp_path):
    rows = 3_000_000
    with duckdb.connect() as connection:
        begin = f"make_timestamp({int(START.timestamp())}000000 + range % 300)"
        columns = f"{begin} AS begin, 1 + (hash(range) >> 2) AS cell, range % 1001 AS bytes"
        connection.execute(f"COPY (SELECT {columns} FROM range({rows})) TO '{path}' (ROW_GROUP_SIZE 20000)")
    config = {"memory_limit": "64MB", "temp_directory": str(tmp_path / "spill"), "threads": "2"}
    with duckdb.connect(config=config) as connection:
        reading = Reader(connection).read(path, FEED)
        spilled = connection.execute("SELECT sum(size) FROM duckdb_temporary_files()").fetchone()
        assert connection.execute("SELECT sum(bytes) FROM records").fetchone() == (
            sum(number % 1_001 for number in range(rows)),
        )
    assert (reading.records, reading.intervals) == (rows, {START: rows})
    # The records are 96 MB.
    assert spilled[0] > 0
