"""Consumers and runs over files take turns, on each database."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from kpis.models import Batch, Run
from kpis.store.locks import ledger_lock
from tests.broker import mock_broker
from tests.processes import Place, end_of
from tests.streams.test_stream_kafka import START, check_tables, consume, messages, put
from tests.twin import moment

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def at_work(place: Place) -> Iterator[None]:
    """As a process that works on the place's database."""
    if connection.vendor == "sqlite":
        path = Path(f"{(place.folder / 'place.sqlite3').resolve()}-run.lock")
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        with ledger_lock():
            yield


def await_lock_busy(process: subprocess.Popen[str]) -> None:
    """Reads the process's log up to where it waits for the lock."""
    assert any("lock busy" in line for line in process.stderr)


def test_a_run_over_files_gets_its_turn_among_consumers(place):
    records = messages("antenna", 30)
    (place.data / "antenna_data.1.jsonl").write_text("".join(record.line() + "\n" for record in records))
    with place.alias() as alias, at_work(place):
        Run.objects.using(alias).create(started_at=moment(START), command="consume_stream --topic t", process=1)
        process = place.start(LOG_LEVEL="DEBUG")
        await_lock_busy(process)
        assert not Batch.objects.using(alias).exists()
    assert end_of(process).code == 0
    check_tables(place, records)


def test_a_consumer_waits_for_the_run_that_is_under_way(place):
    records = messages("antenna", 300)
    with mock_broker() as broker:
        put(broker, "waiting", records)
        with at_work(place):
            process = consume(place, broker, "antenna", "waiting", topic="waiting", LOG_LEVEL="DEBUG")
            await_lock_busy(process)
            with place.alias() as alias:
                assert not Batch.objects.using(alias).exists()
        assert end_of(process).code == 0
    check_tables(place, records)
