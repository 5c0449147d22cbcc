"""The options of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from kpis import clock
from kpis.clock import Clocks
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds


class IntervalFrom(StrEnum):
    """The source of a row's interval: its own timestamps, or its file's name."""

    RECORD = "record"
    FILENAME = "filename"


class Duplicates(StrEnum):
    """The handling of a file whose content was ingested under another name: it is not counted again, or it is."""

    IGNORE = "ignore"
    COUNT = "count"


@dataclass(frozen=True)
class Options:
    """The options of a run.

    ``top_n`` is the length of top lists; ``date`` the day of records whose file does not have it. ``reread`` ingests
    known files again if they were read with another ``interval_from`` or ``date``; ``retry_failed`` retries failed
    files though they did not change; ``roll_up_open`` also computes the longer intervals that have not closed yet. A
    file of which more than ``max_reject_ratio`` of the rows are rejects fails as a whole, and one that exceeds
    ``bounds`` as soon as it does. ``recompute`` computes past intervals with today's references (quotas), not those of
    their time. The records of ``archive_feeds`` are kept in the lake. A stream's messages may come ``allowed_lateness``
    after newer ones before the intervals that they belong to close. ``clocks`` say which times lie ahead, the same for
    all that work on a batch; None: the host's clock does. A row that lies more than ``max_clock_ahead`` ahead of the
    latest of them is a reject; its file is read again once it no longer does. ``duplicates`` says whether files of the
    same content count once or each. ``verify`` digests the content of every known file, in case it changed while its
    size and times did not. Batches are committed together up to ``group_batches``, up to ``group_bytes`` of their
    partials in memory, or for ``group_seconds``.
    """

    top_n: int = 10
    interval_from: IntervalFrom = IntervalFrom.RECORD
    date: date | None = None
    reread: bool = False
    retry_failed: bool = False
    roll_up_open: bool = False
    max_reject_ratio: float = 0.5
    bounds: Bounds = DEFAULT_BOUNDS
    recompute: bool = False
    archive_feeds: frozenset[str] = frozenset()
    allowed_lateness: timedelta = timedelta(0)
    clocks: Clocks | None = None
    max_clock_ahead: timedelta = timedelta(days=1)
    duplicates: Duplicates = Duplicates.IGNORE
    verify: bool = False
    group_batches: int = 1_000
    group_bytes: int = 24 * 2**20
    group_seconds: float = 10

    @property
    def at_hand(self) -> Clocks:
        """The clocks to use: ``clocks``, else the host's."""
        return self.clocks or clock.host_clock()
