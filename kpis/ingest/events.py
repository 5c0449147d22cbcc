"""A run's events as log lines with the run's id, for monitoring; the command's output is the same for people."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, to_text
from kpis.models import Run
from kpis.sources.batch import Batch
from kpis.store.errors import AlreadyRunning
from kpis.store.locks import PATIENCE_SECONDS, ledger_lock
from kpis.store.runs import recorded_run
from network_analysis.logs import RUN

logger = logging.getLogger(__name__)


@contextmanager
def logged_run(command: str, report: pipeline.Report) -> Iterator[Run]:
    """Hold the lock and record a run; log its start and end, or that another run holds the lock.

    Until it ends, every log line of the process has its id as ``run``. Raises AlreadyRunning.
    """
    started = time.monotonic()
    try:
        with ledger_lock(PATIENCE_SECONDS), recorded_run(command, report) as run:
            RUN.set(run.pk)
            logger.info("run started", extra={"command": command, "host": run.host, "pid": run.process})
            yield run
    except AlreadyRunning:
        logger.info("lock busy", extra={"command": command})
        raise
    except BaseException as error:
        outcome = {"outcome": str(Run.Outcome.BROKEN), "reason": " ".join(f"{type(error).__name__}: {error}".split())}
        logger.error("run ended", extra=_counts(report, started) | outcome)
        raise
    else:
        level = logging.WARNING if report.failed else logging.INFO
        logger.log(level, "run ended", extra=_counts(report, started) | {"outcome": str(run.outcome)})
    finally:
        RUN.set(None)


def log_event(event: pipeline.Event) -> None:
    """Log a run's event."""
    match event:
        case pipeline.Reopened(feed, former, until):
            fields = {"feed": feed.name, "closed_until": to_text(former), "now_closed_until": to_text(until)}
            logger.warning("reopened intervals closed ahead of the clock", extra=fields)
        case pipeline.Ingested(entry, touched):
            counts = {"lines": entry.lines, "records": entry.records, "rejects": entry.rejects}
            logger.info(f"{entry.file.kind} ingested", extra=_file(entry.file) | counts | {"intervals": len(touched)})
        case pipeline.Unchanged(file):
            logger.info("file unchanged", extra=_file(file))
        case pipeline.Duplicate(file, of, renamed):
            fields = {"renamed_from": of} if renamed else {"duplicate_of": of}
            logger.info("file renamed" if renamed else "file duplicate", extra=_file(file) | fields)
        case pipeline.Skipped(feed, names):
            named = {"files": len(names), "names": list(names[: pipeline.MAX_NAMES_SHOWN])}
            logger.warning("unfinished files", extra={"feed": feed.name} | named)
        case pipeline.Failed(what, reason):
            logger.warning("failed", extra={"what": what, "reason": reason})
        case pipeline.Recreated(what, reason):
            logger.warning("topic recreated", extra={"what": what, "reason": reason})
        case pipeline.RolledUp(feed, interval):
            logger.info("rolled up", extra=_interval(feed, interval))
        case pipeline.Rejoined(feed, length, reference, changed):
            fields = _interval(feed, length.at(min(changed))) | {"intervals": len(changed), "reference": reference}
            logger.info("revised as a reference changed", extra=fields)
        case pipeline.Rebuilt(feed, hour, touched):
            logger.info("rebuilt", extra=_interval(feed, hour) | {"intervals": len(touched)})


def log_finding(finding: str, is_lost: bool) -> None:
    """Log a finding of a repair of the lake."""
    logger.log(logging.WARNING if is_lost else logging.INFO, "lake repaired", extra={"finding": finding})


def log_watch(level: int, event: str, detail: str) -> None:
    """Log an event of a watch."""
    logger.log(level, event, extra={"detail": detail})


def _file(file: Batch) -> dict:
    return {"feed": file.feed.name, **file.place, "bytes": file.size}


def _interval(feed: Feed, interval: Interval) -> dict:
    return {"feed": feed.name, "interval": str(interval.length), "interval_start": to_text(interval.start)}


def _counts(report: pipeline.Report, started: float) -> dict:
    return {
        "files": report.files,
        "failed": report.failed,
        "duplicates": report.duplicates,
        "records": report.records,
        "rejects": report.rejects,
        "intervals": report.intervals,
        "rollups": report.rollups,
        "seconds": round(time.monotonic() - started, 3),
    }
