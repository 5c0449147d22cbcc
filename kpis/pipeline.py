"""One run, top to bottom: files become records, records partials, partials results, results a ledger's rows.

Free of Django: ``run`` works on any ledger, the database's or one in memory, and ``compute`` answers for a
folder in a notebook::

    from kpis import pipeline
    tables = pipeline.compute("var/sample")
    tables["ServiceTrafficVolume"]
"""

from __future__ import annotations

import hashlib
import tempfile
import time
import warnings
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import numpy as np

from kpis import clock
from kpis.catalog.feeds import FEEDS, Feed
from kpis.catalog.intervals import EPOCH, LAST_DAY, ONE_HOUR, Interval, Length, to_text
from kpis.catalog.kpis import KPI, KPIS, kpis_of
from kpis.catalog.live import EARLY, LIVE_DIMENSIONS, MINUTE, counted_from
from kpis.clock import Clocks
from kpis.engine.aggregate import Partials, Results, TotalTooLarge, kept_results, partial_of_records
from kpis.engine.compiled import CORES, give_memory_back
from kpis.engine.folding import add_fold
from kpis.engine.live import LiveCounts, live_counts
from kpis.engine.merge import can_merge
from kpis.engine.reader import Reader, Reading, Reject, add_rejects, newest_moment, write_rejects
from kpis.engine.recent import RecentPartials
from kpis.engine.running import MOST_INTERVALS, Running
from kpis.engine.scanner import Scan, can_scan, scan
from kpis.engine.scratch import ScratchError, scratch, telling
from kpis.engine.table import registered
from kpis.formats.judge import ANY_TIME, Times, too_far_ahead
from kpis.formats.lines import DEFAULT_BOUNDS, Bounds, FileError, TooManyRejects, content_digests
from kpis.lake import Counted, DamagedFile, Lake, LakeFile, PartialFile, Staging, Verify
from kpis.lake import telling as telling_of_lake
from kpis.ledger import Change, Entry, Keys, Ledger, MemoryLedger, TakenBack, closing_time
from kpis.merging import Fresh, KeysBetween, keys_in, merged, merged_running
from kpis.sources.directory import FoundFile, Version
from kpis.sources.messages import Messages
from kpis.sources.places import found_in
from kpis.sources.stream import Recreated
from kpis.storage import Address, address, storage_at

if TYPE_CHECKING:
    import pandas as pd

FIRST_REJECTS = 100
NO_ROOM = "memory, or room for temporary files, did not suffice to compute it"
# What says that memory, or room for temporary files, ran out.
OUT_OF_ROOM = (duckdb.OutOfMemoryException, duckdb.IOException, ScratchError)
# So many unfinished files are named.
MOST_NAMES_TOLD = 20
# So many rows of results are held at once, and more by one group of hours.
ROWS_AHEAD = 250_000
# How long a process leaves alone an interval that could not be read from the lake, or whose files were compacted.
PAUSE_SECONDS = 60
# Longer intervals that are due within so long are merged together.
ROLLED_UP_TOGETHER = timedelta(days=1)


class IntervalFrom(StrEnum):
    """What says which interval a row belongs to: its own timestamps, or its file's name."""

    RECORD = "record"
    FILENAME = "filename"


class Duplicates(StrEnum):
    """What becomes of a file whose content is in under another name: nothing, or it counts once more."""

    IGNORE = "ignore"
    COUNT = "count"


class Why(StrEnum):
    """Why a file is taken in."""

    NEW = "new"
    CHANGED = "changed"
    RETRIED = "tried again"
    NEW_KPI = "for a new KPI"
    VERIFIED = "verified"
    AHEAD = "with rows no longer ahead of the clock"


# Of files whose content decides whether they are ingested at all.
BY_CONTENT = {Why.CHANGED, Why.VERIFIED}
# A file that is to be taken in, with its entry in the ledger and the reason.
Planned = tuple[FoundFile, "Entry | None", Why]


@dataclass(frozen=True)
class Options:
    """How a run works.

    ``top_n`` is the length of top lists; ``date`` the day of records whose file does not tell it. ``reread`` takes
    known files in again when they were read with another ``interval_from`` or ``date``; ``retry_failed`` tries failed
    files again though they did not change; ``roll_up_open`` also figures the longer intervals that have not closed
    yet. A file of which more than ``max_reject_ratio`` of the rows are rejects fails as a whole, and one that goes
    beyond ``bounds`` as soon as it does. ``anew`` figures past
    intervals with the references (quotas) of now. The records of ``archive_feeds`` are kept in the lake. A stream's
    messages may come ``allowed_lateness`` after newer ones before the intervals that they belong to close. ``clocks``
    say which times lie ahead, the same for all that work on a batch; None: the host's clock does. A row that lies more
    than ``max_clock_ahead`` ahead of the latest of them is a reject; its file is read again once it no longer does.
    ``duplicates`` says whether files of the same content count once or each. ``verify`` has the content of every known
    file digested, as if it may have changed without a sign of it.
    """

    top_n: int = 10
    interval_from: IntervalFrom = IntervalFrom.RECORD
    date: date | None = None
    reread: bool = False
    retry_failed: bool = False
    roll_up_open: bool = False
    max_reject_ratio: float = 0.5
    bounds: Bounds = DEFAULT_BOUNDS
    anew: bool = False
    archive_feeds: frozenset[str] = frozenset()
    allowed_lateness: timedelta = timedelta(0)
    clocks: Clocks | None = None
    max_clock_ahead: timedelta = timedelta(days=1)
    duplicates: Duplicates = Duplicates.IGNORE
    verify: bool = False

    @property
    def at_hand(self) -> Clocks:
        """The clocks that the work goes by."""
        return self.clocks or clock.host_clock()


@dataclass(frozen=True)
class Ready:
    """A batch that is read and reduced: its entry, its first rejects, and where it can be in, its partials by KPI id.

    ``written`` has what is in the lake's staging already, on behalf of a cluster, and what it is to be; then there
    are no partials here. Of a stream's batch, ``newest`` is the newest of its records' own times (UTC) that are not
    ahead of the clock, and ``live`` counts its messages for the live page.
    """

    entry: Entry
    first_rejects: list[Reject] = field(default_factory=list)
    partials: Mapping[int, Partials] = field(default_factory=dict)
    written: Mapping[PurePosixPath, LakeFile] | None = None
    newest: datetime | None = None
    live: LiveCounts | None = None


