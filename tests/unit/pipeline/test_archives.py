"""Files whose records lie over many hours: exact, in bounded memory, at a cost by their rows.

``LONG=1`` ingests 30 files of 5,000 rows over 30 days of each feed, with the default memory.
"""

from __future__ import annotations

import random
import re
import resource
from collections.abc import Callable

import pytest
from django.db import connection

from kpis import pipeline
from kpis.lake import Lake
from kpis.models import Batch, DueRollup, IntervalSummary
from kpis.sources.places import found_in
from kpis.stages import read
from kpis.store.ledger import DatabaseLedger
from tests.effort import LONG
from tests.factories import make_run
from tests.processes import end_of
from tests.twin import Call, Flow, Log, Message, Record, expected, file_text, moment, stored
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400
Make = Callable[[random.Random, int], Record]

FEEDS: dict[str, tuple[str, Make]] = {
    "ipflow": (
        "ipflow_data.{}.csv",
        lambda some, start: Flow(
            start - start % 300, some.randrange(1, 500), some.randrange(99), some.randrange(99),
            some.randrange(20), some.randrange(20),
        ),
    ),
    "antenna": (
        "antenna_data.{}.jsonl",
        lambda some, start: Message(
            start, some.randrange(50), some.randrange(9), some.randrange(999), f"app{some.randrange(5)}"
        ),
    ),
    "coverage": (
        "coverage_data.{}.csv",
        lambda some, start: Log(
            start, some.choice(["A", "a", "B"]), some.choice(["", "7", "31"]), some.randrange(4),
            some.choice(["", "5"]), f"0{some.randrange(1000, 1009)}", f"{41 + some.randrange(9) / 20}",
        ),
    ),
    "cdr": (
        "cdr_data.{}.csv",
        lambda some, start: Call(
            start, f"County{some.randrange(9)}", some.choice(["Att", "ATT", "O2"]), some.choice(["CALL", "TEXT"])
        ),
    ),
}  # fmt: skip


def archive(feed: str, files: int, rows: int, days: int, seed: int = 1) -> dict[str, list[Record]]:
    """Files whose records lie anywhere in so many days."""
    some = random.Random(seed)  # noqa: S311
    name, make = FEEDS[feed]
    return {
        name.format(number): [make(some, START + some.randrange(days * DAY)) for _ in range(rows)]
        for number in range(files)
    }


def newest(files: dict[str, list[Record]]) -> int:
    """The newest interval end, up to which all intervals have closed."""
    last = max((one for records in files.values() for one in records), key=lambda record: record.start)
    seconds = 60 if isinstance(last, Call) else 300
    return last.start - last.start % seconds + seconds


def put(folder, files: dict[str, list[Record]]) -> None:
    for name, records in files.items():
        (folder / name).write_text(file_text(records))


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("feed", FEEDS)
def test_files_over_a_week_give_what_their_records_give_in_one_run_and_in_several(data_dir, feed):
    files = archive(feed, files=4, rows=30, days=7)
    *most, last = files
    put(data_dir, {name: files[name] for name in most})
    assert "3 files ingested, 0 failed" in update()
    put(data_dir, {last: files[last]})
    update()
    assert stored() == expected(files, newest(files))
    assert not DueRollup.objects.filter(interval_start_timestamp__lt=moment(newest(files) - 3600)).exists()


@pytest.mark.sqlite_alone
def test_a_replaced_file_over_a_week_takes_back_what_it_gave(data_dir):
    files = archive("cdr", files=3, rows=60, days=7)
    closed = newest(files)
    put(data_dir, files)
    update()
    files["cdr_data.1.csv"] = archive("cdr", files=1, rows=40, days=6, seed=2)["cdr_data.0.csv"]
    put(data_dir, files)
    assert "1 files ingested, 0 failed" in update()
    # Up to where the old content reached.
    assert stored() == expected(files, closed)


def test_files_replaced_in_one_run_leave_nothing_in_hours_that_no_batch_has_records_in_any_more(data_dir):
    def flows(service: int, *hours: int) -> list[Record]:
        return [Flow(START + hour * 3600, 1, 5, 0, service, 7) for hour in hours]

    # The first of the two keeps the other's partials of the hours in memory.
    files = {"ipflow_data.1.csv": flows(1, 0, 1, 2, 3), "ipflow_data.2.csv": flows(2, 0, 1, 2, 3)}
    put(data_dir, files)
    update()
    files = {"ipflow_data.1.csv": flows(3, 5, 6), "ipflow_data.2.csv": flows(4, 7, 8)}
    put(data_dir, files)
    assert "2 files ingested, 0 failed" in update()
    assert stored() == expected(files, START + 8 * 3600 + 300)


