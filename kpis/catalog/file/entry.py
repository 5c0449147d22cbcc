"""What all entries of a catalog file share: the base of their classes, and types of their values."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from kpis.catalog.feeds import LONGEST_FEED_NAME

# A text ends where no character follows: $ would accept a line feed there.
NAME = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*(?![\s\S])"
CLASS_NAME = r"^[A-Z][A-Za-z0-9]*(?![\s\S])"
ONE_LINE = r"^[^\r\n]*\S[^\r\n]*(?![\s\S])"
LONGEST_KPI_NAME, LONGEST_COLUMN_NAME = 40, 50
# Ids below are those of built-in KPIs; the largest is what a column of the database holds.
FIRST_ID, LAST_ID = 1000, 32_767

FeedName = Annotated[str, Meta(pattern=NAME, max_length=LONGEST_FEED_NAME)]
ReferenceName = Annotated[str, Meta(pattern=NAME, max_length=LONGEST_FEED_NAME)]
KPIName = Annotated[str, Meta(pattern=CLASS_NAME, max_length=LONGEST_KPI_NAME)]
ColumnName = Annotated[str, Meta(pattern=NAME, max_length=LONGEST_COLUMN_NAME)]
Line = Annotated[str, Meta(pattern=ONE_LINE, max_length=200)]
FixedLengthName = Literal["1m", "5m", "15m", "1h"]
LengthName = Literal["1m", "5m", "15m", "1h", "1d", "1w", "1mo"]


class Entry(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of a catalog file."""
