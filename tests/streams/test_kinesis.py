"""Kinesis: real consumers of its protocol, killed, doubled and resharded beneath them; each record counts once."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import md5
from itertools import count

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.builtin.cdr import CDR
from kpis.models import Batch, Reject, Run, StreamPosition
from kpis.sources.batch import Step
from kpis.sources.directory import SourceError
from kpis.sources.messages import Refused
from kpis.sources.positions import Position
from kpis.sources.stream import Limits
from network_analysis_kinesis.aggregated import HashKeys, unpacked
from network_analysis_kinesis.records import ShardRecords
from network_analysis_kinesis.shards import Share
from network_analysis_kinesis.stream import KinesisStream
from tests.kinesis import Records, mended
from tests.processes import PATIENCE, Place, end_of, killed, new_place
from tests.streams.test_stream_kafka import FEEDS, check_tables, counts_of, messages, sample_lines
from tests.unit.sources.test_stream import antenna, without_batches

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

_names = count()

LOGGER = "network_analysis_kinesis.stream"


@pytest.fixture(scope="module", autouse=True)
def kinesis(cloud) -> Iterator[None]:
    with mended():
        yield


@pytest.fixture
def records(cloud) -> Records:
    """A new stream of two shards."""
    return Records(cloud, f"stream-{next(_names)}")


def consume(place: Place, feed: str, stream: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Starts a consumer of a stream, until it is idle by default."""
    return place.start(
        "consume_stream",
        "--source=kinesis",
        f"--feed={feed}",
        f"--stream={stream}",
        *(arguments or ("--until-idle=1",)),
        **variables,
    )


def await_lines(place: Place, feed: str, number: int, processes: list[subprocess.Popen[str]]) -> None:
    """Waits until so many records of a feed are in."""
    began = time.monotonic()
    with place.alias() as alias:
        while sum(Batch.objects.using(alias).filter(feed=feed).values_list("lines", flat=True)) < number:
            assert time.monotonic() - began < PATIENCE
            assert [process.poll() for process in processes] == [None] * len(processes)
            time.sleep(0.02)


def check_ranges(place: Place, streams: list[Records]) -> None:
    """Each shard's batches hold all of its records, one after the other, up to where the ledger is."""
    with place.alias() as alias:
        batches = list(Batch.objects.using(alias).values_list("name", "lines"))
        shards = list(StreamPosition.objects.using(alias))
    assert {shard.stream for shard in shards} == {stream.name for stream in streams}
    for stream in streams:
        for shard in (one for one in shards if one.stream == stream.name):
            numbers = stream.numbers(shard.partition)
            ranges = [(*name.split("/"), lines) for name, lines in batches]
            places = sorted(
                (*(numbers.index(number) for number in range_.split("-")), lines)
                for name, of_shard, range_, lines in ranges
                if (name, of_shard) == (stream.name, shard.partition)
            )
            assert [last - first + 1 for first, last, _ in places] == [lines for _, _, lines in places]
            assert [first for first, _, _ in places] == [0, *(last + 1 for _, last, _ in places)][: len(places)]
            assert shard.position == (numbers[-1] if numbers else "")
            assert shard.is_ended == (not stream.at(shard.partition).is_open)


