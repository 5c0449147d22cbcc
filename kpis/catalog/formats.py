"""Formats: how a feed's rows are written in bytes. ``kpis.formats`` reads what is described here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Header(StrEnum):
    """Whether a CSV file begins with the names of its columns."""

    REQUIRED = "with a header"
    OPTIONAL = "with or without a header"


@dataclass(frozen=True)
class CSV:
    """Fields separated by commas, a row a line. Without a header, the columns are the feed's, in their order."""

    header: Header = Header.REQUIRED

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return False

    def __str__(self) -> str:
        return f"CSV {self.header}"


@dataclass(frozen=True)
class JSONLines:
    """One JSON object a line."""

    @property
    def has_keys(self) -> bool:
        """True if each row names its own columns."""
        return True

    def __str__(self) -> str:
        return "one JSON object a line"


Format = CSV | JSONLines
