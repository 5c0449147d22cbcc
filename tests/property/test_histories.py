"""Whatever happens in whatever order, the tables end up as the plain-Python twin says.

Hypothesis makes up histories: files that come, change, repeat and turn to rubbish, that are copied, renamed,
compressed, uploaded under unfinished names, or changed with size and time kept; runs over the whole folder or over some
of it, in groups of any size, by clocks that are right or wrong, runs that die at one of the points below, and rebuilds.
After each run that ended well by right clocks the database must hold exactly what the files of that moment give, and
nothing is final before its end.

``HISTORIES`` sets how many are tried (12 on SQLite and 6 on a server by default, 1,000 and 40 with ``LONG=1``).
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import duckdb
import pytest
import zstandard
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from kpis import clock
from kpis.catalog.intervals import to_milliseconds
from kpis.engine.reader import Reader
from kpis.lake import Lake, Staging, combine
from kpis.models import (
    Batch,
    BatchInterval,
    DueRollup,
    IntervalSummary,
    LakeBinding,
    LakeFile,
    QuotaChange,
    Reject,
    Run,
    Subscriber,
    Watermark,
)
from kpis.models.result_models import RESULT_MODELS
from kpis.reference.subscribers import put_subscribers
from kpis.stages.group import Group
from kpis.store import ledger as store_ledger
from kpis.store import watermarks
from kpis.store.ledger import DatabaseLedger
from tests.deaths import Death, dying
from tests.effort import times
from tests.twin import SECONDS, Call, Flow, Log, Message, Record, expected, file_text, moment, stored, uuid

pytestmark = pytest.mark.django_db(transaction=True)

HISTORIES = times("HISTORIES", 8, 1000) if connection.vendor == "sqlite" else times("HISTORIES", 6, 40)
START = 1626566400  # 2021-07-18T00:00:00Z
HOUR, DAY = 3600, 86400

# Where a run can die: the method or function, and whether before or after it did its work.
DEATHS = {
    "before reading": (Reader, "read", "before"),
    "after reading": (Reader, "read", "after"),
    "between two lake files": (Staging, "add", "after"),
    "before the lake has the batch": (Staging, "publish", "before"),
    "between lake and database": (Staging, "publish", "after"),
    "after a batch is kept": (Group, "keep", "after"),
    "in a group's commit, before the ledger rows": (store_ledger, "save_batches", "before"),
    "in a group's commit, after the ledger rows": (store_ledger, "save_batches", "after"),
    "in the commit, before the results": (store_ledger, "replace_results", "before"),
    "in the commit, after the results": (store_ledger, "replace_results", "after"),
    "after the commit": (DatabaseLedger, "commit", "after"),
    "before the lake is finalized": (Lake, "finalize", "before"),
    "before a compaction": (combine, "compact", "before"),
    "between a compaction's old and new files": (DatabaseLedger, "exchange_files", "before"),
    "after the old files may go": (DatabaseLedger, "exchange_files", "after"),
    "before a rollup": (DatabaseLedger, "commit_rollup", "before"),
    "after a rollup": (DatabaseLedger, "commit_rollup", "after"),
}


starts = st.integers(0, 35).map(lambda i: START + i * 300)
moments = st.integers(0, 3 * 3600 - 1).map(lambda second: START + second)
small = st.integers(0, 3)
RECORDS = {
    "ipflow_data": st.builds(
        Flow, starts, st.integers(1, 6), small, small, service=st.integers(-2, 12), cell=st.integers(-2, 12)
    ),
    "antenna_data": st.builds(
        Message, moments, device=st.integers(1, 5), antenna=small, bytes=small, app=st.sampled_from(["SKYPE", "é"])
    ),
    "coverage_data": st.builds(
        Log,
        moments,
        operator=st.sampled_from(["Movistar", "movistar", "Ελλάς", "ΕΛΛΆΣ", "O\u0301range", "órange", ""]),
        signal=st.sampled_from(["", "3", "5.5", "-4.25", "99", "255.0", "2147483647", "-1"]),
        status=small,
        precision=st.sampled_from(["", "0.0", "51.0", "1.000001", "2147483647"]),
        postal_code=st.sampled_from(["", "250236.0", "250236", "08001"]),
        latitude=st.sampled_from(["", "0.0", "41.67089", "41.65", "41.649999", "-0.000001"]),
        longitude=st.sampled_from(["", "0", "0.53407", "-0.05", "-0.050001"]),
    ),
    "cdr_data": st.builds(
        Call,
        moments,
        county=st.sampled_from(["Kern", "Los Angeles"]),
        operator=st.sampled_from(["Vodafone", "VODAFONE", "O2", "Straße", "STRASSE", "İ", "i\u0307"]),
        call_type=st.sampled_from(["CALL", "TEXT"]),
    ),
}
ENDINGS = {"antenna_data": "jsonl"}
NAMES = [f"{feed}.{name}.{ENDINGS.get(feed, 'csv')}" for feed in RECORDS for name in "abc"]
PACKINGS = {".gz": (gzip.compress, gzip.decompress), ".zst": (zstandard.compress, zstandard.decompress)}
UNFINISHED = [".part", ".inprogress", ".filepart"]
# Which of the files that are there: see ``Histories.file``.
which = st.integers(0, 30)
# How far a clock that is wrong is ahead, in seconds. Records that are more than a day ahead of it are rejects.
JUMPS = [-DAY - 2 * HOUR, -DAY, -2 * HOUR, -600, 0, 600, 2 * HOUR, DAY]
# Email and hourly quota by device; device 5 is nobody's.
SUBSCRIBERS = {1: ("ana@example.com", 3), 2: ("ana@example.com", 1), 3: ("bo@example.com", 0), 4: ("cy@example.com", 9)}

# What a file's name can come to hold: records, rubbish, or what it holds already at a new time.
SAME = "same"
rubbish = st.sampled_from(["", "no,header\n", "\0\1\2", "rubbish\n" * 3])


@st.composite
def changes(draw):
    """New contents by file name, for one to four files."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return {name: draw(contents_of(name)) for name in names}


