"""The place of a record: its columns, and when it is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kpis.catalog.sql import aliased, quoted


@dataclass(frozen=True)
class Place:
    """The columns of a record's place, in degrees: if both are exactly 0, the place is unknown.

    A device without a position writes 0,0, a point of the open sea off Africa; one of them alone may well be 0.
    """

    latitude: str
    longitude: str

    @property
    def columns(self) -> tuple[str, str]:
        return (self.latitude, self.longitude)

    def cleared(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record, without its place if that is unknown."""
        is_none = all(record[column] == 0 for column in self.columns)
        return record | dict.fromkeys(self.columns) if is_none else record

    def sql(self, table: str) -> str:
        """Return SQL for a table's rows with the record's columns, without unknown places."""
        is_none = " AND ".join(f"{quoted(column)} = 0" for column in self.columns)
        cleared = {column: f"CASE WHEN {is_none} THEN NULL ELSE {quoted(column)} END" for column in self.columns}
        return f"(SELECT * REPLACE ({aliased(cleared)}) FROM {table})"
