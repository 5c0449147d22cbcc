"""Clocks that are wrong: no interval stays final before its end, and the figures are exact all the same."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from django.core.management import call_command
from django.db import connection

from kpis import clock, pipeline
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.ipflow import IPFLOW, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.registry import FEEDS
from kpis.clock import Clocks
from kpis.engine.file_reader import Ahead
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.formats.judge import Times
from kpis.models import Batch, DueCompaction, DueRollup, IntervalSummary, Reject, Watermark
from kpis.sources.places import found_in
from kpis.stages.ledger import Reopened
from kpis.stages.memory_ledger import MemoryLedger
from kpis.stages.prepare import prepare
from kpis.store import watermarks
from kpis.store.ledger import DatabaseLedger
from tests.effort import times
from tests.factories import make_run
from tests.twin import Call, Flow, Log, Message, expected, file_text, moment, stored
from tests.unit.sources.test_stream import START, antenna, check_tables, spooled, values, without_batches

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
    monkeypatch.setattr(watermarks, "database_time", lambda: moment(START + hands.database))
    return hands


@pytest.fixture
def consumer(tmp_path, lake_dir):
    """Takes messages of partition 3 in, and closes by the clock, as a consumer's turns do."""
    ledger = DatabaseLedger(make_run())
    options = pipeline.Options(max_reject_ratio=1, allowed_lateness=LATENESS)
    with pipeline.engine(lake_dir) as engine:

        class Consumer:
            offset = 0
            arrived: datetime | None = None

            def ingest(self, *records) -> list[pipeline.Event]:
                feed = CDR if isinstance(records[0], Call) else ANTENNA
                batch = spooled(values(records, self.offset), self.offset or None, tmp_path / "messages", feed)
                batch = replace(batch, arrived=self.arrived)
                self.offset += len(records)
                by_these = replace(options, clocks=ledger.clocks())
                with prepare(batch, engine, by_these) as one:
                    return list(pipeline.run_prepared([one], ledger, engine, by_these))

            def close(self) -> bool:
                ledger.adjust_watermarks(ledger.clocks(), LATENESS)
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


