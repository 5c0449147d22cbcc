"""A stream's batches in the ledger: each message once, rejects by their offsets, overtaken consumers refused."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest
from django.core.management import CommandError, call_command

from kpis import pipeline
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.feeds import Feed
from kpis.engine.scratch import ScratchError
from kpis.ingest.events import log_event
from kpis.ingest.runs import mark_for_retry
from kpis.lake import Lake, combine
from kpis.models import Batch, DueCompaction, DueRollup, IntervalSummary, LakeFile, Reject, StreamPosition, Watermark
from kpis.sources.batch import Step
from kpis.sources.messages import Messages
from kpis.sources.positions import Origin, Position
from kpis.sources.spool import Spool
from kpis.stages.prepare import prepare
from kpis.store.errors import Overtaken, SeveralFailed
from kpis.store.ledger import DatabaseLedger
from network_analysis_kinesis.records import ShardRecords, ShardSpool
from tests.factories import make_run
from tests.twin import Call, expected, moment, stored
from tests.twin import Message as AntennaMessage

START = 1626566400  # 2021-07-18T00:00:00Z
# An offset and a value.
Message = tuple[int, bytes | None]
OPTIONS = pipeline.Options(max_reject_ratio=1, archive_feeds=frozenset({"antenna"}))

pytestmark = pytest.mark.django_db


@pytest.fixture
def ingest(tmp_path, lake_dir):
    """Takes messages of partition 3 in, after those up to a position; gives what happened."""
    ledger = DatabaseLedger(make_run())
    with pipeline.engine(lake_dir) as engine:

        def ingest(
            messages: list[Message], position: int | None, feed: Feed = ANTENNA, lateness: int = 0
        ) -> pipeline.Event:
            batch = spooled(messages, position, tmp_path / "messages", feed)
            return run(batch, replace(OPTIONS, allowed_lateness=timedelta(seconds=lateness)))

        def run(batch: Messages, options: pipeline.Options = OPTIONS) -> pipeline.Event:
            with prepare(batch, engine, options) as one:
                first, *_ = pipeline.run_prepared([one], ledger, engine, options)
            return first

        ingest.run = run
        yield ingest


def spooled(
    messages: list[Message], position: int | None, path: Path, feed: Feed = ANTENNA, times: Sequence[int | None] = ()
) -> Messages:
    spool = Spool(feed, path)
    offsets, values = zip(*messages, strict=True)
    spool.add(offsets, values, times=times)
    return spool.messages("calls", 3, None if position is None else Position.of_topic(position))


def antenna(second: int, size: int = 1) -> AntennaMessage:
    return AntennaMessage(START + second, device=1, antenna=second % 3, bytes=size, app="SKYPE")


def values(records, first: int = 0) -> list[Message]:
    return [(offset, record.line().encode()) for offset, record in enumerate(records, first)]


def without_batches(figures: dict) -> dict:
    """Summaries without the number of batches, which is the consumers' affair."""
    return {key: (*summary[:3], summary[4]) for key, summary in figures.items()}


def check_tables(records: list, lateness: int = 0) -> None:
    rows, summaries = expected({"one": records}, max(record.start for record in records) - lateness)
    found = stored()
    assert found[0] == rows
    assert without_batches(found[1]) == without_batches(summaries)


def test_batches_of_messages_give_what_a_file_of_them_gives(ingest):
    records = [antenna(second, second) for second in range(0, 900, 7)]
    for first in range(0, len(records), 50):
        ingest(values(records[first : first + 50], first), first or None)
    check_tables(records)
    assert list(Batch.objects.order_by("id").values_list("name", "lines", "records")) == [
        ("calls/3/0-49", 50, 50),
        ("calls/3/50-99", 50, 50),
        ("calls/3/100-128", 29, 29),
    ]
    assert StreamPosition.objects.values_list("feed", "stream", "partition", "position").get() == (
        "antenna", "calls", "3", "129",
    )  # fmt: skip


@pytest.fixture
def read(monkeypatch) -> list[PurePosixPath]:
    """The lake's files that were read to compute an interval."""
    files_read: list[PurePosixPath] = []
    original = Lake.tables

    def tables(self, files, compaction=False):
        if not compaction:
            files_read.extend(files)
        return original(self, files, compaction)

    monkeypatch.setattr(Lake, "tables", tables)
    return files_read


