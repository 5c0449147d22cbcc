"""One state of the database for several queries, so that their answers fit together while runs replace results."""

from __future__ import annotations

from contextlib import AbstractContextManager

from kpis.store.dialects import dialect


def snapshot() -> AbstractContextManager[None]:
    """Have all queries within read the database as it is at the first one; see ``Dialect.snapshot``."""
    return dialect().snapshot()
