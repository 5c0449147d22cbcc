"""The values of a file's rows in SQL: what the bulk reader needs of every format."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from kpis.catalog.feeds import Column, Feed

_UNIT = re.compile(r"\s*(\[[^\[\]]*\]|\([^()]*\))$")


class RowValues(ABC):
    """The values of one file's rows, in SQL over a table of the rows as they are written.

    ``defaults`` has values for columns that the rows leave empty or lack, besides those that the columns' types have.
    ``lacks_day`` is True once a row without a day was parsed in Python, in a feed whose rows may lack it. ``day_sql``
    is an SQL expression for the day of such a row, if the rows have days besides.
    """

    lacks_day = False
    day_sql = ""

    def __init__(self, feed: Feed, defaults: Mapping[str, Any]):
        self.feed = feed
        own = {column.name: column.type.default for column in feed.columns if column.type.default is not None}
        self.defaults: Mapping[str, Any] = {**own, **defaults}

    @abstractmethod
    def plain(self, column: Column) -> str:
        """Return an SQL condition: true where SQL can read a column's value, false or NULL elsewhere."""

    @abstractmethod
    def value(self, column: Column) -> str:
        """Return an SQL expression for a column's value; it counts only where the value is plain."""

    def lacks(self, column: Column) -> str:
        """Return an SQL condition: true where a row has no value in a column, defaults aside."""
        return "false"

    def or_default(self, column: Column, value: str) -> str:
        """Return an SQL expression for the value, or the column's default where it is NULL."""
        if self.day_sql and column.name == self.feed.moment.column:
            return f"coalesce({value}, {self.day_sql})"
        default = self.defaults.get(column.name)
        if default is None:
            return value
        literal = f"{default}".replace("'", "''")
        return f"coalesce({value}, CAST('{literal}' AS {column.type.sql_type}))"


def without_unit(name: str) -> str:
    """Return a column's name without a unit in brackets behind it, as in ``Bytes [kB]``."""
    return _UNIT.sub("", name)
