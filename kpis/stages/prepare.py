"""Prepare: read a batch once and reduce it to partials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath

from kpis.catalog.intervals import EPOCH, ONE_HOUR
from kpis.catalog.live import EARLY, MINUTE, counted_from, live_dimensions
from kpis.catalog.registry import partial_kpi_ids, partial_kpis
from kpis.clock import Clocks
from kpis.engine.aggregate import Partials, TotalTooLarge, partial_of_records
from kpis.engine.compiled import CORES
from kpis.engine.file_reader import Reject, write_rejects
from kpis.engine.live import LiveCounts, timeline_of_records
from kpis.engine.scan_columns import RECORDS
from kpis.engine.scanner import Scan
from kpis.engine.scratch import ScratchError
from kpis.engine.table import held_bytes
from kpis.formats.bounds import FileError, TooManyRejects
from kpis.lake import Rows
from kpis.sources.batch import Batch
from kpis.stages.engine import Engine
from kpis.stages.faults import is_of_machine, reason_of_fault
from kpis.stages.identity import key_of, reading_of
from kpis.stages.ledger import Entry
from kpis.stages.options import Options
from kpis.stages.prepared import RECORDS_TABLE, Prepared, sources, stage
from kpis.stages.read import read, scan_of
from kpis.stages.room import out_of_room, out_of_room_errors
from kpis.stages.times import read_again_at_of

FIRST_REJECTS = 100


@contextmanager
def prepare(
    file: Batch,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None] | None = None,
    earliest: datetime = EPOCH,
) -> Iterator[Prepared]:
    """Parse and aggregate a batch. Writes nothing to the ledger or the lake and needs no lock.

    What it gives lies in memory, or in the connection's tables until the next batch is prepared. Rows of before
    ``earliest`` (UTC) are rejects. ``scan_of_file`` returns what the scanner found in it, or None where the reader has
    to read it; by default it is scanned now.
    """
    with ExitStack() as stack:
        scan_of_file = scan_of_file or partial(scan_of, file, options, earliest, engine.scratch)
        yield _prepare(file, engine, options, scan_of_file, earliest, stack)


def _prepare(
    file: Batch,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None],
    earliest: datetime,
    stack: ExitStack,
) -> Prepared:
    """Prepare a batch; where memory runs out, try once more on one core, without what is cached of former batches.

    A fault of this program fails a file, and is raised for messages, as a consumer must not skip any.
    """
    for tried in (engine, replace(engine, cores=1)):
        try:
            with ExitStack() as tables:
                one = _read_and_reduce(file, tried, options, scan_of_file, earliest, tables)
                stack.push(tables.pop_all())
                return one
        except out_of_room_errors() as error:
            if file.is_followed and isinstance(error, ScratchError):
                # Messages are spooled there, so that nothing can go on.
                raise
            engine.make_room()
            reason = out_of_room(error)
        except Exception as error:
            if file.is_followed or is_of_machine(error):
                raise
            return Prepared(Entry(file, False, reason_of_fault(file, error), reading=reading_of(file, options)))
    return Prepared(Entry(file, False, reason, not file.is_divisible, reading=reading_of(file, options)))


def _read_and_reduce(
    file: Batch,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None],
    earliest: datetime,
    stack: ExitStack,
) -> Prepared:
    """Read a batch into tables of the connection, reduce it, and return it; the tables last as long as ``stack``."""
    try:
        scanned = scan_of_file()
        # The scanner has the others at work on the next files.
        engine.use_cores(CORES if scanned is None else 1)
        if scanned is None:
            reading = read(file, engine, options, earliest)
        else:
            if scanned.rejects or file.is_followed:
                write_rejects(engine.connection, scanned.rejects)
            reading = scanned.reading
        reading = file.completed(reading, lambda: engine.connection)
        if not file.is_followed:
            options.bounds.check_hours(len({ONE_HOUR.floor(start) for start in reading.intervals}))
    except TooManyRejects as error:
        again = read_again_at_of(file, error.first_ahead, options)
        entry = Entry(
            file,
            False,
            str(error),
            reading=reading_of(file, options),
            lines=error.line,
            rejects=error.rejects,
            read_again_at=again,
        )
        return Prepared(entry, _first_rejects(engine))
    except FileError as error:
        reading_of_file, again = reading_of(file, options), error.read_again_at
        return Prepared(Entry(file, False, str(error), error.passing, reading=reading_of_file, read_again_at=again))
    newest, live = _of_stream(file, scanned, engine, options.at_hand)
    first_rejects = _first_rejects(engine) if reading.rejects else []
    entry = Entry(
        file,
        is_in=True,
        key=key_of(file, reading, options),
        digest=reading.digest,
        reading=reading_of(file, options),
        kpis=partial_kpi_ids(file.feed),
        lines=reading.lines,
        records=reading.records,
        rejects=reading.rejects,
        intervals=reading.intervals,
        read_again_at=read_again_at_of(file, reading.ahead.first, options),
        lacks_day=reading.lacks_day,
    )
    if reading.rejects > options.max_reject_ratio * reading.lines:
        reason = f"is the wrong file: {reading.rejects:,} of its {reading.lines:,} rows are rejects"
        return Prepared(replace(entry, is_in=False, reason=reason), first_rejects)
    partials: dict[int, Partials] = {}
    for kpi in partial_kpis(file.feed) if entry.intervals else []:
        if scanned:
            partials[kpi.id] = {f"partial_{kpi.id}": scanned.partials[kpi.id]}
        else:
            try:
                table = stack.enter_context(partial_of_records(engine.connection, kpi, entry.intervals))
            except TotalTooLarge as error:
                return Prepared(replace(entry, is_in=False, reason=str(error)), first_rejects)
            partials[kpi.id] = {table: None}
    found, records = scanned.records if scanned else None, RECORDS_TABLE
    if found:
        plain = found.columns if found.plain and found.in_order else None
        records = Rows(found.sql, {RECORDS: found.columns}, found.in_order, held_bytes(found.columns), plain)
    return Prepared(entry, first_rejects, partials, newest=newest, live=live, records=records)


def _first_rejects(engine: Engine) -> list[Reject]:
    """Return the first rejects of the batch that was read last."""
    return engine.connection.execute(f"FROM rejects ORDER BY line LIMIT {FIRST_REJECTS}").fetchall()


def _of_stream(
    file: Batch, scanned: Scan | None, engine: Engine, clocks: Clocks
) -> tuple[datetime | None, LiveCounts | None]:
    """Return the newest record's time (UTC) and the live counts of a stream's batch; for a file, None and None."""
    if not file.is_followed:
        return None, None
    now, dimensions = clocks.host, live_dimensions(file.feed)
    timeline = scanned.timeline if scanned is not None else None
    if timeline is None:
        timeline = timeline_of_records(engine.connection, file.feed, dimensions)
    live = timeline.live_counts(counted_from(MINUTE, now), now + EARLY) if dimensions else None
    return timeline.newest(clocks.earliest), live


def write_aside(one: Prepared, engine: Engine, options: Options, folder: PurePosixPath) -> Prepared:
    """Write what the lake keeps of a batch aside, into a folder of the lake's tree, for another process to commit.

    Returns the batch without partials, but with what was written.
    """
    if not one.entry.is_in:
        return one
    staging = engine.lake.stage(one.entry.key, folder)
    stage([one], {kpi: sources([one], kpi) for kpi in one.partials}, staging, options)
    return replace(one, partials={}, written=staging.put_aside())