@dataclass(frozen=True)
class TakenIn:
    """A file is in: its entry, and the starts (UTC) of its feed's intervals that were written."""

    entry: Entry
    touched: frozenset[datetime]


@dataclass(frozen=True)
class Unchanged:
    """A file has a new time of change, but the content that the ledger knows."""

    file: FoundFile


@dataclass(frozen=True)
class Duplicate:
    """A file has the content of a batch that is in under the name ``of``, and counts nothing more.

    With ``renamed`` there is no file of that name beside it any more: the batch goes by this file's name from now on.
    """

    file: FoundFile
    of: str
    renamed: bool = False


@dataclass(frozen=True)
class LeftAlone:
    """Files of a feed whose names say that they are unfinished, so that they were not read; see ``FileNames``."""

    feed: Feed
    names: tuple[str, ...]


@dataclass(frozen=True)
class Failed:
    """A file, or a rollup, is not in; ``what`` names it and ``reason`` says why."""

    what: str
    reason: str


@dataclass(frozen=True)
class RolledUp:
    """A longer interval was figured from its partials."""

    feed: Feed
    interval: Interval


@dataclass(frozen=True)
class Rebuilt:
    """An hour's short intervals, by their starts (UTC), were figured again from the lake."""

    feed: Feed
    hour: Interval
    touched: frozenset[datetime]


Event = TakenIn | Unchanged | Duplicate | LeftAlone | Failed | RolledUp | Rebuilt | TakenBack | Recreated


@dataclass
class Report:
    """The counts of a run, added up from its events."""

    files: int = 0
    failed: int = 0
    duplicates: int = 0
    records: int = 0
    rejects: int = 0
    rollups: int = 0
    failures: list[Failed] = field(default_factory=list)
    _touched: set[tuple[str, datetime]] = field(default_factory=set)

    @property
    def intervals(self) -> int:
        """How many of the feeds' own intervals were written."""
        return len(self._touched)

    def add(self, event: Event) -> None:
        match event:
            case TakenIn(entry, touched):
                self.files += 1
                self.records += entry.records
                self.rejects += entry.rejects
                self._touched |= {(entry.file.feed.name, start) for start in touched}
            case Duplicate():
                self.duplicates += 1
            case Rebuilt(feed, _, touched):
                self._touched |= {(feed.name, start) for start in touched}
            case Failed():
                self.failed += 1
                self.failures.append(event)
            case RolledUp():
                self.rollups += 1


class Cluster(Protocol):
    """Machines that do a run's work in the place of this one: they read files, and merge what is large."""

    def made_ready(
        self, planned: Iterable[Planned], engine: Engine, options: Options
    ) -> Iterator[tuple[Planned, Ready]]:
        """The planned files in their order, each ready, its files in the lake's staging; the next ones are meanwhile
        made ready. A file that changed is read as well, whether or not its content is known after all."""

    def merges(self, kpi: KPI, size: int) -> bool:
        """Whether it is the cluster that merges a KPI's partials of so many bytes."""

    def results(
        self,
        engine: Engine,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results:
        """What ``results_of_partials`` gives of the lake's files of partials."""


class Paused:
    """Intervals that a process leaves alone for PAUSE_SECONDS. They stay due in the ledger."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Interval], float] = {}

    def add(self, intervals: Iterable[tuple[str, Interval]]) -> None:
        """Pauses intervals, each with its feed's name, from now on."""
        now = time.monotonic()
        self._since |= dict.fromkeys(intervals, now)

    def left_out(self, due: Iterable[tuple[Feed, Interval]]) -> Iterator[tuple[Feed, Interval]]:
        """Yield those of the due intervals that are not paused now."""
        now = time.monotonic()
        self._since = {one: since for one, since in self._since.items() if now - since < PAUSE_SECONDS}
        return ((feed, interval) for feed, interval in due if (feed.name, interval) not in self._since)


@dataclass(frozen=True)
class Engine:
    """A DuckDB connection, the lake that is read and written through it, and a folder for temporary files.

    ``cores`` are those that may be used. With a ``cluster``, that reads and merges. ``failing`` are the intervals that
    could not be computed or compacted lately, ``compacted`` the hours that were compacted lately: late messages may
    touch many hours in every batch, and to rewrite each hour's files every time would take longer than all else.
    """

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    scratch: Path
    running: Running
    recent: RecentPartials
    failing: Paused
    compacted: Paused
    cluster: Cluster | None = None
    cores: int = CORES

    def use_cores(self, cores: int) -> None:
        """How many cores DuckDB's queries may use from now on, if there are so many; each takes memory of its own."""
        self.connection.execute(f"SET threads = {min(cores, self.cores)}")

    def make_room(self) -> None:
        """Drops what is held of former batches, and what is left of one that did not go through."""
        self.recent.clear()
        self.running.clear()
        for table in ("records", "judged"):
            self.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def merge_elsewhere(
        self,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results | None:
        """Return the cluster's results of the lake's files of partials, where it merges that many bytes; else None."""
        if self.cluster and self.cluster.merges(kpi, sum(file.size for file in files.values())):
            return self.cluster.results(self, kpi, length, files, starts, top_n)
        return None


@contextmanager
def engine(
    lake_dir: Address, memory_limit_mb: int = 800, verify: Verify = Verify.ALWAYS, synced: bool = True
) -> Iterator[Engine]:
    """The engine over a lake; what it cannot keep in the memory it may use, it spills to a temporary folder.

    ``verify`` says when the lake's files are compared with their digests, and ``synced`` whether they are on the disk
    before the ledger counts on them.

    Raises ScratchError where neither has room, and LakeError where the lake's place cannot be used at all.
    """
    give_memory_back()
    with scratch() as folder:
        with telling_of_lake(str(lake_dir)):
            storage = storage_at(lake_dir, folder, synced)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_limit_mb}MB",
            "temp_directory": str(folder / "spill"),
        }
        try:
            with duckdb.connect(config=config) as connection:
                add_fold(connection)
                yield Engine(
                    connection,
                    Lake(storage, connection, verify),
                    folder,
                    Running(connection),
                    RecentPartials(connection),
                    Paused(),
                    Paused(),
                )
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise ScratchError(_out_of_room(error)) from error


