"""Sample data as a stream: so many messages a second, each at about its own time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, islice

import numpy as np

from kpis.catalog.feeds import Form
from kpis.sample.california import LOCAL_TIME
from kpis.sample.day import SPAN, SPAN_SECONDS, rows_in
from kpis.sample.files import Columns, Sample, lines_of


def seconds_of(sample: Sample, start: datetime, rate: int, seconds: int, seed: int) -> Iterator[list[bytes]]:
    """The messages of one second after the other from a moment (UTC) on: ``rate`` each, earliest first.

    They are picked evenly from an interval's sample data, which follows the day's curve and so has a few more or less.
    """
    first, last = SPAN.at(start), SPAN.at(start + timedelta(seconds=seconds - 1))
    busiest = 10_000
    rows = -(-rate * SPAN_SECONDS * busiest // rows_in(first, busiest, LOCAL_TIME))
    spans = sample.intervals(first.start, 1 + (last.start - first.start) // SPAN.delta, rows, seed)
    every = chain.from_iterable(_seconds(sample, columns, rate) for _, columns in spans)
    passed = (start - first.start) // timedelta(seconds=1)
    return islice(every, passed, passed + seconds)


def _seconds(sample: Sample, columns: Columns, rate: int) -> Iterator[list[bytes]]:
    """A span's messages by the second."""
    count = len(next(iter(columns.values())))
    for second in range(SPAN_SECONDS):
        picked = np.arange(second * rate, (second + 1) * rate) * count // (rate * SPAN_SECONDS)
        lines = lines_of(sample.feed.form, {name: values[picked] for name, values in columns.items()})
        messages = [line.rstrip("\n").encode() for line in lines]
        # Messages have no header.
        yield messages if sample.feed.form is Form.JSON_LINES else messages[1:]
