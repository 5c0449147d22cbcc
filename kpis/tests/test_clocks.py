"""Clocks that are wrong: no interval stays final before its end, and the figures are exact all the same."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection

from kpis import clock, pipeline, store
from kpis.catalog.feeds import ANTENNA, CDR
from kpis.clock import Clocks
from kpis.ledger import MemoryLedger, TakenBack
from kpis.models import DueCompaction, DueRollup, IntervalSummary, Watermark
from kpis.sources.places import found_in
from kpis.store import DatabaseLedger
from kpis.tests.factories import make_run
from kpis.tests.test_stream import START, antenna, check_tables, spooled, values
from kpis.tests.twin import Call, Flow, expected, file_text, moment, stored

pytestmark = pytest.mark.django_db

LATENESS = timedelta(seconds=60)
HOUR, DAY = 3600, 86400


class Hands:
    """The clocks' hands, in seconds after START: the host's and the database's."""

    def __init__(self) -> None:
        self.set(0)

    def set(self, host: int, database: int | None = None) -> None:
        """Sets both clocks; the database's is the host's by default, as on SQLite."""
        self.host, self.database = host, host if database is None else database


@pytest.fixture
def hands(monkeypatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "now", lambda: moment(START + hands.host))
    monkeypatch.setattr(store, "database_time", lambda: moment(START + hands.database))
    return hands


@pytest.fixture
def consumer(tmp_path, lake_dir):
    """Takes messages of partition 3 in, and closes by the clock, as a consumer's turns do."""
    ledger = DatabaseLedger(make_run())
    options = pipeline.Options(max_reject_ratio=1, allowed_lateness=LATENESS)
    with pipeline.engine(lake_dir) as engine:

        class Consumer:
            offset = 0

            def take_in(self, *records) -> list[pipeline.Event]:
                feed = CDR if isinstance(records[0], Call) else ANTENNA
                batch = spooled(values(records, self.offset), self.offset or None, tmp_path / "messages", feed)
                self.offset += len(records)
                by_these = replace(options, clocks=ledger.clocks())
                with pipeline.ready(batch, engine, by_these) as one:
                    return list(pipeline.run_ready([one], ledger, engine, by_these))

            def close(self) -> bool:
                ledger.heed_clocks(ledger.clocks(), LATENESS)
                are_all_closed = ledger.close_by_clock(ANTENNA, LATENESS)
                list(pipeline.roll_up(ledger, engine, options))
                return are_all_closed

        yield Consumer()


