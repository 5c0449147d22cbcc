"""Faults of this program that a file brings to light: the file fails, and the run goes on with the others."""

from __future__ import annotations

import logging

from kpis.lake import LakeError
from kpis.sources.batch import Batch
from kpis.sources.directory import SourceError
from kpis.stages.room import out_of_room_errors

LONGEST_REASON = 500
# DuckDB's text for an error in a function that is written in Python, which may be a signal to stop.
_IN_PYTHON = "Python exception occurred"

logger = logging.getLogger(__name__)


def is_of_machine(error: Exception) -> bool:
    """Return True for an error that other files would meet too, or that a signal to stop may have caused.

    These are errors of the lake, the source, the system, memory and an installation that lacks a part, and those after
    which DuckDB's connection is of no use.
    """
    import duckdb

    if isinstance(error, out_of_room_errors(LakeError, SourceError, OSError, MemoryError, ImportError)):
        return True
    if isinstance(error, duckdb.Error):
        broken = duckdb.FatalException, duckdb.InternalException, duckdb.ConnectionException, duckdb.InterruptException
        return isinstance(error, broken) or _IN_PYTHON in str(error)
    # Python's own where no thread can be started, and DuckDB's for a query that a signal interrupts.
    return type(error) is RuntimeError


def reason_of_fault(file: Batch, error: Exception) -> str:
    """Return the reason why a file failed that met a fault of this program; log the traceback."""
    logger.error("fault of this program", exc_info=error, extra={"file": file.name})
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = "".join(one if one.isprintable() else "?" for one in text).removesuffix(":")
    if len(text) > LONGEST_REASON:
        text = f"{text[:LONGEST_REASON]}..."
    return f"cannot be read because of a fault of this program: {text}"