def contents_of(name):
    records = st.lists(RECORDS[name.split(".")[0]], min_size=1, max_size=12)
    return st.one_of(records, records, records, rubbish, st.just(SAME))


class Histories(RuleBasedStateMachine):
    """``files`` are the records of each file that ever came, in its newest content; None for rubbish.

    ``now`` is the true time in Unix seconds, within the records' three hours.
    """

    folder: Path

    @initialize(changes=changes(), group_files=st.sampled_from([1, 2, 3, 1000]))
    def begin(self, changes, group_files):
        self.group_files = group_files
        models = [
            *RESULT_MODELS.values(),
            Subscriber,
            QuotaChange,
            IntervalSummary,
            DueRollup,
            Watermark,
            Reject,
            BatchInterval,
            Batch,
            LakeFile,
            LakeBinding,
            Run,
        ]
        # First, as Django empties references on MariaDB before it deletes rows, which a duplicate's must not be.
        Batch.objects.exclude(duplicate_of=None).delete()
        for model in models:
            model.objects.all().delete()
        put_subscribers(
            Subscriber(id=uuid(device), name=email, email=email, quota=quota)
            for device, (email, quota) in SUBSCRIBERS.items()
        )
        # Before all that any of the clocks says.
        QuotaChange.objects.update(since=moment(START - 3 * DAY))
        self.empty()
        self.files: dict[str, list[Record] | None] = {}
        self.newest_ever: dict[type, int] = {}
        self.changed = 10**18
        self.now = START + 2 * HOUR
        for name, content in changes.items():
            self.change(name, content)

    def empty(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)

    def address(self, name: str) -> str:
        return str(self.folder / "data" / name)

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "data").iterdir())

    def file(self, which: int, plain: bool = True) -> str | None:
        """The name of one of the files that are there, or of those that are not packed; None where there is none."""
        return one_of([name for name in self.names() if not (plain and name.endswith(tuple(PACKINGS)))], which)

    def content(self, name: str) -> bytes | None:
        path = self.folder / "data" / name
        return path.read_bytes() if path.exists() else None

    def put(self, name: str, content: bytes) -> None:
        path = self.folder / "data" / name
        path.write_bytes(content)
        self.changed += 1
        os.utime(path, ns=(self.changed, self.changed))

    def put_alike(self, name: str, content: bytes, in_place: bool) -> None:
        """Writes content of the same size over a file, or moves it there, and keeps the file's time of change."""
        path = self.folder / "data" / name
        times = path.stat()
        written = path if in_place else path.with_name(".other")
        with written.open("r+b" if in_place else "wb") as file:
            file.write(content)
        os.utime(written, ns=(times.st_atime_ns, times.st_mtime_ns))
        written.replace(path)
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)

    def rename(self, name: str, other: str) -> None:
        (self.folder / "data" / name).rename(self.folder / "data" / other)

    def remove(self, name: str) -> None:
        (self.folder / "data" / name).unlink(missing_ok=True)

    def text(self, name: str) -> str | None:
        content = self.content(name)
        _, unpack = PACKINGS.get(Path(name).suffix, (None, bytes))
        return None if content is None else unpack(content).decode()

    def write(self, name: str, text: str) -> None:
        pack, _ = PACKINGS.get(Path(name).suffix, (bytes, None))
        self.put(name, pack(text.encode()))

    def change(self, name: str, content: list[Record] | str) -> None:
        if content is SAME:
            text = self.text(name)
            if text is not None:
                self.write(name, text)
        else:
            self.write(name, text_of(content))
            self.note(name, content)

    def note(self, name: str, content: list[Record] | str) -> None:
        """From now on this is what a file holds."""
        self.files[name] = None if isinstance(content, str) else content
        if isinstance(content, list):
            kind = type(content[0])
            self.newest_ever[kind] = max(self.newest_ever.get(kind, 0), newest(content))

    @rule(changes=changes())
    def files_come_and_a_run_takes_them(self, changes):
        for name, content in changes.items():
            self.change(name, content)
        self.run()

    @rule(changes=changes(), point=st.sampled_from(sorted(DEATHS)), turn=st.integers(0, 2))
    def files_come_and_a_run_dies(self, changes, point, turn):
        for name, content in changes.items():
            self.change(name, content)
        self.a_run_dies(point, turn)

    @rule(point=st.sampled_from(sorted(DEATHS)), turn=st.integers(0, 1))
    def a_run_dies(self, point, turn):
        with dying(*DEATHS[point], turn):
            try:
                self.update()
            except Death:
                return
        self.check()

    def update(self, *args, host: int = 0, database: int = 0, **options) -> None:
        """A run by clocks that are so many seconds ahead; each history has groups of another size."""
        hands = [moment(self.now + ahead) for ahead in (host, database)]
        with (
            override_settings(GROUP_FILES=self.group_files, GROUP_SECONDS=3600),
            patch.object(clock, "now", lambda: hands[0]),
            patch.object(watermarks, "database_time", lambda: hands[1]),
            # A file that failed ends the command with 1; whether it should have shows in the tables.
            suppress(SystemExit),
        ):
            call_command("update_network_stats", *args, stdout=io.StringIO(), stderr=io.StringIO(), **options)

    def check(self) -> None:
        check(self.files, self.newest_ever, self.now)
        # As other engines read them, which do not know the ledger.
        kept = Batch.objects.filter(status=Batch.Status.IN, rejects__gt=0).values_list("key", "rejects")
        assert self.rejects() == dict(kept)

    def rejects(self) -> dict[str, int]:
        """The number of rejects that lie in the lake, by the keys of their batches."""
        return rejects_in(self.folder / "lake")

    def run(self):
        self.update()
        self.check()

    @rule(which=which)
    def a_file_that_is_in_goes(self, which):
        self.run()
        name = self.file(which, plain=False)
        if name:
            self.remove(name)

    @rule(which=which, letter=st.sampled_from("abc"), stays=st.booleans())
    def a_file_is_copied_or_renamed(self, which, letter, stays):
        self.run()
        name = self.file(which)
        if name is None:
            return
        feed, former, ending = name.split(".")
        if letter == former:
            return
        other = f"{feed}.{letter}.{ending}"
        self.files[other] = self.files[name]
        if stays:
            self.write(other, self.text(name))
        else:
            self.rename(name, other)

    @rule(which=which, packing=st.sampled_from(sorted(PACKINGS)))
    def a_file_is_compressed_in_place(self, which, packing):
        self.run()
        name = self.file(which)
        if name:
            self.write(name + packing, self.text(name))
            self.files[name + packing] = self.files[name]
            self.remove(name)
            self.run()

    @rule(which=which, in_place=st.booleans())
    def a_file_changes_and_keeps_its_size_and_time(self, which, in_place):
        self.run()
        name = one_of([name for name in self.names() if name in NAMES and self.files[name]], which)
        if name:
            records = self.files[name]
            changed = [altered(records[0]), *records[1:]]
            self.put_alike(name, text_of(changed).encode(), in_place)
            self.note(name, changed)
            self.run()

    @rule(changes=changes(), ending=st.sampled_from(UNFINISHED), part=st.floats(0, 1))
    def files_are_uploaded_under_unfinished_names(self, changes, ending, part):
        whole = {name: text_of(content) for name, content in changes.items() if content is not SAME}
        for name, text in whole.items():
            self.write(name + ending, text[: round(len(text) * part)])
        self.run()
        for name, text in whole.items():
            self.write(name + ending, text)
            self.rename(name + ending, name)
            self.note(name, changes[name])
        self.run()

    @rule(
        changes=changes(),
        host=st.sampled_from(JUMPS),
        database=st.sampled_from(JUMPS),
        is_one_clock=st.booleans(),
        passes=st.integers(0, 1800),
    )
    def files_come_and_the_clocks_are_wrong_for_one_run(self, changes, host, database, is_one_clock, passes):
        """Of a host and a database that share one clock, or each have their own."""
        for name, content in changes.items():
            self.change(name, content)
        self.update(host=host, database=host if is_one_clock else database)
        self.now += passes
        self.run()

    @rule(which=which)
    def one_file_is_named(self, which):
        name = self.file(which, plain=False)
        if name:
            self.update(self.address(name))

    @rule(start=st.integers(0, 35), length=st.integers(1, 36))
    def results_are_rebuilt(self, start, length):
        self.update(rebuild=[moment(START + start * 300), moment(START + (start + length) * 300)])

    def teardown(self):
        if hasattr(self, "files"):
            self.run()
            # Now all that there is has ended.
            self.now = START + 3 * DAY
            self.run()


