"""The host's clock, in the one place where code asks it which intervals have ended and which times lie ahead.

Tests set it by replacing ``now``; so callers write ``clock.now()`` and import the module, not the function.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The host's time (UTC). A host's clock may be wrong: ``store`` bounds by the database's what this one closes."""
    return datetime.now(UTC)