def test_what_a_clock_that_was_ahead_closed_is_reopened_and_closes_in_its_time(hands, consumer):
    hands.set(630)
    records = [antenna(0), antenna(310, 2), antenna(620, 3)]
    consumer.ingest(*records)
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
    back = ("provisional", 2, watermarks.REOPENED)
    assert states() == {(1, 0): ("final", 1, ""), (1, 300): ("final", 1, ""), (1, 600): back, (2, 0): back}
    assert closed_until() == 640
    summary = IntervalSummary.objects.get(kpi=4, interval=2)
    assert (summary.total, summary.previous_total) == (6, 6)
    assert list(DueRollup.objects.values_list("interval", "changed")) == [(2, False)]
    assert not DueCompaction.objects.exists()
    records.append(antenna(650, 4))
    consumer.ingest(records[-1])
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
    consumer.ingest(antenna(0), antenna(HOUR + 100), antenna(2 * HOUR))
    assert closed_until() == 2 * HOUR - 60
    hands.set(HOUR + 30)
    *_, last = consumer.ingest(antenna(HOUR + 20))
    assert last == Reopened(ANTENNA, moment(START + 2 * HOUR - 60), moment(START + HOUR + 30))
    assert {key: state for key, (state, _, _) in states().items()} == {
        (1, 0): "final",
        (1, HOUR): "provisional",
        (1, 2 * HOUR): "provisional",
        (2, 0): "final",
    }
    # The newest end goes back as well, to that of what is not ahead.
    assert Watermark.objects.get().newest_interval_end == moment(START + HOUR + 300)
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
        "reopened ipflow: intervals were closed until 2021-07-18T02:05:00Z, ahead of the clock; those that end after "
        "2021-07-18T00:30:00Z are provisional again\n"
    ) in said
    assert states(1) == {
        (1, 0): ("final", 1, ""),
        (1, 2 * HOUR): ("provisional", 2, watermarks.REOPENED),
        (2, 0): ("provisional", 2, watermarks.REOPENED),
    }
    assert "reopened" not in run()
    # In its time the hour is final without a further file, as the one that closes it is there.
    hands.set(2 * HOUR + 299)
    run()
    assert states(1) == {
        (1, 0): ("final", 1, ""),
        (1, 2 * HOUR): ("provisional", 2, watermarks.REOPENED),
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


def test_an_interval_of_a_stream_that_begins_this_moment_is_not_ahead_and_closes_by_the_clock(hands, consumer):
    consumer.ingest(antenna(0))
    mark = Watermark.objects.get()
    assert (mark.newest_interval_end, mark.ahead_until) == (moment(START + 300), None)
    hands.set(HOUR + 60)
    assert consumer.close()
    assert closed_until() == HOUR


def test_a_clock_that_is_behind_holds_back_what_closes_until_it_is_right(hands, data_dir):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + HOUR, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    hands.set(-HOUR)
    run()
    assert (Watermark.objects.get().newest_interval_end, Watermark.objects.get().closed_until) == (None, None)
    assert {state for state, _, _ in states(1).values()} == {"provisional"}
    hands.set(2 * HOUR)
    run()
    assert stored() == expected({"1": flows}, START + HOUR + 300)
    assert Watermark.objects.get().newest_interval_end == moment(START + HOUR + 300)


@pytest.mark.parametrize(("host", "database"), [(DAY, 640), (640, DAY)], ids=["the host's", "the database's"])
def test_one_clock_that_is_ahead_closes_nothing(hands, consumer, host, database):
    hands.set(host, database)
    consumer.ingest(antenna(0), antenna(620))
    assert not consumer.close()
    assert closed_until() == 640 - 60
    assert states() == {(1, 0): ("final", 1, ""), (1, 600): ("provisional", 1, "")}


@pytest.mark.parametrize(
    ("host", "database"), [(-DAY, 2 * HOUR), (2 * HOUR, -DAY)], ids=["the host's", "the database's"]
)
def test_one_clock_that_is_behind_takes_nothing_back(hands, consumer, host, database):
    hands.set(2 * HOUR)
    consumer.ingest(antenna(0), antenna(620))
    consumer.close()
    before = states()
    assert before[2, 0] == ("final", 1, "")
    hands.set(host, database)
    consumer.close()
    assert states() == before


def test_a_stream_that_runs_by_right_clocks_is_as_before(hands, consumer):
    hands.set(400)
    consumer.ingest(antenna(0), antenna(300), antenna(399))
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
        assert events(-HOUR) == [pipeline.Ingested]
        assert events(DAY) == [pipeline.RolledUp]
        assert events(1800) == [Reopened]
        assert events(HOUR - 1) == []
        assert events(HOUR) == [pipeline.RolledUp]
        # The second hour has no file yet that closes it.
        assert events(2 * HOUR) == []


AHEAD = "lies more than 86,400 seconds ahead of the clock"


def outcomes() -> list[tuple]:
    """Each batch's status, records, rejects and the second from which on it is to be read again."""
    return [
        (one.status, one.records, one.rejects, again and round(again.timestamp()) - START)
        for one in Batch.objects.order_by("name")
        for again in [one.read_again_at]
    ]


FAR = [
    ("ipflow_data.1.csv", [Flow(START + at, 1, 10, 20, 1, 7) for at in (0, 300, DAY, DAY + 300, DAY + 900)]),
    ("antenna_data.1.jsonl", [antenna(at) for at in (0, 1, DAY, DAY + 1, DAY + 700)]),
    ("cdr_data.1.csv", [Call(START + at, "Kern", "O2", "CALL") for at in (0, 1, DAY, DAY + 1, DAY + 700)]),
    ("coverage_data.1.csv", [Log(START + at, "O2", "3", 0, "1", "08001") for at in (0, 1, DAY, DAY + 1, DAY + 700)]),
]


@pytest.mark.parametrize(("name", "records"), FAR, ids=[name.partition("_")[0] for name, _ in FAR])
def test_rows_too_far_ahead_are_rejects_until_the_clock_is_there(hands, data_dir, name, records):
    (data_dir / name).write_text(file_text(records))
    first, last = (records[number].start - START for number in (3, 4))
    run()
    assert outcomes() == [("in", 3, 2, first - DAY)]
    header = int(bool(records[0].header))
    moments = {"ipflow": "interval_start_timestamp", "antenna": "timestamp", "cdr": "StartT", "coverage": "date"}
    feed = FEEDS[name.partition("_")[0]]
    assert list(Reject.objects.order_by("line").values_list("line", "column", "reason")) == [
        (header + number, moments[feed.name], AHEAD) for number in (4, 5)
    ]
    # Tomorrow's records count, but close nothing.
    assert stored() == expected({"1": records[:3]}, START)
    hands.set(first - DAY - 1)
    assert "0 files ingested" in run()
    hands.set(first - DAY)
    assert f"ingested {name}: 4 records, 1 rejects" in run()
    assert outcomes() == [("in", 4, 1, last - DAY)]
    hands.set(2 * DAY)
    assert f"ingested {name}: 5 records, 0 rejects" in run()
    assert outcomes() == [("in", 5, 0, None)]
    end = feed.interval.minutes * 60
    assert stored() == expected({"1": records}, START + last - last % end + end)
    assert "0 files ingested" in run()


def test_a_file_whose_rows_are_all_too_far_ahead_fails_until_the_clock_is_there(hands, data_dir):
    flows = [Flow(START, 1, 10, 20, 1, 7), Flow(START + 300, 1, 10, 20, 1, 7)]
    (data_dir / "ipflow_data.1.csv").write_text(file_text(flows))
    hands.set(-3 * DAY)
    with pytest.raises(SystemExit):
        run()
    assert outcomes() == [("failed", 0, 2, -DAY)]
    hands.set(-DAY - 1)
    assert "0 files ingested, 0 failed" in run()
    hands.set(600)
    run()
    assert stored() == expected({"1": flows}, START + 600)


def test_a_name_that_tells_an_interval_too_far_ahead_fails_until_the_clock_is_there(hands, data_dir):
    name = f"ipflow_data.ts-{(START + 300) * 1000}.1.csv"
    # By its rows' own times it would be next century's.
    (data_dir / name).write_text(file_text([Flow(START + 36500 * DAY, 1, 10, 20, 1, 7)]))
    hands.set(-3 * DAY)
    with pytest.raises(SystemExit):
        run(interval_from="filename")
    assert Batch.objects.get().reason == f"has an interval in its name that {AHEAD}"
    assert outcomes() == [("failed", 0, 0, -DAY)]
    hands.set(-DAY)
    run(interval_from="filename")
    assert stored() == expected({"1": [Flow(START, 1, 10, 20, 1, 7)]}, 0)


def test_what_is_read_again_counts_once_also_in_hours_that_were_compacted(hands, data_dir, lake_dir, settings):
    first = [Flow(START, 1, 10, 20, 1, 7), Flow(START + 300, 2, 1, 2, 1, 7), Flow(START + HOUR, 3, 5, 6, 1, 7)]
    second = [Flow(START, 4, 1, 1, 1, 7), Flow(START + HOUR, 4, 1, 1, 1, 7)]
    # By a clock that is behind the hour's second row is too far ahead, and the hour is compacted without it.
    (data_dir / "ipflow_data.1.csv").write_text(file_text(first))
    settings.MAX_REJECT_RATIO = 1
    hands.set(-DAY)
    run()
    assert outcomes() == [("in", 1, 2, 300 - DAY)]
    (data_dir / "ipflow_data.2.csv").write_text(file_text(second))
    (data_dir / "ipflow_data.1.csv").rename(data_dir / "aside")
    hands.set(2 * HOUR)
    run()
    run()
    assert list(lake_dir.glob("partials/**/compacted-*"))
    (data_dir / "aside").rename(data_dir / "ipflow_data.1.csv")
    run()
    assert stored() == expected({"1": first, "2": second}, START + HOUR + 300)


def test_the_scanner_and_the_reader_agree_on_what_lies_ahead(tmp_path):
    flows = [Flow(START + 300 * number, 1, 10, 20, 1, 7) for number in (0, 1, 2, 3, 1, 2)]
    path = tmp_path / "ipflow_data.1.csv"
    path.write_text(file_text(flows))
    times = Times(latest=moment(START + 300), ahead=timedelta(seconds=300))
    with duckdb.connect() as connection:
        read = Reader(connection).read(path, IPFLOW, times=times)
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    assert (read.records, read.rejects, read.ahead) == (3, 3, Ahead(3, moment(START + 600)))
    assert {reason for _, _, reason, _ in rejects} == {"lies more than 300 seconds ahead of the clock"}
    if can_scan(IPFLOW, [SERVICE_TRAFFIC_VOLUME]):
        scanned = scan(path, IPFLOW, [SERVICE_TRAFFIC_VOLUME], times=times)
        assert (scanned.reading, scanned.rejects) == (read, rejects)


@pytest.mark.parametrize(
    ("database", "arrived", "records"), [(0, None, 1), (600, None, 2), (0, 900, 3)], ids=["host", "database", "broker"]
)
def test_of_a_streams_clocks_the_latest_decides_what_is_too_far_ahead(hands, consumer, database, arrived, records):
    hands.set(0, database)
    consumer.arrived = arrived and moment(START + arrived)
    consumer.ingest(antenna(DAY), antenna(DAY + 600), antenna(DAY + 900), antenna(DAY + 901))
    assert outcomes() == [("in", records, 4 - records, None)]
    assert Watermark.objects.get().closed_until is None


def test_max_clock_ahead_is_a_setting(hands, data_dir, settings):
    settings.MAX_CLOCK_AHEAD = timedelta(0)
    (data_dir / "antenna_data.1.jsonl").write_text(file_text([antenna(0), antenna(1)]))
    run()
    assert outcomes() == [("in", 1, 1, 1)]
    assert Reject.objects.get().reason == "lies more than 0 seconds ahead of the clock"


OFFSETS = [-3 * DAY, -DAY - 1, -HOUR, -300, -60, 0, 0, 60, 300, HOUR, DAY, 3 * DAY]
TRIALS = times("CLOCK_TRIALS", 4, 200)


class Trial:
    """Files, messages and runs in some order, by clocks that are wrong; ``now`` is the true time after START."""

    def __init__(self, draw: random.Random, hands: Hands, consumer, folder: Path):
        self.draw, self.hands, self.consumer, self.folder = draw, hands, consumer, folder
        self.now = 3 * HOUR
        self.files: dict[str, list[Flow]] = {}
        self.messages: list[Message] = []

    def set_clocks_wrong(self) -> None:
        host, database = (self.now + self.draw.choice(OFFSETS) for _ in range(2))
        self.hands.set(host, self.draw.choice([host, host, database, self.now]))

    def put_file(self) -> None:
        """A new or changed file; now and then with a row of a time to come."""
        name = f"ipflow_data.{self.draw.randrange(6)}.csv"
        back = [self.now - self.draw.randrange(1, 8000) for _ in range(self.draw.randrange(1, 6))]
        ahead = [self.now + self.draw.randrange(30_000)] if self.draw.random() < 0.3 else []
        self.write(name, [second - second % 300 for second in back + ahead])

    def write(self, name: str, seconds: list[int]) -> None:
        draw = self.draw
        flows = [Flow(START + at, draw.randrange(1, 5), draw.randrange(9), 1, draw.randrange(3), 7) for at in seconds]
        self.files[name] = flows
        (self.folder / name).write_text(file_text(flows) + " " * len(list(self.folder.iterdir())) + "\n")

    def take_messages_in(self) -> None:
        """By the broker's clock they come now."""
        self.consumer.arrived = moment(START + self.now)
        batch = [antenna(self.now - self.draw.randrange(7200), self.draw.randrange(9)) for _ in range(5)]
        self.messages += batch
        self.consumer.ingest(*batch)

    def close(self) -> None:
        self.consumer.close()

    def run(self) -> None:
        with suppress(SystemExit):
            run(rollup_open_hours=self.draw.random() < 0.2)

    def step(self) -> None:
        self.now += self.draw.choice([0, 60, 300, 900, HOUR, 2 * HOUR])
        self.set_clocks_wrong()
        if self.draw.random() < 0.4:
            self.put_file()
        self.draw.choice([self.take_messages_in, self.close, self.run])()

    def turn_with_right_clocks(self) -> None:
        self.hands.set(self.now)
        self.draw.choice([self.run, self.close])()
        now = moment(START + self.now)
        assert not IntervalSummary.objects.filter(state="final", interval_end_timestamp__gt=now).exists()
        assert not Watermark.objects.filter(closed_until__gt=now).exists()

    def end(self) -> None:
        """Days later all clocks are right, and a file comes that closes all there is."""
        self.now += 4 * DAY
        self.hands.set(self.now)
        last = self.now - self.now % 300 - 300
        self.write("ipflow_data.last.csv", [last])
        run()
        self.close()
        rows, summaries = expected(
            {**self.files, "messages": self.messages}, {Flow: START + last + 300, Message: START + self.now}
        )
        found = stored()
        assert found[0] == rows
        assert without_batches(found[1]) == without_batches(summaries)


@pytest.mark.parametrize("seed", range(TRIALS))
def test_whatever_the_clocks_say_no_interval_is_final_early_and_the_figures_are_exact(
    hands, consumer, data_dir, settings, seed
):
    trial = Trial(random.Random(seed), hands, consumer, data_dir)  # noqa: S311
    for _ in range(8):
        trial.step()
        if trial.draw.random() < 0.7:
            trial.turn_with_right_clocks()
    trial.end()


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no clock of its own")
def test_the_database_is_asked_for_its_clock():
    before = datetime.now(UTC) - timedelta(hours=1)
    assert before < watermarks.database_time() < before + timedelta(hours=2)
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SET timestamp = 1626566400.5")
            assert watermarks.database_time() == moment(START) + timedelta(seconds=0.5)
            cursor.execute("SET timestamp = DEFAULT")


def test_the_clocks_of_a_host_and_its_database_bound_each_other():
    clocks = Clocks(moment(5), moment(9))
    assert (clocks.earliest, clocks.latest) == (moment(5), moment(9))
