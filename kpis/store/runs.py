"""The record of each run in the ledger."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error as DatabaseError
from django.db import connection

from kpis import clock
from kpis.models import Run
from kpis.pipeline import Report


@contextmanager
def recorded_run(command: str, report: Report, former: Run | None = None) -> Iterator[Run]:
    """Record a run: its start, and at its end the report's counts and the outcome or traceback.

    ``former`` is a run that goes on, as a consumer's does with each batch. The caller holds the lock, so no other run
    is at work: runs without a recorded end are recorded as broken off.
    """
    Run.objects.filter(outcome=Run.Outcome.RUNNING).update(
        outcome=Run.Outcome.BROKEN, traceback="The process ended without recording how."
    )
    run = former or Run(started_at=clock.now(), command=command, host=socket.gethostname(), process=os.getpid())
    run.outcome, run.ended_at, run.traceback = Run.Outcome.RUNNING, None, ""
    run.save()
    try:
        yield run
    except BaseException:
        run.outcome = Run.Outcome.BROKEN
        run.traceback = traceback.format_exc()
        raise
    else:
        run.outcome = Run.Outcome.INCOMPLETE if report.failed else Run.Outcome.SUCCEEDED
    finally:
        run.ended_at = clock.now()
        run.batches, run.failed_batches, run.duplicate_batches = report.files, report.failed, report.duplicates
        run.records, run.rejects = report.records, report.rejects
        run.intervals, run.rollups = report.intervals, report.rollups
        _save_end(run)


def _save_end(run: Run) -> None:
    try:
        run.save()
    except DatabaseError:
        # The connection may be what broke the run: try once more on a new one, else the next run records the end.
        connection.close()
        try:
            run.save()
        except DatabaseError:
            connection.close()