class UnfinishedFiles:
    """Collects what a source tells of unfinished files, for one run."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, feed: Feed, name: str) -> None:
        """Adds an unfinished file of a feed."""
        self._names.setdefault(feed.name, set()).add(name)

    def events(self, former: UnfinishedFiles | None = None) -> list[LeftAlone]:
        """One event for each feed that has unfinished files which ``former`` had not."""
        known = former._names if former else {}
        found = {feed: sorted(names - known.get(feed, set())) for feed, names in sorted(self._names.items())}
        return [LeftAlone(FEEDS[feed], tuple(names)) for feed, names in found.items() if names]


def left_alone_line(event: LeftAlone) -> str:
    """The unfinished files by name, as far as a line for people goes, and how their names should end."""
    names = ", ".join(event.names[:MOST_NAMES_TOLD])
    more = len(event.names) - MOST_NAMES_TOLD
    return (
        f"left alone, as unfinished: {names}{f' and {more:,} more' if more > 0 else ''} "
        f"(names of {event.feed.name} files end in {' or '.join(event.feed.endings)}, or as FEED_FILES says)"
    )


def _out_of_room(error: Exception) -> str:
    """What ran out of memory, or of room for temporary files, and what to do."""
    if isinstance(error, ScratchError):
        return str(error)
    return (
        f"Cannot go on with MEMORY_LIMIT_MB and the temporary folder: {str(error).splitlines()[0].rstrip('.')}. "
        "Raise MEMORY_LIMIT_MB, make room in that folder, or name another one with TMPDIR."
    )


def known_to(ledger: Ledger) -> Callable[[Feed, Collection[Version]], Iterable[Version]]:
    """What a source needs to leave out the files that are in: of a feed's versions those that ``plan`` passes over.

    ``plan`` says the same of whatever else there is, and of files that are to be read in another way.
    """
    return lambda feed, versions: ledger.known(feed, _kpi_ids(feed), versions)


def plan(files: Iterable[FoundFile], ledger: Ledger, options: Options) -> list[Planned]:
    """The files that are to be taken in, with their entries in the ledger and the reason, in their order.

    A file whose time of change differs from the ledger's counts as changed here; ``run`` looks at its content.
    """
    files = list(files)
    entries = ledger.entries(files)
    planned: list[Planned] = []
    latest = ledger.clocks().latest if any(entry.read_again_at for entry in entries.values()) else EPOCH
    for file in files:
        entry = entries.get((file.feed.name, file.name))
        if entry is None or entry.is_renamed:
            planned.append((file, entry, Why.NEW))
        elif entry.read_again_at is not None and entry.read_again_at <= latest:
            # Before what may have changed, which is not read where its content is known after all.
            planned.append((file, entry, Why.AHEAD))
        elif _is_changed(file, entry) or _is_reread(file, entry, options):
            planned.append((file, entry, Why.CHANGED))
        elif entry.is_known and not _kpi_ids(file.feed) <= entry.kpis:
            planned.append((file, entry, Why.NEW_KPI))
        elif not entry.is_known and (entry.retry or options.retry_failed or entry.reading != _reading(file, options)):
            planned.append((file, entry, Why.RETRIED))
        elif entry.is_known and options.verify:
            planned.append((file, entry, Why.VERIFIED))
    return planned


def run(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Takes the planned files in one by one, then figures the rollups that are due; yields what happened.

    Raises LakeError, ScratchError, SourceLost, or what the ledger raises, when nothing more can be done; the next run
    then goes on.
    """
    _begin(ledger, engine)
    options = replace(options, clocks=ledger.clocks())
    yield from ledger.heed_clocks(options.at_hand, options.allowed_lateness)
    # Those of former runs: an hour that this one rolls up may well be touched again soon.
    compactions = ledger.due_compactions()
    yield from (_run_on_cluster if engine.cluster else _run_here)(planned, ledger, engine, options)
    yield from _follow_up(compactions, ledger, engine, options)


def _begin(ledger: Ledger, engine: Engine) -> None:
    """Checks that the lake is the ledger's, and ends what broken runs left in it."""
    ledger.bind(engine.lake)
    engine.lake.recover(ledger)


