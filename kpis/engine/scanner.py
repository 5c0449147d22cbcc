"""The fast path from a file to partials: CSV and JSON lines, parsed and reduced in one pass by compiled code.

It applies to feeds whose columns, checks and KPIs ``scannable`` finds that it can read. The feed defines what a row
means: the compiled code accepts only lines that are plain by these tables, and returns all other lines to be judged one
by one. In every other case it declines, and the file goes to ``Reader``, whose answer is the truth. The GIL is released
most of the time, so several files can be scanned at once.
"""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import BadRow, Feed
from kpis.catalog.intervals import EPOCH
from kpis.catalog.kpis import KPI
from kpis.engine.compiled import DONE, NEW_TEXTS, ODD_LINES_FULL, PADDING
from kpis.engine.file_reader import Ahead, Reading, Reject
from kpis.engine.live import Timeline
from kpis.engine.reductions import Declined, checked
from kpis.engine.scan_columns import Records, partial_columns, records_of, timeline
from kpis.engine.scan_tables import Tables
from kpis.engine.table import Columns
from kpis.formats.bounds import DEFAULT_BOUNDS, Bounds, FileError
from kpis.formats.content import RawFile, identity_of, is_packed, open_file, unpacked_chunks
from kpis.formats.file_formats import line_format_of, row_format_of
from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.formats.judge import ANY_TIME, AheadOfClock, Times, judge, reject_text
from kpis.formats.line_days import LineDays
from kpis.formats.lines import Line, first_line_of, held_still
from kpis.formats.text import BYTE_ORDER_MARK, Text

TEXT_BYTES = 2 * 2**20
# Odd lines take long to judge: if there are many, the bulk reader is faster.
ODD_LINES_AT_LEAST, ODD_LINES_SHARE = 5_000, 0.05


@dataclass
class Scan:
    """The result of a scan: the reading, the rejects, and each KPI's partial, by the KPI's id.

    A partial is what ``partial_of_records`` makes of the same records, in columns. ``records`` are the records
    themselves, if they were to be kept. ``timeline`` has their number at each moment, if that was asked for.
    """

    reading: Reading
    rejects: list[Reject]
    partials: dict[int, Columns]
    records: Records | None = None
    timeline: Timeline | None = None


def scan(
    path: Path,
    feed: Feed,
    kpis: Sequence[KPI],
    interval_start: datetime | None = None,
    most_rejects: int | None = None,
    times: Times = ANY_TIME,
    defaults: Mapping[str, Any] | None = None,
    with_records: bool = False,
    bounds: Bounds = DEFAULT_BOUNDS,
    live: Sequence[Dimension] | None = None,
    days: LineDays | None = None,
) -> Scan | None:
    """Scan a file for which ``can_scan`` is True; return None if it has to go to the bulk reader.

    ``interval_start`` puts all its records into that interval. ``defaults`` has values for columns that the file lacks
    or leaves empty, and ``days`` the days of lines that lack their own. Rows whose own time is out of the bounds are
    rejects. ``with_records`` keeps the records.
    ``bounds`` are those of what a packed file unpacks to. Unless ``live`` is None, the scan has a timeline with the
    groups of these dimensions. Raises FileError if the file changes meanwhile.
    """
    try:
        file = open_file(path)
    except FileError:
        return None
    with ExitStack() as stack:
        stack.enter_context(file)
        stack.enter_context(held_still(path, identity_of(os.fstat(file.fileno()))))
        try:
            digest, text = blake3(), Text(line_format_of(feed))
            fill: Callable[[memoryview], int] = partial(_fill, file, digest)
            size = os.fstat(file.fileno()).st_size
            if is_packed(path) or not text.is_plain:
                content = _digested(unpacked_chunks(path, RawFile(file), bounds), digest)
                fill, size = stack.enter_context(_Chunks(text.chunks(content))).fill, TEXT_BYTES
            kept = with_records, live
            file_scan = _FileScan(feed, kpis, interval_start, most_rejects, times, defaults or {}, *kept, days)
            return file_scan.scan(fill, size, text, digest)
        except (Declined, FileError, OSError, KeyError):
            # The reader meets the same error, and reports it.
            return None


def _fill(file: io.FileIO, digest: blake3, room: memoryview) -> int:
    """Read from a file until the buffer is full; return the number of bytes, 0 at the file's end."""
    read = file.readinto(room) or 0
    digest.update(room[:read])
    return read


def _digested(chunks: Iterator[bytes], digest: blake3) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


