"""The judge of a single row, record or reject, in plain Python: the meaning of a feed's columns and checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kpis.catalog.feeds import BadRow, Feed, Record, moment_of
from kpis.catalog.intervals import EPOCH, LAST_DAY, to_text
from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.formats.line_days import LineDays
from kpis.formats.lines import Line
from kpis.formats.row_format import RowFormat

LONGEST_REJECT_TEXT = 10_000


class AheadOfClock(BadRow):
    """A row whose own time (``moment``, UTC) is too far ahead of the clock: it may be a record later."""

    def __init__(self, column: str, moment: datetime, ahead: timedelta):
        super().__init__(column, too_far_ahead(ahead))
        self.moment = moment


@dataclass(frozen=True)
class Times:
    """The range of times (UTC) that rows may have: from ``earliest`` to ``latest``, which is ``ahead`` of the clock.

    ``latest`` is a whole second.
    """

    earliest: datetime = EPOCH
    latest: datetime = LAST_DAY
    ahead: timedelta = timedelta(0)

    def check(self, feed: Feed, record: Record) -> None:
        """Raise BadRow, or AheadOfClock, for a record whose own time is outside."""
        moment = moment_of(feed, record)
        if moment < self.earliest:
            raise BadRow(feed.moment.column, f"lies before {to_text(self.earliest)}, where the lake was pruned")
        if moment > self.latest:
            raise AheadOfClock(feed.moment.column, moment, self.ahead)

    def sql(self, feed: Feed) -> str:
        """Return the same condition in SQL over a record's columns."""
        earliest, latest = (f"TIMESTAMP '{to_text(one).rstrip('Z')}'" for one in (self.earliest, self.latest))
        return f"{feed.moment.sql} >= {earliest} AND {feed.moment.sql} <= {latest}"


ANY_TIME = Times()


def too_far_ahead(ahead: timedelta) -> str:
    """Return the reason of a reject whose time is further ahead of the clock than it may be."""
    return f"lies more than {round(ahead.total_seconds()):,} seconds ahead of the clock"


def judge(row_format: RowFormat, line: Line, days: LineDays | None = None) -> dict[str, Any]:
    """Return a row's record, by column; raises BadRow with the column and the reason.

    A row that lacks its day has the one that ``days`` has for its line.
    """
    if refusal := row_format.refusal(line.content):
        raise BadRow(refusal.column, refusal.reason)
    if len(line.content) > LONGEST_LINE_BYTES:
        raise BadRow("", f"is longer than {LONGEST_LINE_BYTES:,} bytes")
    if b"\0" in line.content:
        raise BadRow("", "holds a NUL byte")
    try:
        # Concatenated files have byte order marks within.
        text = line.content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise BadRow("", f"is not valid {row_format.encoding}") from None
    record = row_format.record(text)
    day = row_format.feed.moment.column
    if days is not None and record[day] is None:
        record[day] = days.of(line.number)
        if record[day] is None:
            raise BadRow(day, "is empty, and the message has no time that gives the day")
    return checked(row_format.feed, record)


def checked(feed: Feed, record: dict[str, Any]) -> dict[str, Any]:
    """Return a row's record without an unknown place, with derived columns.

    Raises BadRow if its time cannot be kept, a derived value is too large or a check fails.
    """
    if feed.place:
        record = feed.place.cleared(record)
    if feed.derived:
        record = feed.with_derived(record)
    moment_of(feed, record)
    for check in feed.checks:
        if not check.holds(record):
            raise BadRow(check.column, check.reason)
    return record


def reject_text(line: Line, row_format: RowFormat | None = None) -> str:
    """Return a rejected row as text: what is not UTF-8 as ``\\x..``, cut after LONGEST_REJECT_TEXT characters.

    By its format, the text of a row that could not be decoded is the one that the decoder gives.
    """
    if row_format and (refusal := row_format.refusal(line.content)):
        return cut(refusal.text)
    return cut(line.content[: LONGEST_REJECT_TEXT * 4].decode("utf-8", "backslashreplace").replace("\0", "\\x00"))


def cut(text: str) -> str:
    """Return a reject's text, cut after LONGEST_REJECT_TEXT characters."""
    return text if len(text) <= LONGEST_REJECT_TEXT else text[:LONGEST_REJECT_TEXT] + "..."