def _run_here(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    for (file, entry, why), scan_of_file in _scanned_ahead(planned, engine.scratch, options):
        digest = _known_digest(file, entry, options) if why in BY_CONTENT and entry is not None else ""
        if digest and entry is not None:
            ledger.touch(replace(entry, digest=digest), file)
            yield Unchanged(file)
        else:
            with ready(file, engine, options, scan_of_file) as one:
                event = take_in(one, entry, ledger, engine, options)
            # Not from within, as whoever stops here may have closed the connection first.
            yield event


def _run_on_cluster(planned: Iterable[Planned], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    assert engine.cluster is not None  # noqa: S101  what run says
    for (_, entry, _), one in engine.cluster.made_ready(planned, engine, options):
        yield take_in(one, entry, ledger, engine, options)


def run_ready(ready: Iterable[Ready], ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Takes in new batches that are ready, or are made so as they are asked for, and does what else ``run`` does.

    What happened to the batches comes first.
    """
    _begin(ledger, engine)
    taken_back = ledger.heed_clocks(ledger.clocks(), options.allowed_lateness)
    compactions = ledger.due_compactions()
    for one in ready:
        yield take_in(one, None, ledger, engine, options)
    yield from taken_back
    yield from _follow_up(compactions, ledger, engine, options)


def _follow_up(
    compactions: Iterable[tuple[Feed, Interval]], ledger: Ledger, engine: Engine, options: Options
) -> Iterator[Event]:
    yield from roll_up(ledger, engine, options)
    for feed, hour in engine.compacted.left_out(engine.failing.left_out(compactions)):
        try:
            compact(feed, hour, ledger, engine)
            engine.compacted.add([(feed.name, hour)])
        except (DamagedFile, *OUT_OF_ROOM) as error:
            engine.failing.add([(feed.name, hour)])
            yield Failed(f"{feed.name}, compaction of the hour from {to_text(hour.start)}", str(error))


@contextmanager
def ready(
    file: FoundFile,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None] = lambda: None,
    earliest: datetime = EPOCH,
) -> Iterator[Ready]:
    """A file that is read and reduced, which changes nothing yet and needs nobody's leave: its records, rejects and
    partials are in the connection's tables, as long as no other is made ready.

    ``scan_of_file`` gives what the scanner found in it; None where it is the reader's, to whom rows of before
    ``earliest`` (UTC) are rejects.
    """
    with ExitStack() as stack:
        yield _ready(file, engine, options, scan_of_file, earliest, stack)


def _ready(
    file: FoundFile,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None],
    earliest: datetime,
    stack: ExitStack,
) -> Ready:
    """Prepares a file; one that finds no room tries once more, on one core and with nothing held of former batches."""
    for tried in (engine, replace(engine, cores=1)):
        try:
            with ExitStack() as tables:
                one = _reduced(file, tried, options, scan_of_file, earliest, tables)
                stack.push(tables.pop_all())
                return one
        except OUT_OF_ROOM as error:
            if isinstance(file, Messages) and isinstance(error, ScratchError):
                raise
            engine.make_room()
            reason = _out_of_room(error)
    return Ready(Entry(file, False, reason, _may_pass(file), reading=_reading(file, options)))


def _may_pass(file: FoundFile) -> bool:
    """True if a batch for which there is no room is tried again as it is; several messages are tried in halves."""
    return not (isinstance(file, Messages) and file.count > 1)


def _reduced(
    file: FoundFile,
    engine: Engine,
    options: Options,
    scan_of_file: Callable[[], Scan | None],
    earliest: datetime,
    stack: ExitStack,
) -> Ready:
    try:
        scanned = scan_of_file()
        # The scanner has the others at work on the next files.
        engine.use_cores(CORES if scanned is None else 1)
        if scanned is None:
            reading = _read(file, engine, options, earliest)
        else:
            reading = scanned.reading
            write_rejects(engine.connection, scanned.rejects)
        if not isinstance(file, Messages):
            options.bounds.check_hours(len({ONE_HOUR.floor(start) for start in reading.intervals}))
    except TooManyRejects as error:
        again = _read_again_at(file, error.first_ahead, options)
        entry = Entry(
            file,
            False,
            str(error),
            reading=_reading(file, options),
            lines=error.line,
            rejects=error.rejects,
            read_again_at=again,
        )
        return Ready(entry, _first_rejects(engine))
    except FileError as error:
        reading_of_file, again = _reading(file, options), error.read_again_at
        return Ready(Entry(file, False, str(error), error.passing, reading=reading_of_file, read_again_at=again))
    newest, live = _of_stream(file, reading, engine, options.at_hand)
    first_rejects = _first_rejects(engine) if reading.rejects else []
    entry = Entry(
        file,
        is_in=True,
        key=_key(file, reading, options),
        digest=reading.digest,
        reading=_reading(file, options),
        kpis=_kpi_ids(file.feed),
        lines=reading.lines,
        records=reading.records,
        rejects=reading.rejects,
        intervals=reading.intervals,
        read_again_at=_read_again_at(file, reading.ahead.first, options),
        lacks_day=reading.lacks_day,
    )
    if reading.rejects > options.max_reject_ratio * reading.lines:
        reason = f"is the wrong file: {reading.rejects:,} of its {reading.lines:,} rows are rejects"
        return Ready(replace(entry, is_in=False, reason=reason), first_rejects)
    partials: dict[int, Partials] = {}
    for kpi in _partial_kpis(file.feed) if entry.intervals else []:
        if scanned:
            columns = scanned.partials[kpi.id]
            table = stack.enter_context(registered(engine.connection, f"partial_{kpi.id}", columns))
            partials[kpi.id] = {table: columns}
        else:
            try:
                table = stack.enter_context(partial_of_records(engine.connection, kpi, entry.intervals))
            except TotalTooLarge as error:
                return Ready(replace(entry, is_in=False, reason=str(error)), first_rejects)
            partials[kpi.id] = {table: None}
    return Ready(entry, first_rejects, partials, newest=newest, live=live)


def write_aside(one: Ready, engine: Engine, options: Options, folder: PurePosixPath) -> Ready:
    """A batch that is ready, with its files in a folder of the lake's tree instead of its partials here."""
    if not one.entry.is_in:
        return one
    staging = engine.lake.stage(one.entry.key, folder)
    _add_files(one, staging, options)
    return replace(one, partials={}, written=staging.put_aside())


def take_in(one: Ready, former: Entry | None, ledger: Ledger, engine: Engine, options: Options) -> Event:
    """Ingests one file in the place of what its former entry gave: keep, merge, commit.

    A file with the content of a batch that is in becomes its duplicate. Where the former content has duplicates, one of
    them holds it from now on, so that it stays.
    """
    entry, name = one.entry, one.entry.file.name
    if former is not None:
        # Another file of this run may have changed what it is.
        (former,) = ledger.entries([former.file]).values()
    if former is not None and former.is_known:
        if entry.retry:
            return Failed(name, entry.reason)
        if _is_same(entry, former):
            ledger.touch(replace(former, reading=entry.reading), entry.file)
            return Unchanged(entry.file)
    twin = _twin(entry, ledger, options)
    heir = _heir(entry, former, ledger)
    # What goes with the former content, and what is there only now.
    leaving = former if former is not None and former.is_in and not heir else None
    gone = _pruned_start(replace(entry, intervals={}) if twin else entry, leaving, ledger)
    if gone:
        reason = f"touches the interval from {to_text(gone)}, whose other records the lake no longer has"
        if leaving is not None:
            return Failed(name, reason)
        entry, twin = replace(entry, is_in=False, reason=reason), None
    if twin is not None:
        return _pass_over(one, twin, leaving, heir, ledger, engine, options)
    if not entry.is_in:
        return _fail(replace(one, entry=entry), leaving, heir, ledger, engine, options)
    try:
        change = _reduce(one, leaving, ledger, engine, options)
        ledger.commit(replace(change, heir=heir))
    except TotalTooLarge as error:
        engine.lake.settle(entry.key, ledger)
        failed = replace(one, entry=replace(entry, is_in=False, reason=str(error)))
        return _fail(failed, leaving, heir, ledger, engine, options)
    except OUT_OF_ROOM as error:
        engine.make_room()
        engine.lake.settle(entry.key, ledger)
        entry = replace(entry, is_in=False, reason=_out_of_room(error), retry=_may_pass(entry.file))
        if entry.retry and former is not None and former.is_known:
            return Failed(name, entry.reason)
        return _fail(replace(one, entry=entry), leaving, heir, ledger, engine, options)
    engine.lake.settle(entry.key, ledger)
    return TakenIn(entry, change.touched)


def _is_same(entry: Entry, former: Entry) -> bool:
    """True if a file that was read gives what the ledger has of it already, in whatever form it is packed."""
    return (
        entry.is_in
        and bool(entry.digest)
        and _gives_the_same(entry, former)
        and entry.kpis <= former.kpis
        and entry.read_again_at == former.read_again_at
        and (not former.is_in or (entry.lines, entry.records) == (former.lines, former.records))
    )


def _twin(entry: Entry, ledger: Ledger, options: Options) -> Entry | None:
    """The batch that is in with the same content under another name; None where there is none, or both count."""
    is_alone = options.duplicates is Duplicates.COUNT or isinstance(entry.file, Messages)
    if is_alone or not entry.is_in or not entry.records:
        return None
    for other in ledger.with_digest(entry.file.feed, entry.digest):
        if other.file.name != entry.file.name and _gives_the_same(entry, other):
            return other
    return None


def _heir(entry: Entry, former: Entry | None, ledger: Ledger) -> str:
    """The name of the duplicate that is to hold a file's former content, which is no longer the file's; else empty."""
    if former is None or not former.is_in or (entry.is_in and _gives_the_same(entry, former)):
        return ""
    return next(iter(ledger.duplicates(former)), "")


def _pass_over(
    one: Ready, twin: Entry, leaving: Entry | None, heir: str, ledger: Ledger, engine: Engine, options: Options
) -> Event:
    """Notes that a file is a duplicate of a batch that is in, or that it was renamed; what it gave before goes."""
    file = one.entry.file
    lying = {name: file.has_beside(name) for name in (twin.file.name, *ledger.duplicates(twin)) if name != file.name}
    renamed = not lying[twin.file.name]
    gone = frozenset(name for name, is_there in lying.items() if not is_there)
    entry = replace(one.entry, is_in=False, duplicate_of=twin.file.name, key="", lines=0, records=0, rejects=0)
    kept = replace(one, entry=replace(entry, intervals={}), first_rejects=[], partials={}, written=None)
    _commit_without(kept, leaving, ledger, engine, options, heir=heir, renamed=gone)
    if renamed and not (entry.kpis <= twin.kpis and one.entry.records == twin.records):
        # Only this file is left to give what the batch lacks: a new KPI, or records that were ahead of the clock.
        (former,) = ledger.entries([file]).values()
        return take_in(one, former, ledger, engine, options)
    return Duplicate(file, twin.file.name, renamed)


def _commit_without(
    one: Ready, leaving: Entry | None, ledger: Ledger, engine: Engine, options: Options, **changes: Any
) -> None:
    """Commits a batch that counts nothing, without what its former entry ``leaving`` gave; see ``Change``."""
    staging, replaced = None, _files_of(leaving, ledger)
    if leaving is not None:
        staging = engine.lake.stage(f"without-{leaving.key}")
        staging.publish(replaced)
    ledger.commit(replace(_change(one, leaving, ledger, engine, options, replaced=replaced), **changes))
    if staging is not None:
        engine.lake.settle(staging.name, ledger)


def roll_up(
    ledger: Ledger, engine: Engine, options: Options, within: tuple[datetime, datetime] | None = None
) -> Iterator[Event]:
    """Figures the longer intervals that are due from their partials, oldest first.

    ``within`` takes only those that touch the time from its start to its end (UTC, excluded).
    """
    due = [
        (feed, interval)
        for feed, interval in engine.failing.left_out(ledger.due_rollups(options.roll_up_open))
        if not within or (interval.start < within[1] and within[0] < interval.end)
    ]
    due.sort(key=lambda one: (_together(one[1]), one[0].name, one[1].length.minutes, one[1].start))
    for (_, name, length), group in groupby(due, lambda one: (_together(one[1]), one[0].name, one[1].length)):
        feed, starts = FEEDS[name], [interval.start for _, interval in group]
        # Where DuckDB only fetches what is merged elsewhere, more would but take memory.
        engine.use_cores(1 if all(map(can_merge, kpis_of(feed, length))) else CORES)
        moments = dict.fromkeys(starts, clock.now()) if options.anew else ledger.reference_moments(feed, length, starts)
        yield from _roll_up(starts, feed, length, moments, ledger, engine, options)


def _together(interval: Interval) -> datetime:
    return interval.start - (interval.start - EPOCH) % ROLLED_UP_TOGETHER


def _roll_up(
    starts: list[datetime],
    feed: Feed,
    length: Length,
    moments: Mapping[datetime, datetime],
    ledger: Ledger,
    engine: Engine,
    options: Options,
) -> Iterator[Event]:
    """Computes longer intervals in one transaction, each with the references of its moment (UTC)."""
    try:
        results = list(_rollups(starts, feed, length, moments, ledger, engine, options))
    except (TotalTooLarge, *OUT_OF_ROOM) as error:
        if len(starts) > 1:
            # The others go in without the one that is to blame.
            for start in starts:
                yield from _roll_up([start], feed, length, moments, ledger, engine, options)
            return
        if isinstance(error, TotalTooLarge):
            yield Failed(_named(feed, length, starts), str(error))
            return
        engine.make_room()
        results = [kept_results(kpi, length, starts, NO_ROOM, _out_of_room(error)) for kpi in kpis_of(feed, length)]
    ledger.commit_rollup(feed, length, starts, results, moments)
    yield from _rolled_up(results, starts, feed, length, engine)


def _rollups(
    starts: list[datetime],
    feed: Feed,
    length: Length,
    moments: Mapping[datetime, datetime],
    ledger: Ledger,
    engine: Engine,
    options: Options,
) -> Iterator[Results]:
    """Yield the results of longer intervals. Only KPIs with a reference are merged moment by moment."""
    merge = partial(
        merged,
        length=length,
        keys_between=partial(ledger.keys, feed),
        counted=ledger.files,
        merging=engine,
        top_n=options.top_n,
    )
    yield from merge([kpi for kpi in kpis_of(feed, length) if not kpi.reference], starts=starts)
    for kpi in kpis_of(feed, length):
        if kpi.reference:
            for moment in sorted({moments[start] for start in starts}):
                engine.connection.register(kpi.reference.table, ledger.reference(kpi.reference.table, moment))
                yield from merge([kpi], starts=[start for start in starts if moments[start] == moment])


def _rolled_up(
    results: Collection[Results], starts: Collection[datetime], feed: Feed, length: Length, engine: Engine
) -> Iterator[Event]:
    """Tells which of the intervals were computed, and which were not for what reason."""
    failed: dict[str, set[datetime]] = {}
    for one in results:
        if one.reason and one.again:
            failed.setdefault(one.detail, set()).update(one.starts)
    for reason, of_reason in failed.items():
        yield Failed(_named(feed, length, of_reason), reason)
    without = set().union(*failed.values())
    engine.failing.add((feed.name, length.at(start)) for start in without)
    yield from (RolledUp(feed, length.at(start)) for start in starts if start not in without)


def _named(feed: Feed, length: Length, starts: Collection[datetime]) -> str:
    first, last = to_text(min(starts)), to_text(max(starts))
    if len(starts) == 1:
        return f"{feed.name}, {length} from {first}"
    return f"{feed.name}, {len(starts)} intervals of {length} from {first} to {last}"


def compact(feed: Feed, hour: Interval, ledger: Ledger, engine: Engine) -> None:
    """Puts a closed hour's partials into one file a KPI; raises DamagedFile when it has done so for the others."""
    engine.use_cores(1)
    batches = {key: kpis for found in _keys(feed, hour, ledger).values() for key, kpis in found.items()}
    damaged = None
    for kpi in _partial_kpis(feed):
        try:
            engine.lake.compact(kpi, hour.start, [key for key, kpis in batches.items() if kpi.id in kpis], ledger)
        except DamagedFile as error:
            damaged = damaged or error
    if damaged is not None:
        raise damaged
    ledger.compacted(feed, hour)


def rebuild(start: datetime, end: datetime, ledger: Ledger, engine: Engine, options: Options) -> Iterator[Event]:
    """Figures the results of every interval from start to end (UTC, excluded) again from the lake.

    Longer intervals are figured again where they hold one of these. Goes on hour by hour.
    """
    _begin(ledger, engine)
    yield from ledger.heed_clocks(ledger.clocks(), options.allowed_lateness)
    options = replace(options, anew=True)
    for feed in FEEDS.values():
        kept_from = ledger.kept_from(feed)
        if kept_from and start < kept_from:
            yield Failed(f"{feed.name} before {to_text(kept_from)}", "is no longer in the lake, and stays as it is")
        hour = ONE_HOUR.at(max(start, kept_from) if kept_from else start)
        while hour.start < end:
            starts = frozenset(moment for moment in _keys(feed, hour, ledger) if start <= moment < end)
            if starts:
                results = merged(
                    kpis_of(feed, feed.interval),
                    feed.interval,
                    starts,
                    partial(ledger.keys, feed),
                    ledger.files,
                    engine,
                    options.top_n,
                )
                ledger.commit_rebuild(feed, starts, list(results))
                yield Rebuilt(feed, hour, starts)
            hour = ONE_HOUR.at(hour.end)
    yield from roll_up(ledger, engine, options, within=(start, end))


def compute(folder: str | Path, **options: Any) -> dict[str, pd.DataFrame]:
    """Every KPI's rows over the files of a folder, or of ``s3://bucket/prefix``, by the KPI's name, without a database:
    for a notebook.

    The frames are those of ``MemoryLedger.table``; ``options`` are those of ``Options``, and open intervals are
    computed too. Warns of unfinished files. Raises FileError for the first file that cannot be ingested.
    """
    ledger = MemoryLedger()
    unfinished = UnfinishedFiles()
    chosen = Options(roll_up_open=True, **options)
    with (
        tempfile.TemporaryDirectory(prefix="network-analysis-lake-") as lake_dir,
        engine(Path(lake_dir)) as made,
    ):
        found = found_in(address(str(folder)), unfinished=unfinished.add)
        for left in unfinished.events():
            warnings.warn(left_alone_line(left), stacklevel=2)
        for event in run(plan(found, ledger, chosen), ledger, made, chosen):
            if isinstance(event, Failed):
                raise FileError(f"{event.what}: {event.reason}")
    return {kpi.name: ledger.table(kpi) for kpi in KPIS.values()}


def _scanned_ahead(
    planned: Iterable[Planned], scratch: Path, options: Options
) -> Iterator[tuple[Planned, Callable[[], Scan | None]]]:
    """The planned files, fetched, each with what gives its scan; meanwhile the next ones are fetched and scanned.

    A file that changed is only scanned when that is asked for, as its content may be known after all.
    """
    files = iter(planned)
    with ThreadPoolExecutor(CORES, thread_name_prefix="scanner") as threads:
        waiting: deque[tuple[Future[FoundFile], Planned, Callable[[], Scan | None]]] = deque()
        try:
            while True:
                for one in islice(files, CORES + 1 - len(waiting)):
                    fetched = threads.submit(one[0].fetched, scratch)
                    if one[2] in BY_CONTENT:
                        waiting.append((fetched, one, partial(_scan, fetched, options)))
                    else:
                        waiting.append((fetched, one, threads.submit(_scan, fetched, options).result))
                if not waiting:
                    return
                fetched, (_, entry, why), scan_of_file = waiting.popleft()
                file = fetched.result()
                yield (file, entry, why), scan_of_file
                file.let_go()
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _scan(fetched: Future[FoundFile], options: Options) -> Scan | None:
    return scan_of(fetched.result(), options)


def scan_of(file: FoundFile, options: Options) -> Scan | None:
    """What the scanner finds in a file; None where it is the reader's, which tells what is wrong with it."""
    kpis = _partial_kpis(file.feed)
    if file.problem or file.feed.name in options.archive_feeds or not can_scan(file.feed, kpis):
        return None
    try:
        start = _start_in_name(file, options) if options.interval_from is IntervalFrom.FILENAME else None
    except FileError:
        return None
    return scan(file.path, file.feed, kpis, start, options.bounds.rejects, _times(file, options))


def _read(file: FoundFile, engine: Engine, options: Options, earliest: datetime) -> Reading:
    """Reads a file into the connection's tables; raises FileError."""
    if file.problem:
        raise FileError(file.problem, passing=True)
    start = _start_in_name(file, options) if options.interval_from is IntervalFrom.FILENAME else None
    day = file.feed.date_in(file.name) or options.date
    defaults = {"date": day} if file.feed.needs_date and day else {}
    times = replace(_times(file, options), earliest=earliest)
    with telling(engine.scratch):
        reading = Reader(engine.connection, engine.scratch, options.bounds).read(
            file.path, file.feed, start, defaults, times
        )
    return _of_messages(file, reading, engine) if isinstance(file, Messages) else reading


def _times(file: FoundFile, options: Options) -> Times:
    """Which own times the rows of a file may have."""
    if options.interval_from is IntervalFrom.FILENAME and not isinstance(file, Messages):
        # The name says which interval they count in.
        return ANY_TIME
    latest = options.at_hand.latest
    if isinstance(file, Messages) and file.arrived is not None:
        # What is a reject of a stream's remains one: where the clocks disagree, the latest decides.
        latest = max(latest, file.arrived)
    # A clock of the last days that there are has nothing ahead of it.
    latest = min(latest, LAST_DAY - options.max_clock_ahead) + options.max_clock_ahead
    return Times(latest=latest.replace(microsecond=0), ahead=options.max_clock_ahead)


def _read_again_at(file: FoundFile, first_ahead: datetime | None, options: Options) -> datetime | None:
    """From when on (UTC) one more of a file's rows counts, as it is no longer too far ahead of the clock.

    Messages are read once.
    """
    if first_ahead is None or isinstance(file, Messages):
        return None
    return first_ahead - options.max_clock_ahead


def _of_messages(messages: Messages, reading: Reading, engine: Engine) -> Reading:
    """The reading of spooled messages, whose rejects are those that were no line too, each with its offset."""
    lines = np.arange(len(messages.offsets)) + messages.first_line
    with registered(engine.connection, "offsets", {"line": lines, "message": messages.offsets}) as table:
        engine.connection.execute(f"UPDATE rejects SET line = message FROM {table} WHERE rejects.line = {table}.line")
    add_rejects(engine.connection, messages.rejects)
    count = len(messages.rejects)
    return replace(reading, lines=reading.lines + count, rejects=reading.rejects + count)


def _reduce(one: Ready, former: Entry | None, ledger: Ledger, engine: Engine, options: Options) -> Change:
    """The batch's partials into the lake, and the results of every interval that it touches or touched."""
    staging = engine.lake.stage(one.entry.key)
    if one.written is None:
        _add_files(one, staging, options)
    else:
        staging.adopt(one.written)
    replaced = _files_of(former, ledger)
    files = staging.publish(replaced)
    change = _change(one, former, ledger, engine, options, files, replaced)
    return replace(change, closed_until=_closed_until(one, options), live=one.live)


def _add_files(one: Ready, staging: Staging, options: Options) -> None:
    """Writes what the lake keeps of a batch: its partials, its rejects and, where that is switched on, its records."""
    entry = one.entry
    feed = entry.file.feed
    hours = sorted({ONE_HOUR.floor(start) for start in entry.intervals})
    for kpi in _partial_kpis(feed) if hours else []:
        (table,) = one.partials[kpi.id]
        staging.add_partial(kpi, table, hours)
    if entry.rejects:
        staging.add_rejects(feed, _rejects_moment(entry))
    if feed.name in options.archive_feeds:
        staging.add_records(feed, hours)


def _first_rejects(engine: Engine) -> list[Reject]:
    """The first rejects of the file that was read last."""
    return engine.connection.execute(f"FROM rejects ORDER BY line LIMIT {FIRST_REJECTS}").fetchall()


def _closed_until(one: Ready, options: Options) -> datetime | None:
    """Up to when (UTC) a batch closes its feed's intervals.

    A file has its intervals as a whole; of a stream what is older than the newest message by the allowed lateness is
    taken to be there. Times that the clock has not come to close nothing: they are a mistake.
    """
    if isinstance(one.entry.file, Messages):
        return one.newest - options.allowed_lateness if one.newest else None
    now, feed = options.at_hand.earliest, one.entry.file.feed
    ends = (closing_time(start, False, feed, timedelta(0), now) for start in one.entry.intervals if start <= now)
    return max(ends, default=None)


def _of_stream(
    file: FoundFile, reading: Reading, engine: Engine, clocks: Clocks
) -> tuple[datetime | None, LiveCounts | None]:
    """The newest time of a stream's batch, whose records are in the connection's table, and its live counts."""
    if not isinstance(file, Messages):
        return None, None
    now, feed = clocks.host, file.feed
    newest = newest_moment(engine.connection, feed, clocks.earliest)
    if not reading.records or feed.name not in LIVE_DIMENSIONS:
        return newest, None
    span = counted_from(MINUTE, now), now + EARLY
    return newest, live_counts(engine.connection, feed, LIVE_DIMENSIONS[feed.name], reading.intervals, *span)


def _fail(one: Ready, leaving: Entry | None, heir: str, ledger: Ledger, engine: Engine, options: Options) -> Failed:
    """Notes that a file failed; what its former content gave goes, since that is no longer what the file says."""
    entry = one.entry
    failed = Ready(replace(entry, key="", kpis=frozenset(), records=0, intervals={}), one.first_rejects)
    _commit_without(failed, leaving, ledger, engine, options, heir=heir)
    return Failed(entry.file.name, entry.reason)


def _change(
    one: Ready,
    former: Entry | None,
    ledger: Ledger,
    engine: Engine,
    options: Options,
    files: Collection[LakeFile] = (),
    replaced: Collection[PurePosixPath] = (),
) -> Change:
    """What a batch changes; ``files`` are its own in the lake, and ``replaced`` those of its former content."""
    entry = one.entry
    feed = entry.file.feed
    touched = frozenset(entry.intervals) | (ledger.intervals(former) if former else set())
    keys_between = _keys_of_batch(entry, former, ledger)
    counted = _counted_with(files, replaced, ledger)
    fresh = Fresh(entry.key, one.partials, is_followed=isinstance(entry.file, Messages))
    if fresh.is_followed and one.partials and len(touched) <= MOST_INTERVALS:
        keys = keys_in(feed.interval, touched, keys_between)
        results = merged_running(feed, entry.intervals, keys, counted, fresh, engine, options.top_n)
    else:
        kpis = kpis_of(feed, feed.interval)
        results = merged(kpis, feed.interval, touched, keys_between, counted, engine, options.top_n, fresh)
    return Change(entry, one.first_rejects, touched, _ahead(results), files=files, replaced=replaced)


def _counted_with(files: Collection[LakeFile], replaced: Collection[PurePosixPath], ledger: Ledger) -> Counted:
    """Return what gives the lake's files that count once a batch is in, with its own and without those it replaces."""
    without = set(replaced)

    def counted(folders: Collection[PurePosixPath]) -> list[LakeFile]:
        others = [file for file in ledger.files(folders) if file.path not in without]
        return [*others, *(file for file in files if file.path.parent in folders)]

    return counted


def _keys_of_batch(entry: Entry, former: Entry | None, ledger: Ledger) -> KeysBetween:
    """What tells the batches in a feed's intervals as they are when a batch is in."""
    feed, ordered = entry.file.feed, sorted(entry.intervals)

    def keys_between(start: datetime, end: datetime) -> Keys:
        known = ledger.keys(feed, start, end)
        keys: Keys = {}
        for moment, found in known.items():
            keys[moment] = {key: kpis for key, kpis in found.items() if former is None or key != former.key}
        for moment in ordered[bisect_left(ordered, start) : bisect_left(ordered, end)]:
            keys.setdefault(moment, {})[entry.key] = entry.kpis
        return keys

    return keys_between


def _ahead(results: Iterator[Results]) -> Iterable[Results]:
    """The results, of which the first ROWS_AHEAD rows are computed now: mostly all, before a transaction begins."""
    ahead: list[Results] = []
    rows = 0
    for one in results:
        ahead.append(one)
        rows += len(one.rows["rank"])
        if rows > ROWS_AHEAD:
            return chain(ahead, results)
    return ahead


def _keys(feed: Feed, interval: Interval, ledger: Ledger) -> Keys:
    return ledger.keys(feed, interval.start, interval.end)


def _files_of(entry: Entry | None, ledger: Ledger) -> list[PurePosixPath]:
    """The lake's files of a batch that is in."""
    return [file.path for file in ledger.files_of(entry.key)] if entry is not None and entry.is_in else []


def _pruned_start(entry: Entry, former: Entry | None, ledger: Ledger) -> datetime | None:
    """The first of the intervals that a batch touches, or touched, where the lake was pruned; None for none."""
    kept_from = ledger.kept_from(entry.file.feed)
    touched = set(entry.intervals) | (ledger.intervals(former) if former else set())
    return min((start for start in touched if kept_from and start < kept_from), default=None)


def _rejects_moment(entry: Entry) -> datetime:
    """The moment in whose hour the lake keeps a batch's rejects: its first record's, else what the file tells."""
    return min(entry.intervals, default=entry.file.age_key[0])


def _start_in_name(file: FoundFile, options: Options) -> datetime:
    """The interval start that a file's name tells; raises FileError where it tells none, or one too far ahead."""
    end = file.feed.interval_end_in(file.name)
    if end is None:
        raise FileError("tells no interval end in its name, as in ipflow_data.ts-1626566700000.1.csv")
    if not file.feed.interval.is_aligned(end):
        raise FileError(f"tells an interval end in its name that is not aligned to {file.feed.interval}")
    start = end - file.feed.interval.delta
    if start - options.max_clock_ahead > options.at_hand.latest:
        reason = f"tells an interval in its name that {too_far_ahead(options.max_clock_ahead)}"
        raise FileError(reason, read_again_at=start - options.max_clock_ahead)
    return start


def _kpi_ids(feed: Feed) -> frozenset[int]:
    return frozenset(kpi.id for kpi in _partial_kpis(feed))


def _partial_kpis(feed: Feed) -> list[KPI]:
    """The KPIs whose partials the lake keeps: those that are not figured from another's."""
    return [kpi for kpi in kpis_of(feed) if kpi.source is kpi]


def _reading(file: FoundFile, options: Options) -> str:
    """How a file is read: what decides on its records besides its content and its name."""
    how = f"interval-from={options.interval_from}"
    if options.date and file.feed.needs_date and not file.feed.date_in(file.name):
        how += f" date={options.date}"
    return how


def _effective_reading(file: FoundFile, reading: str, lacks_day: bool) -> str:
    """How a content was read, whatever the file's name and from where that was told: what decides on its records.

    The day of the name or the command does where some row of the content lacks its own.
    """
    told = dict(part.split("=", 1) for part in reading.split())
    if told.get("interval-from") == IntervalFrom.FILENAME:
        end = file.feed.interval_end_in(file.name)
        how = f"interval-end={to_text(end) if end else ''}"
    else:
        how = "interval-from=record"
    if lacks_day:
        how += f" date={file.feed.date_in(file.name) or told.get('date', '')}"
    return how


def _gives_the_same(entry: Entry, other: Entry) -> bool:
    """True if a file that was read just now gives the records of one in the ledger: it has that content, read as that.

    Of one content all files lack the day, or none.
    """
    ways = {_effective_reading(one.file, one.reading, entry.lacks_day) for one in (entry, other)}
    return entry.digest == other.digest and len(ways) == 1


def _key(file: FoundFile, reading: Reading, options: Options) -> str:
    """Names a batch by its content and the way it is read; also by its name where others may have the same content."""
    is_alone = options.duplicates is Duplicates.COUNT or isinstance(file, Messages) or not reading.records
    how = _effective_reading(file, _reading(file, options), reading.lacks_day)
    identity = "\0".join((file.feed.name, file.name if is_alone else "", reading.digest, how))
    if reading.ahead.count:
        # Which rows those are follows from how many: the later the clock, the fewer lie ahead.
        identity += f"\0ahead={reading.ahead.count}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def _is_changed(file: FoundFile, entry: Entry) -> bool:
    return file.version != entry.file.version


def _is_reread(file: FoundFile, entry: Entry, options: Options) -> bool:
    return options.reread and entry.is_known and entry.reading != _reading(file, options)


def _can_be_same(file: FoundFile, entry: Entry, options: Options) -> bool:
    """Whether a file that changed may have the content that the ledger knows, and need not be read otherwise."""
    return bool(
        not file.problem and file.size == entry.file.size and entry.digest and not _is_reread(file, entry, options)
    )


def _known_digest(file: FoundFile, entry: Entry, options: Options) -> str:
    """The digest of a file's content, where that is the content that the ledger knows; else empty."""
    if not _can_be_same(file, entry, options):
        return ""
    try:
        content, own = content_digests(file.path, options.bounds)
    except FileError:
        return ""
    # Batches of before 0.2 have the digest of a packed file's own bytes.
    return content if entry.digest in (content, own) else ""
