"""Live counts: each message of a stream once, by the second and the minute of its own time; held against a twin."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest
from django.db import transaction
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kpis import pipeline
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.feeds import Feed
from kpis.models import LiveCount, LiveFeed
from kpis.stages.prepare import prepare
from kpis.store.errors import Overtaken
from kpis.store.ledger import DatabaseLedger
from tests.effort import times
from tests.factories import make_run
from tests.twin import Call, Message, Record, moment
from tests.unit.sources.test_stream import spooled

pytestmark = pytest.mark.django_db

START = 1626566400  # 2021-07-18T00:00:00Z
OPTIONS = pipeline.Options(max_reject_ratio=1)
# How many seconds before now: within the seconds, within the minutes, before both, ahead by a little and by far; with
# room for the clock to go on while a test runs.
RECENT, PAST, LONG_AGO = (0, 600), (1100, 3000), (3900, 10**8)
# What is further ahead than MAX_CLOCK_AHEAD is a reject.
AHEAD, FAR_AHEAD = (-40, 0), (-86_000, -600)
AGES = st.one_of(*(st.integers(*ages) for ages in (RECENT, RECENT, PAST, LONG_AGO, AHEAD, FAR_AHEAD)))

calls = st.builds(
    Call,
    AGES,
    county=st.sampled_from(["Kern", "KERN", "Los Angeles", "Ñuñoa"]),
    operator=st.sampled_from(["O2", "Vodafone"]),
    call_type=st.just("CALL"),
)
messages = st.builds(
    Message, AGES, device=st.just(1), antenna=st.just(1), bytes=st.just(1), app=st.sampled_from(["SKYPE", "app"])
)


class Stream:
    """Takes messages of one partition in."""

    def __init__(self, feed: Feed, engine: pipeline.Engine):
        self._feed, self._engine, self._ledger = feed, engine, DatabaseLedger(make_run())

    def ingest(self, records: list[Record], position: int) -> None:
        """Takes records in as the batch that follows on so many."""
        values = [(position + number, record.line().encode()) for number, record in enumerate(records)]
        batch = spooled(values, position or None, self._engine.scratch / "messages", self._feed)
        with prepare(batch, self._engine, OPTIONS) as one:
            list(pipeline.run_prepared([one], self._ledger, self._engine, OPTIONS))


class Killed(Exception):
    """Stands for the end of a process before its commit."""


def counted(records: list[Record], now: int) -> dict:
    """The twin: (feed's dimension, length, start, group) and how many records, of what is recent."""
    found: Counter = Counter()
    for record in records:
        named = {"app": record.app} if isinstance(record, Message) else {
            "county": record.county, "operator": record.operator,
        }  # fmt: skip
        age = now - record.start
        for length, kept in ((1, 960), (60, 3720)):
            if -60 < age < kept:
                for dimension, name in named.items():
                    found[dimension, length, record.start - record.start % length, name] += 1
    return dict(found)


def stored() -> dict:
    """The table's counts, in the shape of the twin."""
    return {
        (dimension, row.length, round(row.start_timestamp.timestamp()), name): count
        for row in LiveCount.objects.all()
        for dimension, counts in row.groups.items()
        for name, count in counts.items()
    }


@pytest.mark.sqlite_alone
@pytest.mark.parametrize(("feed", "record"), [(CDR, calls), (ANTENNA, messages)], ids=["cdr", "antenna"])
def test_each_message_counts_once_in_its_second_and_minute(feed, record, lake_dir):
    # Each batch with its fate: in, killed before its commit and tried again, or in and tried again.
    fates = st.sampled_from(["in", "killed", "doubled"])
    histories = st.lists(st.tuples(st.lists(record, min_size=1, max_size=12), fates), min_size=1, max_size=4)

    # Here the time of a record is its age.
    one = Call(5, "Kern", "O2", "CALL") if feed is CDR else Message(5, 1, 1, 1, "SKYPE")

    @hypothesis_settings(max_examples=times("LIVE_HISTORIES", 2, 40))
    @example([([one], fate) for fate in ("in", "killed", "doubled")])
    @given(histories)
    def check(history):
        now, taken = int(time.time()), []
        with transaction.atomic():
            stream = Stream(feed, engine)
            for ages, fate in history:
                records = [replace(one, start=now - one.start) for one in ages]
                if fate == "killed":
                    with suppress(Killed), transaction.atomic():
                        stream.ingest(records, len(taken))
                        raise Killed
                stream.ingest(records, len(taken))
                if fate == "doubled":
                    with pytest.raises(Overtaken):
                        stream.ingest(records, len(taken))
                taken += records
            assert stored() == counted(taken, now)
            assert LiveFeed.objects.get().revision == len(history)
            transaction.set_rollback(True)

    with pipeline.engine(lake_dir) as engine:
        # What is undone after each history is not whose lake it is.
        DatabaseLedger().bind(engine.lake)
        check()


def test_what_is_old_by_the_clock_is_forgotten_with_the_next_batch(lake_dir):
    now = int(time.time())
    old = {"feed": "cdr", "groups": {"county": {"Kern": 1}}, "revision": 1}
    for length, kept, gone in ((1, 900, 1000), (60, 3660, 3840)):
        for age in (kept, gone):
            start = moment((now - age) // length * length)
            LiveCount.objects.create(length=length, start_timestamp=start, **old)
    with pipeline.engine(lake_dir) as engine:
        # Itself too old to be counted.
        Stream(CDR, engine).ingest([Call(START, "Kern", "O2", "CALL")], 0)
    starts = LiveCount.objects.order_by("length").values_list("length", "start_timestamp")
    assert list(starts) == [(1, moment(now - 900)), (60, moment((now - 3660) // 60 * 60))]


def test_beyond_so_many_groups_the_records_count_without_a_name(lake_dir):
    now = int(time.time())
    with pipeline.engine(lake_dir) as engine:
        stream = Stream(CDR, engine)
        stream.ingest([Call(now, f"County {number:03}", "O2", "CALL") for number in range(150)], 0)
        stream.ingest([Call(now, f"County {number:03}", "O2", "CALL") for number in range(100, 260)], 150)
    groups = LiveCount.objects.get(length=1).groups
    named = {f"County {number:03}": 2 if 100 <= number < 150 else 1 for number in range(200)}
    assert groups == {"county": named | {"": 60}, "operator": {"O2": 310}}


def test_the_delay_is_that_of_the_median_record_however_old(lake_dir):
    now = time.time()
    ages = (100, 7200, 7300)
    with pipeline.engine(lake_dir) as engine:
        Stream(CDR, engine).ingest([Call(int(now) - age, "Kern", "O2", "CALL") for age in ages], 0)
    live = LiveFeed.objects.get()
    assert live.delay == (live.committed_at - moment(int(now) - 7200)).total_seconds()
