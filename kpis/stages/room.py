"""The errors and messages of a run that is out of memory, or of room for temporary files."""

from __future__ import annotations

from kpis.engine.scratch import ScratchError

NO_ROOM = "memory, or room for temporary files, did not suffice to compute it"


def out_of_room_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions that mean it, and others, for an ``except`` clause.

    Called when something is raised, so that a run that needs no DuckDB does not import it.
    """
    import duckdb

    return (*others, duckdb.OutOfMemoryException, duckdb.IOException, ScratchError)


def out_of_memory() -> type[Exception]:
    """Return the exception for a lack of memory."""
    import duckdb

    return duckdb.OutOfMemoryException


def out_of_room(error: Exception) -> str:
    """Return what ran out, memory or room for temporary files, and what to do about it."""
    if isinstance(error, ScratchError):
        return str(error)
    return (
        f"Cannot go on with MEMORY_LIMIT_MB and the temporary folder: {str(error).splitlines()[0].rstrip('.')}. "
        "Raise MEMORY_LIMIT_MB, make room in that folder, or name another one with TMPDIR."
    )