def test_records_give_the_tables_of_the_files_that_they_are_the_lines_of(cloud, records, tmp_path):
    filed, place = (new_place(tmp_path / name) for name in ("filed", "place"))
    lines = {feed: list(sample_lines(feed, filed)) for feed in FEEDS}
    ended = filed.run()
    assert (ended.code, ended.err) == (0, "")
    streams = {"antenna": records, "cdr": Records(cloud, f"{records.name}-calls")}
    # Those of calls share the shards, and those of messages get in each other's way.
    shares = {"antenna": ("--shards=1/1", "--shards=1/1"), "cdr": ("--shards=1/2", "--shards=2/2")}
    third = {feed: len(found) // 3 for feed, found in lines.items()}

    def started(feed: str, *arguments: str) -> list[subprocess.Popen[str]]:
        variables = {"STREAM_BATCH_RECORDS": "500"}
        return [consume(place, feed, streams[feed].name, share, *arguments, **variables) for share in shares[feed]]

    for feed, stream in streams.items():
        stream.put(lines[feed][: third[feed]])
    first = {feed: started(feed, "-v0") for feed in FEEDS}
    for feed, stream in streams.items():
        await_lines(place, feed, 1, first[feed])
        # While they read on.
        stream.split(stream.shards()[0])
        stream.put(lines[feed][third[feed] : 2 * third[feed]])
        await_lines(place, feed, third[feed] + 1, first[feed])
        for process in first[feed]:
            killed(process)
        stream.merge(*stream.shards()[-2:])
        stream.put(lines[feed][2 * third[feed] :])
    second = [process for feed in FEEDS for process in started(feed, "--until-idle=2")]
    ends = [end_of(process) for process in second]
    assert [(end.code, end.err) for end in ends] == [(0, "")] * len(second)
    rows, summaries = filed.stored()
    found_rows, found_summaries = place.stored()
    assert found_rows == rows
    assert without_batches(found_summaries) == without_batches(summaries)
    assert counts_of(place) == counts_of(filed)
    check_ranges(place, list(streams.values()))
    with place.alias() as alias:
        rejects = list(Reject.objects.using(alias).values_list("batch__feed", "sequence_number", "text"))
        assert StreamPosition.objects.using(alias).filter(is_ended=True).count() == 6
    assert len(rejects) > 2
    data = {feed: stream.data() for feed, stream in streams.items()}
    assert [text for _, _, text in rejects] == [data[feed][number].decode() for feed, number, _ in rejects]


def test_a_poison_record_is_a_reject_and_one_that_cannot_be_counted_stands_alone(cloud, place):
    records = Records(cloud, f"stream-{next(_names)}", shards=1)
    good = [antenna(1, 2**63 - 1), antenna(4000, 5)]
    values = [good[0].line(), b"", b"\xff", "two\nlines", "{}", antenna(2).line(), good[1].line()]
    # A key that comes twice, and a number that is no JSON.
    values += [good[1].line().replace("{", '{"bytes": 1, '), good[1].line().replace(": 5", ": 00010")]
    records.put(values)
    ended = end_of(consume(place, "antenna", records.name))
    (shard,) = records.shards()
    numbers = records.numbers(shard)
    assert ended.code == 1
    assert ended.err.startswith(f"failed {records.name}/{shard}/{numbers[5]}-{numbers[5]}: ")
    check_tables(place, good)
    check_ranges(place, [records])
    with place.alias() as alias:
        rejects = Reject.objects.using(alias).order_by("sequence_number")
        *others, twice, number = rejects.values_list("sequence_number", "reason")
        assert (twice, number[0]) == ((numbers[7], "comes twice"), numbers[8])
        assert number[1].startswith("is not JSON: a number begins with 0")
        assert others == [
            (numbers[1], "is empty"),
            (numbers[2], "is not valid UTF-8"),
            (numbers[3], "holds a line end"),
            (numbers[4], "is missing"),
        ]
        batch = rejects[0].batch
        assert batch.title == f"{records.name}, {shard}, sequence numbers {batch.name.rpartition('/')[2]}"
        assert batch.row_word == "record"
        assert all(row.batch.name.split("/")[2].split("-")[0] <= row.sequence_number for row in rejects)


def sized(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def aggregated(values: list[bytes], key: str, hash_keys: dict[int, int] | None = None) -> bytes:
    """An aggregated record as the producer library writes it; ``hash_keys`` are explicit ones, by place."""
    explicit = list((hash_keys or {}).items())
    message = sized(1, key.encode()) + b"".join(sized(2, str(one).encode()) for _, one in explicit)
    for place, value in enumerate(values):
        index = next((number for number, (at, _) in enumerate(explicit) if at == place), None)
        chosen = b"" if index is None else varint(2 << 3) + varint(index)
        message += sized(3, varint(1 << 3) + varint(0) + chosen + sized(3, value))
    return b"\xf3\x89\x9a\xc2" + message + md5(message, usedforsecurity=False).digest()


def test_what_the_producer_library_aggregates_counts_once_record_by_record(cloud, place):
    records = Records(cloud, f"stream-{next(_names)}", shards=1)
    calls = messages("cdr", 300, 3)
    lines = [call.line().encode() for call in calls]
    # One alone; two hundred, more than a byte counts; one more alone; and the rest with what is none.
    whole = aggregated([*lines[201:], b"\xff", b"", b"1,2"], "key")
    damaged = bytearray(aggregated([lines[0]], "key"))
    damaged[10] ^= 1
    records.put([lines[0], aggregated(lines[1:200], "key"), lines[200], whole, bytes(damaged), aggregated([], "key")])
    ended = end_of(consume(place, "cdr", records.name, STREAM_BATCH_RECORDS="2"))
    assert (ended.code, ended.err) == (0, "")
    check_tables(place, calls)
    (shard,) = records.shards()
    numbers = records.numbers(shard)
    with place.alias() as alias:
        assert list(
            Reject.objects.using(alias).order_by("batch_id", "line").values_list("sequence_number", "reason")
        ) == [
            (f"{numbers[3]}:99", "is not valid UTF-8"),
            (f"{numbers[3]}:100", "is empty"),
            (f"{numbers[3]}:101", "has 2 fields where the header has 7"),
            (f"{numbers[4]}:0", "is an aggregated record whose checksum does not match"),
            (f"{numbers[5]}:0", "is an aggregated record without records"),
        ]
        assert sum(Batch.objects.using(alias).values_list("lines", flat=True)) == 305
        batch = Batch.objects.using(alias).order_by("id").first()
        assert (batch.row_word, batch.title.split(", sequence")[0]) == ("record", f"{records.name}, {shard}")
        assert StreamPosition.objects.using(alias).get().position == f"{numbers[5]}:0"
    # Nothing of it is read again.
    ended = end_of(consume(place, "cdr", records.name))
    assert (ended.code, ended.out.splitlines()[-1].partition(",")[0]) == (0, "0 batches ingested")


def test_a_part_of_an_aggregated_record_that_cannot_be_counted_stands_alone(cloud, place):
    records = Records(cloud, f"stream-{next(_names)}", shards=1)
    good = [antenna(1, 2**63 - 1), antenna(4000, 5)]
    records.put([aggregated([good[0].line().encode(), antenna(2).line().encode(), good[1].line().encode()], "key")])
    ended = end_of(consume(place, "antenna", records.name))
    (shard,) = records.shards()
    (number,) = records.numbers(shard)
    assert ended.code == 1
    assert ended.err.startswith(f"failed {records.name}/{shard}/{number}:1-{number}:1: ")
    check_tables(place, good)


def test_what_was_read_of_an_aggregated_record_is_not_read_again(cloud, tmp_path):
    records = Records(cloud, f"stream-{next(_names)}", shards=1)
    records.put([aggregated([b"0", b"1", b"2", b"3"], "key"), b"4"])
    (shard,) = records.shards()
    first, last = records.numbers(shard)
    at = Position.of_shard(f"{first}:1", str(records.at(shard).beginning))
    with reading(records, tmp_path, {shard: at}) as reader:
        reader.read(3)
        batch = reader.take()
    assert batch.name == f"{records.name}/{shard}/{first}:2-{last}"
    assert batch.path.exists() is False
    assert (batch.position, batch.count) == (at, 3)


def test_an_aggregated_record_that_cannot_be_read_says_why():
    keys = HashKeys(0, 2**128 - 1)

    def said(message: bytes) -> str:
        (one,) = unpacked(b"\xf3\x89\x9a\xc2" + message + md5(message, usedforsecurity=False).digest(), keys)
        return one.reason.removeprefix("is an aggregated record that cannot be read: ")

    assert unpacked(b"\xf3\x89\x9a", keys) is None
    assert unpacked(aggregated([b"a", b"b"], "key"), keys) == [b"a", b"b"]
    assert said(sized(3, b"abc")[:-1]) == "it ends too soon"
    assert said(sized(3, sized(3, b"data"))) == "a record lacks its key or its data"
    assert said(varint(3 << 3) + varint(7)) == "it has a number where bytes belong"
    assert said(varint(1 << 3 | 3)) == "it has a field of kind 3"
    assert said(b"\x80" * 12) == "it has a number of more than 64 bits"
    # What is of another shard since the shards were split comes there again.
    half = HashKeys(0, 2**127 - 1)
    assert unpacked(aggregated([b"a", b"b"], "key", {0: 5, 1: 2**127}), half) == [
        b"a",
        Refused(b"b", "is another shard's, to which it is sent again"),
    ]


class Reader:
    """A stream that is read within this process, and what stands for its ledger."""

    def __init__(self, records: Records, folder, ledger: dict[str, Position], most: int, share: Share):
        self.ledger, limits = ledger, Limits(most, 2**20, 60)
        self.stream = KinesisStream(CDR, records.name, share, limits, lambda: dict(ledger), self._advance, folder)

    def _advance(self, step: Step) -> None:
        if self.ledger.get(step.partition) == step.before:
            self.ledger[step.partition] = step.after

    def read(self, number: int) -> None:
        """Reads until so many records are pending, and nothing more comes."""
        self.poll_until(lambda: sum(pending.spool.count for pending in self.stream._pending.values()) >= number)

    def poll_until(self, holds: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < PATIENCE
            self.stream.poll(0.05)

    def take(self) -> ShardRecords:
        """Takes in what is due, or what there is."""
        batch = self.stream.batches()[0]
        assert self.stream.follows_on(batch)
        self.ledger[batch.partition] = batch.new_position
        self.stream.acknowledge(batch)
        return batch


@contextmanager
def reading(
    records: Records,
    folder,
    ledger: dict[str, Position] | None = None,
    most: int = 1000,
    share: tuple[int, int] = (1, 1),
) -> Iterator[Reader]:
    reader = Reader(records, folder, {} if ledger is None else ledger, most, Share(*share))
    with reader.stream:
        yield reader


def values(number: int) -> list[str]:
    return [f"{place}" for place in range(number)]


def test_a_shards_children_are_read_when_the_ledger_has_all_of_it(records, tmp_path):
    records.put(values(40))
    parent, other = records.shards()
    in_parent, in_other = len(records.numbers(parent)), len(records.numbers(other))
    records.split(parent)
    records.put(values(40))
    with reading(records, tmp_path) as reader:
        reader.read(in_parent + len(records.numbers(other)))
        for _ in range(20):
            reader.stream.poll(0)
        assert reader.stream._pending.keys() == {parent, other}
        assert not reader.stream.is_idle(0)
        taken = [reader.take(), reader.take()]
        assert {batch.partition for batch in taken} == {parent, other}
        children = records.shards()[1:]
        reader.read(sum(len(records.numbers(child)) for child in children))
        (_, of_parent) = sorted(taken, key=lambda batch: batch.partition == parent)
        assert reader.ledger[parent] == replace(of_parent.new_position, is_ended=True)
        assert reader.ledger[parent].sequence_number == records.numbers(parent)[-1]
        assert reader.ledger[parent].beginning == str(records.at(parent).beginning)
        batches = {batch.partition: batch for batch in (reader.take(), reader.take())}
        assert batches.keys() == set(children)
        for child in children:
            (first, *_, last) = records.numbers(child)
            assert batches[child].name == f"{records.name}/{child}/{first}-{last}"
            assert batches[child].position is None
        reader.poll_until(lambda: reader.stream.is_caught_up() and reader.stream.is_idle(0))
    assert in_other < len(records.numbers(other))


def test_a_child_of_two_waits_for_both_also_where_another_process_reads_one_of_them(records, tmp_path):
    records.put(values(20))
    mine, theirs = records.shards()
    records.merge(mine, theirs)
    (child,) = records.shards()
    records.put(values(20))
    with reading(records, tmp_path, share=(1, 2)) as reader:
        assert [reader.stream._share.has(shard) for shard in (mine, theirs, child)] == [True, False, True]
        reader.read(len(records.numbers(mine)))
        reader.take()
        reader.poll_until(lambda: reader.ledger[mine].is_ended)
        reader.stream.poll(0.05)
        assert not reader.stream.is_idle(0)
        assert not reader.stream.is_caught_up()
        reader.ledger[theirs] = Position.of_shard(
            records.numbers(theirs)[-1], str(records.at(theirs).beginning), is_ended=True
        )
        reader.read(20)
        assert reader.take().partition == child


def test_shards_without_records_end_too(records, tmp_path):
    first, second = records.shards()
    records.merge(first, second)
    records.put(values(3))
    with reading(records, tmp_path) as reader:
        reader.read(3)
        assert [reader.ledger[shard].sequence_number for shard in (first, second)] == [None, None]


def test_an_iterator_that_has_run_out_is_renewed_and_nothing_comes_twice(records, tmp_path):
    records.put(values(10))
    with reading(records, tmp_path) as reader:
        reader.read(10)
        records.fail("ExpiredIteratorException", 4)
        records.put(values(10))
        reader.read(20)
        taken = [reader.take(), reader.take()]
    assert sum(batch.count for batch in taken) == 20
    assert [batch.sequence_numbers.tolist() for batch in taken] == [
        [number.encode() for number in records.numbers(batch.partition)] for batch in taken
    ]


def test_a_stream_that_refuses_for_a_while_is_reported_once_and_read_on(records, tmp_path, caplog):
    records.put(values(10))
    with reading(records, tmp_path) as reader, caplog.at_level(logging.WARNING, LOGGER):
        records.fail("ProvisionedThroughputExceededException", 4)
        reader.read(10)
        (warning,) = caplog.records
        assert "ProvisionedThroughputExceededException" in warning.getMessage()
        records.fail("AccessDeniedException", 1)
        with pytest.raises(SourceError, match=f"Cannot read the Kinesis stream {records.name}: on purpose"):
            reader.poll_until(lambda: False)


def test_a_stream_that_does_not_answer_is_reported_once_and_read_on(records, cloud, tmp_path, caplog):
    records.put(values(10))
    with reading(records, tmp_path) as reader, caplog.at_level(logging.WARNING, LOGGER):
        # For a listing, and for a shard.
        for polls in (1, 4):
            with cloud.dropping(left=0):
                for _ in range(polls):
                    reader.stream.poll(0.3)
            assert len(caplog.records) == 1
            reader.poll_until(lambda: not reader.stream._logged)
            caplog.clear()
        reader.read(10)


def test_a_record_that_kinesis_dropped_before_it_was_read_is_reported(records, tmp_path, caplog):
    first, second = records.shards()
    records.put(values(30))
    with reading(records, tmp_path) as reader:
        reader.read(30)
        reader.take()
        reader.take()
        ledger = reader.ledger
    last = ledger[first].sequence_number
    before = len(records.numbers(first))
    records.put(values(30))
    # All that was read, and two more.
    records.forget(first, before + 2)
    left = records.numbers(first)
    # Of the other the last that was read is there still.
    records.forget(second, 30 - before - 1)
    with (
        caplog.at_level(logging.WARNING, LOGGER),
        reading(records, tmp_path, ledger) as reader,
    ):
        reader.read(len(left) + len(records.numbers(second)) - 1)
        taken = {batch.partition: batch for batch in (reader.take(), reader.take())}
    assert taken[first].name == f"{records.name}/{first}/{left[0]}-{left[-1]}"
    assert taken[first].position.sequence_number == last
    assert [record.getMessage() for record in caplog.records] == [
        f"{records.name}/{first}: Kinesis no longer has {last}, the last that was read, nor what lay before the record "
        f"{left[0]}"
    ]


def test_what_is_read_later_than_it_is_kept_is_reported(records, tmp_path, caplog):
    first, _ = records.shards()
    records.put(values(30))
    for record in records.at(first).records.values():
        record.created_at -= 25 * 3600
    records.put(values(30))
    with (
        caplog.at_level(logging.WARNING, LOGGER),
        reading(records, tmp_path, most=4) as reader,
    ):
        while len(caplog.records) == 0:
            reader.poll_until(reader.stream.due)
            reader.take()
    assert f"{records.name}/{first} is read later than Kinesis keeps its records" in caplog.text


def test_a_shard_that_is_gone_before_it_was_read_to_its_end_is_reported(records, tmp_path, caplog):
    records.put(values(10))
    parent, _ = records.shards()
    with reading(records, tmp_path) as reader:
        reader.read(10)
        reader.take()
        reader.take()
        ledger = reader.ledger
    records.put(values(10))
    records.split(parent)
    records.put(values(10))
    records.forget_shard(parent)
    child, _ = records.shards()[1:]
    with (
        caplog.at_level(logging.WARNING, LOGGER),
        reading(records, tmp_path, ledger) as reader,
    ):
        reader.poll_until(lambda: child in reader.stream._pending)
    assert f"{records.name}/{parent}, which ended before {child} began, is gone before it was in" in caplog.text


def test_a_batch_that_cannot_go_in_as_one_is_cut_between_its_records(records, tmp_path):
    records.put([*values(7), b"", *values(7), b""])
    with reading(records, tmp_path) as reader:
        reader.read(16)
        batch = reader.stream.batches()[0]
        numbers = records.numbers(batch.partition)
        halves = batch.halves()
        begin, end = halves
        assert [half.count for half in halves] == [(batch.count + 1) // 2, batch.count // 2]
        middle = begin.count
        assert begin.name == f"{records.name}/{batch.partition}/{numbers[0]}-{numbers[middle - 1]}"
        assert end.name == f"{records.name}/{batch.partition}/{numbers[middle]}-{numbers[-1]}"
        assert (begin.position, begin.next_offset) == (None, numbers[middle - 1])
        assert (end.position.sequence_number, end.next_offset) == (numbers[middle - 1], numbers[-1])
        data = records.data()
        for half in halves:
            lines = half.path.read_bytes().splitlines()[half.first_line - 1 :]
            places = [*half.offsets.tolist(), *(place for place, *_ in half.rejects)]
            assert sorted(places) == list(range(1, half.count + 1))
            assert [data[half.sequence_number(place)] for place in half.offsets.tolist()] == lines
            assert [data[half.sequence_number(place)] for place, *_ in half.rejects] == [b""] * len(half.rejects)


def test_a_stream_made_again_is_noticed_and_read_from_its_beginning(cloud, place):
    name = f"stream-{next(_names)}"
    old, new = messages("cdr", 60, 1), messages("cdr", 150, 2)
    records = Records(cloud, name)
    records.put([record.line() for record in old])
    # Its shards end, and those of the new stream have their names.
    records.merge(*records.shards())
    ended = end_of(consume(place, "cdr", name))
    assert (ended.code, ended.err) == (0, "")
    with place.alias() as alias:
        assert StreamPosition.objects.using(alias).filter(is_ended=True).count() == 2
        (former,) = set(StreamPosition.objects.using(alias).values_list("stream_id", flat=True))
    records.delete()
    records = Records(cloud, name, shards=3)
    records.put([record.line() for record in new])
    ended = end_of(consume(place, "cdr", name))
    with place.alias() as alias:
        (created,) = set(StreamPosition.objects.using(alias).filter(generation=2).values_list("stream_id", flat=True))
        names = Batch.objects.using(alias).order_by("id").values_list("name", "lines")
        assert sum(lines for one, lines in names if one.startswith(f"{name}@2/shardId-")) == 150
        assert sum(lines for one, lines in names if one.startswith(f"{name}/shardId-")) == 60
        assert len(names) == len(set(names))
        notes = Run.objects.using(alias).latest("id").notes
    assert created > former
    assert (ended.code, ended.err) == (
        0,
        f"recreated {name}: it was made at {created}, and the ingested one was made at {former}; it is read from its "
        f"beginning, in batches of {name}@2\n",
    )
    assert notes == ended.err.strip().replace(f"recreated {name}", f"{name} was recreated")
    check_tables(place, [*old, *new])
    ended = end_of(consume(place, "cdr", name))
    assert (ended.code, ended.err) == (0, "")


def test_a_stream_made_again_is_reported_by_its_shards_where_the_ledger_does_not_know_when_it_was_made(
    records, tmp_path
):
    records.put(values(10))
    first, second = records.shards()
    # As the ledger has shards from before it kept that: of the first another one, and one that is gone.
    ledger = {
        first: Position.of_shard("9", "7", is_ended=True),
        "shardId-000000000009": Position.of_shard("9", "8"),
    }
    with reading(records, tmp_path, ledger) as reader:
        reader.read(10)
        taken = {batch.partition: batch for batch in (reader.take(), reader.take())}
        (news,) = reader.stream.recreated()
    beginning = records.at(first).beginning
    assert news.reason == (
        f"{first} begins with the record {beginning} now, and began with 7; it is read from its beginning, in batches "
        f"of {records.name}@2"
    )
    assert {batch.name.split("/")[0] for batch in taken.values()} == {f"{records.name}@2"}
    assert [taken[shard].position for shard in (first, second)] == [Position.of_shard("9", "7", is_ended=True), None]


def test_a_stream_made_again_beneath_a_consumer_is_read_from_its_beginning(cloud, records, tmp_path):
    records.put(values(20))
    with reading(records, tmp_path) as reader:
        reader.read(20)
        reader.take()
        # The rest is read, and not in.
        records.delete()
        again = Records(cloud, records.name)
        again.put(values(50))
        reader.poll_until(lambda: not reader.stream._is_same())
        reader.read(50)
        taken = [reader.take(), reader.take()]
        assert [news.what for news in reader.stream.recreated()] == [records.name]
    assert sum(batch.count for batch in taken) == 50
    assert {batch.name.split("/")[0] for batch in taken} == {f"{records.name}@2"}


@pytest.mark.parametrize("of", [1, 2, 3])
def test_every_shard_is_of_one_process(of):
    for number in range(20):
        assert [Share(one, of).has(f"shardId-{number:012}") for one in range(1, of + 1)].count(True) == 1


def test_a_stream_that_is_not_there_ends_the_consumer(place, cloud):
    with pytest.raises(CommandError, match=r"Cannot read the Kinesis stream none: Stream none .* not found"):
        call_command("consume_stream", "--source=kinesis", "--feed=cdr", "--stream=none")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--source=kinesis"],
        ["--stream=calls"],
        ["--source=kinesis", "--stream=calls", "--topic=calls"],
        ["--source=kinesis", "--stream=calls", "--shards=3/2"],
        ["--bootstrap-servers=127.0.0.1:1", "--topic=calls", "--group=g", "--shards=1/2"],
    ],
)
def test_what_does_not_go_together_is_refused(arguments):
    with pytest.raises(CommandError) as raised:
        call_command("consume_stream", "--feed=cdr", *arguments)
    assert raised.value.returncode in (1, 2)
