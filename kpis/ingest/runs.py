"""Runs that are started from the web: ``manage.py update_network_stats`` in a process of its own.

No request waits for a run. The ledger's lock makes sure that two runs never work at once: a second one ends at once.
The ledger has the outcome of each run, and errors go where the web server's own errors go.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import QuerySet

from kpis.models import Batch

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

START_RUN = "kpis.start_run"

# The last process that was started here: each web process has at most one that has not ended.
_started: subprocess.Popen | None = None
_starting = threading.Lock()


def may_start_runs(user: User | AnonymousUser) -> bool:
    """Return True if a user may start runs, and mark failed files to be tried again."""
    return user.has_perm(START_RUN)


def start_run() -> subprocess.Popen | None:
    """Start a run without waiting for it; return None if the previous one that was started here has not ended."""
    global _started
    with _starting:
        if _started is not None and _started.poll() is None:
            return None
        # Not sys.executable, which is the server if Python is embedded in one.
        python = Path(sys.prefix, "bin", "python3")
        _started = subprocess.Popen(
            [python, "-m", "network_analysis", "update_network_stats", "-v", "0"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Signals to the web server do not reach the run.
            start_new_session=True,
        )
    # Reap the process when it ends, so that it does not stay as a zombie.
    threading.Thread(target=_started.wait, daemon=True).start()
    return _started


def mark_for_retry(batches: QuerySet[Batch]) -> int:
    """Mark the failed files among these batches to be tried again by the next run; return how many they are."""
    # A stream's batch, which has a slash in its name, is not a file that could be read again.
    return batches.filter(status=Batch.Status.FAILED).exclude(name__contains="/").update(retry=True)
