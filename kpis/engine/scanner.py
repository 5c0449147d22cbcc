"""The fast path from a file to partials: whole-number CSV, parsed and reduced in one pass by compiled code.

It applies to feeds whose columns are whole numbers and whose KPIs are sums and distinct counts by one of them. The feed
defines what a row means: the compiled code accepts only lines of as many plain numbers as the header has, calls
``check_record`` once for every combination of the columns that place a row in time, and returns all other lines to be
judged one by one. In every other case it declines, and the file goes to ``Reader``, whose answer is the truth. The GIL
is released most of the time, so several files can be scanned at once.
"""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from blake3 import blake3

from kpis.catalog.columns import Integer
from kpis.catalog.feeds import BadRow, Feed, FileFormat, moment_of
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import CountDistinct, Sum
from kpis.engine.compiled import DISTINCT, DONE, NEW_KEY, ODD_LINES_FULL, PADDING, SUM, library
from kpis.engine.reader import Ahead, Reading, Reject
from kpis.engine.table import Columns
from kpis.formats.bounds import FileError
from kpis.formats.content import identity_of, is_packed, open_file
from kpis.formats.file_formats import CSV
from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.formats.judge import ANY_TIME, AheadOfClock, Times, check_record, judge, reject_text
from kpis.formats.lines import Line, first_line_of, held_still

TEXT_BYTES = 2 * 2**20
# With more distinct pairs, the file is left to DuckDB, which spills to disk.
MOST_PAIRS = 16 * 2**20
# Odd lines take long to judge: if there are many, the bulk reader is faster.
INTEGERS = {"INTEGER": np.int32, "BIGINT": np.int64}
ODD_LINES_AT_LEAST, ODD_LINES_SHARE = 5_000, 0.05


class Declined(Exception):
    """The scanner does not support this file: it goes to the bulk reader."""


@dataclass
class Scan:
    """The result of a scan: the reading, the rejects, and each KPI's partial, by the KPI's id.

    A partial is what ``partial_of_records`` makes of the same records, in columns.
    """

    reading: Reading
    rejects: list[Reject]
    partials: dict[int, Columns]


def can_scan(feed: Feed, kpis: Collection[KPI]) -> bool:
    """Return True if the feed's files can be scanned for these KPIs, each of which has its own partials."""
    return (
        library() is not None
        and feed.format is FileFormat.CSV
        and not feed.needs_date
        and all(isinstance(column.type, Integer) for column in feed.columns)
        and len(_key_columns(feed)) <= 2
        and all(_is_scannable(kpi) for kpi in kpis)
    )


def scan(
    path: Path,
    feed: Feed,
    kpis: Sequence[KPI],
    interval_start: datetime | None = None,
    most_rejects: int | None = None,
    times: Times = ANY_TIME,
) -> Scan | None:
    """Scan a file for which ``can_scan`` is True; return None if it has to go to the bulk reader.

    ``interval_start`` puts all its records into that interval. Rows whose own time is out of the bounds are rejects.
    Raises FileError if the file changes meanwhile.
    """
    if is_packed(path):
        return None
    try:
        file = open_file(path)
    except FileError:
        return None
    with file, held_still(path, identity_of(os.fstat(file.fileno()))):
        try:
            return _FileScan(feed, kpis, interval_start, most_rejects, times).scan(file)
        except (Declined, FileError, OSError, KeyError):
            # The reader meets the same error, and reports it.
            return None


def _key_columns(feed: Feed) -> list[str]:
    """Return the columns that decide if a row counts, and in which interval."""
    return sorted({feed.moment.column, *(check.column for check in feed.checks)})


def _is_scannable(kpi: KPI) -> bool:
    if len(kpi.by) != 1 or kpi.folded or not isinstance(kpi.feed.column(kpi.by[0].column).type, Integer):
        return False
    measure = kpi.measure
    if type(measure) is Sum:
        types = [kpi.feed.column(column).type for column in measure.columns]
        return all(isinstance(one, Integer) and one.minimum >= 0 for one in types)
    return type(measure) is CountDistinct


