"""The times that the rows of a batch may have, by the clocks and by its name."""

from __future__ import annotations

from datetime import datetime

from kpis.catalog.intervals import LAST_DAY
from kpis.formats.bounds import FileError
from kpis.formats.judge import ANY_TIME, Times, too_far_ahead
from kpis.sources.batch import Batch
from kpis.stages.options import IntervalFrom, Options


def times_of(file: Batch, options: Options) -> Times:
    """Return the times that a batch's rows may have; others make rejects."""
    if options.interval_from is IntervalFrom.FILENAME and not file.is_followed:
        # The name says which interval they count in.
        return ANY_TIME
    latest = options.at_hand.latest
    if file.arrived is not None:
        # What is a reject of a stream's remains one: where the clocks disagree, the latest decides.
        latest = max(latest, file.arrived)
    # A clock of the last days that there are has nothing ahead of it.
    latest = min(latest, LAST_DAY - options.max_clock_ahead) + options.max_clock_ahead
    return Times(latest=latest.replace(microsecond=0), ahead=options.max_clock_ahead)


def read_again_at_of(file: Batch, first_ahead: datetime | None, options: Options) -> datetime | None:
    """Return the moment (UTC) from which reading a file again gives one more record.

    From then on its first row ahead is no longer too far ahead of the clock. None for messages, which are read once.
    """
    if first_ahead is None or file.is_followed:
        return None
    return first_ahead - options.max_clock_ahead


def start_in_name(file: Batch, options: Options) -> datetime:
    """Return the interval start in a file's name; raises FileError where there is none, or it is too far ahead."""
    end = file.feed.interval_end_in(file.name)
    if end is None:
        raise FileError("has no interval end in its name, as in ipflow_data.ts-1626566700000.1.csv")
    if not file.feed.interval.is_aligned(end):
        raise FileError(f"has an interval end in its name that is not aligned to {file.feed.interval}")
    start = end - file.feed.interval.delta
    if start - options.max_clock_ahead > options.at_hand.latest:
        reason = f"has an interval in its name that {too_far_ahead(options.max_clock_ahead)}"
        raise FileError(reason, read_again_at=start - options.max_clock_ahead)
    return start
