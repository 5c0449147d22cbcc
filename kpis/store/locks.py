"""The lock by which one process at a time writes the ledger and the lake."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db.models import Q

from kpis.models import Run
from kpis.store.applied import unapplied
from kpis.store.dialects import dialect
from kpis.store.errors import AlreadyRunning, NotApplied, StoreError

logger = logging.getLogger(__name__)

# How the command of a consumer's run begins.
CONSUMER = "consume_stream "
RETRY_SECONDS = 0.02
# A process that takes the lock records its run within this time.
RECORDED_WITHIN_SECONDS = 0.2
# How long a process other than a consumer waits for the lock while consumers take turns.
PATIENCE_SECONDS = 60


@contextmanager
def ledger_lock(patience: float = 0, *, applied_only: bool = True) -> Iterator[None]:
    """Hold the lock that lets one process at a time, on any host, work on the database.

    While the holder is a consumer or prunes, and so soon ends its step, waits up to ``patience`` seconds. Raises
    AlreadyRunning, and NotApplied if ``applied_only`` and the catalog is not applied. The lock belongs to the database
    connection (with SQLite: to the process), so it ends with its holder, however that ends.
    """
    began, is_logged = time.monotonic(), False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(_run_lock())
                break
            except AlreadyRunning:
                waited = time.monotonic() - began
                if waited >= patience or (waited >= RECORDED_WITHIN_SECONDS and not _takes_turns()):
                    raise
                if waited >= RECORDED_WITHIN_SECONDS and not is_logged:
                    logger.debug("lock busy", extra={"patience": patience})
                    is_logged = True
            time.sleep(RETRY_SECONDS)
        if applied_only and (reason := unapplied()):
            raise NotApplied(reason)
        yield


def check_lock() -> None:
    """Raise StoreError if the lock is held on a connection of its own, and that connection was lost."""
    if not dialect().holds_run_lock():
        raise StoreError(
            f"The connection to {dialect().location} that lets one run at a time work was closed: nothing of this step "
            "was written. The pooler must leave an idle transaction open (PgBouncer: idle_transaction_timeout = 0)."
        )


@contextmanager
def _run_lock() -> Iterator[None]:
    with ExitStack() as stack:
        try:
            is_ours = stack.enter_context(dialect().run_lock())
        except OSError as error:
            place, reason = error.filename, error.strerror
            raise StoreError(f"Cannot write {place}, which lets one run at a time work: {reason}.") from error
        if not is_ours:
            raise AlreadyRunning
        yield


def _takes_turns() -> bool:
    """Return True if the process at work releases the lock after each of its steps."""
    running = Run.objects.filter(outcome=Run.Outcome.RUNNING)
    return running.filter(Q(command__startswith=CONSUMER) | Q(command__startswith=Run.PRUNE)).exists()