def test_a_run_reads_no_partial_of_an_archive_back_that_it_wrote(data_dir, monkeypatch):
    read = []
    original = Lake.files

    def files(self, *args):
        found = original(self, *args)
        read.append(len(found))
        return found

    monkeypatch.setattr(Lake, "files", files)
    put(data_dir, archive("coverage", files=3, rows=60, days=7))
    assert "3 files ingested, 0 failed" in update()
    assert sum(read) == 0
    update("--rebuild", "2021-07-18T00:00:00", "2021-07-19T00:00:00")
    assert sum(read) > 0


@pytest.mark.skipif(not LONG, reason="takes minutes; LONG=1 runs it")
@pytest.mark.skipif(connection.vendor != "sqlite", reason="what the engine takes is the same whatever the server")
@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(("count", "days"), [(4, 7), (30, 30)])
def test_archives_go_in_exactly_within_the_default_memory(place, feed, count, days):
    files = archive(feed, count, 5_000, days)
    place.put(files)
    ended = end_of(place.start(is_fork=False), timeout=3600)
    assert (ended.code, ended.err) == (0, "")
    assert place.stored() == expected(files, newest(files))
    # What Python takes lies beside the 800 MB that the engine may use.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1_000_000
    assert not IntervalSummary.objects.filter(state="incomplete").exists()


@pytest.mark.sqlite_alone
def test_a_file_over_more_hours_than_may_be_fails_alone_and_says_what_to_do(data_dir, settings):
    settings.MAX_HOURS_PER_FILE = 100
    put(data_dir, {"cdr_data.wide.csv": archive("cdr", 1, 400, 7)["cdr_data.0.csv"]})
    day = archive("cdr", 1, 60, 4)
    put(data_dir, day)
    hours = len({record.start // 3600 for record in day["cdr_data.0.csv"]})
    with pytest.raises(SystemExit, match="1"):
        update()
    failed = Batch.objects.get(status="failed")
    assert (failed.name, failed.retry) == ("cdr_data.wide.csv", False)
    assert re.fullmatch(
        r"has records in 1\d\d hours, more than MAX_HOURS_PER_FILE, which is 100: "
        "split it by time, or raise that setting",
        failed.reason,
    )
    assert stored() == expected(day, newest(day))
    settings.MAX_HOURS_PER_FILE = 168
    assert "ingested cdr_data.wide.csv: 400 records, 0 rejects, " in (printed := update("--retry-failed"))
    assert re.search(r"cdr_data.wide.csv: .* intervals in 1\d\d hours\n", printed)
    assert hours > 24


@pytest.mark.sqlite_alone
def test_a_file_for_which_memory_does_not_suffice_fails_alone_and_is_tried_again(data_dir, lake_dir, monkeypatch):
    # As without a compiler: the scanner needs no memory of DuckDB's.
    monkeypatch.setattr(read, "can_scan", lambda feed, kpis: False)
    files = archive("antenna", files=3, rows=30, days=1)
    names = list(files)
    files[names[1]] = [
        Message(START + number % 600, number % 50, number % 9, 1, f"app{number % 7}" * 20) for number in range(30_000)
    ]
    put(data_dir, files)
    ledger, options = DatabaseLedger(make_run()), pipeline.Options()
    with pipeline.engine(lake_dir) as engine:
        engine.connection.execute("SET max_temp_directory_size = '0KB'")
        engine.connection.execute("SET memory_limit = '11MB'")
        found = found_in(data_dir)
        failed = [
            one
            for one in pipeline.run(pipeline.plan(found, ledger, options), ledger, engine, options)
            if isinstance(one, pipeline.Failed)
        ]
    assert [one.what for one in failed] == [names[1]]
    assert failed[0].reason.startswith("Cannot go on with MEMORY_LIMIT_MB")
    assert (Batch.objects.get(status="failed").name, Batch.objects.get(status="failed").retry) == (names[1], True)
    others = {name: records for name, records in files.items() if name != names[1]}
    assert stored() == expected(others, newest(others))
    assert "1 files ingested, 0 failed" in update()
    assert stored() == expected(files, newest(files))