def run(*args, **options) -> str:
    """A run over files; returns what it says."""
    out = io.StringIO()
    call_command("update_network_stats", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def states(kpi: int = 4) -> dict[tuple[int, int], tuple[str, int, str]]:
    """Each summary's state, revision and reason, by interval code and start."""
    return {
        (one.interval, round(one.interval_start_timestamp.timestamp()) - START): (one.state, one.revision, one.reason)
        for one in IntervalSummary.objects.filter(kpi=kpi).order_by("interval", "interval_start_timestamp")
    }


def closed_until() -> int:
    return round(Watermark.objects.get().closed_until.timestamp()) - START


def test_what_a_clock_that_was_ahead_closed_is_taken_back_and_closes_in_its_time(hands, consumer):
    hands.set(630)
    records = [antenna(0), antenna(310, 2), antenna(620, 3)]
    consumer.take_in(*records)
    hands.set(DAY)
    assert consumer.close()
    # Not a day: no interval that has records ends later.
    assert closed_until() == HOUR
    assert states() == {
        (1, 0): ("final", 1, ""),
        (1, 300): ("final", 1, ""),
        (1, 600): ("final", 1, ""),
        (2, 0): ("final", 1, ""),
    }
    # A right clock.
    hands.set(640)
    assert not consumer.close()
    back = ("provisional", 2, store.TAKEN_BACK)
    assert states() == {(1, 0): ("final", 1, ""), (1, 300): ("final", 1, ""), (1, 600): back, (2, 0): back}
    assert closed_until() == 640
    summary = IntervalSummary.objects.get(kpi=4, interval=2)
    assert (summary.total, summary.previous_total) == (6, 6)
    assert list(DueRollup.objects.values_list("interval", "changed")) == [(2, False)]
    assert not DueCompaction.objects.exists()
    records.append(antenna(650, 4))
    consumer.take_in(records[-1])
    assert states()[2, 0] == ("provisional", 3, "")
    hands.set(HOUR + 59)
    assert not consumer.close()
    assert states()[2, 0] == ("provisional", 3, "")
    hands.set(HOUR + 60)
    assert consumer.close()
    assert states() == {
        (1, 0): ("final", 1, ""),
        (1, 300): ("final", 1, ""),
        (1, 600): ("final", 3, ""),
        (2, 0): ("final", 4, ""),
    }
    assert not DueRollup.objects.exists()
    assert DueCompaction.objects.count() == 1
    check_tables(records, lateness=650 - HOUR)


def test_a_batch_takes_back_what_a_clock_that_was_ahead_closed(hands, consumer):
    hands.set(DAY)
    consumer.take_in(antenna(0), antenna(HOUR + 100), antenna(2 * HOUR))
    assert closed_until() == 2 * HOUR - 60
    hands.set(HOUR + 30)
    *_, last = consumer.take_in(antenna(HOUR + 20))
    assert last == TakenBack(ANTENNA, moment(START + 2 * HOUR - 60), moment(START + HOUR + 30))
    assert {key: state for key, (state, _, _) in states().items()} == {
        (1, 0): "final",
        (1, HOUR): "provisional",
        (1, 2 * HOUR): "provisional",
        (2, 0): "final",
    }
    # The newest end goes back as well, to that of what is not ahead.
    assert Watermark.objects.get().interval_end_timestamp == moment(START + HOUR + 300)
    assert Watermark.objects.get().ahead_until == moment(START + 2 * HOUR + 300)
    hands.set(3 * HOUR + 60)
    assert consumer.close()
    check_tables([antenna(0), antenna(HOUR + 100), antenna(2 * HOUR), antenna(HOUR + 20)], lateness=-HOUR)


def test_a_run_over_files_takes_back_what_a_clock_that_was_ahead_closed(hands, data_dir):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + 2 * HOUR, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    hands.set(DAY)
    run()
    assert states(1)[2, 0] == ("final", 1, "")
    hands.set(1800)
    said = run()
    assert (
        "taken back ipflow: intervals were closed until 2021-07-18T02:05:00Z, ahead of the clock; those that end after "
        "2021-07-18T00:30:00Z are provisional again\n"
    ) in said
    assert states(1) == {
        (1, 0): ("final", 1, ""),
        (1, 2 * HOUR): ("provisional", 2, store.TAKEN_BACK),
        (2, 0): ("provisional", 2, store.TAKEN_BACK),
    }
    assert "taken back" not in run()
    # In its time the hour is final without a further file, as the one that closes it is there.
    hands.set(2 * HOUR + 299)
    run()
    assert states(1) == {
        (1, 0): ("final", 1, ""),
        (1, 2 * HOUR): ("provisional", 2, store.TAKEN_BACK),
        (2, 0): ("final", 3, ""),
    }
    hands.set(2 * HOUR + 300)
    run()
    assert stored() == expected({"1": flows}, START + 2 * HOUR + 300)


def test_a_file_that_comes_before_its_interval_has_ended_closes_it_in_its_time(hands, data_dir):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + 300, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    hands.set(599)
    run()
    assert stored() == expected({"1": flows}, START + 599)
    assert states(1)[1, 300] == ("provisional", 1, "")
    hands.set(600)
    run()
    assert stored() == expected({"1": flows}, START + 600)
    assert Watermark.objects.get().ahead_until is None


def test_a_clock_that_is_behind_holds_back_what_closes_until_it_is_right(hands, data_dir):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + HOUR, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    hands.set(-HOUR)
    run()
    assert (Watermark.objects.get().interval_end_timestamp, Watermark.objects.get().closed_until) == (None, None)
    assert {state for state, _, _ in states(1).values()} == {"provisional"}
    hands.set(2 * HOUR)
    run()
    assert stored() == expected({"1": flows}, START + HOUR + 300)
    assert Watermark.objects.get().interval_end_timestamp == moment(START + HOUR + 300)


@pytest.mark.parametrize(("host", "database"), [(DAY, 640), (640, DAY)], ids=["the host's", "the database's"])
def test_one_clock_that_is_ahead_closes_nothing(hands, consumer, host, database):
    hands.set(host, database)
    consumer.take_in(antenna(0), antenna(620))
    assert not consumer.close()
    assert closed_until() == 640 - 60
    assert states() == {(1, 0): ("final", 1, ""), (1, 600): ("provisional", 1, "")}


@pytest.mark.parametrize(
    ("host", "database"), [(-DAY, 2 * HOUR), (2 * HOUR, -DAY)], ids=["the host's", "the database's"]
)
def test_one_clock_that_is_behind_takes_nothing_back(hands, consumer, host, database):
    hands.set(2 * HOUR)
    consumer.take_in(antenna(0), antenna(620))
    consumer.close()
    before = states()
    assert before[2, 0] == ("final", 1, "")
    hands.set(host, database)
    consumer.close()
    assert states() == before


def test_a_stream_that_runs_by_right_clocks_is_as_before(hands, consumer):
    hands.set(400)
    consumer.take_in(antenna(0), antenna(300), antenna(399))
    assert closed_until() == 399 - 60
    assert states() == {(1, 0): ("final", 1, ""), (1, 300): ("provisional", 1, "")}
    assert Watermark.objects.get().ahead_until is None


def test_a_ledger_in_memory_takes_back_and_catches_up_too(hands, data_dir, tmp_path):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + HOUR, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    ledger, options = MemoryLedger(), pipeline.Options()

    def events(at: int) -> list[type]:
        hands.set(at)
        planned = pipeline.plan(found_in(data_dir), ledger, options)
        return [type(event) for event in pipeline.run(planned, ledger, engine, options)]

    with pipeline.engine(tmp_path / "lake") as engine:
        assert events(-HOUR) == [pipeline.TakenIn]
        assert events(DAY) == [pipeline.RolledUp]
        assert events(1800) == [TakenBack]
        assert events(HOUR - 1) == []
        assert events(HOUR) == [pipeline.RolledUp]
        # The second hour has no file yet that closes it.
        assert events(2 * HOUR) == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no clock of its own")
def test_the_database_is_asked_for_its_clock():
    before = datetime.now(UTC) - timedelta(hours=1)
    assert before < store.database_time() < before + timedelta(hours=2)
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET timestamp = 1626566400.5")
            assert store.database_time() == moment(START) + timedelta(seconds=0.5)
            cursor.execute("SET timestamp = DEFAULT")


def test_the_clocks_of_a_host_and_its_database_bound_each_other():
    clocks = Clocks(moment(5), moment(9))
    assert (clocks.earliest, clocks.latest) == (moment(5), moment(9))
