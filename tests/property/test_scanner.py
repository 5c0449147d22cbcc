"""The compiled scanner gives what the row-by-row judge and the bulk reader give, or leaves the file to the latter.

``SCANNER_CASES=200000`` tries so many random files instead of 5,000.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, IPFLOW, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.columns import Text
from kpis.catalog.feeds import Check, Column
from kpis.catalog.measures import Sum
from kpis.catalog.registry import FEEDS, kpis_of, partial_kpis
from kpis.engine import merge as merge_module
from kpis.engine import reductions as reductions_module
from kpis.engine import scanner as scanner_module
from kpis.engine.aggregate import partial_of_records
from kpis.engine.merge import merge
from kpis.engine.reader import Reader
from kpis.engine.reductions import Declined
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import rows
from kpis.formats.bounds import Bounds
from tests.effort import times
from tests.property.test_reader import FIVE_MINUTES, NAMES, PACKERS, START, files, judged_singly, line, text_of

CASES = times("SCANNER_CASES", 500, 20_000)
KPIS = kpis_of(IPFLOW)
HEADER = ",".join(NAMES).encode()

EXAMPLES = times("SCANNER_EXAMPLES", 60, 1000)
quick = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scanner")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def naive_partials(records: Counter) -> dict[int, list[tuple]]:
    """Bytes by service, and each cell's subscribers, by interval: in plain Python."""
    sums: dict[tuple, int] = defaultdict(int)
    pairs = set()
    for (start, *values), count in records.items():
        row = dict(zip(NAMES, values, strict=True))
        interval = datetime.fromtimestamp(start // 1000, UTC).replace(tzinfo=None)
        sums[interval, row["service_id"]] += count * (row["bytes_uplink"] + row["bytes_downlink"])
        pairs.add((interval, row["cell_id"], row["msisdn"]))
    return {
        SERVICE_TRAFFIC_VOLUME.id: sorted((*key, total) for key, total in sums.items()),
        CELL_UNIQUE_USERS.id: sorted(pairs),
    }


def agrees_with_the_judge(path, content: bytes) -> bool:
    """Whether the scanner took the file; fails where what it gives is not what the rows give singly."""
    path.write_bytes(content)
    found = scan(path, IPFLOW, KPIS)
    if found is None:
        return False
    judged = judged_singly(content)
    assert not isinstance(judged, str), judged
    records, rejects, lines = judged
    assert [(*reject[:3], reject[3][:200]) for reject in found.rejects] == rejects
    assert (found.reading.lines, found.reading.records) == (lines, records.total())
    partials = naive_partials(records)
    for kpi in KPIS:
        assert list(rows(found.partials[kpi.id])) == partials[kpi.id]
    return True


def agrees_with_the_reader(path, connection) -> None:
    found, reading = scan(path, IPFLOW, KPIS), Reader(connection).read(path, IPFLOW)
    assert found.reading == reading
    for kpi in KPIS if reading.records else []:
        with partial_of_records(connection, kpi, reading.intervals) as table:
            assert list(rows(found.partials[kpi.id])) == connection.execute(f"FROM {table}").fetchall()


def damage(text: bytearray, start: int, pieces: list[bytes], chance: random.Random) -> None:
    """Changes a byte of a text behind its start, puts a piece into it, or cuts or doubles some bytes."""
    at = chance.randrange(start, len(text) + 1)
    kind = chance.randrange(4)
    if kind == 0:
        text[at : at + 1] = bytes([chance.randrange(256)])
    elif kind == 1:
        text[at:at] = chance.choice(pieces)
    elif kind == 2:
        del text[at : at + chance.randrange(30)]
    else:
        text[at:at] = text[at : at + chance.randrange(200)]


def random_file(chance: random.Random) -> bytes:
    """A file of up to 40 rows: mostly valid, with some bytes changed, put in, taken out or repeated in most."""
    numbers = (1, 9, 99, 10**7, 10**12, 2**31 - 1, 2**31, 10**17, 10**18, 2**63 - 1, 2**63)
    lines = [HEADER]
    for _ in range(chance.randrange(40)):
        start = START + FIVE_MINUTES * chance.choice([0, 0, 0, 1, 12])
        row = {name: chance.randrange(chance.choice(numbers[:4])) + 1 for name in NAMES}
        if chance.random() < 0.1:
            row[chance.choice(NAMES[2:])] = chance.choice(numbers) - chance.randrange(2)
        lines.append(b",".join(b"%d" % n for n in {**row, NAMES[0]: start, NAMES[1]: start + FIVE_MINUTES}.values()))
    text = bytearray(chance.choice([b"\n", b"\n", b"\r\n"]).join(lines) + chance.choice([b"\n", b"\n", b""]))
    pieces = [b"\n", b",", b"-", b"\r", b'"', b" ", b"\0", b"\xff", b"x", b"0", b"1" * 17, b"9" * 19, b".", b"", HEADER]
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        damage(text, len(HEADER), pieces, chance)
    return bytes(text)


def test_random_files_give_what_judge_and_reader_give(folder, connection, monkeypatch):
    chance = random.Random(20210718)  # noqa: S311  test data need no secrecy
    path = folder / "ipflow_data.random.csv"
    taken = 0
    for case in range(CASES):
        # Texts so short that lines lie across their borders.
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([300, 1000, 4 * 2**20]))
        if agrees_with_the_judge(path, random_file(chance)):
            taken += 1
            if case % 8 == 0:
                agrees_with_the_reader(path, connection)
    assert taken > 0.6 * CASES


