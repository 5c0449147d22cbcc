"""Each kind of batch has a name, a range and a position: a file, a partition's messages, a shard's records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kpis.catalog.registry import FEEDS
from kpis.sources.batch import Batch, Step
from kpis.sources.directory import files_named
from kpis.sources.positions import Position
from kpis.sources.spool import Spool
from network_analysis_kinesis.records import ShardSpool

CDR = FEEDS["cdr"]
LATE = timedelta(minutes=3)


def at(hour: int, minute: int) -> datetime:
    return datetime(2018, 4, 30, hour, minute, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Batch:
    path = tmp_path / "cdr_1.csv"
    path.write_bytes(b"a line\n")
    (found,) = files_named([path])
    return found


@pytest.fixture
def messages(tmp_path: Path) -> Batch:
    spool = Spool(CDR, tmp_path / "spool")
    spool.add([7, 9], [b"one", b"two"], arrived=at(12, 0))
    return spool.messages("calls", 3, Position.of_topic(7))


@pytest.fixture
def records(tmp_path: Path) -> Batch:
    spool = ShardSpool(CDR, tmp_path / "spool", "100")
    spool.add_records(["101"], [b"one"])
    return spool.messages("calls", "shard-0", None)


def test_a_file_is_whole(file):
    assert (file.is_followed, file.counts_by_content, file.is_divisible) == (False, True, False)
    assert (file.kind, file.place) == ("file", {"file": "cdr_1.csv"})
    assert (file.step, file.arrived, file.sequence_number(1)) == (None, None, "")
    # Its interval's end, whatever is newest in it.
    assert file.closes([at(9, 0)], at(9, 7), LATE, now=at(12, 0)) == at(9, 0) + CDR.interval.delta


def test_messages_are_followed_by_others(messages):
    assert (messages.is_followed, messages.counts_by_content, messages.is_divisible) == (True, False, True)
    assert (messages.kind, messages.place) == ("messages", {"topic": "calls", "partition": 3, "offsets": "7-9"})
    assert messages.step == Step("kafka", "calls", "3", Position.of_topic(7), Position.of_topic(10))
    assert (messages.arrived, messages.sequence_number(1)) == (at(12, 0), "")
    assert messages.closes([at(9, 0)], at(9, 7), LATE, now=at(12, 0)) == at(9, 4)
    assert messages.closes([], None, LATE, now=at(12, 0)) is None


def test_records_of_a_shard_have_sequence_numbers(records):
    assert records.is_divisible is False
    assert records.place == {"topic": "calls", "partition": "shard-0", "offsets": "101-101"}
    assert records.step == Step("kinesis", "calls", "shard-0", None, Position.of_shard("101", "100"))
    assert records.sequence_number(1) == "101"
