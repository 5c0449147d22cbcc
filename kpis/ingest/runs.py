"""Runs that people start from the web: the work of ``manage.py update_network_stats``, in a process of its own.

Whoever waits for an answer of the web waits for no run. That two runs never work at once is the store's business: one
started meanwhile ends at once. What became of a run stands in the ledger, and what it says of errors goes where the web
server's own errors go.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from kpis.models import Batch

START_RUN = "kpis.start_run"

# The process that was started here last: each web process has one at most that has not ended.
_started: subprocess.Popen | None = None
_starting = threading.Lock()


def may_start_runs(user) -> bool:
    """Whether a user may start runs, and have failed files tried again."""
    return user.has_perm(START_RUN)


def start_run() -> subprocess.Popen | None:
    """Starts a run and does not wait for it; None where the one that was started here before has not ended."""
    global _started
    with _starting:
        if _started is not None and _started.poll() is None:
            return None
        # Not sys.executable, which is the server's where Python is built into one.
        python = Path(sys.prefix, "bin", "python3")
        _started = subprocess.Popen(
            [python, "-m", "network_analysis", "update_network_stats", "-v", "0"],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Signals to the web server are not for the run.
            start_new_session=True,
        )
    # Its end is taken note of, so that the system forgets it too.
    threading.Thread(target=_started.wait, daemon=True).start()
    return _started


def mark_for_retry(batches: QuerySet[Batch]) -> int:
    """Has the failed files among these batches tried again by the next run, also unchanged; how many those are."""
    # A stream's batch, which has its topic before a slash, is no file that could be read again.
    return batches.filter(status=Batch.Status.FAILED).exclude(name__contains="/").update(retry=True)
