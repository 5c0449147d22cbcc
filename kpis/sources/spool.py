"""The spool of a stream's messages: lines in a file, with the offset of each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import CSV
from kpis.catalog.plugin_formats import Refusal
from kpis.engine.file_reader import Reject
from kpis.formats.decoded import Decoded, DecoderUnavailable
from kpis.formats.decoders import decoded_of
from kpis.formats.judge import reject_text
from kpis.formats.line_days import LineDays, days_of
from kpis.formats.lines import Line
from kpis.sources.directory import SourceLost
from kpis.sources.headed_rows import HeadedRows
from kpis.sources.messages import BLANK_LINE, Messages, Refused, batch_of
from kpis.sources.positions import FIRST_ORIGIN, Origin, Partition


class Spool:
    """Messages of one partition that will be a batch: they are in a file, and only their offsets in memory.

    Messages of a feed whose format is decoded are lines in the file too.
    """

    def __init__(self, feed: Feed, path: Path):
        self.count = self.size = 0
        # The first message's offset with its mark, and the last one's mark, if the caller sets them.
        self.first_message: tuple[int, str] | None = None
        self.last_message = ""
        self.feed, self._path = feed, path
        self._offsets, self._days = array("q"), array("q")
        self._rejects: list[Reject] = []
        self.arrived: datetime | None = None
        # Every message is a row: none of them is the file's header.
        self._header = feed.of_messages.header_line
        self._decoded = decoded_of(feed)
        self._file = path.open("wb")
        self._file.write(self._header)

    @property
    def needs_times(self) -> bool:
        """True if the messages' own times matter: rows of the feed may lack the day."""
        return self.feed.may_lack_day

    @property
    def needs_headers(self) -> bool:
        """True if a message may name its columns: it is a row of CSV."""
        return isinstance(self.feed.format, CSV)

    def add(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | Refused | None],
        arrived: datetime | None = None,
        times: Sequence[int | None] = (),
        headers: Sequence[bytes | None] = (),
    ) -> None:
        """Add messages in the order of their offsets; a tombstone has no value.

        ``arrived`` is when the newest of them arrived, by the broker's clock (UTC), if known. ``times`` are the
        messages' own (Unix ms, None for none), if the spool ``needs_times``, and ``headers`` name their columns, where
        they do, if it ``needs_headers``. Raises SourceLost if what decodes them needs something that does not answer.
        """
        if any(headers):
            values = list(map(self._in_order, headers, values))
        if self._decoded is not None:
            values = [_line_of(self._decoded, value) for value in values]
        if arrived is not None:
            self.arrived = max(arrived, self.arrived or arrived)
        days: list[int] = []
        if self.needs_times:
            days = days_of(self.feed.moment.zone, times or [None] * len(offsets))
        lines = _lines(values)
        if lines is None:
            lines = self._sorted_out(offsets, values, days)
        else:
            self._offsets.extend(offsets)
            self._days.extend(days)
        self._file.write(lines)
        self.count += len(offsets)
        self.size += len(lines)

    def _in_order(self, header: bytes | None, value: bytes | Refused | None) -> bytes | Refused | None:
        """Return a message with the columns in the feed's order."""
        return self._headed.row(header, value) if header and header.strip() and isinstance(value, bytes) else value

    @cached_property
    def _headed(self) -> HeadedRows:
        return HeadedRows(self.feed.of_messages)

    def _sorted_out(
        self, offsets: Sequence[int], values: Sequence[bytes | Refused | None], days: Sequence[int]
    ) -> bytes:
        """Return the messages that can be lines, as text; keep the others as rejects."""
        lines = []
        for place, (offset, value) in enumerate(zip(offsets, values, strict=True)):
            if isinstance(value, Refused):
                self._rejects.append((offset, value.column, value.reason, reject_text(Line(offset, value.value))))
                continue
            flaw = _flaw(value)
            if flaw:
                self._rejects.append((offset, "", flaw, reject_text(Line(offset, value or b""))))
            elif value is not None:
                lines.append(value.rstrip(b"\r\n") + b"\n")
                self._offsets.append(offset)
                self._days.extend(days[place : place + 1])
        return b"".join(lines)

    def messages(self, topic: str, partition: Partition, position: Any, origin: Origin = FIRST_ORIGIN) -> Messages:
        """Close the file, and return the batch; there must be messages."""
        batch = batch_of(self.feed, topic, partition, position, origin, *self.ended())
        return replace(batch, last_message=self.last_message, arrived=self.arrived, days=self.line_days())

    def line_days(self) -> LineDays | None:
        """Return the days of the lines, if rows of the feed may lack them."""
        if not self.needs_times:
            return None
        return LineDays(1 + self._header.count(b"\n"), np.array(self._days, dtype=np.int64))

    def ended(self) -> tuple[Path, int, np.ndarray, list[Reject]]:
        """Close the file; return it, the line of its first message, the offsets of its lines, and the rejects."""
        self._file.close()
        offsets = np.array(self._offsets, dtype=np.int64)
        return self._path, 1 + self._header.count(b"\n"), offsets, self._rejects

    def discard(self) -> None:
        """Remove the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def _line_of(decoded: Decoded, value: bytes | Refused | None) -> bytes | Refused | None:
    """Return the line that a message is decoded into; a refused message, or one without a value, is as it was."""
    if not isinstance(value, bytes):
        return value
    try:
        row = decoded.row_of(value)
    except DecoderUnavailable as error:
        raise SourceLost(f"{error}") from error
    if not isinstance(row, Refusal):
        return row
    text = row.text.encode("utf-8", "backslashreplace") if row.text else value
    return Refused(text, row.reason, row.column)


def _lines(values: Sequence[bytes | Refused | None]) -> bytes | None:
    """Return the messages as lines if each of them can be one as it is; else None."""
    try:
        text = b"\n".join(values) + b"\n"  # type: ignore[arg-type]  # others raise TypeError
    except TypeError:
        # A tombstone, or a refused message.
        return None
    if text.count(b"\n") != len(values) or b"\r" in text or b"\0" in text:
        return None
    if not text[: text.index(b"\n")].strip() or BLANK_LINE.search(text):
        return None
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text


def _flaw(value: bytes | None) -> str:
    """Return the reason why a message cannot be a line of a file; empty if it can. A final line end is ignored."""
    if value is None:
        return "is null"
    line = value.rstrip(b"\r\n")
    if not line.strip():
        return "is empty"
    if b"\n" in line or b"\r" in line:
        return "holds a line end"
    if b"\0" in line:
        return "holds a NUL byte"
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            return "is not valid UTF-8"
    return ""
