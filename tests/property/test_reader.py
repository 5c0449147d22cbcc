"""The reader reads by the million what the row-by-row judge reads one by one: the same rows, the same rejects."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.feeds import BadRow
from kpis.catalog.sql import RECORD_START, quoted
from kpis.engine import line_reader as line_reader_module
from kpis.engine.file_reader import Reading
from kpis.engine.reader import Reader
from kpis.formats import content as content_module
from kpis.formats import csv_rows
from kpis.formats import grammar as grammar_module
from kpis.formats import judge as rows_module
from kpis.formats import lines as lines_module
from kpis.formats import row_format as row_format_module
from kpis.formats.bounds import Bounds, FileError, TooManyRejects
from kpis.formats.csv_rows import CSVRows
from kpis.formats.judge import judge, reject_text
from kpis.formats.lines import Line
from tests.effort import times

START = 1626566400000
NAMES = list(IPFLOW.column_names)
PACKERS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
FIVE_MINUTES = 300_000

EXAMPLES = times("READER_EXAMPLES", 40, 1000)
many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@pytest.fixture(params=["normal blocks", "tiny blocks"])
def block_size(request, monkeypatch):
    if request.param == "tiny blocks":
        monkeypatch.setattr(lines_module, "SPOOL_BYTES", 150)
        monkeypatch.setattr(content_module, "PACKED_PIECE_BYTES", 7)
        for module in (content_module, lines_module):
            monkeypatch.setattr(module, "BLOCK_BYTES", 64)
        for module in (content_module, csv_rows, row_format_module, grammar_module, lines_module, rows_module):
            monkeypatch.setattr(module, "LONGEST_LINE_BYTES", 200)
        monkeypatch.setattr(line_reader_module, "JUDGED_BYTES", 100)


numbers = st.one_of(
    st.integers(0, 10**6).map(str),
    st.sampled_from(
        [
            "", "0", "-0", "-1", "1.5", "2.0", "1e3", "0x1F", "nan", "inf", "1_000", "+7", "007", "--1", "-", "true",
            "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
            "2147483647", "2147483648", "-2147483648", "-2147483649", "9" * 30, "0" * 40 + "5", "\uff11", "a,b", "NULL",
            "1 2", "1\r2", "9" * 250, " " * 220, "1\x002", "\ufeff1",
        ]
    ),
)  # fmt: skip
odd_starts = st.sampled_from(
    [START + 1, 253402300799999, 253402214400000, 253402214100000, 2**63 - 1, 2**63 - FIVE_MINUTES, -FIVE_MINUTES]
)
near_numbers = st.text('01 \t"-+.,\r', max_size=6)


@st.composite
def rows(draw) -> dict[str, str]:
    row = {name: str(draw(st.integers(1, 99))) for name in NAMES}
    if draw(st.integers(0, 3)):
        start, length = draw(st.sampled_from([START, START + FIVE_MINUTES, START + 3600_000, 0])), FIVE_MINUTES
        for name in draw(st.lists(st.sampled_from(NAMES[2:]), max_size=2)):
            row[name] = draw(st.one_of(numbers, near_numbers))
    else:
        start, length = draw(odd_starts), draw(st.sampled_from([FIVE_MINUTES, FIVE_MINUTES, 0, -FIVE_MINUTES, 600_000]))
    return row | {NAMES[0]: str(start), NAMES[1]: str(start + length)}


dressings = st.sampled_from(["{}"] * 8 + ['"{}"', " {}", "{}\t", '" {} "', ' "{}" ', '"{}', '{}"', '""{}""', "{} ,"])


@st.composite
def files(draw) -> bytes:
    """Files from well-formed to hostile, with columns in any order and some that the feed does not know."""
    columns = draw(st.permutations([*NAMES, *draw(st.lists(st.sampled_from(["", "note", "x y"]), max_size=2))]))
    lines = [",".join(draw(st.sampled_from(["{}"] * 5 + [" {}", '"{}"'])).format(column) for column in columns)]
    plain = draw(st.booleans())
    for row in draw(st.lists(rows(), max_size=8)):
        dressing = "{}" if plain else draw(dressings)
        fields = [row.get(column, draw(numbers)) for column in columns]
        lines.append(
            ",".join((dressing if plain else draw(st.sampled_from(["{}", dressing]))).format(f) for f in fields)
        )
    encoded = [line.encode() for line in lines]
    if not plain:
        odd = st.sampled_from(
            [
                b"",
                b"  ",
                b"\t",
                b",",
                b"," * 6,
                b"\0",
                b"\xff",
                b"\xfe\xff",
                b'"',
                b"x",
                b"\x0c",
                encoded[0],
                b"5" * 300,
                b"#",
            ]
        )
        for line in draw(st.lists(odd, max_size=4)):
            encoded.insert(draw(st.integers(1, len(encoded))), line)
        encoded = [
            line + draw(st.sampled_from([b""] * 9 + [b",", b"\r", b"\r\r", b" ", b",,", b"\x00"])) for line in encoded
        ]
        encoded[0] = encoded[0].strip(b",\0")
    ends = st.just(b"\n") if plain else st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"])
    text = b"".join(line + draw(ends) for line in encoded)
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + draw(st.sampled_from([text, text, text.rstrip(b"\r\n")]))


def judged_singly(content: bytes) -> tuple[Counter, list, int] | str:
    """Records with their interval's start, rejects, and the number of data lines; or why the file fails."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    try:
        row_format = CSVRows(IPFLOW, lines[0].removeprefix(b"\xef\xbb\xbf").strip(), {})
    except FileError as error:
        return str(error)
    records: Counter = Counter()
    rejects, count = [], 0
    for number, text in enumerate(lines[1:], 2):
        is_last = number == len(lines) and not content.endswith(b"\n")
        line = Line(number, text if is_last else text.removesuffix(b"\r"))
        if not line.content.strip() and len(line.content) <= grammar_module.LONGEST_LINE_BYTES:
            continue
        count += 1
        try:
            record = judge(row_format, line)
        except BadRow as bad:
            rejects.append((number, bad.column, bad.reason, reject_text(line)[:200]))
        else:
            records[record[NAMES[0]], *(record[name] for name in NAMES)] += 1
    return records, rejects, count


