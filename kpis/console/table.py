"""Tables with sorting and paging, whose state is in the address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import F, QuerySet
from django.utils.http import urlencode

ROWS_A_PAGE = 20


class BadTable(ValueError):
    """Parameters that ask for a column or page that does not exist; the message is for the person who wrote them."""


@dataclass(frozen=True)
class Column:
    """A column: its name in the database, its heading, and True if it holds numbers."""

    name: str
    heading: str
    number: bool = False


@dataclass(frozen=True)
class Heading:
    """A column's heading, the address that sorts by it, and its order: ``ascending``, ``descending`` or ``none``."""

    column: Column
    address: str
    sorted: str


class Table:
    """One page of a query's rows.

    ``name`` is the prefix of the table's parameters, ``<name>_sort`` (a column, with a minus for descending) and
    ``<name>_page``; ``state`` are the page's other parameters, ``key`` the columns that decide between equals.
    """

    def __init__(
        self,
        name: str,
        columns: Iterable[Column],
        rows: QuerySet,
        key: tuple[str, ...],
        default: str,
        parameters: Mapping[str, str],
        state: Mapping[str, int | str],
    ):
        self.name, self.columns, self._rows, self._key, self._state = name, list(columns), rows, key, dict(state)
        self.sort = parameters.get(f"{name}_sort") or default
        known = [column.name for column in self.columns]
        if self.sort.removeprefix("-") not in known:
            raise BadTable(f"{name}_sort must be one of {', '.join(known)}, with a minus for descending.")
        self.number = rows.count()
        self.pages = max(1, -(-self.number // ROWS_A_PAGE))
        page = parameters.get(f"{name}_page") or "1"
        if not (page.isascii() and page.isdigit() and len(page) < 10 and int(page) >= 1):
            raise BadTable(f"{name}_page must be a whole number from 1.")
        self.page = min(int(page), self.pages)

    @property
    def rows(self) -> list:
        """The page's rows; those without a value come last."""
        column = F(self.sort.removeprefix("-"))
        first = column.desc(nulls_last=True) if self.sort.startswith("-") else column.asc(nulls_last=True)
        start = (self.page - 1) * ROWS_A_PAGE
        return list(self._rows.order_by(first, *self._key)[start : start + ROWS_A_PAGE])

    @property
    def headings(self) -> list[Heading]:
        """The columns' headings: a click sorts by the column, another one reverses; numbers start with the largest."""
        headings = []
        for column in self.columns:
            name = column.name
            now = {name: "ascending", f"-{name}": "descending"}.get(self.sort, "none")
            first = f"-{name}" if column.number and name != "rank" else name
            other = name if first != name else f"-{name}"
            headings.append(Heading(column, self._address(sort=other if self.sort == first else first), now))
        return headings

    @property
    def first_row(self) -> int:
        return min(self.number, (self.page - 1) * ROWS_A_PAGE + 1)

    @property
    def last_row(self) -> int:
        return min(self.number, self.page * ROWS_A_PAGE)

    @property
    def previous(self) -> str:
        """The address of the page before; empty on the first."""
        return self._address(sort=self.sort, page=self.page - 1) if self.page > 1 else ""

    @property
    def next(self) -> str:
        """The address of the page after; empty on the last."""
        return self._address(sort=self.sort, page=self.page + 1) if self.page < self.pages else ""

    def _address(self, **parameters: int | str) -> str:
        own: dict[str, int | str] = {f"{self.name}_{name}": value for name, value in parameters.items()}
        others = {name: value for name, value in self._state.items() if not name.startswith(f"{self.name}_")}
        return f"?{urlencode(others | own)}"