def rejects_in(lake: Path) -> dict[str, int]:
    """The number of rejects that lie in a lake, by the keys of their batches."""
    files = [str(path) for path in lake.glob("rejects/**/*.parquet")]
    if not files:
        return {}
    query = "SELECT batch, count(*) FROM read_parquet($1, hive_partitioning = false) GROUP BY batch"
    with duckdb.connect(config={"threads": 1}) as opened:
        return dict(opened.execute(query, [files]).fetchall())


def one_of(names: list[str], which: int) -> str | None:
    return names[which % len(names)] if names else None


def text_of(content: list[Record] | str) -> str:
    """A file's text; every other file of records has one more row, which is rejected."""
    return content if isinstance(content, str) else file_text(content) + "rubbish\n" * (len(content) % 2)


def altered(record: Record) -> Record:
    """A record that gives other figures and is as long as a line."""
    match record:
        case Flow():
            return replace(record, downlink=(record.downlink + 1) % 4)
        case Message():
            return replace(record, bytes=(record.bytes + 1) % 4)
        case Log():
            return replace(record, status=(record.status + 1) % 4)
        case Call():
            return replace(record, call_type={"CALL": "TEXT", "TEXT": "CALL"}[record.call_type])


def end_of(record: Record) -> int:
    """The end of a record's interval."""
    length = SECONDS[record.interval]
    return record.start - record.start % length + length


