"""Read files into records and rejects: the compiled scanner what it can, ahead of its turn; the reader the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import Parquet
from kpis.catalog.intervals import EPOCH
from kpis.catalog.live import live_dimensions
from kpis.catalog.registry import partial_kpis
from kpis.engine.compiled import CORES
from kpis.engine.file_reader import Reading
from kpis.engine.parquet_scan import scan_parquet
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import Scan, scan
from kpis.engine.scratch import translate_errors
from kpis.formats.bounds import FileError
from kpis.sources.batch import Batch
from kpis.sources.directory import FoundFile
from kpis.stages.engine import Engine
from kpis.stages.options import IntervalFrom, Options
from kpis.stages.plan import BY_CONTENT, Planned
from kpis.stages.times import start_in_name, times_of

# Handing a file to another thread and back takes about as long as scanning so much.
SMALL_BYTES = 64 * 2**10


def scanned_ahead(
    planned: Iterable[Planned], scratch: Path, options: Options
) -> Iterator[tuple[Planned, Callable[[], Scan | None]]]:
    """Yield the planned files, fetched, each with a callable that returns its scan; fetch and scan the next meanwhile.

    A changed file is scanned only when the callable is called, since its content may turn out to be known; so is a
    small one, for which handing it to a thread takes longer than scanning it.
    """
    files = iter(planned)
    with ThreadPoolExecutor(CORES, thread_name_prefix="scanner") as threads:
        waiting: deque[tuple[Future[FoundFile], Planned, Callable[[], Scan | None]]] = deque()
        try:
            while True:
                for one in islice(files, CORES + 1 - len(waiting)):
                    fetched = threads.submit(one[0].fetched, scratch)
                    if one[2] in BY_CONTENT or one[0].size <= SMALL_BYTES:
                        waiting.append((fetched, one, partial(_scan, fetched, options, scratch)))
                    else:
                        waiting.append((fetched, one, threads.submit(_scan, fetched, options, scratch).result))
                if not waiting:
                    return
                fetched, (_, entry, why), scan_of_file = waiting.popleft()
                file = fetched.result()
                yield (file, entry, why), scan_of_file
                file.close()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _scan(fetched: Future[FoundFile], options: Options, scratch: Path) -> Scan | None:
    return scan_of(fetched.result(), options, scratch=scratch)


def scan_of(file: Batch, options: Options, earliest: datetime = EPOCH, scratch: Path | None = None) -> Scan | None:
    """Return what the scanner finds in a batch; None where the reader has to read it, which says what is wrong.

    Rows of before ``earliest`` (UTC) are rejects. ``scratch`` is for temporary files.
    """
    kpis = partial_kpis(file.feed)
    if file.problem or not can_scan(file.feed, kpis):
        return None
    try:
        start = start_in_name(file, options) if options.interval_from is IntervalFrom.FILENAME else None
    except FileError:
        return None
    times, defaults = replace(times_of(file, options), earliest=earliest), _defaults(file, options)
    bounds = options.bounds
    is_archived = file.feed.name in options.archive_feeds
    if isinstance(file.feed.format, Parquet):
        # Its records take more room than memory may have.
        given = (start, times, defaults, bounds, scratch)
        return None if is_archived else scan_parquet(file.path, file.feed, kpis, *given)
    live = live_dimensions(file.feed) if file.is_followed else None
    feed = _row_feed(file)
    return scan(file.path, feed, kpis, start, bounds.rejects, times, defaults, is_archived, bounds, live, file.days)


def read(file: Batch, engine: Engine, options: Options, earliest: datetime) -> Reading:
    """Read a batch into the connection's tables ``records`` and ``rejects``; raises FileError."""
    if file.problem:
        raise FileError(file.problem, passing=True)
    start = start_in_name(file, options) if options.interval_from is IntervalFrom.FILENAME else None
    defaults = _defaults(file, options)
    times = replace(times_of(file, options), earliest=earliest)
    with translate_errors(engine.scratch):
        return Reader(engine.connection, engine.scratch, options.bounds).read(
            file.path, _row_feed(file), start, defaults, times, file.days
        )


def _row_feed(file: Batch) -> Feed:
    """Return the feed by which the rows of a batch are read."""
    return file.feed.of_messages if file.is_followed else file.feed


def _defaults(file: Batch, options: Options) -> dict[str, Any]:
    """Return the values of columns that the batch's rows may lack."""
    if file.is_followed:
        return {}
    day = file.feed.date_in(file.name) or options.date
    return {file.feed.moment.column: day} if file.feed.needs_date and day else {}