def read(connection, path: Path) -> tuple[Counter, list, int] | str:
    try:
        reading = Reader(connection).read(path, IPFLOW)
    except FileError as error:
        return str(error)
    start = quoted(RECORD_START)
    found = connection.execute(f"SELECT epoch_ms({start}), {', '.join(NAMES)} FROM records").fetchall()
    records = Counter(found)
    counts: Counter = Counter()
    for start, *_ in found:
        counts[datetime.fromtimestamp(start // 1000, UTC)] += 1
    assert reading.intervals == counts
    assert (reading.records, reading.rejects) == (len(found), reading.lines - len(found))
    rejects = connection.execute('SELECT line, "column", reason, text[:200] FROM rejects ORDER BY line').fetchall()
    assert len(rejects) == reading.rejects
    return records, rejects, reading.lines


@many
@given(content=files(), packing=st.sampled_from(list(PACKERS)))
@example(content=(",".join(NAMES) + "\n").encode(), packing="")
@example(content=",".join(NAMES).encode(), packing=".zst")
def test_a_file_gives_what_its_rows_give_singly(folder, connection, block_size, content, packing):
    path = folder / f"ipflow_data.csv{packing}"
    path.write_bytes(PACKERS[packing](content))
    assert read(connection, path) == judged_singly(content)


@settings(max_examples=EXAMPLES // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=files())
def test_packed_or_not_it_is_the_same(folder, connection, content):
    found = []
    for packing, pack in PACKERS.items():
        path = folder / f"ipflow_data.csv{packing}"
        path.write_bytes(pack(content))
        found.append(read(connection, path))
    assert found[0] == found[1] == found[2]


def line(number: int, **fields: object) -> str:
    row = {NAMES[0]: START, NAMES[1]: START + FIVE_MINUTES, "msisdn": 31600000000 + number, "bytes_uplink": number}
    row |= {"bytes_downlink": 1, "service_id": number % 50, "cell_id": number % 900} | fields
    return ",".join(str(row[name]) for name in NAMES)


def text_of(lines) -> str:
    return "\n".join([",".join(NAMES), *lines]) + "\n"


def rejects_of(connection) -> list:
    return connection.execute('SELECT line, "column", reason FROM rejects ORDER BY line').fetchall()


def read_flows(connection, path: Path) -> Reading:
    return Reader(connection).read(path, IPFLOW)


def test_far_into_a_large_file_line_numbers_still_hold(folder):
    """Large enough that DuckDB reads its parts in several threads."""
    path = folder / "ipflow_data.large.csv"
    count = 700_000
    bad = {
        100: ("cell_id", 2**63),
        299_999: ("msisdn", 0),
        300_001: ("service_id", 2**31),
        count - 1: ("bytes_uplink", ""),
    }
    lines = (line(n, **{bad[n][0]: bad[n][1]}) if n in bad else line(n) for n in range(count))
    path.write_text(text_of(lines))
    with duckdb.connect(config={"threads": 4}) as connection:
        reading = read_flows(connection, path)
        assert (reading.lines, reading.records, reading.rejects) == (count, count - 4, 4)
        assert rejects_of(connection) == [
            (102, "cell_id", "is beyond 64 bits"),
            (300_001, "msisdn", "is less than 1"),
            (300_003, "service_id", "is beyond 32 bits"),
            (count + 1, "bytes_uplink", "is empty"),
        ]
        total = connection.execute(
            "SELECT sum(bytes_uplink)::BIGINT, min(cell_id), max(cell_id) FROM records"
        ).fetchone()
        assert total == (sum(range(count)) - sum(bad), 0, 899)


def test_what_duckdb_cannot_read_after_all_is_judged_singly(folder, connection, monkeypatch):
    path = folder / "ipflow_data.long.csv"
    path.write_text(text_of([line(1), line(2, cell_id="0" * 3000 + "7"), line(3, msisdn=0)]))
    # It may refuse a line for its length long before the line is too long for us.
    monkeypatch.setattr(row_format_module, "LONGEST_LINE_BYTES", 110)
    reading = read_flows(connection, path)
    assert (reading.records, reading.rejects) == (2, 1)
    assert connection.execute("SELECT cell_id FROM records ORDER BY 1").fetchall() == [(1,), (7,)]
    assert rejects_of(connection) == [(4, "msisdn", "is less than 1")]


def test_memory_that_does_not_suffice_is_an_error_and_no_reject(folder):
    path = folder / "ipflow_data.much.csv"
    path.write_text(text_of(line(n) for n in range(200_000)))
    config = {"memory_limit": "8MB", "temp_directory": "", "threads": 1}
    with duckdb.connect(config=config) as connection, pytest.raises(duckdb.OutOfMemoryException):
        read_flows(connection, path)


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write(line(99) + "\n")


def replace_by_another(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (append, "changed while it was read"),
        (replace_by_another, "changed while it was read"),
        (lambda path: path.write_text(""), "changed while it was read"),
        (lambda path: path.unlink(), "vanished while it was read"),
    ],
)
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_a_file_that_changes_between_its_two_readings_fails_for_now(
    folder, connection, monkeypatch, change, reason, packing
):
    path = folder / f"ipflow_data.changing.csv{packing}"
    path.write_bytes(PACKERS[packing](text_of([line(1), line(2, msisdn=0)]).encode()))

    def split_then_change(*args):
        found = lines_module.split(*args)
        change(path)
        return found

    monkeypatch.setattr(line_reader_module, "split", split_then_change)
    with pytest.raises(FileError, match=reason) as raised:
        read_flows(connection, path)
    assert raised.value.passing


@pytest.mark.parametrize("bad", ["x", "1626566400000,1626566700000,0,1,1,1,1"], ids=["odd", "beyond a check"])
def test_a_file_of_more_rejects_than_are_kept_fails_at_the_next_one(tmp_path, connection, monkeypatch, bad):
    judged = []
    monkeypatch.setattr(line_reader_module, "judge", lambda *given: judged.append(given[1].number) or judge(*given))
    path = tmp_path / "flows.csv"
    good = "1626566400000,1626566700000,1,1,1,1,1"
    path.write_text("\n".join([",".join(NAMES), good, *[bad] * 1000, good]))
    reading = Reader(connection, bounds=Bounds(rejects=1000)).read(path, IPFLOW)
    assert (reading.records, reading.rejects) == (2, 1000)
    judged.clear()
    with pytest.raises(TooManyRejects, match="has more than 100 rejects, which is MAX_REJECTS, by line 103") as raised:
        Reader(connection, bounds=Bounds(rejects=100)).read(path, IPFLOW)
    assert judged == list(range(3, 104))
    assert (raised.value.rejects, raised.value.line) == (100, 103)
    kept = connection.execute("SELECT line FROM rejects ORDER BY line").fetchall()
    assert kept == [(number,) for number in range(3, 103)]


def test_a_packed_file_of_too_many_clean_lines_that_are_no_records_is_not_read_to_its_end(
    tmp_path, connection, monkeypatch
):
    monkeypatch.setattr(lines_module, "SPOOL_BYTES", 2**16)
    monkeypatch.setattr(content_module, "BLOCK_BYTES", 2**14)
    path = tmp_path / "flows.csv.gz"
    beyond_a_check = "1626566400000,1626566700000,0,1,1,1,1"
    content = gzip.compress("\n".join([",".join(NAMES), *[beyond_a_check] * 100_000]).encode())
    # What does not unpack at its end would fail for that, were it read so far.
    path.write_bytes(content[:-8] + bytes(8))
    with pytest.raises(TooManyRejects, match="has more than 100 rejects, which is MAX_REJECTS, by line 102"):
        Reader(connection, bounds=Bounds(rejects=100)).read(path, IPFLOW)
    with pytest.raises(FileError, match="holds damaged gzip data"):
        Reader(connection, bounds=Bounds(rejects=None)).read(path, IPFLOW)


def test_the_spool_is_read_in_pieces_and_nothing_is_lost_or_doubled_between_them(tmp_path, connection, monkeypatch):
    monkeypatch.setattr(lines_module, "SPOOL_BYTES", 2**12)
    monkeypatch.setattr(content_module, "BLOCK_BYTES", 2**11)
    rows = [f"1626566400000,1626566700000,{number % 10},{number},1,1,1" for number in range(3_000)]
    path = tmp_path / "flows.csv.gz"
    path.write_bytes(gzip.compress("\n".join([",".join(NAMES), *rows]).encode()))
    reading = Reader(connection, bounds=Bounds(rejects=300)).read(path, IPFLOW)
    assert (reading.lines, reading.records, reading.rejects) == (3_000, 2_700, 300)
    assert connection.execute("SELECT sum(bytes_uplink) FROM records").fetchall() == [
        (sum(number for number in range(3_000) if number % 10),)
    ]
    assert connection.execute("SELECT line FROM rejects ORDER BY line").fetchall() == [
        (number + 2,) for number in range(0, 3_000, 10)
    ]
