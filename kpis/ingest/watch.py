"""Ingest files as they land: one run for those that have, and a full listing of the place now and then."""

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
    """Starts runs until it is stopped, which it finds out between them.

    ``run`` ingests the files with these names, or with None what a listing of the place finds new; where it is told
    that it is due, it makes a run of it though nothing is new. The place is listed every ``listing_seconds``, and every
    ``poll_seconds`` while nothing tells of its files. ``report`` is told what happens besides runs: how grave that is (a
    level of ``logging``), what it is, and more of it.
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
        self._arrivals, self._run, self._is_stopped, self._report = arrivals, run, is_stopped, tell
        self._listing_seconds, self._poll_seconds = listing_seconds, poll_seconds
        # When the place was last listed, and when the run of that was made whatever it found.
        self._listed = self._ran = -math.inf
        self._pause, self._failure, self._heard = FIRST_PAUSE_SECONDS, "", ""

    def work(self) -> None:
        """Works until it is stopped. Raises SourceError where there is nothing that could be watched to begin with."""
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
        # Before it is listed, so that nothing lands in between.
        self._arrivals.listen()
        self._report_mode()
        began = time.monotonic()
        is_due = began >= self._ran + self._listing_seconds
        if self._did(None, is_due):
            self._listed = time.monotonic()
            if is_due:
                self._ran = began

    def _did(self, names: Collection[str] | None, is_due: bool) -> bool:
        """Whether the run, if there had to be one, came to its end; else there was a pause."""
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
            self._report(logging.INFO, "watch goes on", "runs come to their end again")
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
                # The run that comes next tells of it.
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
            # Where nothing was to tell of files, that is as it should be.
            self._report(logging.WARNING if self._arrivals.means else logging.INFO, "watch", every)
        else:
            self._report(logging.INFO, "watch", f"by {heard}")

    def _report_failure(self, error: Exception) -> None:
        """Tells of what kept a run from its end, once for each reason until one comes to its end."""
        reason = " ".join(f"{error}".split()) or type(error).__name__
        if reason != self._failure:
            self._failure = reason
            self._report(logging.ERROR, "watch failed", f"{reason} It is tried again.")
