"""Ingest files as they arrive: one run for the reported names, and a full listing of the place now and then."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection

from django.db import Error as DatabaseError

from kpis.sources.arrivals import Arrivals
from kpis.sources.directory import SourceError
from kpis.store.errors import AlreadyRunning
from kpis.store.locks import ledger_lock

STEP_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 60


class Watch:
    """Start runs until it is stopped; ``is_stopped`` is asked between them.

    ``run(names, is_due)`` ingests the files with these names; with None it lists the place and ingests what is new.
    ``is_due`` makes it run even if nothing is new. The place is listed every ``listing_seconds``, and every
    ``poll_seconds`` while there are no notices of its files. ``report(level, event, detail)`` logs all else.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        run: Callable[[Collection[str] | None, bool], None],
        is_stopped: Callable[[], bool],
        report: Callable[[int, str, str], None],
        listing_seconds: float,
        poll_seconds: float,
    ):
        self._arrivals, self._run, self._is_stopped, self._report = arrivals, run, is_stopped, report
        self._listing_seconds, self._poll_seconds = listing_seconds, poll_seconds
        # When the place was last listed, and when the last run started that was due even if nothing was new.
        self._listed = self._ran = -math.inf
        self._pause, self._failure, self._heard = FIRST_PAUSE_SECONDS, "", ""

    def work(self) -> None:
        """Work until it is stopped. Raises SourceError if the place cannot be listed at the start."""
        with self._arrivals:
            while not self._is_stopped():
                left = self._listed + self._listing_every() - time.monotonic()
                if left <= 0:
                    self._list()
                else:
                    names = self._arrivals.wait(left)
                    self._report_mode()
                    if names and not self._is_stopped() and self._did(names, False) and not self._is_stopped():
                        # All of them: a run that was stopped may have left some out.
                        self._arrivals.acknowledge()

    def _listing_every(self) -> float:
        return min(self._poll_seconds, self._listing_seconds) if self._arrivals.blind else self._listing_seconds

    def _list(self) -> None:
        # Before the listing, so that no file is missed in between.
        self._arrivals.listen()
        self._report_mode()
        began = time.monotonic()
        is_due = began >= self._ran + self._listing_seconds
        if self._did(None, is_due):
            self._listed = time.monotonic()
            if is_due:
                self._ran = began

    def _did(self, names: Collection[str] | None, is_due: bool) -> bool:
        """Run and return True; return False after a pause if another run had the lock or this one failed."""
        try:
            self._run(names, is_due)
        except AlreadyRunning:
            self._await_turn()
            return False
        except Exception as error:
            if isinstance(error, SourceError) and self._listed == -math.inf:
                raise
            self._report_failure(error)
            self._sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            return False
        if self._failure:
            self._report(logging.INFO, "watch goes on", "runs succeed again")
        self._pause, self._failure = FIRST_PAUSE_SECONDS, ""
        return True

    def _await_turn(self) -> None:
        self._report(logging.INFO, "watch waits", "another run is under way on this database")
        while not self._is_stopped():
            self._sleep(STEP_SECONDS)
            try:
                with ledger_lock():
                    return
            except AlreadyRunning:
                continue
            except DatabaseError:
                # The next run reports it.
                return

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._is_stopped() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, STEP_SECONDS))

    def _report_mode(self) -> None:
        heard = self._arrivals.blind or self._arrivals.means
        if heard == self._heard:
            return
        self._heard = heard
        if self._arrivals.blind:
            every = f"listed every {self._listing_every():g} s: {heard}"
            # Without a mechanism for notices this is normal.
            self._report(logging.WARNING if self._arrivals.means else logging.INFO, "watch", every)
        else:
            self._report(logging.INFO, "watch", f"by {heard}")

    def _report_failure(self, error: Exception) -> None:
        """Report why a run failed, once per reason until a run succeeds."""
        reason = " ".join(f"{error}".split()) or type(error).__name__
        if reason != self._failure:
            self._failure = reason
            self._report(logging.ERROR, "watch failed", f"{reason} It is tried again.")