class Reductions:
    """The compiled scanner's state: rows and pairs are added, groups with their sums or distinct values returned."""

    def __init__(self, least: Sequence[int], most: Sequence[int], key_columns: Sequence[int]):
        compiled = library()
        if compiled is None:
            raise Declined
        self.library = compiled
        bounds = [np.array(one, dtype=np.uint64) for one in (least, most)]
        self.state = compiled.scanner_new(
            len(least), *(bound.ctypes.data for bound in bounds), key_columns[0], key_columns[-1]
        )
        if not self.state:
            raise Declined

    def __enter__(self) -> Reductions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.library.scanner_free(self.state)

    def reduce(self, kind: int, dimension: int, columns: Sequence[int]) -> None:
        """Add a reduction by the column ``dimension``: SUM of columns, or DISTINCT values of one."""
        terms = np.array(columns, dtype=np.int32)
        checked(self.library.scanner_reduce(self.state, kind, dimension, len(terms), terms.ctypes.data, MOST_PAIRS))

    def add_pairs(self, dimensions: np.ndarray, values: np.ndarray, part: int, parts: int) -> None:
        """Add pairs (int64) to the first reduction: of the parts into which dimensions are divided, those of one."""
        checked(
            self.library.scanner_add_pairs(
                self.state, 0, dimensions.ctypes.data, values.ctypes.data, len(values), part, parts
            )
        )

    def sums(self, index: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a SUM's groups in order: places of their intervals, dimensions, sums."""
        intervals, dimensions, sums = self._groups(index, places)
        order = np.lexsort((dimensions, intervals))
        return intervals[order], dimensions[order], sums[order]

    def distinct(self, index: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a DISTINCT's groups in order: intervals, dimensions, counts; and all groups' sorted values."""
        intervals, dimensions, _ = self._groups(index, places)
        order = np.lexsort((dimensions, intervals))
        ranks = np.empty(len(order), dtype=np.uint32)
        ranks[order] = np.arange(len(order), dtype=np.uint32)
        pairs = ctypes.c_int64()
        checked(self.library.scanner_sort(self.state, index, ranks.ctypes.data, ctypes.byref(pairs)))
        values, counts = np.empty(pairs.value, dtype=np.int64), np.empty(len(order), dtype=np.int64)
        self.library.scanner_pairs(self.state, index, values.ctypes.data, counts.ctypes.data)
        return intervals[order], dimensions[order], counts, values

    def _groups(self, index: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = self.library.scanner_groups(self.state, index)
        intervals = np.empty(count, dtype=np.int32)
        dimensions, sums = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        self.library.scanner_group_keys(
            self.state, index, intervals.ctypes.data, dimensions.ctypes.data, sums.ctypes.data
        )
        return places[intervals], dimensions, sums


def checked(status: int) -> None:
    """Raise Declined unless a compiled function's status is OK."""
    if status != DONE:
        raise Declined


def _fill(file: io.FileIO, room: memoryview) -> int:
    """Read from a file until the buffer is full; return the number of bytes, 0 at the file's end."""
    return file.readinto(room) or 0


class _FileScan:
    """The state of scanning one file."""

    def __init__(
        self,
        feed: Feed,
        kpis: Sequence[KPI],
        interval_start: datetime | None,
        most_rejects: int | None,
        times: Times,
    ):
        self.feed, self.kpis, self.interval_start = feed, kpis, interval_start
        self.most_rejects, self.times, self.ahead = most_rejects, times, Ahead()
        self.starts: list[datetime] = []
        self.odd, self.is_last = 0, False
        self.rejects: list[Reject] = []

    def scan(self, file: io.FileIO) -> Scan:
        text = bytearray(TEXT_BYTES + PADDING)
        view = memoryview(text)
        address = ctypes.addressof(ctypes.c_char.from_buffer(text))
        digest = blake3()
        filled = _fill(file, view[:TEXT_BYTES])
        digest.update(view[:filled])
        line_end = text.find(b"\n", 0, filled)
        if line_end < 0:
            raise Declined
        self.row_format = CSV(self.feed, first_line_of(bytes(view[:line_end])), {})
        with self._reductions() as self.reductions:
            start = line_end + 1
            while filled:
                end = text.rfind(b"\n", 0, filled) + 1
                if not end:
                    raise Declined
                self._scan_text(view, address, start, end)
                filled -= end
                view[:filled] = view[end : end + filled]
                read = _fill(file, view[filled:TEXT_BYTES])
                digest.update(view[filled : filled + read])
                if not read and filled:
                    self.is_last = True
                    text[filled : filled + 1] = b"\n"
                    self._scan_text(view, address, 0, filled + 1)
                filled, start = filled + read if read else 0, 0
            return self._finished(digest.hexdigest())

    def _reductions(self) -> Reductions:
        least, most = [0] * len(self.row_format.names), [2**64 - 1] * len(self.row_format.names)
        for column in self.feed.columns:
            position = self.row_format.positions[column.name]
            assert isinstance(column.type, Integer)  # noqa: S101  what can_scan says
            least[position] = max(0, column.type.minimum)
            most[position] = 2 ** (column.type.bits - 1) - 1
            if column.type.maximum is not None:
                most[position] = min(most[position], column.type.maximum)
        keys = [self.row_format.positions[name] for name in _key_columns(self.feed)]
        reductions = Reductions(least, most, keys)
        for kpi in self.kpis:
            dimension = self.row_format.positions[kpi.by[0].column]
            measure = kpi.measure
            if isinstance(measure, Sum):
                reductions.reduce(SUM, dimension, [self.row_format.positions[column] for column in measure.columns])
            elif isinstance(measure, CountDistinct):
                reductions.reduce(DISTINCT, dimension, [self.row_format.positions[measure.column]])
        return reductions

    def _scan_text(self, view: memoryview, address: int, start: int, end: int) -> None:
        """Scan the whole lines of a text from start to end."""
        compiled, state = self.reductions.library, self.reductions.state
        scanned = ctypes.c_int64(start)
        while True:
            status = compiled.scanner_scan(state, address, end, ctypes.byref(scanned))
            if status not in (DONE, NEW_KEY, ODD_LINES_FULL):
                checked(status)
            if count := compiled.scanner_odd(state):
                odd_lines = np.ctypeslib.as_array(compiled.scanner_odd_lines(state), (count, 3))
                for number, offset, length in odd_lines.tolist():
                    # Numbers count from the line after the header.
                    self._judge(Line(number + 1, bytes(view[offset : offset + length])))
            if status == DONE:
                return
            if status == NEW_KEY:
                self._add_key(compiled.scanner_new_key(state))

    def _add_key(self, key: Any) -> None:
        columns = _key_columns(self.feed)
        values = [int(key[0]), int(key[1])]
        record = dict(zip(columns, values[: len(columns)], strict=True))
        try:
            check_record(self.feed, record)
            self.times.check(self.feed, record)
        except BadRow:
            number = -1
        else:
            number = self._interval_number(moment_of(self.feed, record))
        checked(self.reductions.library.scanner_add_key(self.reductions.state, *values, number))

    def _interval_number(self, moment: datetime) -> int:
        start = self.interval_start or self.feed.interval.floor(moment)
        if start not in self.starts:
            self.starts.append(start)
        return self.starts.index(start)

    def _judge(self, line: Line) -> None:
        self.odd += 1
        if len(line.content) > LONGEST_LINE_BYTES:
            raise Declined
        if self.odd > ODD_LINES_AT_LEAST and self.odd > ODD_LINES_SHARE * line.number:
            raise Declined
        # CR LF ends a line; the last line has no end.
        if line.content.endswith(b"\r") and not self.is_last:
            line = Line(line.number, line.content[:-1])
        if not line.content.strip():
            return
        try:
            record = judge(self.row_format, line)
            self.times.check(self.feed, record)
        except BadRow as bad:
            if len(self.rejects) == self.most_rejects:
                raise Declined from None
            self.rejects.append((line.number, bad.column, bad.reason, reject_text(line)))
            if isinstance(bad, AheadOfClock):
                self.ahead.add(bad.moment)
            return
        values = np.zeros(len(self.row_format.names), dtype=np.int64)
        for name, position in self.row_format.positions.items():
            values[position] = record[name]
        number = self._interval_number(moment_of(self.feed, record))
        checked(self.reductions.library.scanner_add(self.reductions.state, values.ctypes.data, number))

    def _finished(self, digest: str) -> Scan:
        compiled, state = self.reductions.library, self.reductions.state
        counts = {start: compiled.scanner_records(state, number) for number, start in enumerate(self.starts)}
        intervals = {start: count for start, count in sorted(counts.items()) if count}
        records = sum(intervals.values())
        reading = Reading(digest, records + len(self.rejects), records, len(self.rejects), intervals, self.ahead)
        starts = np.array([start.astimezone(UTC).replace(tzinfo=None) for start in self.starts], dtype="datetime64[us]")
        partials = {
            kpi.id: self._partial(index, kpi, np.sort(starts), np.argsort(np.argsort(starts)))
            for index, kpi in enumerate(self.kpis)
        }
        return Scan(reading, self.rejects, partials)

    def _partial(self, index: int, kpi: KPI, starts: np.ndarray, places: np.ndarray) -> Columns:
        dimension = self.feed.column(kpi.by[0].column).type
        measure = kpi.measure
        if isinstance(measure, CountDistinct):
            intervals, dimensions, counts, values = self.reductions.distinct(index, places)
            intervals, dimensions = np.repeat(intervals, counts), np.repeat(dimensions, counts)
            columns = {measure.column: values}
        else:
            intervals, dimensions, sums = self.reductions.sums(index, places)
            columns = dict.fromkeys(measure.partial, sums)
        columns = {kpi.dimensions[0]: dimensions.astype(INTEGERS[dimension.sql_type], copy=False)} | columns
        return {"interval_start": starts[intervals]} | columns