class _Chunks:
    """The text of a packed or encoded file; another thread makes the next chunk while one is scanned."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._chunk = chunks, memoryview(b"")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unpacker")
        self._next = self._thread.submit(next, chunks, b"")

    def __enter__(self) -> _Chunks:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()

    def fill(self, room: memoryview) -> int:
        """Fill the room with what comes next; return the number of bytes, which are fewer only at the end."""
        filled = 0
        while filled < len(room):
            if not self._chunk:
                self._chunk = memoryview(self._next.result())
                if not self._chunk:
                    break
                self._next = self._thread.submit(next, self._chunks, b"")
            count = min(len(room) - filled, len(self._chunk))
            room[filled : filled + count] = self._chunk[:count]
            self._chunk = self._chunk[count:]
            filled += count
        return filled


class _FileScan:
    """The state of scanning one file."""

    def __init__(
        self,
        feed: Feed,
        kpis: Sequence[KPI],
        interval_start: datetime | None,
        most_rejects: int | None,
        times: Times,
        defaults: Mapping[str, Any],
        with_records: bool,
        live: Sequence[Dimension] | None,
        days: LineDays | None,
    ):
        self.feed, self.kpis, self.interval_start = feed, kpis, interval_start
        self.most_rejects, self.times, self.defaults = most_rejects, times, defaults
        self.with_records, self.live, self.days = with_records, live, days
        self.ahead, self.rejects = Ahead(), list[Reject]()
        self.odd, self.is_last = 0, False

    def scan(self, fill: Callable[[memoryview], int], size: int, opening: Text, digest: blake3) -> Scan:
        """Scan what ``fill`` gives, of ``size`` bytes, or of more than a buffer has room for.

        At the end, ``digest`` is that of the file's content.
        """
        # One byte more, to meet the end.
        room = min(TEXT_BYTES, size + 1)
        text = bytearray(room + PADDING)
        view = memoryview(text)
        address = ctypes.addressof(ctypes.c_char.from_buffer(text))
        filled = fill(view[:room])
        line_end = text.find(b"\n", 0, filled)
        if line_end < 0:
            raise Declined
        first_line = first_line_of(bytes(view[:line_end]), line_format_of(self.feed))
        self.row_format = row_format_of(self.feed, first_line, self.defaults)
        start = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
        if self.row_format.has_header:
            start = line_end + 1
        # The lines before the first that is scanned.
        self.before = opening.passed + self.row_format.has_header
        given, times = self.interval_start, self.times
        kept = self.with_records, self.live
        with Tables(self.feed.as_lines, self.kpis, self.row_format, given, times, room, *kept) as self.tables:
            if self.days is not None:
                self.tables.use_days(self.days)
            while filled:
                end = text.rfind(b"\n", 0, filled) + 1
                if not end:
                    raise Declined
                self._scan_text(view, address, start, end)
                filled -= end
                view[:filled] = view[end : end + filled]
                read = fill(view[filled:room])
                if not read and filled:
                    self.is_last = True
                    text[filled : filled + 1] = b"\n"
                    self._scan_text(view, address, 0, filled + 1)
                filled, start = filled + read if read else 0, 0
            return scan_of_tables(self.tables, digest.hexdigest(), self.rejects, self.ahead, self.row_format.lacks_day)

    def _scan_text(self, view: memoryview, address: int, start: int, end: int) -> None:
        """Scan the whole lines of a text from start to end."""
        compiled, state = self.tables.reductions.library, self.tables.reductions.state
        scanned = ctypes.c_int64(start)
        while True:
            status = compiled.scanner_scan(state, address, end, ctypes.byref(scanned))
            if status not in (DONE, ODD_LINES_FULL, NEW_TEXTS):
                checked(status)
            if status == NEW_TEXTS:
                self.tables.look_up()
            if count := compiled.scanner_odd(state):
                odd_lines = np.ctypeslib.as_array(compiled.scanner_odd_lines(state), (count, 3))
                for number, offset, length in odd_lines.tolist():
                    line = Line(number + self.before, bytes(view[offset : offset + length]))
                    self._judge(line)
            if status == DONE:
                return

    def _judge(self, line: Line) -> None:
        if self.row_format.grammar.is_comment(line.content):
            return
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
            record = judge(self.row_format, line, self.days)
            self.times.check(self.feed, record)
        except BadRow as bad:
            if len(self.rejects) == self.most_rejects:
                raise Declined from None
            self.rejects.append((line.number, bad.column, bad.reason, reject_text(line, self.row_format)))
            if isinstance(bad, AheadOfClock):
                self.ahead.add(bad.moment)
            return
        self.tables.add(record)


def scan_of_tables(tables: Tables, digest: str, rejects: list[Reject], ahead: Ahead, lacks_day: bool) -> Scan:
    """Return the result of a scan from the tables that all records of a file were added to."""
    reductions, given = tables.reductions, tables.interval_start
    found = reductions.entries(-1)
    length = tables.feed.interval.delta
    moments = [given or EPOCH + number * length for number in found[:, 1].tolist()]
    # Where a check by an expression failed, an interval may be left without records.
    counted = [(moment, count) for moment, count in zip(moments, found[:, 2].tolist(), strict=True) if count]
    intervals = dict(sorted(counted))
    count = sum(intervals.values())
    lacks_day |= bool(reductions.library.scanner_lacks_day(reductions.state))
    reading = Reading(digest, count + len(rejects), count, len(rejects), intervals, ahead, lacks_day)
    starts = np.array([start.astimezone(EPOCH.tzinfo).replace(tzinfo=None) for start in moments], "datetime64[us]")
    order = np.argsort(starts)
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    partials = {kpi.id: partial_columns(tables, index, starts[order], places) for index, kpi in enumerate(tables.kpis)}
    records = records_of(tables, starts) if tables.is_kept else None
    return Scan(reading, rejects, partials, records, timeline(tables))
