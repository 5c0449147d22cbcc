"""Whatever happens in whatever order, the tables end up as the plain-Python twin says.

Hypothesis makes up histories: files that come, change, repeat and turn to rubbish, taken in by runs over the
whole folder or over some of it, runs that die at one of the points below, and rebuilds. After each run that
ended well the database must hold exactly what the files of that moment give.

``HISTORIES`` sets how many are tried (200 on SQLite, 40 on a server by default).
"""

from __future__ import annotations

import io
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from kpis.catalog.intervals import to_milliseconds
from kpis.engine.reader import Reader
from kpis.lake import Lake, Staging
from kpis.models import (
    Batch,
    BatchInterval,
    DueRollup,
    IntervalSummary,
    LakeBinding,
    LakeFile,
    Reject,
    Run,
    Subscriber,
    Watermark,
)
from kpis.models.results import KPIResult
from kpis.store import DatabaseLedger
from kpis.subscribers import put_subscribers
from kpis.tests.effort import times
from kpis.tests.twin import SECONDS, Call, Flow, Log, Message, Record, expected, file_text, moment, stored, uuid

pytestmark = pytest.mark.django_db(transaction=True)

HISTORIES = times("HISTORIES", 50, 200) if connection.vendor == "sqlite" else times("HISTORIES", 15, 40)
START = 1626566400  # 2021-07-18T00:00:00Z

# Where a run can die: the method, and whether before or after it did its work.
DEATHS = {
    "before reading": (Reader, "read", "before"),
    "after reading": (Reader, "read", "after"),
    "between two lake files": (Staging, "add", "after"),
    "before the lake has the batch": (Staging, "publish", "before"),
    "between lake and database": (Staging, "publish", "after"),
    "in the commit, before the results": (DatabaseLedger, "_replace", "before"),
    "in the commit, after the results": (DatabaseLedger, "_replace", "after"),
    "after the commit": (DatabaseLedger, "commit", "after"),
    "before the lake is settled": (Lake, "settle", "before"),
    "before a compaction": (Lake, "compact", "before"),
    "between a compaction's old and new files": (DatabaseLedger, "exchange_files", "before"),
    "after the old files may go": (DatabaseLedger, "exchange_files", "after"),
    "before a rollup": (DatabaseLedger, "commit_rollup", "before"),
    "after a rollup": (DatabaseLedger, "commit_rollup", "after"),
}


class Death(BaseException):
    """Ends a run as a kill would, as far as an exception can."""


@contextmanager
def dying(point: str, turn: int):
    """Lets the run die at the point when it comes there for the ``turn``-th time."""
    owner, name, when = DEATHS[point]
    original = getattr(owner, name)
    turns = iter(range(turn))

    def deadly(*args, **kwargs):
        is_turn = next(turns, None) is None
        if is_turn and when == "before":
            raise Death
        result = original(*args, **kwargs)
        if is_turn:
            raise Death
        return result

    with patch.object(owner, name, deadly):
        yield


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
    """``files`` are the records of each file that ever came, in its newest content; None for rubbish."""

    folder: Path

    @initialize()
    def begin(self):
        models = [
            *KPIResult.__subclasses__(),
            Subscriber,
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
        for model in models:
            model.objects.all().delete()
        put_subscribers(
            Subscriber(id=uuid(device), name=email, email=email, quota=quota)
            for device, (email, quota) in SUBSCRIBERS.items()
        )
        self.empty()
        self.files: dict[str, list[Record] | None] = {}
        self.newest_ever: dict[type, int] = {}
        self.clock = 10**18

    def empty(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)

    def address(self, name: str) -> str:
        return str(self.folder / "data" / name)

    def text(self, name: str) -> str | None:
        path = self.folder / "data" / name
        return path.read_text() if path.exists() else None

    def write(self, name: str, text: str) -> None:
        path = self.folder / "data" / name
        path.write_text(text)
        self.clock += 1
        os.utime(path, ns=(self.clock, self.clock))

    def remove(self, name: str) -> None:
        (self.folder / "data" / name).unlink(missing_ok=True)

    def change(self, name: str, content: list[Record] | str) -> None:
        if content is SAME:
            text = self.text(name)
            if text is not None:
                self.write(name, text)
        elif isinstance(content, str):
            self.write(name, content)
            self.files[name] = None
        else:
            # One row more that is no record, in every other file.
            self.write(name, file_text(content) + "rubbish\n" * (len(content) % 2))
            self.files[name] = content
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
        with dying(point, turn):
            try:
                update()
            except Death:
                return
        check(self.files, self.newest_ever)

    def run(self):
        update()
        check(self.files, self.newest_ever)

    @rule(name=st.sampled_from(NAMES))
    def a_file_that_is_in_goes(self, name):
        self.run()
        self.remove(name)

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES), stays=st.booleans())
    def a_file_is_copied_or_renamed(self, name, other, stays):
        self.run()
        text = self.text(name)
        if text is None or other == name or other.split(".")[0] != name.split(".")[0]:
            return
        self.write(other, text)
        self.files[other] = self.files[name]
        if not stays:
            self.remove(name)

    @rule(name=st.sampled_from(NAMES))
    def one_file_is_named(self, name):
        if self.text(name) is not None:
            update(self.address(name))

    @rule(start=st.integers(0, 35), length=st.integers(1, 36))
    def results_are_rebuilt(self, start, length):
        update(rebuild=[moment(START + start * 300), moment(START + (start + length) * 300)])

    def teardown(self):
        if hasattr(self, "files"):
            self.run()


def update(*args, **options):
    # A file that failed ends the command with 1; whether it should have shows in the tables.
    with suppress(SystemExit):
        call_command("update_network_stats", *args, stdout=io.StringIO(), stderr=io.StringIO(), **options)


def newest(records: list[Record]) -> int:
    """The newest end of the records' intervals."""
    length = SECONDS[records[0].interval]
    return max(record.start - record.start % length + length for record in records)


def check(files, newest_ever):
    # A name whose file was gone when its content turned up under another no longer stands for it.
    for name in Batch.objects.filter(status=Batch.Status.RENAMED).values_list("name", flat=True):
        files.pop(name, None)
    # Each content counts once, whatever names it has.
    contents = {tuple(records) for records in files.values() if records}
    good = {str(number): list(records) for number, records in enumerate(contents)}
    kinds = {"ipflow": Flow, "antenna": Message, "coverage": Log, "cdr": Call}
    watermarks = {
        kinds[found.feed]: to_milliseconds(found.interval_end_timestamp) // 1000 for found in Watermark.objects.all()
    }
    for records in good.values():
        kind = type(records[0])
        assert newest(records) <= watermarks[kind] <= newest_ever[kind]
    assert stored() == expected(good, watermarks, subscribers=SUBSCRIBERS)


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