def newest(records: list[Record]) -> int:
    """The newest end of the records' intervals."""
    return max(map(end_of, records))


def check(files, newest_ever, now):
    # A name whose file was gone when its content turned up under another no longer stands for it.
    for name in Batch.objects.filter(status=Batch.Status.RENAMED).values_list("name", flat=True):
        files.pop(name, None)
    # Each content counts once, whatever names it has.
    contents = {tuple(records) for records in files.values() if records}
    good = {str(number): list(records) for number, records in enumerate(contents)}
    kinds = {"ipflow": Flow, "antenna": Message, "coverage": Log, "cdr": Call}
    watermarks = {
        kinds[found.feed]: to_milliseconds(found.closed_until) // 1000 if found.closed_until else 0
        for found in Watermark.objects.all()
    }
    for records in good.values():
        kind = type(records[0])
        begun = [end_of(record) for record in records if end_of(record) - SECONDS[kind.interval] <= now]
        assert min(max(begun, default=0), now) <= watermarks[kind] <= min(newest_ever[kind], now)
    rows, summaries = expected(good, watermarks, subscribers=SUBSCRIBERS)
    found_rows, found_summaries = stored()
    # What a clock that was ahead closed too early is there as well, but open again.
    later_rows, later_summaries = expected(good, START + 3 * DAY, subscribers=SUBSCRIBERS)
    for key in found_summaries.keys() - summaries.keys():
        summaries[key] = (*later_summaries[key][:-1], "provisional")
        rows |= {key: later_rows[key]} if key in later_rows else {}
    assert (found_rows, found_summaries) == (rows, summaries)


def test_any_history_ends_in_the_tables_of_its_files(tmp_path, settings):
    settings.DATA_DIR, settings.LAKE_DIR = tmp_path / "history" / "data", tmp_path / "history" / "lake"
    Histories.folder = tmp_path / "history"
    run_state_machine_as_test(Histories, settings=tried(HISTORIES))


def tried(histories: int):
    """Hypothesis's settings for so many histories."""
    return settings(
        max_examples=histories,
        stateful_step_count=8,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
