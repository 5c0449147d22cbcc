"""The day of a coverage log is its message's: whoever reads it, whenever, whole or in halves, and from the archive."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from kpis import pipeline
from kpis.catalog.builtin.coverage import COVERAGE
from kpis.clock import Clocks
from kpis.models import OperatorSignal, Reject
from kpis.stages.prepare import prepare
from kpis.store.ledger import DatabaseLedger
from tests.factories import make_run
from tests.unit.sources.test_stream import spooled

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = 1_626_566_400_000  # 2021-07-18T00:00:00Z, in ms
LATER = datetime(2023, 1, 1, tzinfo=UTC)
# What the message says of the day and the time, its signal, and when it was sent.
LOGS = [
    ("", "23:58:00", 5, MIDNIGHT - 1),
    ("", "00:02:00", 7, MIDNIGHT),
    ("2021-07-17", "23:59:00", 8, MIDNIGHT + 60_000),
    ("", "00:03:00", 9, MIDNIGHT + 60_000),
    ("", "00:04:00", 11, None),
]
# By interval: the average, and the number of samples.
SIGNALS = [("2021-07-17T23:55", 6.5, 2), ("2021-07-18T00:00", 8.0, 2)]


def messages() -> list[tuple[int, bytes]]:
    return [
        (number, f"{day},{clock},41.5,0.5,{signal},net,O2,0,,,0,4,5,gps,,08001".encode())
        for number, (day, clock, signal, _) in enumerate(LOGS)
    ]


def ingest(tmp_path, engine: pipeline.Engine, halves: bool, archived: bool, now: datetime) -> None:
    options = pipeline.Options(
        max_reject_ratio=1,
        archive_feeds=frozenset({"coverage"} if archived else ()),
        allowed_lateness=timedelta(0),
        clocks=Clocks(now, now),
    )
    batch = spooled(messages(), None, tmp_path / "messages", COVERAGE, [sent for *_, sent in LOGS])
    ledger = DatabaseLedger(make_run())
    for one in batch.halves() if halves else [batch]:
        with prepare(one, engine, options) as prepared:
            list(pipeline.run_prepared([prepared], ledger, engine, options))
    list(pipeline.roll_up(ledger, engine, replace(options, roll_up_open=True)))


def signals() -> list[tuple]:
    found = OperatorSignal.objects.filter(interval=1).order_by("interval_start_timestamp")
    rows = found.values_list("interval_start_timestamp", "average_signal", "number_of_samples")
    return [(f"{start:%Y-%m-%dT%H:%M}", average, samples) for start, average, samples in rows]


@pytest.mark.parametrize("now", [datetime(2021, 7, 18, 1, tzinfo=UTC), LATER], ids=["at once", "years later"])
@pytest.mark.parametrize("halves", [False, True], ids=["whole", "in halves"])
def test_a_log_has_its_messages_day_whenever_it_is_read(tmp_path, lake_dir, halves, now):
    with pipeline.engine(lake_dir) as engine:
        ingest(tmp_path, engine, halves, False, now)
    assert signals() == SIGNALS
    rejects = Reject.objects.values_list("line", "column", "reason")
    assert list(rejects) == [(4, "date", "is empty, and the message has no time that gives the day")]


def test_archive_rebuild_and_repair_have_the_same_days(tmp_path, lake_dir, data_dir):
    with pipeline.engine(lake_dir) as engine:
        ingest(tmp_path, engine, False, True, LATER)
    out = io.StringIO()
    query = "SELECT hour, date, count(*) AS logs FROM coverage GROUP BY ALL ORDER BY ALL"
    call_command("query_lake", query, "--format=csv", stdout=out)
    assert out.getvalue().splitlines()[1:] == ["0,2021-07-18,2", "23,2021-07-17,2"]
    for path in lake_dir.glob("partials/OperatorSignal/**/*.parquet"):
        path.unlink()
    out = io.StringIO()
    call_command("repair_lake", stdout=out)
    assert "rebuilt from its archived records" in out.getvalue()
    OperatorSignal.objects.all().delete()
    start = datetime(2021, 7, 17, 23, tzinfo=UTC)
    call_command("update_network_stats", rebuild=(start, start + timedelta(hours=2)), stdout=io.StringIO())
    assert signals() == SIGNALS
