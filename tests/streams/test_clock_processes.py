"""Real processes on hosts whose clocks are wrong, by minutes and by days, in several orders (libfaketime)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connection

from kpis.models import Batch, IntervalSummary, Watermark
from tests.effort import LONG
from tests.processes import MANAGE, Place
from tests.twin import Flow, Message, Record, expected, moment
from tests.unit.sources.test_stream import without_batches

pytestmark = pytest.mark.django_db(transaction=True)

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
HOUR, DAY = 3600, 86400
OFFSETS = [DAY, -DAY, 300, *([-3 * DAY] if LONG else [])]
ORDERS = 12 if LONG else 1


@pytest.fixture(autouse=True)
def need_faketime():
    """Leaves the test out where there is no faketime; with REQUIRE_SERVICES=1 fails it."""
    if FAKETIME is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("REQUIRE_SERVICES=1, but there is no faketime (Debian's package faketime)")
        pytest.skip("needs faketime (Debian's package faketime)")


def by_clock(seconds: int) -> dict[str, str]:
    """The environment of a process whose host's clock is so far ahead; what measures spans of time is as it was."""
    if not seconds:
        return {}
    # Not by the command of that name, which is another process, and would be killed in this one's place.
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def check_not_early(place: Place) -> None:
    """Nothing is final before its end by the true clock, which is this process's."""
    now = moment(int(time.time()) + 1)
    with place.alias() as alias:
        early = IntervalSummary.objects.using(alias).filter(state="final", interval_end_timestamp__gt=now)
        assert not early.exists()
        assert not Watermark.objects.using(alias).filter(closed_until__gt=now).exists()


def check_figures(place: Place, records: dict[str, list[Record]]) -> None:
    """The feeds' shortest intervals are those of the records, and whatever of the longer ones is there."""
    rows, summaries = expected(records, 10**12)
    found_rows, found_summaries = place.stored()
    assert found_rows == {key: row for key, row in rows.items() if key in found_rows}
    shortest = {key for key in rows if key[1] == next(iter(records.values()))[0].interval}
    assert shortest <= found_rows.keys()
    assert {key: one[:3] for key, one in found_summaries.items() if key in shortest} == {
        key: one[:3] for key, one in summaries.items() if key in shortest
    }


@pytest.mark.parametrize("seed", range(ORDERS))
def test_runs_over_files_by_wrong_clocks_leave_nothing_early_and_exact_figures(place, seed):
    draw = random.Random(seed)  # noqa: S311
    base = int(time.time()) // 300 * 300
    files: dict[str, list[Record]] = {}
    for number, offset in enumerate(draw.sample(OFFSETS, len(OFFSETS))):
        at = [base - 300 * (number + 1), base - 300 * (number + 2), base - HOUR, base + 1800 * number]
        files[f"ipflow_data.{number}.csv"] = [
            Flow(second, draw.randrange(1, 5), draw.randrange(9), 1, number, 7) for second in at
        ]
        place.put(files)
        place.run(**by_clock(offset))
    right = place.run()
    assert (right.code, right.err) == (0, "")
    check_not_early(place)
    check_figures(place, files)
    with place.alias() as alias:
        assert set(Batch.objects.using(alias).values_list("status", "read_again_at")) == {("in", None)}
    if connection.vendor == "sqlite":
        # Later, and as SQLite has no clock of its own the host's decides.
        assert place.run(**by_clock(3 * HOUR)).code == 0
        newest = max(one.start for flows in files.values() for one in flows) + 300
        assert place.stored() == expected(files, newest)


# The Kafka client does not come through libfaketime, so only a consumer's own code sees another time.
WRONG = """
import runpy, sys
from datetime import timedelta
offset, *sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
from kpis import clock
true = clock.now
clock.now = lambda: true() + timedelta(seconds=int(offset))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def consume(place: Place, broker, offset: int) -> None:
    """A consumer on a host whose clock is so far ahead, until it is idle."""
    command = [
        *(sys.executable, "-c", WRONG, str(offset), MANAGE, "consume_stream", "--feed=antenna", "--topic=antenna"),
        # A group of its own, as the mock cluster keeps a consumer that has ended in its group for a while.
        *(f"--bootstrap-servers={broker.servers}", f"--group=antenna{offset}", "--until-idle=1"),
    ]
    ended = subprocess.run(command, env=place.environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_consumers_and_runs_by_wrong_clocks_leave_nothing_early_and_exact_figures(place):
    pytest.importorskip("confluent_kafka")
    from tests.broker import mock_broker

    now = int(time.time())
    records: list[Record] = []
    with mock_broker() as broker:
        for number, offset in enumerate((DAY, -HOUR, 0)):
            some = [Message(now - 100 * (number + at), 1, at, 5, "SKYPE") for at in range(4)]
            records += some
            broker.put("antenna", [record.line() for record in some])
            consume(place, broker, offset)
            # A run over files, which has none, takes back as well.
            assert place.run(**by_clock(DAY if number == 1 else 0)).code == 0
        check_not_early(place)
        check_figures(place, {"all": records})
        if connection.vendor == "sqlite":
            one_more = [Message(now - 50, 1, 0, 1, "SKYPE")]
            records += one_more
            broker.put("antenna", [record.line() for record in one_more])
            consume(place, broker, 2 * HOUR)
            rows, summaries = expected({"all": records}, now + 2 * HOUR)
            found = place.stored()
            assert found[0] == rows
            assert without_batches(found[1]) == without_batches(summaries)