@quick
@given(content=files(), size=st.sampled_from([300, 4 * 2**20]))
def test_odd_files_give_what_the_judge_gives(folder, monkeypatch, content, size):
    monkeypatch.setattr(scanner_module, "TEXT_BYTES", size)
    agrees_with_the_judge(folder / "ipflow_data.odd.csv", content)


def test_many_rows_of_few_subscribers_give_each_pair_once(folder):
    """More rows than are kept before those that came again are dropped."""
    # All rows are different within the period, the least common multiple of what makes them.
    period, times_over = 105_000, 12
    path = folder / "ipflow_data.many.csv"
    cells = [n % 300 if n % 1000 else -5 for n in range(period)]
    header, _, some = text_of(
        line(n % 5_000, msisdn=1 + n % 7_000, cell_id=cell) for n, cell in enumerate(cells)
    ).partition("\n")
    path.write_text(f"{header}\n{some * times_over}")
    found = scan(path, IPFLOW, KPIS)
    assert (found.reading.records, found.rejects) == (times_over * period, [])
    interval = datetime.fromtimestamp(START // 1000, UTC).replace(tzinfo=None)
    pairs = sorted({(interval, cell, 1 + n % 7_000) for n, cell in enumerate(cells)})
    assert list(rows(found.partials[CELL_UNIQUE_USERS.id])) == pairs
    sums: dict[int, int] = defaultdict(int)
    for n in range(period):
        sums[n % 5_000 % 50] += times_over * (n % 5_000 + 1)
    assert list(rows(found.partials[SERVICE_TRAFFIC_VOLUME.id])) == [(interval, *one) for one in sorted(sums.items())]


def test_columns_in_any_order_and_some_that_the_feed_does_not_know(folder):
    path = folder / "ipflow_data.order.csv"
    columns = ["cell_id", "extra", *NAMES[:6][::-1]]
    values = {"cell_id": 7, "extra": 5, "msisdn": 3, "bytes_uplink": 10, "bytes_downlink": 20, "service_id": 4}
    values |= {NAMES[0]: START, NAMES[1]: START + FIVE_MINUTES}
    path.write_text(",".join(columns) + "\n" + ",".join(str(values[column]) for column in columns) + "\n")
    found = scan(path, IPFLOW, KPIS)
    interval = datetime.fromtimestamp(START // 1000, UTC).replace(tzinfo=None)
    assert list(rows(found.partials[SERVICE_TRAFFIC_VOLUME.id])) == [(interval, 4, 30)]
    assert list(rows(found.partials[CELL_UNIQUE_USERS.id])) == [(interval, 7, 3)]


def test_an_interval_that_is_given_holds_all_rows(folder):
    path = folder / "ipflow_data.given.csv"
    later = {NAMES[0]: START + FIVE_MINUTES, NAMES[1]: START + 2 * FIVE_MINUTES}
    path.write_text(text_of([line(1), line(2, **later)]))
    given_start = datetime(2030, 1, 1, tzinfo=UTC)
    found = scan(path, IPFLOW, KPIS, given_start)
    assert found.reading.intervals == {given_start: 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        HEADER,
        HEADER.replace(b",", b";") + b"\n",
        HEADER + b"\n" + b"1" * 5_000_000,
        HEADER + b"\n" + b"x\n" * 6_000,
        HEADER + b"\n" + b"%d,%d,1,%d,%d,1,1\n" % (START, START + FIVE_MINUTES, 10**18 - 1, 10**18 - 1) * 5,
    ],
    ids=["empty", "no line", "semicolons", "endless line", "mostly bad", "beyond 2^63"],
)
def test_what_it_does_not_take_is_left_to_the_reader(folder, content):
    path = folder / "ipflow_data.left.csv"
    path.write_bytes(content)
    assert scan(path, IPFLOW, KPIS) is None


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_that_is_damaged_or_beyond_its_bounds_is_left_to_the_reader(folder, suffix):
    content = text_of(line(number) for number in range(50_000)).encode()
    path = folder / f"ipflow_data.packed.csv{suffix}"
    packed = PACKERS[suffix](content)
    path.write_bytes(packed)
    assert scan(path, IPFLOW, KPIS).reading.records == 50_000
    assert scan(path, IPFLOW, KPIS, bounds=Bounds(unpacked_bytes=len(content) - 1)) is None
    path.write_bytes(packed[: len(packed) // 2])
    assert scan(path, IPFLOW, KPIS) is None
    path.write_bytes(b"")
    assert scan(path, IPFLOW, KPIS) is None


def test_what_the_tables_cannot_say_is_left_to_the_reader():
    assert [name for name, feed in FEEDS.items() if not can_scan(feed, partial_kpis(feed))] == []
    plain = replace(SERVICE_TRAFFIC_VOLUME, feed=IPFLOW)
    assert can_scan(IPFLOW, [plain])

    class Hexadecimal(Text):
        pass

    with_other_type = replace(IPFLOW, columns=(*IPFLOW.columns, Column("note", Hexadecimal(longest=9))))
    assert not can_scan(with_other_type, [plain])
    assert not can_scan(replace(IPFLOW, moment=replace(IPFLOW.moment, parts=())), [plain])
    with_other_check = replace(IPFLOW, checks=(Check("msisdn", "is odd", "true", lambda record: True),))
    assert not can_scan(with_other_check, [plain])
    downlink = IPFLOW.column("bytes_downlink")
    signed = replace(downlink, type=replace(downlink.type, minimum=-1))
    columns = tuple(signed if column == downlink else column for column in IPFLOW.columns)
    negative = replace(IPFLOW, columns=columns)
    assert can_scan(negative, [replace(plain, feed=negative), replace(CELL_UNIQUE_USERS, feed=negative)])

    class TwiceTheSum(Sum):
        pass

    assert not can_scan(IPFLOW, [replace(plain, measure=TwiceTheSum("total_bytes", columns=("bytes_uplink",)))])


values = st.one_of(st.integers(0, 20), st.integers(-(2**63), 2**63 - 1))
pieces = st.lists(st.lists(st.tuples(values, values), max_size=30), min_size=1, max_size=4)


def arrays(piece: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    found = np.array(piece, dtype=np.int64).reshape(-1, 2)
    return np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1])


@quick
@given(pieces=pieces)
def test_distinct_counts_are_those_of_sets(pieces):
    groups: dict[int, set] = defaultdict(set)
    for piece in pieces:
        for dimension, value in piece:
            groups[dimension].add(value)
    merged = merge(CELL_UNIQUE_USERS, map(arrays, pieces))
    found = dict(zip(merged.dimensions.tolist(), merged.values.tolist(), strict=True))
    assert found == {dimension: len(found) for dimension, found in groups.items()}
    assert merged.total == len(set().union(*groups.values()))


@quick
@given(pieces=pieces)
def test_sums_are_exact_or_left_to_sql(pieces):
    sums: dict[int, int] = defaultdict(int)
    for piece in pieces:
        for dimension, value in piece:
            sums[dimension] += value
    try:
        merged = merge(SERVICE_TRAFFIC_VOLUME, map(arrays, pieces))
    except Declined:
        assert sum(abs(value) for piece in pieces for _, value in piece) > 2**61
        return
    assert dict(zip(merged.dimensions.tolist(), merged.values.tolist(), strict=True)) == sums
    assert merged.total == sum(sums.values())


def test_more_pairs_than_memory_is_set_aside_for_are_left_to_sql(monkeypatch):
    monkeypatch.setattr(reductions_module, "MOST_PAIRS", 2**19)
    pair = np.arange(2**21, dtype=np.int64)
    with pytest.raises(Declined):
        merge_module.merge(CELL_UNIQUE_USERS, [(pair % 50, pair)])


@quick
@given(pairs=st.sets(st.tuples(values, values), max_size=40))
def test_what_one_batch_has_once_is_merged_as_what_two_have(pairs):
    piece, none = arrays(sorted(pairs)), arrays([])
    one = merge(CELL_UNIQUE_USERS, [none, piece, none])
    for merged in (merge(CELL_UNIQUE_USERS, [piece, piece]), merge(CELL_UNIQUE_USERS, [arrays(sorted(pairs) * 2)])):
        assert one.total == merged.total
        assert one.dimensions.tolist() == merged.dimensions[np.argsort(merged.dimensions)].tolist()
        assert one.values.tolist() == merged.values[np.argsort(merged.dimensions)].tolist()


def test_a_file_of_more_rejects_than_are_kept_is_left_to_the_reader(folder):
    path = folder / "rejects.csv"
    path.write_bytes(HEADER + b"\n" + b"x\n" * 100)
    assert len(scan(path, IPFLOW, KPIS, most_rejects=100).rejects) == 100
    assert scan(path, IPFLOW, KPIS, most_rejects=99) is None