def days_late(feed: Feed, number: int, seconds: int) -> list:
    """Messages in their order over so many seconds, of which one in a hundred is up to three days late."""
    random_ = random.Random(4)  # noqa: S311
    some = random_.randrange

    def made(place: int) -> Call | AntennaMessage:
        second = place * seconds // number - (some(3 * 86_400) if place % 100 == 50 else 0)
        if feed is CDR:
            return Call(START + second, f"County {some(9)}", random_.choice(["Vodafone", "O2"]), "CALL")
        return AntennaMessage(START + second, some(50), some(9), some(999), "SKYPE")

    return [made(place) for place in range(number)]


@pytest.mark.parametrize("feed", [ANTENNA, CDR], ids=lambda feed: feed.name)
def test_messages_of_which_one_in_a_hundred_is_up_to_three_days_late_give_what_a_file_of_them_gives(ingest, read, feed):
    records = days_late(feed, 6_000, 4_200)
    for first in range(0, len(records), 1_500):
        ingest(values(records[first : first + 1_500], first), first or None, feed)
    check_tables(records)
    assert len({record.start // 3600 for record in records}) >= 40
    # No batch reads what those before it wrote.
    assert read == []
    # Of the hours that have closed none is left to be computed again.
    assert not DueRollup.objects.filter(interval_start_timestamp__lt=moment(START + 3600)).exists()


def test_a_batch_over_many_intervals_of_one_hour_reads_none_of_the_batches_before(ingest, read):
    records = [Call(START + second * 37 % 3600, "Kern", "O2", "CALL") for second in range(90)]
    for first in range(0, len(records), 30):
        ingest(values(records[first : first + 30], first), first or None, CDR)
    check_tables(records)
    assert read == []


def test_hours_that_were_first_computed_at_different_moments_are_computed_again_together(ingest, monkeypatch):
    commits = []
    original = DatabaseLedger.commit_rollup

    def commit_rollup(self, feed, length, starts, results, moments):
        commits.append((str(length), len(starts), len(set(moments.values()))))
        original(self, feed, length, starts, results, moments)

    records = [Call(START + 3600 * hour, f"County {hour}", "O2", "CALL") for hour in range(6)]
    for offset in range(6):
        ingest(values(records[offset : offset + 1], offset), offset or None, CDR)
    monkeypatch.setattr(DatabaseLedger, "commit_rollup", commit_rollup)
    records += [Call(START + 3600 * hour + 60, "Kern", "O2", "TEXT") for hour in range(5)]
    ingest(values(records[6:], 6), 6, CDR)
    check_tables(records)
    assert commits == [("5 minutes", 5, 5), ("1 hour", 5, 5)]


def test_an_hour_that_late_messages_touch_again_and_again_is_compacted_once_in_a_while(ingest, lake_dir, monkeypatch):
    def files() -> int:
        (hour,) = lake_dir.glob("partials/AntennaTrafficVolume/year=2021/month=07/day=18/hour=00")
        return len(list(hour.iterdir()))

    monkeypatch.setattr("kpis.stages.engine.PAUSE_SECONDS", 3600)
    records = [antenna(second, second) for second in range(0, 7200, 100)] + [antenna(50, size) for size in range(4)]
    counts = []
    for first, end in pairwise([0, 24, 48, 72, 73, 74, 75]):
        ingest(values(records[first:end], first), first or None)
        counts.append(files())
    # The second batch closes the hour, and the third, which does not touch it, compacts it.
    assert counts == [1, 2, 1, 2, 3, 4]
    assert list(DueCompaction.objects.values_list("interval_start_timestamp", flat=True)) == [moment(START)]
    # It stays due, for a while later or for the next process.
    monkeypatch.setattr("kpis.stages.engine.PAUSE_SECONDS", 0)
    ingest(values(records[75:], 75), 75)
    assert files() == 1
    check_tables(records)


def test_a_lost_partial_keeps_no_messages_out_and_they_count_once_it_is_back(tmp_path, lake_dir):
    ledger = DatabaseLedger(make_run())
    records = [Call(START + second, f"County{second % 2}", "O2", "CALL") for second in range(12)]

    def ingest(engine, first: int) -> list[pipeline.Event]:
        batch = spooled(values(records[first : first + 4], first), first or None, tmp_path / "messages", CDR)
        with prepare(batch, engine, OPTIONS) as one:
            return list(pipeline.run_prepared([one], ledger, engine, OPTIONS))

    with pipeline.engine(lake_dir) as engine:
        ingest(engine, 0)
    (lost,) = lake_dir.glob("partials/CountyCallVolume/**/*.parquet")
    content = lost.read_bytes()
    lost.unlink()
    with pipeline.engine(lake_dir) as engine:
        ingested, failed = ingest(engine, 4)
        assert isinstance(ingested, pipeline.Ingested)
        assert (failed.what, str(lost) in failed.reason) == ("cdr, 1 minute from 2021-07-18T00:00:00Z", True)
        # What has just failed is neither reported nor retried with every batch.
        (ingested,) = ingest(engine, 8)
        assert isinstance(ingested, pipeline.Ingested)
    state = IntervalSummary.objects.filter(interval=3).values_list("state", "total")
    assert state.get(kpi=10) == ("incomplete", 4)
    assert state.get(kpi=11) == ("provisional", 12)
    lost.write_bytes(content)
    with pipeline.engine(lake_dir) as engine:
        assert [type(event) for event in pipeline.roll_up(ledger, engine, OPTIONS)] == [pipeline.RolledUp]
    check_tables(records)


def test_an_interval_is_final_when_newer_messages_than_may_be_late_are_in(ingest):
    records = [antenna(0), antenna(299), antenna(3599)]
    ingest(values(records), None, lateness=60)
    check_tables(records, lateness=60)
    # 59 seconds after the hour it could still have messages, which come indeed; with 60 it is over.
    records += [antenna(3659), antenna(1)]
    ingest(values(records[3:], 3), 3, lateness=60)
    assert states() == {0: "final", 3300: "provisional", 3600: "provisional"}
    check_tables(records, lateness=60)
    records.append(antenna(3660))
    ingest(values(records[5:], 5), 5, lateness=60)
    assert states() == {0: "final", 3300: "final", 3600: "provisional"}
    check_tables(records, lateness=60)
    before = IntervalSummary.objects.get(kpi=4, interval=2)
    # What comes later still counts.
    records.append(antenna(2, 7))
    ingest(values(records[6:], 6), 6, lateness=60)
    check_tables(records, lateness=60)
    after = IntervalSummary.objects.get(kpi=4, interval=2)
    assert (after.state, after.revision, after.total - before.total) == ("final", before.revision + 1, 7)


def states() -> dict[int, str]:
    """The state of each 5 minutes by their start."""
    summaries = IntervalSummary.objects.filter(kpi=4, interval=1)
    return {
        round(one.interval_start_timestamp.timestamp()) - START: one.state
        for one in summaries.order_by("interval_start_timestamp")
    }


def test_a_message_from_the_future_closes_nothing(ingest):
    # Of the year 5138, and of tomorrow, which counts.
    future = [antenna(10**11 - START), antenna(int(time.time()) - START + 80000)]
    ingest(values([antenna(0), *future]), None)
    assert Reject.objects.values_list("line", "column", "reason").get() == (
        1, "timestamp", "lies more than 86,400 seconds ahead of the clock",
    )  # fmt: skip
    assert len(states()) == 2
    assert set(states().values()) == {"provisional"}
    assert Watermark.objects.get().closed_until == moment(START)
    assert Watermark.objects.get().newest_interval_end == moment(START + 300)
    ingest(values([antenna(3600)], 3), 3)
    assert Watermark.objects.get().closed_until == moment(START + 3600)
    assert IntervalSummary.objects.get(kpi=4, interval=2).state == "final"


def test_a_file_closes_its_intervals_whatever_the_lateness_of_messages(ingest, data_dir, settings):
    settings.ALLOWED_LATENESS = timedelta(hours=5)
    ingest(values([antenna(0)]), None, lateness=3600)
    assert states() == {0: "provisional"}
    (data_dir / "antenna_data.1.jsonl").write_text(antenna(3590).line() + "\n")
    call_command("update_network_stats", verbosity=0)
    assert states() == {0: "final", 3300: "final"}
    assert IntervalSummary.objects.get(kpi=4, interval=2).state == "final"


def test_a_batch_of_messages_is_logged_as_what_it_is(ingest, caplog):
    event = ingest(values([antenna(1)]), None)
    with caplog.at_level("INFO", "kpis.ingest.events"):
        log_event(event)
    (logged,) = caplog.records
    assert (logged.message, logged.topic, logged.partition, logged.offsets) == ("messages ingested", "calls", 3, "0-0")


def test_what_came_as_messages_is_compacted_and_rebuilt_as_what_came_as_files(ingest, lake_dir):
    records = [antenna(second, second) for second in range(0, 7200, 100)]
    for first in range(0, len(records), 24):
        ingest(values(records[first : first + 24], first), first or None)
    # The last batch but one closed the first hour; a late one, and the run after it, put its partials together.
    late = antenna(50, 3)
    ingest(values([late], 72), 72)
    before = stored()
    call_command("update_network_stats", "--rebuild", "2021-07-18T00:00Z", "2021-07-18T02:00Z", verbosity=0)
    assert stored() == before
    assert list(lake_dir.glob("partials/**/compacted-*"))
    check_tables([*records, late])


def test_what_is_no_message_of_the_feed_is_a_reject_with_its_offset(ingest):
    good = [antenna(0, 5), antenna(1, 7), antenna(2, 9)]
    first, second, third = (record.line().encode() for record in good)
    # Compaction and transactions leave gaps between the offsets.
    StreamPosition.objects.create(feed="antenna", source="kafka", stream="calls", partition="3", position="5")
    messages = [
        (10, None),
        (11, first),
        (12, b""),
        (13, b" \r\n"),
        (20, b"\xff\xfe{}"),
        (21, second + b"\r\n"),
        (22, second + b"\n" + third),
        (23, b'{"timestamp": }'),
        (31, third),
        (32, b"a\0b"),
        (33, b"[1]"),
    ]
    ingest(messages, 5)
    assert list(Reject.objects.order_by("line").values_list("line", "column", "reason", "text")) == [
        (10, "", "is null", ""),
        (12, "", "is empty", ""),
        (13, "", "is empty", " \r\n"),
        (20, "", "is not valid UTF-8", "\\xff\\xfe{}"),
        (22, "", "holds a line end", f"{second.decode()}\n{third.decode()}"),
        (23, "", "is not JSON: Expecting value at character 15", '{"timestamp": }'),
        (32, "", "holds a NUL byte", "a\\x00b"),
        (33, "", "is JSON, but not an object", "[1]"),
    ]
    batch = Batch.objects.get()
    assert (batch.name, batch.lines, batch.records, batch.rejects) == ("calls/3/10-33", 11, 3, 8)
    check_tables(good)


def test_no_call_record_is_taken_for_a_header(ingest):
    call = Call(START, "Kern", "Vodafone", "CALL")
    header = b"SourcePN,DestPN,Location,StartT,EndT,Type,Company"
    ingest([(0, header), (1, call.line().encode()), (2, header), (3, b"SourcePN,1")], None, CDR)
    assert list(Reject.objects.order_by("line").values_list("line", "reason")) == [
        (0, "repeats the header"),
        (2, "repeats the header"),
        (3, "has 2 fields where the header has 7"),
    ]
    check_tables([call])


def test_a_batch_of_rejects_alone_is_in(ingest):
    ingest([(0, None), (1, b"")], None)
    ingest([(2, b"{}")], 2)
    assert list(Batch.objects.order_by("id").values_list("name", "status", "lines", "rejects")) == [
        ("calls/3/0-1", "in", 2, 2),
        ("calls/3/2-2", "in", 1, 1),
    ]


@pytest.mark.parametrize("position", [None, 0, 4, 6], ids=["unaware", "at the start", "behind", "ahead"])
def test_a_consumer_that_was_overtaken_is_refused_and_changes_nothing(ingest, position):
    records = [antenna(second) for second in range(5)]
    ingest(values(records), None)
    with pytest.raises(Overtaken, match="Another consumer has ingested calls/3 meanwhile"):
        ingest(values([antenna(99, 1000)], position or 0), position)
    # What it had brought into the lake goes with the next batch, whosever it is.
    ingest(values([antenna(6)], 5), 5)
    check_tables([*records, antenna(6)])
    assert StreamPosition.objects.get().position == "6"


def test_a_message_that_cannot_be_counted_stands_alone(ingest):
    largest = antenna(1, 2**63 - 1)
    ingest(values([largest]), None)
    with pytest.raises(SeveralFailed):
        ingest(values([antenna(2), antenna(400)], 1), 1)
    assert StreamPosition.objects.get().position == "1"
    assert isinstance(ingest(values([antenna(2)], 1), 1), pipeline.Failed)
    ingest(values([antenna(400)], 2), 2)
    check_tables([largest, antenna(400)])
    assert Batch.objects.values_list("name", "lines").get(status="failed") == ("calls/3/1-1", 1)
    assert mark_for_retry(Batch.objects.all()) == 0
    assert StreamPosition.objects.get().position == "3"


def test_messages_are_not_lost_with_their_temporary_file(ingest, tmp_path):
    batch = spooled(values([antenna(1)]), None, tmp_path / "messages")
    batch.path.unlink()
    with pytest.raises(
        ScratchError, match="where the messages of calls/3/0-0 are spooled, vanished before it was read"
    ):
        ingest.run(batch)
    assert not Batch.objects.exists()
    assert not StreamPosition.objects.exists()


def test_messages_of_a_topic_made_again_count_beside_those_of_the_old_one_and_overtake_who_has_not_heard(
    ingest, tmp_path
):
    old, new = [antenna(second) for second in range(5)], [antenna(second, 100) for second in range(7)]
    first, second = Origin("first", 1), Origin("second", 2)

    def batch(records: list, position: Position | None, origin: Origin, offset: int = 0) -> Messages:
        spool = Spool(ANTENNA, tmp_path / "messages")
        spool.add(*zip(*values(records, offset), strict=True))
        return spool.messages("calls", 3, position, origin)

    ingest.run(batch(old, None, first))
    ingest.run(batch(new[:5], Position.of_topic(5, first), second))
    # The same offsets, of a consumer that still reads the old topic, and of one that reads the new one too.
    for origin in (first, second):
        with pytest.raises(Overtaken):
            ingest.run(batch([antenna(1, 7)], Position.of_topic(5, first), origin, 5))
    ingest.run(batch(new[5:], Position.of_topic(5, second), second, 5))
    check_tables([*old, *new])
    assert list(Batch.objects.order_by("id").values_list("name", "lines")) == [
        ("calls/3/0-4", 5),
        ("calls@2/3/0-4", 5),
        ("calls@2/3/5-6", 2),
    ]
    assert DatabaseLedger().positions(ANTENNA, "kafka", "calls") == {"3": Position.of_topic(7, second)}
    assert Batch.objects.order_by("id").last().title == "calls@2, partition 3, offsets 5-6"


# As many digits as Kinesis's numbers may have; they differ in the last ones.
NUMBER = 10**128
SHARD = "shardId-000000000007"


def shard_records(records, first: int, position: int | None, path: Path) -> ShardRecords:
    spool = ShardSpool(ANTENNA, path, str(NUMBER))
    spool.add_records([str(NUMBER + first + place) for place in range(len(records))], records)
    return spool.messages("s" * 128, SHARD, position and Position.of_shard(str(NUMBER + position), str(NUMBER)))


def test_a_shards_records_count_once_by_their_sequence_numbers(ingest, tmp_path):
    records = [antenna(second) for second in range(6)]
    lines = [record.line().encode() for record in records]
    path, ledger = tmp_path / "records", DatabaseLedger()

    def position() -> Position | None:
        return ledger.positions(ANTENNA, "kinesis", "s" * 128).get(SHARD)

    def end(number: int) -> bool:
        here = Position.of_shard(str(NUMBER + number), str(NUMBER))
        return ledger.advance(ANTENNA, Step("kinesis", "s" * 128, SHARD, here, replace(here, is_ended=True)))

    ingest.run(shard_records([lines[0], b"", lines[1]], 1, None, path))
    assert position() == Position.of_shard(str(NUMBER + 3), str(NUMBER))
    for other in (None, 2, 4):
        with pytest.raises(Overtaken, match=f"Another consumer has ingested s*/{SHARD} meanwhile"):
            ingest.run(shard_records([lines[2]], 4, other, path))
    ingest.run(shard_records(lines[2:], 4, 3, path))
    check_tables(records)
    assert list(Batch.objects.order_by("id").values_list("name", "lines", "rejects")) == [
        (f"{'s' * 128}/{SHARD}/{NUMBER + 1}-{NUMBER + 3}", 3, 1),
        (f"{'s' * 128}/{SHARD}/{NUMBER + 4}-{NUMBER + 7}", 4, 0),
    ]
    assert Reject.objects.values_list("line", "sequence_number", "reason").get() == (2, str(NUMBER + 2), "is empty")
    # It ends only where all of it is in.
    assert not end(3)
    assert not position().is_ended
    assert end(7)
    assert position() == Position.of_shard(str(NUMBER + 7), str(NUMBER), is_ended=True)


def test_a_shard_ends_without_records_where_none_is_in(ingest, tmp_path):
    ledger = DatabaseLedger()
    nothing = Position.of_shard(None, str(NUMBER), is_ended=True)
    assert ledger.advance(ANTENNA, Step("kinesis", "empty", SHARD, None, nothing))
    assert not ledger.advance(ANTENNA, Step("kinesis", "empty", SHARD, None, nothing))
    assert ledger.positions(ANTENNA, "kinesis", "empty") == {SHARD: nothing}
    ingest.run(shard_records([antenna(1).line().encode()], 1, None, tmp_path / "records"))
    assert not ledger.advance(ANTENNA, Step("kinesis", "s" * 128, SHARD, None, nothing))
    assert not ledger.positions(ANTENNA, "kinesis", "s" * 128)[SHARD].is_ended


def test_positions_are_kept_apart_by_source_feed_and_exact_name():
    ledger = DatabaseLedger()
    kept = {
        (CDR, "kafka", "calls", "0"): Position.of_topic(2**63 - 1, Origin("aB", 1), "7-ab"),
        (CDR, "kafka", "Calls", "0"): Position.of_topic(1),
        (ANTENNA, "kafka", "calls", "0"): Position.of_topic(2),
        (CDR, "kinesis", "calls", "shardId-000000000000"): Position.of_shard("9" * 129, "1", Origin("2026", 3)),
        (CDR, "kinesis", "calls", "shardid-000000000000"): Position.of_shard(None, "2", is_ended=True),
    }
    for (feed, source, stream, partition), position in kept.items():
        assert ledger.advance(feed, Step(source, stream, partition, None, position))
    found = {
        (feed, source, stream, partition): position
        for feed, source, stream in dict.fromkeys(place[:3] for place in kept)
        for partition, position in ledger.positions(feed, source, stream).items()
    }
    assert found == kept
    # An id is compared exactly too: Kafka's differ in the case of their letters.
    other = Position.of_topic(2**63 - 1, Origin("Ab", 1), "7-ab")
    assert not ledger.advance(CDR, Step("kafka", "calls", "0", other, Position.of_topic(1)))


def test_without_its_client_the_command_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(CommandError, match=r"^Streams from Kafka need confluent-kafka: pip install "):
        call_command("consume_stream", feed="cdr", bootstrap_servers="127.0.0.1:1", topic="calls", group="g")


def test_a_stream_of_many_small_batches_leaves_few_lake_files_an_hour(ingest, lake_dir, monkeypatch):
    monkeypatch.setattr(combine, "MOST_FILES_AN_HOUR", 6)
    monkeypatch.setattr(combine, "FILES_TO_JOIN", 4)
    records = [AntennaMessage(START + 6 * number, number % 7, number % 3, number, "SKYPE") for number in range(60)]
    for first in range(0, 60, 2):
        ingest(values(records[first : first + 2], first), first or None)
    for kpi in ("AntennaTrafficVolume", "AppTrafficVolume", "UserTrafficVolume"):
        assert len(list(lake_dir.glob(f"partials/{kpi}/**/*.parquet"))) <= 6
    assert not list(lake_dir.glob("staging/*"))
    assert LakeFile.objects.filter(folder__startswith="partials/").count() <= 3 * 6
    rows, _ = stored()
    wanted, _ = expected({"all": records}, START + 360)
    assert {key: one for key, one in rows.items() if key[1] == 3} == {
        key: one for key, one in wanted.items() if key[1] == 3
    }
